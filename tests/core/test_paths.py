"""Templates of artefacts and the way back from a path."""

import doctest
import string

import pytest

from ipcir_steps.core import paths

TEMPLATES = {name: value for name, value in vars(paths).items() if name.isupper() and isinstance(value, str)}


def test_examples():
    assert doctest.testmod(paths).failed == 0


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_filled_template_gives_its_values_back(name):
    template = TEMPLATES[name]
    wildcards = {field for _, field, _, _ in string.Formatter().parse(template) if field}
    numbers = {"device": "3", "shard": "12"}
    values = {field: field if "suffix" in wildcards else f"{field}-1.2_x" for field in wildcards} | {
        field: number for field, number in numbers.items() if field in wildcards
    }
    filled = template.format(**values)
    assert "{" not in filled and paths.fields(template, filled) == values
    assert paths.fields(template, f"/elsewhere/{filled}") == values
    assert template.endswith("}") or paths.fields(template, filled + ".part") is None


def test_no_two_artefacts_share_a_path():
    assert len(set(TEMPLATES.values())) == len(TEMPLATES)


def test_files_are_found_by_template(tmp_path):
    for path in (
        "cirr/val/shards/masks/0-1.jsonl",
        "cirr/val/shards/masks/0-0.jsonl",
        "circo/val/shards/layouts/0-0.jsonl",
    ):
        (tmp_path / "results" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "results" / path).touch()
    (tmp_path / "results/cirr/val/shards/masks/.0-0.jsonl.journal").touch()
    got = list(paths.found(paths.SHARD, tmp_path, step="masks"))
    assert [path.name for path, _ in got] == ["0-0.jsonl", "0-1.jsonl"]
    assert got[1][1] == {"dataset": "cirr", "split": "val", "step": "masks", "device": "0", "shard": "1"}
    assert not list(paths.found(paths.SHARD, tmp_path, dataset="circo", step="masks"))


def test_a_place_knows_what_is_beside_it(tmp_path):
    shard = tmp_path / "results/cirr/val/shards/masks/0-0.jsonl"
    shard.parent.mkdir(parents=True)
    shard.touch()
    place = paths.Place.of(paths.SHARD, shard, tmp_path)
    assert place.path(paths.QUERIES) == tmp_path / "results/cirr/val/queries.jsonl"
    assert place.path(paths.SHARD, shard="7").name == "0-7.jsonl"
    beside = paths.Place.of(paths.LAYOUTS, tmp_path / "results/cirr/val/layouts.jsonl", tmp_path)
    assert beside.found(paths.SHARD, step="masks") == [shard] and beside.found(paths.SHARD, step="layouts") == []
    assert paths.Place.of(paths.SHARD, tmp_path / "results/cirr/val/layouts.jsonl", tmp_path) is None
