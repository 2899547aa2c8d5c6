"""One result file per dataset: metrics, differences with intervals, failures, published numbers."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import Field

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.base import Count, Section
from ipcir_steps.config.proxy_captions import uncaptioned
from ipcir_steps.core import paths
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest, read_json, read_jsonl, seed, sha256, write_json
from ipcir_steps.core.records import read_queries
from ipcir_steps.core.statistics import paired_interval
from ipcir_steps.evaluate.literature import read_published
from ipcir_steps.evaluate.paraphrases import cluster_of
from ipcir_steps.evaluate.subsets import cautions_of, views
from ipcir_steps.variants import BASE, card_of, unverified

Strata = dict[str, tuple[str, tuple[str, str]]]  # of each query: its category, and what it is resampled with


class Identity(Section):
    """What results were made with."""

    name: str = Field(description="the stack's name")
    digest: str = Field(description="sha256 of its settings")
    toy: bool = Field(False, description="its models are toys")
    changed: tuple[str, ...] = Field((), description="settings that differ from the built-in stack of that name")
    mark: str = Field("", description="what every output must say of itself")
    reads: str = Field(
        "", exclude_if=lambda value: not value, description="what is read that published results did not read"
    )


class Results(Section):
    """How intervals are drawn, and what the results were made with."""

    seed: int = Field(2025, ge=0, description="seed of the resampling")
    resamples: Count = Field(2000, description="bootstrap resamples")
    stack: Identity | None = Field(None, description="name, digest, … of the stack")


def collect(
    dataset: str, metrics: list[Path], queries: Path, failures: Path, settings: Results, stopping: Path | None = None
) -> dict:
    """The content of ``results/{dataset}_metrics.json``.

    stopping: how many proxies each query has got, where they were drawn one after another.

    metrics: files ``{backbone}/{baseline}/{variant}.metrics.json``, the last three parts of the path name the
    entry. Every entry carries its metrics (fractions), the difference to the ``base`` of the same backbone and
    baseline with a 95 % paired bootstrap interval, and the published value where there is one (fractions).
    Published values are of a dataset's own protocol and queries: one that has its name and scores otherwise, or reads
    more, has none beside it.
    Raises InputError for a variant without its base, or files that score different queries.
    """
    loaded = {_name(path): read_json(path) for path in metrics}
    strata = _strata(queries)
    first = next(iter(loaded.values()))
    more = settings.stack is not None and settings.stack.reads
    published = read_published() if first["protocol"] == dataset and not more else {}
    entries, bases = [], []
    for (backbone, baseline, variant), scored in loaded.items():
        base = loaded.get((backbone, baseline, BASE))
        if base is None:
            raise InputError(f"there is no {BASE}.metrics.json for {backbone}/{baseline}", file=metrics[0])
        if base["queries"] != scored["queries"]:
            raise InputError(
                "does not score the same queries as its base", file=f"{backbone}/{baseline}/{variant}.metrics.json"
            )
        if base.get("subsets", {}).keys() != scored.get("subsets", {}).keys():
            raise InputError(
                "does not score the same subsets as its base", file=f"{backbone}/{baseline}/{variant}.metrics.json"
            )
        bases.append(base)
        entries.append(
            {
                "backbone": backbone,
                "baseline": baseline,
                "variant": variant,
                "description": card_of(variant).description,
                "queries": scored["query_count"],
                "failures": scored["failure_count"],
                **_verification(scored, loaded.get((backbone, baseline, unverified(variant))), strata, settings),
                **_joining(baseline, scored, loaded.get((backbone, uncaptioned(baseline), variant)), strata, settings),
                "metrics": scored["metrics"],
                "difference": {} if variant == BASE else _differences(base, scored, strata, settings),
                "published": {
                    metric: {**number, "delta": scored["metrics"][metric] - number["value"]}
                    for metric, number in published.get((dataset, backbone, baseline, variant), {}).items()
                    if metric in scored["metrics"]
                },
                **({"paraphrases": scored["paraphrases"]} if "paraphrases" in scored else {}),
            }
        )
    lost = read_jsonl(failures)
    pairs = list(zip(bases, loaded.values(), strict=True))
    return {
        "dataset": dataset,
        **({"caution": caution} if (caution := BENCHMARKS[first["protocol"]].caution) else {}),
        **({"stack": settings.stack.model_dump(mode="json")} if settings.stack else {}),
        "protocol": first["protocol"],
        "protocol_text": first["protocol_text"],
        "queries": first["query_count"],
        "failures": _count(lost),
        **({"stopping": _stopping(read_jsonl(stopping))} if stopping else {}),
        "entries": entries,
        **_subsets(pairs, strata, lost, settings),
        "provenance": digest({"/".join(_name(path)): sha256(path) for path in metrics}),
    }


def _verification(scored: dict, before: dict | None, strata: Strata, settings: Results) -> dict:
    """Of verified lists: how they were ordered, how many could not be, and the difference to the same ones before."""
    told = scored.get("verification")
    if not told:
        return {}
    change = _differences(before, scored, strata, settings) if before and before is not scored else {}
    return {"verification": {**told, "difference": change}}


def _joining(baseline: str, scored: dict, before: dict | None, strata: Strata, settings: Results) -> dict:
    """Of a text side with the proxies' captions: the difference to the same variant without them, where it is there."""
    plain = uncaptioned(baseline)
    if plain == baseline or before is None:
        return {}
    return {"captions": {"baseline": plain, "difference": _differences(before, scored, strata, settings)}}


