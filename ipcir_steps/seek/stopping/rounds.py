"""The rounds of drawing: from their features to the queries of the next one, and from their images to one index.

A state is one record for each query, {query_id, drawn: how many images it has got, reason: why it gets no more, or
null}. The state before a round is never worked out again, so that what was drawn and what was decided cannot differ.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import read_jsonl
from ipcir_steps.core.records import Query
from ipcir_steps.seek.stopping.rule import ALL, FAILED, FEWER, REASONS, State, advance, start
from ipcir_steps.seek.stopping.search import Drawn, Search, read

if TYPE_CHECKING:
    from ipcir_steps.seek.stopping import Settings

PER_IMAGE = ("images", "seeds", "sha256", "prompts", "accepted", "draws")  # of an index record; the rest is the query's
REMEDY = "Let the workflow draw the rounds in order, each from the state before it."


def decide(args: argparse.Namespace, settings: "Settings", lams: Mapping[str, float]) -> dict[str, dict]:
    """{query id: its record} after the rounds so far, of the queries that have a text side. args: of the command."""
    search = read(args, lams, settings.fusion, settings.ranking)
    if not args.rounds:
        state = start(search, settings, {} if settings.certain is None else search.texts())
    else:
        if args.before is None:
            raise InputError("is needed where there are rounds", field="--before", remedy=REMEDY)
        before, drawn = read_state(args.before, search), read_rounds(args.rounds, search)
        number = len(args.rounds)
        state, _ = advance(search, drawn, before, number, bounds=settings, most=settings.count)
    ids = [query.query_id for query in search.inputs.queries]
    each = zip(ids, state.counts.tolist(), state.reasons, strict=True)
    return {query_id: entry(query_id, count, reason) for query_id, count, reason in each}


def entry(query_id: str, drawn: int = 0, reason: int | None = FAILED) -> dict:
    return {"query_id": query_id, "drawn": drawn, "reason": None if reason is None else REASONS[reason]}


def read_state(path: Path, search: Search) -> State:
    """Raises InputError where a query of the search has no record."""
    import torch

    known = {record["query_id"]: record for record in read_jsonl(path)}
    rows = []
    for query in search.inputs.queries:
        if query.query_id not in known:
            raise InputError("has no record of it", file=path, record=query.query_id, remedy=REMEDY)
        rows.append(known[query.query_id])
    counts = torch.tensor([row["drawn"] for row in rows], dtype=torch.int64)
    return State(counts, [None if row["reason"] is None else REASONS.index(row["reason"]) for row in rows])


def read_rounds(files: Sequence[Path], search: Search) -> Drawn:
    """The proxies of each round, whose files hold the queries of that round only. Raises InputError for one of another
    backbone."""
    import numpy as np
    import torch

    from ipcir_steps.seek.fusion import unit

    row_of = {query.query_id: row for row, query in enumerate(search.inputs.queries)}
    dims = search.references.shape[1]
    units, there = torch.zeros(len(row_of), len(files), dims), torch.zeros(len(row_of), len(files), dtype=torch.bool)
    for number, file in enumerate(files):
        features = load_features(file)
        missing = set(features.missing)
        some = [at for at, name in enumerate(features.names) if name in row_of and name not in missing]
        if some and features.values.shape[1:] != (1, dims):
            raise InputError(f"has shape {list(features.values.shape)}, not [queries, 1, {dims}]", file=file)
        rows = [row_of[features.names[at]] for at in some]
        if rows:
            units[rows, number] = unit(torch.from_numpy(np.array(features.values[some, 0])))
            there[rows, number] = True
    return Drawn(units=units, counts=there.long().cumprod(1).sum(1))


def join(
    queries: Sequence[Query], before: Sequence[dict], rounds: Sequence[Sequence[dict]], failed: Sequence[dict]
) -> tuple[list[dict], list[dict], list[dict]]:
    """(index, failures, state after the last round), in the order of the queries.

    before: the state that the last round was drawn by; rounds: the index of each; failed: {query_id, failure} of all.
    An index record has the images that its query got in all rounds, and why there are no more (``stopped``). Raises
    InputError where a round lacks an image that the state counts.
    """
    known = {record["query_id"]: record for record in before}
    indices = [{record["query_id"]: record for record in index} for index in rounds]
    reasons: dict[str, str] = {}
    for record in failed:
        reasons.setdefault(record["query_id"], record["failure"])
    done, lost, state = [], [], []
    for query in queries:
        last = _last(query.query_id, known, indices)
        state.append(last)
        if last["reason"] == REASONS[FAILED]:
            lost.append({"query_id": query.query_id, "failure": reasons.get(query.query_id, last["reason"])})
        else:
            done.append(_joined(last, indices[: last["drawn"]]))
    return done, lost, state


def _last(query_id: str, known: Mapping[str, dict], indices: Sequence[Mapping[str, dict]]) -> dict:
    """The record of a query after the last round."""
    if query_id not in known:
        raise InputError("has no record of it", file="--before", record=query_id, remedy=REMEDY)
    if known[query_id]["reason"] is not None:
        return known[query_id]
    if query_id in indices[-1]:
        return entry(query_id, len(indices), ALL)
    return entry(query_id, len(indices) - 1, FEWER if len(indices) > 1 else FAILED)


def _joined(last: Mapping, indices: Sequence[Mapping[str, dict]]) -> dict:
    query_id = last["query_id"]
    for number, index in enumerate(indices, 1):
        if query_id not in index:
            raise InputError(f"round {number} lacks its image", file="--rounds", record=query_id, remedy=REMEDY)
    records = [index[query_id] for index in indices]
    shared = {key: value for record in records[:1] for key, value in record.items() if key not in PER_IMAGE}
    names = [key for key in PER_IMAGE if key in PER_IMAGE[:3] or any(key in record for record in records)]
    each = {key: [value for record in records for value in record[key]] for key in names}
    return {"query_id": query_id, **each, **shared, "stopped": last["reason"]}
