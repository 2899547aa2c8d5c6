"""Does a record's step still have the settings that the configuration asks for?"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import yaml

from ipcir_steps import config

SEEDED = {"captions", "reasoning", "layouts", "masks", "proxies", "fusion", "baselines", "sensitivity"}
SECTIONS = {"captions", "reasoning", "layouts", "masks", "proxies", "fusion", "ranking", "figures", "sensitivity"}
# Steps whose outputs lie below results/{dataset}, and those that are told the dataset.
OF_DATASET = SECTIONS - {"figures"} | {"datasets", "embeddings", "baselines", "tune"}
SHOWING = {"figures", "browser"}


class Configuration:
    """The configuration as its files are now: those of each record's run, or the ones given."""

    def __init__(self, given: list[str] | None = None):
        self.given, self.notes = given, []
        self._load = functools.cache(self._read)

    def changes(self, record: dict) -> list[tuple[str, object, object]]:
        """[(key, recorded, now)] of a record of a workflow's run; none for steps that were run by hand."""
        told = record["configuration"]
        files = self.given or told.get("configfiles")
        if not files:
            return []
        now = self._load(tuple(files), json.dumps({} if self.given else told.get("overrides", {})))
        if now is None:
            return []
        return [(key, then, value) for key, then, value in pairs(record, now) if not same(then, value)]

    def _read(self, files: tuple[str, ...], overrides: str) -> config.Config | None:
        values: dict = {}
        for name in files:
            if not Path(name).is_file():
                self.notes.append(f"{name} is gone: the settings could not be compared with it")
                return None
            values = merged(values, yaml.safe_load(Path(name).read_text(encoding="utf-8")) or {})
        return config.load_config(merged(values, json.loads(overrides)), files[-1])


def merged(base: dict, update: dict) -> dict:
    """``update`` on top of ``base``, as Snakemake lays configuration files over each other.

    >>> merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}})
    {'a': {'b': 3, 'c': 2}}
    """
    both = dict(base)
    for key, value in update.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = merged(both[key], value) if nested else value
    return both


def same(then, now) -> bool:
    """Equality as JSON sees it: tuples are lists."""
    return json.dumps(then, sort_keys=True) == json.dumps(now, sort_keys=True)


# Sections that belong to a dataset's stack.
OF_STACK = {"captions", "reasoning", "layouts", "masks", "proxies"}


def pairs(record: dict, now: config.Config) -> Iterator[tuple[str, object, object]]:
    """(configuration key, recorded value, value now) of every parameter that a rule takes from the configuration.

    It mirrors the ``params`` of the rules; a test runs the workflow and compares.
    """
    step, given = record["step"], record["parameters"]
    output = record["outputs"][0]["path"]
    parts = Path(output).parts
    if step in SEEDED and "seed" in given:
        yield "seed", given["seed"], now.seed
    if step == "models":
        yield from _model(given, parts, now)
    settings = given.get("settings")
    if step in SECTIONS and isinstance(settings, dict):
        stack = now.resolved(parts[1]) if step in OF_STACK and parts[1] in now.datasets else None
        name = f"stacks.{stack.stack_name}.{step}" if stack else step
        if stack or step not in OF_STACK:
            yield from section(name, settings, getattr(stack or now, step))
    if step == "results":
        yield from (("seed", settings["seed"], now.seed), ("resamples", settings["resamples"], now.resamples))
        yield from _identity(given["dataset"], settings.get("stack", {}), now)
    if step == "baselines" and parts[1] in now.datasets:
        stack = now.resolved(parts[1])
        if hasattr(stack.stack, given["name"]):
            yield from section(f"stacks.{stack.stack_name}.{given['name']}", settings, getattr(stack, given["name"]))
    if step == "baselines" and (custom := now.custom_baselines.get(parts[4])):
        yield f"custom_baselines.{parts[4]}.settings", settings, custom.settings
    if step == "browser":
        yield from section("figures", settings, now.figures)
    dataset = given.get("dataset") if step in SHOWING else parts[1] if step in OF_DATASET and len(parts) > 1 else None
    if dataset is None:
        return
    if dataset not in now.datasets:
        yield f"datasets.{dataset}", "configured", None
        return
    entry = now.datasets[dataset]
    if step == "datasets":
        yield from section(f"datasets.{dataset}", settings, entry)
    if step == "embeddings":
        stack = now.resolved(dataset)
        backbone = stack.clip.get(parts[3])
        architecture = (backbone and backbone.architecture) or stack.embeddings.architecture
        entry_now = stack.embeddings.model_copy(update={"architecture": architecture})
        yield from section(f"stacks.{stack.stack_name}.embeddings", settings, entry_now)
    if step in ("ranking", "sensitivity"):
        chosen = [Path(source["path"]).parts[1] for source in record["inputs"] if source["argument"] == "lambda_file"]
        yield f"datasets.{dataset}.tuned_on", chosen[0] if chosen else None, entry.tuned_on
        if not chosen:
            yield f"datasets.{dataset}.lambda", given["lam"], entry.lambda_of(parts[3])
    if step in ("ranking", "sensitivity", "tune"):
        yield f"datasets.{dataset}.exclude_reference", given["exclude_reference"], entry.exclude_reference
    if step == "tune":
        yield from section("tuning", settings, now.tuning)
    if step == "sensitivity":
        yield "fusion.weights", given["weights"], now.fusion.weights
        yield "fusion.scale", given["scale"], now.fusion.scale
    if "root" in given:
        yield f"datasets.{dataset}.root", given["root"], entry.root


def _identity(dataset: str, then: dict, now: config.Config) -> Iterator[tuple[str, object, object]]:
    """The stack that results name, and whether its settings are still those."""
    if dataset in now.datasets and then:
        told = now.identity(dataset)
        yield f"datasets.{dataset}.stack", then["name"], told["name"]
        yield f"settings of stack {then['name']}", then["digest"][:12], told["digest"][:12]


def section(name: str, then: dict, now) -> Iterator[tuple[str, object, object]]:
    """Key by key, so that the parameter that differs is named."""
    values = now.model_dump(mode="json")
    for key in sorted({*then, *values}):
        yield f"{name}.{key}", then.get(key), values.get(key)


def _model(given: dict, parts: tuple, now: config.Config) -> Iterator[tuple[str, object, object]]:
    """resources/manifests/{stack}/ and {role}.json, clip/{backbone}.json or mappings/{baseline}/{backbone}.json."""
    place = [*parts[2:-1], parts[-1].removesuffix(".json")]
    values = now.model_dump(mode="json")
    stack, place = place[0], place[1:]
    key = ".".join(["stacks", stack, *(place if place[0] in ("clip", "mappings") else ["models", *place])])
    try:
        model = functools.reduce(lambda value, name: value[name], key.split("."), values)
    except (KeyError, TypeError):
        model = {}
    for name in ("source", "revision"):
        yield f"{key}.{name}", given.get(name), model.get(name)