def _count(lost: list[dict]) -> dict:
    return {"queries": len(lost), "by_step": dict(sorted(Counter(failure["step"] for failure in lost).items()))}


def _stopping(report: list[dict]) -> dict:
    """images: drawn in all; queries: by how many each has got; reasons: by why it has no more."""
    drawn = Counter(record["drawn"] for record in report)
    return {
        "images": sum(record["drawn"] for record in report),
        "queries": {str(count): drawn[count] for count in sorted(drawn)},
        "reasons": dict(sorted(Counter(record["reason"] for record in report).items())),
    }


def _subsets(pairs: list[tuple[dict, dict]], strata: Strata, lost: list[dict], settings: Results) -> dict:
    """{"subsets": {name: queries, failures, and of every entry metrics and differences}}; nothing without subsets.

    pairs: (base, scored) of every entry.
    """
    found = {}
    for name, first in pairs[0][1].get("subsets", {}).items():
        members = set(first["queries"])
        entries = []
        for base, scored in pairs:
            change = _differences(base, scored, strata, settings, members) if base is not scored else {}
            entries.append({"metrics": scored["subsets"][name]["metrics"], "difference": change})
        failures = _count([failure for failure in lost if failure["query_id"] in members])
        found[name] = {"queries": len(members), "failures": failures, "entries": entries}
    return {"subsets": found} if found else {}


def _name(path: Path) -> tuple[str, str, str]:
    """(backbone, baseline, variant) that a metrics file is of, wherever it lies."""
    named = paths.METRICS.removeprefix(f"{paths.SPLIT}/")
    if (found := paths.fields(named, path)) is None:
        raise InputError(f"is not named like {named}, which says what it belongs to", file=path)
    return found["backbone"], found["baseline"], found["variant"]


def _strata(path: Path) -> Strata:
    """FashionIQ averages over categories, so queries are resampled within them; wordings of a request together."""
    return {query.query_id: (query.category or "", cluster_of(query)) for query in read_queries(path)}


def _differences(base: dict, scored: dict, strata: Strata, settings: Results, members=None) -> dict:
    """members: ids of the queries that count; None: all."""
    categories = sorted({category for category, _ in strata.values()})
    groups = np.array([categories.index(strata[query_id][0]) for query_id in scored["queries"]])
    counted = np.array([members is None or query_id in members for query_id in scored["queries"]])
    differences = {}
    for metric, values in scored["per_query"].items():
        known = counted & np.array([value is not None for value in values])
        if known.any():
            pair = [np.array(side["per_query"][metric], float)[known] for side in (base, scored)]
            clusters = [strata[query_id][1] for query_id in np.array(scored["queries"], object)[known]]
            value, low, high = paired_interval(
                *pair, groups[known], seed=seed(settings.seed, metric), resamples=settings.resamples, clusters=clusters
            )
            differences[metric] = {"value": value, "low": low, "high": high}
    return differences


