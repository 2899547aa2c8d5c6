"""Imagining for one query, live: the workflow's steps one after the other, each told as soon as it is done.

Every step is kept in the index's cache under all that it depends on, so that an imagination that was stopped or killed
goes on where it was, and the same question is answered at once.
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from ipcir_steps.config.generation import generator_of, generator_roles
from ipcir_steps.core.cache import Cache
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.files import sha256
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.photos.finder import Finder
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.store import private


class Cancelled(Exception):
    """Somebody asked to stop."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A proxy image: its file and its feature [D]."""

    path: Path
    feature: torch.Tensor


class Imagination:
    """What is imagined for a question. Each of its attributes is there once ``run`` has told it.

    Raises InputError for a question without a picture or a text.
    """

    def __init__(self, finder: Finder, question: Question, seed: int, stop: Callable[[], bool] = lambda: False):
        self.finder, self.question, self.seed, self.stop = finder, question, seed, stop
        self.query, self.config = question.query, finder.models.stack.config
        self.reference, _ = question.main
        self.file = self.reference.root / self.reference.name
        private(finder.directory / "cache")
        self.cache = Cache(finder.directory / "cache/steps")
        self.pictures = finder.directory / "cache/proxies"
        self.source: list[str] = []
        self.target: list[str] = []
        self.source_features = self.target_features = torch.zeros(0, 0)
        self.layout: dict | None = None
        self.masks: dict = {}
        self.proxies: list[Drawn] = []
        self.texts: dict[frozenset[int], torch.Tensor] = {}  # f_t by the captions that count
        self._content = sha256(self.file)

    def run(self, layout: dict | None = None) -> Iterator[dict]:
        """One event per finished piece of work: {"stage": …} with captions, layout, masks and proxies.

        layout: one that a person has edited, in place of the planned one. Raises StepFailure when a step gives up,
        ModelError when a model is not there, Cancelled when ``stop()`` says so.
        """
        self.source = self._kept("captions", self._captions)
        yield {"stage": "captions", "captions": self.source}
        self.target = self._kept("reasoning", self._reasoning, self.source)
        yield {"stage": "reasoning", "captions": self.target}
        self._encode_captions()
        yield {"stage": "captions encoded"}
        unused = generator_of(self.config.proxies).unused
        if "layouts" in unused:
            self.layout = {"scene": "", "instances": []}
        else:
            self.layout = layout or self._kept("layouts", self._plan, self.source)
            yield {"stage": "layout", "layout": {name: self.layout[name] for name in ("scene", "instances")}}
        self.masks = {"masks": []} if "masks" in unused else self._masks()
        missing = [mask["reason"] for mask in self.masks["masks"] if "reason" in mask]
        yield {"stage": "masks", "found": len(self.masks["masks"]) - len(missing), "missing": missing}
        self.proxies = []
        for number, drawn in enumerate(self._draw()):
            self.proxies.append(drawn)
            yield {"stage": "proxy", "number": number, "of": self.config.proxies.count}
        yield {"stage": "done"}

    def _kept(self, stage: str, make: Callable[[], object], *needs):
        """The cached result of a step, or what ``make`` returns, cached. Raises StepFailure when the step gave up."""
        if self.stop():
            raise Cancelled
        role = "captioner" if stage == "captions" else "llm"
        settings = getattr(self.config, stage)
        model = "server" if getattr(settings, "remote", False) else self._manifest(role).digest
        query = [self.query.query_id, self.query.reference, *self.query.captions]
        key = [stage, model, settings.model_dump(mode="json"), self.seed, query, self._content, *needs]
        found = self.cache.get(key)
        if found is None:
            found = make()
            if isinstance(found, StepFailure):
                raise found
            self.cache.put(key, found)
        return found

    def _manifest(self, role: str):
        return load_manifest(self.finder.models.stack.model(role))

    def _captions(self):
        from ipcir_steps.imagine.captions import caption_image, captioner

        settings, models = self.config.captions, self.finder.models
        caption = models.get("captioner", lambda: captioner(self._manifest("captioner").path, settings))
        found = caption_image(self.question.image, self.reference.root, caption, settings, self.seed)
        return found if isinstance(found, StepFailure) else found["captions"]

    def _asked(self, settings):
        """(prompt, model, pictures that the prompt shows) of reasoning or layouts."""
        from ipcir_steps.imagine.llm.pictures import Shown
        from ipcir_steps.imagine.llm.prompts import FIELDS, PER_CAPTION, load_prompt

        prompt = load_prompt(settings.prompt, PER_CAPTION if settings is self.config.reasoning else FIELDS)
        shown = Shown(prompt.longest, {self.reference.name: self.question.image}, self.reference.root)
        return prompt, self._llm(settings, prompt.sees), shown

    def _llm(self, settings, sees: bool):
        from ipcir_steps.imagine.llm import open_llm

        models = self.finder.models
        local = not settings.remote
        shares = local and not settings.server
        kinds = {"backend", "device", "dtype", "context_length", "engine", "server"}

        def opened():
            model = models.stack.model("llm") if local else None
            backend = open_llm(settings, model, self.finder.directory / "cache/answers", sees)
            for other in (self.config.reasoning, self.config.layouts):
                known = models.loaded(type(other).__name__)
                same = other.model_dump(include=kinds) == settings.model_dump(include=kinds)
                if shares and known and same and _engine(known) is _engine(backend):
                    backend.share(known)  # one copy of the weights serves both steps
            return backend

        return models.get(type(settings).__name__, opened)

    def _reasoning(self):
        from ipcir_steps.imagine.reasoning import target_captions

        settings = self.config.reasoning
        prompt, model, shown = self._asked(settings)
        found = target_captions([(self.query, self.source[: settings.captions])], prompt, model, self.seed, shown)[0]
        return found if isinstance(found, StepFailure) else found["captions"]

    def _plan(self):
        from ipcir_steps.imagine.layouts import plan

        settings = self.config.layouts
        prompt, model, shown = self._asked(settings)
        return plan([(self.query, self.source)], prompt, model, settings, self.seed, shown)[0]

    def _encode_captions(self) -> None:
        """Features [K, D] of both kinds of captions, in one batch of different texts, as the workflow encodes them."""
        if self.stop():
            raise Cancelled
        if len(self.target) != len(self.source):
            raise InputError(
                f"{len(self.source)} captions have {len(self.target)} edits", field="reasoning.captions",
                remedy="Leave it out of the stack's configuration: every caption is then edited.",
            )  # fmt: skip
        texts = self.finder.asker.text
        self.source_features = torch.stack([texts(text) for text in self.source])
        self.target_features = torch.stack([texts(text) for text in self.target])

    def _masks(self) -> dict:
        from ipcir_steps.imagine.masks import Store, identity_of, query_masks, segmenter

        if self.stop():
            raise Cancelled
        if not any(instance["modality"] == "image" for instance in self.layout["instances"]):
            return {"masks": []}
        settings = self.config.masks
        detector, cutter = self._manifest("detector"), self._manifest("segmenter")

        def segment(image, category):
            load = self.finder.models.get
            return load("segmenter", lambda: segmenter(detector.path, cutter.path, settings))(image, category)

        identity = identity_of(detector, cutter, settings)
        store = Store(segment, self.reference.root, {self.reference.name: self.question.image}, self.cache, identity)
        found = query_masks(self.query, self.layout, store)
        if isinstance(found, StepFailure):
            raise found
        return found

    def _draw(self) -> Iterator[Drawn]:
        """Proxies in the batches that the workflow draws them in, so that they are the same pictures."""
        from ipcir_steps.imagine.proxies import images
        from ipcir_steps.imagine.proxies.acceptance import draw_accepted, load_check
        from ipcir_steps.imagine.proxies.enrichment import enrich, read_statistics
        from ipcir_steps.imagine.proxies.generator import load_generator
        from ipcir_steps.imagine.proxies.tasks import task_of, with_texts

        settings, models = self.config.proxies, self._generator_models()
        task = task_of(self.query, self.layout, self.masks, self.file, self.seed, range(settings.count))
        if generator_of(settings).needs_captions:
            task = with_texts(task, self.target)
        if settings.statistics:
            task = enrich(task, read_statistics(settings.statistics), settings.enrichment)
        identity = {role: manifest.digest for role, manifest in models.items()}
        planned = dataclasses.asdict(dataclasses.replace(task, reference=None, seeds=(), texts=()))
        del planned["texts"], planned["numbers"]  # those of each batch are told beside its seeds
        size = settings.proxies_per_batch
        for start in range(0, len(task.seeds), size):
            if self.stop():
                raise Cancelled
            seeds = task.seeds[start : start + size]
            texts = task.texts[start : start + size]
            numbers = task.numbers[start : start + size]
            key = ["proxies", settings.model_dump(mode="json"), identity, planned, list(seeds), self._content, *texts]
            record = self.cache.get(key)
            if record is None or not images.intact(record, self.pictures):
                generator = self.finder.models.get("generator", lambda: load_generator(settings, models))
                check = self.finder.models.get("check", lambda: load_check(settings, models))
                drawn, _, _ = draw_accepted(
                    generator, dataclasses.replace(task, seeds=seeds, texts=texts, numbers=numbers), check, settings
                )
                names = [images.name_of(f"{self.query.query_id}-{seed:x}", 0) for seed in seeds]
                digests = [images.save(image, self.pictures, name) for image, name in zip(drawn, names, strict=True)]
                record = {"images": names, "sha256": digests}
                self.cache.put(key, record)
            paths = [self.pictures / name for name in record["images"]]
            encoder = self.finder.models.encoder("image")
            features = encoder.images([encoder.read(path) for path in paths])
            yield from map(Drawn, paths, features)

    def _generator_models(self) -> dict:
        roles = generator_roles(self.config.proxies, self.config.models)
        return {role: self._manifest(role) for role in roles}


def _engine(backend) -> type:
    """The kind of model that answers: with and without a vision tower they are read differently."""
    return type(getattr(backend, "engine", backend))


def told(event: dict) -> None:
    """An event as a line on stderr."""
    stage = event["stage"]
    lines = {
        "captions": lambda: f"it shows: {'; '.join(dict.fromkeys(event['captions']))}",
        "reasoning": lambda: f"wanted: {'; '.join(dict.fromkeys(event['captions']))}",
        "layout": lambda: "imagined: " + "; ".join(
            [event["layout"]["scene"], *(instance["description"] for instance in event["layout"]["instances"])]
        ),
        "proxy": lambda: f"proxy {event['number'] + 1} of {event['of']}",
    }  # fmt: skip
    if stage in lines:
        print(lines[stage](), file=sys.stderr, flush=True)
