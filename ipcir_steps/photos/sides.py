"""Both sides of eq. 2 for what was imagined: S_t by the stack's baseline, S_p by eq. 1, as the workflow makes them."""

import dataclasses
from collections.abc import Callable, Collection

import numpy as np
import torch

from ipcir_steps.config import canonical
from ipcir_steps.config.base import Section
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.config.settings import read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.photos import pictures
from ipcir_steps.photos.similar import Proxy
from ipcir_steps.seek.baselines.inputs import Inputs, same_encoder


@dataclasses.dataclass(frozen=True)
class Held(Inputs):
    """A baseline's inputs for one query, in memory. held: {name: feature [D] or [K, D]}."""

    held: dict[str, torch.Tensor] = dataclasses.field(default_factory=dict)
    finder: object = None

    def features(self, name: str) -> tuple[np.ndarray, set[str]]:
        if name not in self.held:
            self.need(name)  # says which is missing
        return self.held[name].numpy()[None], set()

    def gallery(self) -> np.ndarray:
        """[G, D] of all photos, in the order of their names."""
        gallery = self.finder.gallery
        lines = (gallery.order >= 0).nonzero().flatten()
        return gallery.exact(lines[gallery.order[lines].argsort()]).numpy()

    @property
    def encoder(self):
        encoder = self.finder.models.encoder("text")
        same_encoder(encoder.identity)
        return encoder


def configured(config, name: str) -> tuple[Callable, Section]:
    """A baseline's function and settings. config: the whole one, or that of a stack. Raises InputError where there is
    no such baseline, one's own cannot be imported or does not take its settings."""
    from ipcir_steps.seek.baselines import find

    if own := config.custom_baselines.get(name):
        function, section = find(own.function)
        return function, read_settings(canonical(own.settings), section)
    function, section = find(name)
    given = getattr(config, name, None)
    return function, given if isinstance(given, section) else section()


def text_side(imagination, captions: Collection[int]) -> torch.Tensor:
    """f_t [D]: the stack's baseline on the captions that count; further terms of the question are added to it."""
    finder = imagination.finder
    config, rows = finder.models.stack.config, sorted(captions)
    name = config.baselines[0]
    if getattr(BASELINES.get(name), "sees", False):
        return _with_terms(_together(imagination), imagination)
    function, settings = configured(config, name)
    held = {
        "references": finder.asker.image(imagination.reference),
        "source_captions": imagination.source_features[rows],
        "target_captions": imagination.target_features[rows],
    }
    files = {"weights": finder.models.stack.mapping(name)}
    inputs = Held([imagination.query], "folder", files, finder.directory, imagination.seed, None, held, finder)
    values, _ = function(inputs, settings)
    return _with_terms(torch.from_numpy(np.asarray(values, np.float32)[0]), imagination)


def _together(imagination) -> torch.Tensor:
    """The picture and its request, read together [D]."""
    from ipcir_steps.seek.baselines.joint import reader_of

    encoder = reader_of(imagination.finder.models.encoder("text"))
    picture = encoder.transform(pictures.opened(imagination.file))
    return torch.nn.functional.normalize(encoder.joint([picture], [imagination.query.caption]), dim=-1)[0]


def _with_terms(text: torch.Tensor, imagination) -> torch.Tensor:
    """``text`` [D] and the further pictures and terms of the question, each by its weight."""
    from ipcir_steps.seek.baselines.simple import weighted_sum

    finder, question = imagination.finder, imagination.question
    main = question.main
    more = [(finder.asker.image(part), part.weight) for part in question.references if part is not main[0]]
    more += [(finder.asker.text(part.text), part.weight) for part in question.terms if part is not main[1]]
    if not more:
        return text
    parts, weights = [text, *(part for part, _ in more)], [1.0, *(weight for _, weight in more)]
    return torch.from_numpy(weighted_sum([part.numpy() for part in parts], weights))


def proxy_side(
    imagination, weights: tuple[float, float, float], captions: Collection[int], proxies: Collection[int]
) -> Proxy:
    """f_RP of eq. 1, scale "query", from the proxies and captions that count, as parts of which sliders are linear."""
    from ipcir_steps.seek.fusion import factors, proxy_mean, semantic_perturbation, unit

    rows = sorted(captions)
    drawn = torch.stack([drawn.feature for drawn in imagination.proxies])
    chosen = torch.zeros(len(drawn))
    chosen[sorted(proxies)] = 1.0 / max(1, len(proxies))
    reference = unit(imagination.finder.asker.image(imagination.reference)[None])
    change = semantic_perturbation(
        imagination.target_features[rows][:, None], imagination.source_features[rows][:, None]
    )
    mean = proxy_mean(drawn[sorted(proxies)][None])
    of_proxy, of_query, of_change = (
        float(factor) for factor in factors((mean, reference, change), weights, scale="query")
    )
    parts = torch.cat([unit(drawn), reference, change])
    return Proxy(parts, torch.cat([of_proxy * chosen, torch.tensor([of_query, of_change])]))


def both(
    imagination,
    weights: tuple[float, float, float] = (1, 1, 1),
    captions: Collection[int] | None = None,
    proxies: Collection[int] | None = None,
) -> tuple[torch.Tensor, Proxy]:
    """(f_t, f_RP). captions, proxies: numbers of those that count; None: all. Raises InputError when none is left."""
    captions = range(len(imagination.target)) if captions is None else captions
    proxies = range(len(imagination.proxies)) if proxies is None else proxies
    for name, chosen, there in (
        ("captions", captions, len(imagination.target)),
        ("proxies", proxies, len(imagination.proxies)),
    ):
        if not chosen or not all(0 <= number < there for number in chosen):
            raise InputError(f"at least one of {there} {name} is needed", field=name)
    chosen = frozenset(captions)
    if chosen not in imagination.texts:  # sliders ask for the same again and again
        imagination.texts[chosen] = text_side(imagination, captions)
    return imagination.texts[chosen], proxy_side(imagination, weights, captions, proxies)