def table(result: dict) -> str:
    """The result file as text a person reads: percent; the differences to base of the first and the deciding metric."""
    card = BENCHMARKS[result["protocol"]]
    names = [name for name in card.headline if name in result["entries"][0]["metrics"]]
    compared = [name for name in dict.fromkeys((names[0], card.tuned_by)) if name in names]
    rows = [["backbone", "baseline", "variant", *names, *(f"Δ {name} [95 %]" for name in compared)]]
    for entry in result["entries"]:
        percent = [f"{100 * entry['metrics'][name]:.2f}" for name in names]
        changes = [_change(entry["difference"].get(name)) for name in compared]
        rows.append([entry["backbone"], entry["baseline"], entry["variant"], *percent, *changes])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*heading(result), "", *lines, "", *_notes(result, card.tuned_by)])


def _notes(result: dict, deciding: str) -> Iterator[str]:
    """What stands below the table. deciding: the metric."""
    failed = result["failures"]["queries"]
    steps = ", ".join(f"{count} in {step}" for step, count in result["failures"]["by_step"].items())
    yield f"{result['queries']} queries, {failed} failed{f' ({steps})' if steps else ''}. {result['protocol_text']}."
    if stopped := result.get("stopping"):
        reasons = ", ".join(f"{count} because {reason}" for reason, count in stopped["reasons"].items())
        each = stopped["images"] / max(1, result["queries"])
        yield f"{stopped['images']} proxies drawn, {each:.2f} of a query; drawing stopped for {reasons}."
    unit = "requests" if any("paraphrases" in entry for entry in result["entries"]) else "queries"
    yield f"Δ: difference to base, with its 95 % interval (paired bootstrap over the {unit})."
    for entry in result["entries"]:
        if told := entry.get("captions"):
            change, rest = _change(told["difference"].get(deciding)), "without the captions of the proxies"
            row = f"{entry['backbone']} {entry['baseline']} {entry['variant']}"
            yield f"{row}, {deciding}: {change} to {told['baseline']}, {rest}."


def _change(difference: dict | None) -> str:
    if not difference:
        return ""
    return "{value:+.2f} [{low:+.2f}, {high:+.2f}]".format(**{k: 100 * v for k, v in difference.items()})


def heading(result: dict) -> list[str]:
    """What was measured with what; the mark first, where there is one."""
    stack = result.get("stack") or {}
    mark = [told, ""] if (told := cautions_of(result)) else []
    changed = f", changed: {', '.join(stack['changed'])}" if stack.get("changed") else ""
    made = f", stack {stack['name']}{changed}" if stack else ""
    return [*mark, f"{result['dataset']} (percent{made})"]


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.config.settings import add_settings

    add_settings(parser, Results)
    parser.add_argument("--show", type=InFile, help="print a result file as a table and do nothing else")
    parser.add_argument("--dataset", help="the dataset's name")
    parser.add_argument("--metrics", type=InFile, nargs="+", help="BACKBONE/BASELINE/VARIANT.metrics.json files")
    parser.add_argument("--queries", type=InFile, help="queries.jsonl")
    parser.add_argument("--failures", type=InFile, help="failures.jsonl")
    parser.add_argument("--stopping", type=InFile, help="stopping.jsonl, where proxies were drawn one after another")
    parser.add_argument("--strict", action="store_true", help="fail when any query failed")
    parser.add_argument("--output", type=OutFile, help="result file to write (JSON)")


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.config.settings import read_settings

    if args.show:
        print("\n\n".join(map(table, views([read_json(args.show)]))))
        return
    missing = [name for name in ("dataset", "metrics", "queries", "failures", "output") if not getattr(args, name)]
    if missing:
        raise InputError(f"--{missing[0]} is needed", file="ipcir results")
    settings = read_settings(args.settings, Results)
    result = collect(args.dataset, args.metrics, args.queries, args.failures, settings, args.stopping)
    lost = result["failures"]["queries"]
    if args.strict and lost:
        raise InputError(
            f"{lost} queries failed and strict is set", file=args.failures, remedy="See the reasons there."
        )
    write_json(args.output, result)
    print("\n\n".join(map(table, views([result]))), file=sys.stderr)
