"""What jobs ask of this machine by the plan's figures: download, disk, memory, a GPU and its memory.

Disk that will not do for the download stops a run. The other figures are estimates, so that they only warn.
"""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from ipcir_steps.config import Config, Resolved
from ipcir_steps.config.data import MINI
from ipcir_steps.core import paths
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.units import size
from ipcir_steps.runtime.leases import devices
from ipcir_steps.runtime.needs import Job, Need
from ipcir_steps.runtime.plan import count, memory
from ipcir_steps.runtime.plan.finished import width
from ipcir_steps.runtime.plan.steps import RECORDS
from ipcir_steps.runtime.plan.weights import weights

STEPS = ("captions", "reasoning", "layouts", "masks", "proxies", "baseline")  # and everything that ends in _features
SMALLER = "Use a larger machine, or smaller models (datasets.NAME.stack: laptop)."


@dataclasses.dataclass(frozen=True)
class Demand:
    """download: bytes by name of the model; results: bytes; host, device: (bytes, which step) of the largest job, 0
    where there is none or no GPU."""

    download: dict[str, int]
    results: float = 0.0
    host: tuple[float, str] = (0.0, "")
    device: tuple[float, str] = (0.0, "")


def demand(jobs: Iterable[Job], config: Config) -> Demand:
    """Of the jobs of a run. The mini world's models and pictures are small, and not counted."""
    jobs = list(jobs)
    asked = [need for job in jobs for need in _memory(job, config)]
    host = max((found[0] for found in asked), default=(0.0, ""))
    return Demand(_download(jobs, config), _results(jobs, config), host, max((f[1] for f in asked), default=(0.0, "")))


def _download(jobs: list[Job], config: Config) -> dict[str, int]:
    """Bytes, by source, that are not here yet; what several stacks read alike is fetched once."""
    found = {}
    for job in jobs:
        stack = config.stacks.get(job.wildcards.get("stack", ""))
        if stack is None or job.rule not in ("model", "clip_model"):
            continue
        clip = job.rule == "clip_model"
        role = "clip" if clip else job.wildcards["role"]
        model = stack.clip[job.wildcards["backbone"]] if clip else stack.models[role]
        template = paths.CLIP_MANIFEST if clip else paths.MANIFEST
        read_in = stack.proxies.dtype if role == "generator" else None
        known = weights(role, model.source, Path(template.format(**job.wildcards)), read_in)
        if known and model.revision and known.how != "files on disk":
            found[model.source] = known.stored
    return found


def _results(jobs: list[Job], config: Config) -> float:
    """Bytes of the pictures, records and features that are about to be made, at most."""
    rules: dict[str, set[str]] = {}
    for job in jobs:
        if "dataset" in job.wildcards:
            rules.setdefault(job.wildcards["dataset"], set()).add(job.rule)
    total = 0.0
    for name, made in rules.items():
        if config.datasets[name].root.startswith(f"{MINI}/"):
            continue
        try:
            counts = count(config, name)
        except InputError:
            continue  # named as missing itself
        settings = config.resolved(name)
        total += counts.queries * sum(each for step, each in RECORDS.items() if step in made)
        drawn, captions = settings.proxies.count, settings.captions.count
        if made & {"proxies", "round_proxies"}:
            total += counts.queries * drawn * settings.proxies.width * settings.proxies.height * 3
        if "proxies_features" in made:
            rows = counts.gallery + counts.queries * (1 + drawn + 2 * captions)
            total += rows * 4 * sum(_width(settings, backbone) for backbone in settings.backbones)
    return total


def _width(settings: Resolved, backbone: str) -> int:
    return width(Path("."), backbone, settings.clip[backbone].source) or 1024


def _memory(job: Job, config: Config) -> Iterator[tuple[tuple[float, str], tuple[float, str]]]:
    """((host, step), (device, step)) of a job that runs a model on this machine."""
    step = {"drawn": "proxies", "round_proxies": "proxies", "verify_sides": "verify"}.get(job.rule, job.rule)
    if step.endswith("_features"):
        step = "text_features" if "captions" in step else "image_features"
    if step not in (*STEPS, "image_features", "text_features") or job.wildcards.get("dataset") not in config.datasets:
        return
    settings = config.resolved(job.wildcards["dataset"], job.wildcards.get("setting"))
    kind = memory.devices(settings, step)[0]  # a GPU that only other machines have does not count
    need = memory.need(settings, step, kind, job.wildcards.get("backbone"), job.wildcards.get("baseline"))
    name = f"{step} of stack {settings.stack_name}"
    yield (need.host, name), (need.device, name)


def missing(asked: Demand, *, needs_gpu: bool) -> Iterator[Need]:
    """What this machine has too little of, and how much will be fetched. No GPU is slow, not fatal."""
    there = devices()
    if needs_gpu and not there:
        yield Need("no GPU was found", "ipcir plan says how long this takes without one.", stops=False)
    yield from _of_disk(sum(asked.download.values()), asked)
    host, step = asked.host
    if host > total_memory():
        told = f"{step} needs about {size(host)} of memory, this machine has {size(total_memory())}"
        yield Need(told, SMALLER, stops=False)
    device, step = asked.device
    if there and device and device > (has := device_memory() or device):
        told = f"{step} needs about {size(device)} of GPU memory, the GPU has {size(has)}"
        yield Need(told, "Lower the batch_size of the step, or choose a smaller model.", stops=False)


def _of_disk(download: int, asked: Demand) -> Iterator[Need]:
    free = shutil.disk_usage(".").free
    models = f"{size(download)} of {len(asked.download)} models are to be downloaded"
    names = ", ".join(asked.download)
    if download > free:
        remedy = f"Free some, or link resources/models to a larger disk: {names}."
        yield Need(f"disk: {models}, {size(free)} are free", remedy)
    elif download:
        yield Need(models, f"Needs a network, once: {names}.", stops=False)
    if free >= download and download + asked.results > free:
        told = f"results may take {size(asked.results)}, {size(free - download)} are free beside the models"
        yield Need(told, "Free some, or link results to a larger disk.", stops=False)


def total_memory() -> int:
    """Bytes of main memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def device_memory() -> float | None:
    """Bytes of the smallest GPU; None where nothing tells them."""
    if not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.split()
    return min((int(mebibytes) * 2**20 for mebibytes in told if mebibytes.isdigit()), default=None)
