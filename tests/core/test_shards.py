"""Shards share the work out without loss or repetition."""

import pytest

from ipcir_steps.core import shards
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_jsonl


@pytest.mark.parametrize("count", [1, 3, 8, 50])
def test_shards_partition(count):
    parts = [shards.shard(range(41), f"{i}/{count}") for i in range(count)]
    assert [item for part in parts for item in part] == list(range(41))


@pytest.mark.parametrize("spec", ["1/1", "2/1", "0/0", "-1/2", "a/b", "1", "1/2/3", "", " 0/1"])
def test_a_bad_shard_is_named(spec):
    with pytest.raises(InputError, match=r"field '--shard': .* is not a shard. Use i/n"):
        shards.shard(range(4), spec)


def run(directory, names, specs, items=range(8), **more):
    """Squares of ``items``; returns (counts, those that were worked out now)."""
    worked = []

    def work(batch):
        worked.extend(batch)
        return [{"value": item * item} for item in batch]

    outputs = [directory / f"{name}.jsonl" for name in names]
    given = {"key": "id", "key_of": str, "context": {"a": 1}, "title": "test", "content_of": int, **more}
    return shards.run_shards(items, work, specs, outputs, **given), worked


def values(directory, names):
    return [record["value"] for name in names for record in read_jsonl(directory / f"{name}.jsonl")]


def test_another_division_of_the_work_takes_over_what_is_done(tmp_path):
    run(tmp_path, ["0-0", "0-1"], ["0/2", "1/2"])
    for names, specs in (
        (["1-0", "1-1", "1-2"], ["0/3", "1/3", "2/3"]),  # three shards
        (["2-0"], ["0/1"]),
    ):
        counts, worked = run(tmp_path, names, specs)
        assert (counts, worked) == ({"done": 8, "failed": 0, "reused": 8}, [])
        assert values(tmp_path, names) == [item * item for item in range(8)]


def test_only_what_still_holds_is_taken_over(tmp_path):
    """Not what was made of something else, under other settings, or failed; the unfinished part of a killed job is."""
    run(tmp_path, ["0-0"], ["0/1"], items=range(4))
    assert run(tmp_path, ["1-0"], ["0/1"], items=range(4), context={"a": 2})[1] == [0, 1, 2, 3]
    assert run(tmp_path, ["2-0"], ["0/1"], items=range(4), content_of=lambda item: item > 1 and "new")[1] == [
        0,
        1,
        2,
        3,
    ]
    assert run(tmp_path, ["3-0"], ["0/1"], items=range(6))[1] == [4, 5]

    def stops(batch):
        if batch == [7]:
            raise RuntimeError("killed")
        return [shards.StepFailure("no") if item == 6 else {"value": item * item} for item in batch]

    with pytest.raises(RuntimeError):
        shards.run_shards(
            range(8), stops, ["0/1"], [tmp_path / "4-0.jsonl"], key="id", key_of=str, context={"b": 1}, title="test"
        )
    _, worked = run(tmp_path, ["5-0"], ["0/1"], context={"b": 1}, content_of=lambda item: None)
    assert worked == [6, 7] and values(tmp_path, ["5-0"]) == [item * item for item in range(8)]


def test_a_job_that_dies_in_a_later_shard_loses_nothing_of_the_earlier(tmp_path):
    """Snakemake removes all outputs of a job that failed; also of steps that keep no journals once they are done."""
    stops = []

    def work(batch):
        stops.extend(batch)
        if batch == [5] and stops.count(5) == 1:
            raise RuntimeError("killed")
        return [{"value": item * item} for item in batch]

    outputs = [tmp_path / "0-0.jsonl", tmp_path / "0-1.jsonl"]
    given = {"key": "id", "key_of": str, "context": {}, "title": "test", "keep": False}
    with pytest.raises(RuntimeError):
        shards.run_shards(range(8), work, ["0/2", "1/2"], outputs, **given)
    outputs[0].unlink()
    assert shards.run_shards(range(8), work, ["0/2", "1/2"], outputs, **given) == {"done": 8, "failed": 0, "reused": 5}
    assert stops == [0, 1, 2, 3, 4, 5, 5, 6, 7] and sorted(tmp_path.iterdir()) == outputs
