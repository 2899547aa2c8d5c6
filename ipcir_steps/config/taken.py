"""What a rule takes from the configuration, by dotted keys: told to the record of its step, compared by the audit."""

from collections.abc import Iterable, Iterator

from ipcir_steps.config import Config


def taken(config: Config, keys: Iterable[str], **wildcards: str) -> dict[str, object]:
    """{dotted key: value as JSON has it}; sections whole. None for an entry that a catalogue lacks.

    keys: with wildcards, which are filled in. ``stack.…`` is a setting of the stack that the wildcard ``stack`` names,
    or that of ``dataset``, whose choice of a stack is then taken too.

    >>> taken(Config(), ["seed", "stack.captions.count"], dataset="mini_cirr")
    {'seed': 2025, 'datasets.mini_cirr.stack': 'mini', 'stacks.mini.captions.count': 5}
    """
    values = config.model_dump(mode="json")
    found = {}
    for key in keys:
        for full in _located(key.format(**wildcards), config, wildcards):
            found[full] = lookup(values, full)
    return found


def _located(key: str, config: Config, wildcards: dict[str, str]) -> Iterator[str]:
    first, _, rest = key.partition(".")
    if first != "stack":
        yield key
        return
    name = wildcards.get("stack")
    if name is None:
        dataset = wildcards["dataset"]
        yield f"datasets.{dataset}.stack"
        name = config.datasets[dataset].stack
    yield f"stacks.{name}.{rest}" if rest else f"stacks.{name}"


def lookup(values: object, key: str) -> object:
    """The value at a dotted key; the names of a catalogue may have dots themselves. None where there is none.

    >>> lookup({"clip": {"ViT-B-16.v2": {"source": "x"}}}, "clip.ViT-B-16.v2.source")
    'x'
    """
    if not isinstance(values, dict):
        return None
    if key in values:
        return values[key]
    for name in sorted(values, key=len, reverse=True):
        if key.startswith(f"{name}."):
            found = lookup(values[name], key.removeprefix(f"{name}."))
            if found is not None:
                return found
    return None


def changes(then: dict[str, object], config: Config) -> Iterator[tuple[str, object, object]]:
    """(dotted key, value then, value now) of all that was taken and is another now; sections part by part."""
    now = config.model_dump(mode="json")
    for key, value in then.items():
        yield from _differences(key, value, lookup(now, key))


def _differences(key: str, then: object, now: object) -> Iterator[tuple[str, object, object]]:
    if isinstance(then, dict) and isinstance(now, dict):
        for name in sorted({*then, *now}):
            yield from _differences(f"{key}.{name}", then.get(name), now.get(name))
    elif then != now:
        yield key, then, now
