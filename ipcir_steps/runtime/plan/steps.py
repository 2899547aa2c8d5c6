"""Every step of one dataset: items, time, disk, memory; measured where such jobs have run, else estimated."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ipcir_steps.config import Resolved
from ipcir_steps.config.generation import generator_of
from ipcir_steps.runtime.plan import finished
from ipcir_steps.runtime.plan.benchmarks import Speed, speed
from ipcir_steps.runtime.plan.estimates import Estimate, Estimates, on_cores
from ipcir_steps.runtime.plan.memory import Need, need
from ipcir_steps.runtime.plan.weights import roles_of

# Bytes of a record with its copy in the journal and in the gathered file, as in CIRCO's released captions and layouts.
RECORDS = {"captions": 3 * 900, "reasoning": 3 * 1000, "layouts": 3 * 1300, "masks": 3 * 1600, "verify": 3 * 1500}
RECORDS["proxy_captions"] = 3 * 400  # five images, a caption each


@dataclasses.dataclass(frozen=True)
class Counts:
    """queries, unique reference images, gallery images of one split."""

    queries: int
    references: int
    gallery: int


@dataclasses.dataclass(frozen=True)
class Step:
    """One line of the plan.

    items: how many; disk: bytes, None where it is not known, at most that where ``bound``; needs: memory of a job on
    the kind of device that is planned for, None where no model runs.
    """

    name: str
    items: int
    unit: str
    speed: Speed | None
    estimate: Estimate
    disk: float | None
    needs: Need | None = None
    gpu: bool = True
    bound: bool = False

    def per_item(self, machine: str) -> float | None:
        """Seconds; None where nothing is known."""
        return self.speed.per_item if self.speed else self.estimate.seconds.get(machine)

    def hours(self, machine: str) -> float | None:
        """Of all items on one device, the model loaded once."""
        each = self.per_item(machine)
        if each is None:
            return None
        return (self.items * each + (0 if self.speed else self.estimate.start)) / 3600


def steps(config: Resolved, counts: Counts, directory: Path, device: str = "cuda") -> Iterator[Step]:
    """In the order in which they run. directory: of a workflow that has run; device: ``cuda`` or ``cpu``."""
    estimates = Estimates(config)
    items = {
        "captions": (counts.references, "images"),
        "reasoning": (counts.queries, "queries"),
        "layouts": (counts.queries, "queries"),
        "masks": (counts.queries, "queries"),
        "proxies": (counts.queries * config.proxies.count, "images"),
    }
    for name in generator_of(config.proxies).unused:
        del items[name]
    if joins(config):
        items["proxy_captions"] = (counts.queries, "queries")
    for name, (number, unit) in items.items():
        found = measured(config, directory, name)
        needs = need(config, name, device)
        estimate = estimates.step(name)
        if name == "proxies":
            yield proxies(config, directory, number, found, estimate, needs)
        else:
            each = found.bytes_per_item if found else RECORDS[name]
            yield Step(name, number, unit, found, estimate, number * each, needs)
    for backbone in config.backbones:
        yield from of_backbone(config, counts, directory, backbone, estimates, device)
    if config.verify.judge:
        found = measured(config, directory, "verify")
        each = found.bytes_per_item if found else RECORDS["verify"]
        needs, work = need(config, "verify", device), estimates.step("verify")
        yield Step("verify", counts.queries, "queries", found, work, counts.queries * each, needs)


def joins(config: Resolved) -> bool:
    """Whether the captions of the proxies join a text side."""
    return any(map(config.joined_to, config.baselines))


def measured(config: Resolved, directory: Path, name: str) -> Speed | None:
    section = config.verify.judging if name == "verify" else getattr(config, name)
    if name == "proxy_captions":
        section = config.captions.model_copy(update={"count": section.count})
    sources = [config.models[role].source for role in roles_of(config, name)]
    # Proxies are counted one by one, so their number per query may differ.
    settings = section.model_dump(mode="json", exclude={"count"} if name == "proxies" else set())
    # Models that were there and are no more (LoRA weights, ELITE, a small decoder) change what an image costs.
    return speed(directory, finished.shards(directory, name), settings, sources, alone=name == "proxies")


def proxies(
    config: Resolved, directory: Path, items: int, found: Speed | None, estimate: Estimate, needs: Need
) -> Step:
    drawn, size = finished.drawn(directory, config.proxies.generator.replace(":", ".")) if found else (0, 0)
    if found:  # a record is a query with several images
        jobs = (dataclasses.replace(job, items=job.items * config.proxies.count) for job in found.jobs)
        found = Speed(tuple(jobs))
    raw = config.proxies.width * config.proxies.height * 3  # a PNG is hardly larger than its pixels
    disk = items * (size / drawn if drawn else raw)
    return Step("proxies", items, "images", found, estimate, disk, needs, bound=not drawn)


def of_backbone(
    config: Resolved, counts: Counts, directory: Path, backbone: str, estimates: Estimates, device: str
) -> Iterator[Step]:
    captions, drawn = config.captions.count, config.proxies.count
    rows = {
        "gallery": (counts.gallery, "images"),
        "references": (counts.references, "images"),
        "source_captions": (counts.references * captions, "texts"),
        "target_captions": (counts.queries * captions, "texts"),
        "proxies": (counts.queries * drawn, "images"),
    }
    if joins(config):
        rows["proxy_captions"] = (counts.queries * drawn * config.proxy_captions.count, "texts")
    source = config.clip[backbone].source
    architecture = config.clip[backbone].architecture or config.embeddings.architecture
    if "proxies" in generator_of(config.proxies).unused:
        del rows["proxies"]
    settings = {**config.embeddings.model_dump(mode="json"), "architecture": architecture}
    width = finished.width(directory, backbone, source)
    needs = {unit: need(config, f"{unit}_features", device, backbone) for unit in ("image", "text")}
    for name, (items, unit) in rows.items():
        found = speed(directory, finished.features(directory, backbone, name), settings, [source])
        stored = counts.queries if name == "references" else items  # one row per query, whoever shares the image
        stored = counts.queries * captions if name == "source_captions" else stored
        estimate = estimates.image(backbone) if unit == "images" else estimates.text(backbone)
        disk = stored * width * 4 if width else None
        yield Step(f"{backbone}: {name}", items, unit, found, estimate, disk, needs[unit.removesuffix("s")])
    for baseline in config.baselines:
        own = getattr(config, baseline, None)
        settings = own.model_dump(mode="json") if own is not None and baseline not in config.custom_baselines else None
        found = speed(directory, finished.baselines(directory, backbone, baseline), settings, [source])
        estimate = estimates.baseline(baseline, backbone, counts.gallery, width or 0)
        disk = counts.queries * width * 4 if width else None
        needs = need(config, "baseline", device, backbone, baseline)
        yield Step(f"{backbone}: {baseline}", counts.queries, "queries", found, estimate, disk, needs)
    fused = counts.queries * width * 4 * 4 if width else None
    found = speed(directory, finished.rankings(directory, backbone), None, [])
    # Each variant's list takes the products of a query's text and proxy with the whole gallery; a rank fusion, a list
    # of each side by itself, another pass of its own.
    products = 2 * (len(config.variants) + len(config.extra_variants))
    estimate = on_cores("products with the gallery", products * 2 * counts.gallery * (width or 0))
    name = f"{backbone}: fusion and ranking"
    yield Step(name, counts.queries, "queries", found, estimate, fused, gpu=False)
