"""ipcir stopping: round after round the same as from proxies that are all there; and one index of the rounds."""

import dataclasses
import json

import numpy as np
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.files import read_json, read_jsonl, write_json
from ipcir_steps.core.records import read_queries
from ipcir_steps.seek.stopping.rounds import join

PARTS = ("references", "target_captions", "source_captions")
MOST, BOUNDS = 3, {"settled": 0.9, "certain": 0.05}


@pytest.fixture
def world(noisy):
    return noisy()


@pytest.fixture
def live(world, options):
    """A function that draws round after round, only for the queries that are open, and gives the last state.

    lost: {query id: the round that fails for it}.
    """

    def run(lost=None, **settings):
        drawn, files, before = load_features(world / "proxies.safetensors"), [], []
        row_of = {name: row for row, name in enumerate(drawn.names)}
        for number in range(1, MOST + 1):
            state, queries = world / f"state{number}.jsonl", world / f"queries{number}.jsonl"
            words = ["stopping", "next", *options(world, *PARTS), "--lambda", 0.3, "--output", state, "--open", queries]
            words += ["--rounds", *files] if files else []
            words += ["--before", *before, "--settings", json.dumps({**BOUNDS, "count": MOST, **settings})]
            assert main([str(word) for word in words if before or word != "--before"]) == 0
            asked = [query.query_id for query in read_queries(queries)]
            values = np.array(drawn.values)[[row_of[name] for name in asked], number - 1 : number]
            gone = tuple(name for name in asked if (lost or {}).get(name) == number)
            files.append(world / f"round{number}.safetensors")
            save_features(files[-1], Features(values, tuple(asked), gone))
            before = [state]
        done = [[{"query_id": name, "images": [f"{name}/{number}.png"], "seeds": [number], "sha256": ["x"]}
                 for name in load_features(file).names if (lost or {}).get(name) != number]
                for number, file in enumerate(files, 1)]  # fmt: skip
        failed = [{"query_id": name, "failure": f"round {number}"} for name, number in (lost or {}).items()]
        return join(read_queries(world / "queries.jsonl"), read_jsonl(before[0]), done, failed)

    return run


def afterwards(world, options, **more):
    """{query id: (images, reason)} as a frontier works it out from proxies that are all there."""
    write_json(world / "costs.json", {"settings": {}})
    words = ["frontier", "--dataset", "noisy", *options(world, *PARTS), "--costs", world / "costs.json"]
    words += ["--drawn", f"configured={world / 'proxies.safetensors'}", "--lambda", 0.3, "--benchmark", "circo"]
    words += ["--resamples", 50, "--output", world / "frontier.json"]
    settings = {name: [value] for name, value in BOUNDS.items()}
    assert main(list(map(str, [*words, "--settings", json.dumps({**settings, **more})]))) == 0
    rows = {row["name"]: row for row in read_json(world / "frontier.json")["rows"]}
    told = rows["configured, settled 0.9, certain 0.05"]["per_query"]
    each = zip(told["queries"], told["drawn"], told["reason"], strict=True)
    return {query_id: (drawn, reason) for query_id, drawn, reason in each}


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_rounds_stop_where_the_frontier_says_that_they_would(world, options, live, scale):
    more = {"fusion": {"scale": scale}}
    index, failures, state = live(**more)
    found = {record["query_id"]: (record["drawn"], record["reason"]) for record in state}
    assert found == afterwards(world, options, **more)
    assert {count for count, _ in found.values()} == {0, 2, 3}  # every way to stop is taken
    assert failures == [] and {record["query_id"]: len(record["images"]) for record in index} == {
        name: count for name, (count, _) in found.items()
    }
    assert all(record["seeds"] == [*range(1, len(record["images"]) + 1)] for record in index)
    assert all(record["stopped"] == found[record["query_id"]][1] for record in index)


def test_a_failure_stops_a_query_and_keeps_what_it_has(live):
    everything = {record["query_id"]: record["drawn"] for record in live(certain=None)[2]}
    three = [name for name, count in everything.items() if count == 3]
    index, failures, state = live({three[0]: 1, three[1]: 2}, certain=None)
    found = {record["query_id"]: record for record in state}
    assert (found[three[0]]["drawn"], found[three[0]]["reason"]) == (0, "none could be drawn")
    assert (found[three[1]]["drawn"], found[three[1]]["reason"]) == (1, "no more could be drawn")
    assert failures == [{"query_id": three[0], "failure": "round 1"}]
    images = {record["query_id"]: record["images"] for record in index}
    assert three[0] not in images and images[three[1]] == [f"{three[1]}/1.png"]


def test_a_round_that_lacks_an_image_is_refused(world):
    queries = read_queries(world / "queries.jsonl")[:1]
    before = [{"query_id": "q0", "drawn": 2, "reason": "its list has settled"}]
    rounds = [[{"query_id": "q0", "images": ["1.png"], "seeds": [1], "sha256": ["x"]}], []]
    with pytest.raises(InputError, match="round 2 lacks its image"):
        join(queries, before, rounds, [])
    with pytest.raises(InputError, match="has no record of it"):
        join([dataclasses.replace(queries[0], query_id="other")], before, rounds, [])


def test_later_rounds_need_the_state_before(world, options, capsys):
    words = ["stopping", "next", *options(world, *PARTS), "--lambda", 0.3, "--rounds", world / "proxies.safetensors"]
    words += ["--output", world / "state.jsonl", "--open", world / "open.jsonl", "--settings", json.dumps(BOUNDS)]
    assert main(list(map(str, words))) == 2
    assert "'--before': is needed where there are rounds" in capsys.readouterr().err
    assert not (world / "state.jsonl").exists()
