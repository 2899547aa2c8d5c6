"""Seconds before anything ran: counted operations over what a machine reaches, and the weights that it reads."""

import dataclasses
from collections.abc import Callable

from ipcir_steps.config import Resolved
from ipcir_steps.runtime.plan.machines import MACHINES, Machine
from ipcir_steps.runtime.plan.memory import TOWERS, dtype_of
from ipcir_steps.runtime.plan.operations import Counts
from ipcir_steps.runtime.plan.weights import models_of, weights
from ipcir_steps.runtime.plan.work import Typical, Unknown, Work

PROGRAM = 20.0  # seconds until Python has imported the libraries of a model
LOADING = 1e9  # bytes of weights a second, from a disk
DECODING = 0.01  # seconds of one core for a picture: reading, scaling, normalising


@dataclasses.dataclass(frozen=True)
class Estimate:
    """operations: of one item; seconds: of one item, by machine; start: once, for the program and its weights.
    how: in a few words, or why there is no estimate."""

    how: str
    operations: float = 0.0
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    start: float = 0.0


class Estimates:
    """Of every step of one configuration; what steps share is counted once."""

    def __init__(self, config: Resolved, typical: Typical | None = None):
        self.config, self.counts = config, Counts(config, typical)
        self._texts: dict[str, Estimate] = {}

    def step(self, name: str) -> Estimate:
        """Per image (captions, proxies) or query (reasoning, layouts, masks, proxy_captions, verify)."""
        section = getattr(self.config, name)
        if getattr(section, "remote", False):
            return Estimate("a server's, not counted", seconds=dict.fromkeys(MACHINES, 0.0))
        return self._of(name, getattr(self.counts, name))

    def image(self, backbone: str) -> Estimate:
        found = self._of("image_features", lambda: self.counts.image(backbone), backbone)
        least = DECODING / self.config.embeddings.workers
        seconds = {name: max(value, DECODING if name == "core" else least) for name, value in found.seconds.items()}
        return dataclasses.replace(found, seconds=seconds)

    def text(self, backbone: str) -> Estimate:
        if backbone not in self._texts:
            self._texts[backbone] = self._of("text_features", lambda: self.counts.text(backbone), backbone)
        return self._texts[backbone]

    def baseline(self, name: str, backbone: str, gallery: int, width: int) -> Estimate:
        """Per query: products of features, a text, an image read with it, or the optimisation of a word (forwards and
        backwards: three times a forward pass, twice with phrases)."""
        captions = self.config.captions.count
        if name == "ldre":
            return on_cores("products with the gallery", 2 * captions * gallery * width)
        if self.config.joined_to(name):
            captions = self.config.proxies.count * self.config.proxy_captions.count
        if self.config.joined_to(name) or name in ("cirevl", "image_only", "text_only", "image_text"):
            return on_cores("sums of features", captions * width)
        if name == "joint":
            return self._of("image_features", lambda: self.counts.joint(backbone), backbone)
        if name not in ("searle", "lincir", "pic2word", "searle_oti"):
            return Estimate("a baseline of your own")
        text = self.text(backbone)
        times = 1.0
        if name == "searle_oti":
            settings = self.config.searle_oti
            times = settings.steps * 3 * (2 if settings.phrases and settings.phrase_weight else 1)
        seconds = {machine: value * times for machine, value in text.seconds.items()}
        return dataclasses.replace(text, operations=text.operations * times, seconds=seconds)

    def _of(self, step: str, count: Callable[[], list[Work]], backbone: str | None = None) -> Estimate:
        try:
            works = count()
        except Unknown as unknown:
            return Estimate(str(unknown))
        except ImportError as error:
            return Estimate(f"operations are counted with {error.name or 'torch'}, which is not installed here")
        sizes, start = {}, PROGRAM
        for role, source, manifest in models_of(self.config, step, backbone):
            found = weights(role, source, manifest, tower=TOWERS.get(step))
            sizes[role] = found
            start += found.stored / LOADING if found else 0
        seconds = {name: self._seconds(machine, step, works, sizes) for name, machine in MACHINES.items()}
        total = sum(work.operations for work in works)
        return Estimate(f"counted: {total / 1e12:.3g} TFLOP", total, seconds, start)

    def _seconds(self, machine: Machine, step: str, works: list[Work], sizes: dict) -> float:
        dtype = dtype_of(self.config, step, "cpu" if machine.name == "core" else "cuda")
        return sum(
            machine.seconds(
                work.operations,
                sizes[work.role].loaded(dtype) if sizes.get(work.role) else 0,
                work.passes,
                dtype != "float32",
            )
            for work in works
        )


def on_cores(how: str, operations: float) -> Estimate:
    """Work that one CPU core does, whatever the GPU."""
    core = MACHINES["core"]
    return Estimate(f"counted: {how}", operations, dict.fromkeys(MACHINES, core.seconds(operations, 0, 0, False)))
