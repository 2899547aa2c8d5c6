"""A results tree that is whole has no findings; one damaged byte has one, with the command that repairs just that."""

import numpy as np
import pytest
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.files import read_jsonl, sha256, write_json, write_jsonl
from ipcir_steps.core.journal import run_journaled
from ipcir_steps.core.manifests import describe
from ipcir_steps.core.records import read_queries
from ipcir_steps.imagine.gather import gather
from ipcir_steps.runtime.doctor import examine, leftovers, unfinished
from ipcir_steps.seek.ranking.command import write_rankings

SPLIT = "results/photos/val"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """What a workflow leaves, made by the functions that the steps use."""
    monkeypatch.chdir(tmp_path)
    split = tmp_path / SPLIT
    write_jsonl(split / "queries.jsonl", [{"query_id": f"q{i}", "reference": "a", "captions": ["x"]} for i in range(3)])
    write_jsonl(split / "gallery.jsonl", [{"name": name, "path": f"{name}.png"} for name in "abc"])
    queries = read_queries(split / "queries.jsonl")

    def draw(batch):
        records = []
        for query in batch:
            path = split / f"proxies/t2i/{query.query_id}/0.png"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (4, 4), len(records)).save(path)
            records.append({"images": [f"{query.query_id}/0.png"], "sha256": [sha256(path)]})
        return records

    shard = split / "shards/proxies/0-0.jsonl"
    run_journaled(
        queries, draw, output=shard, key="query_id", key_of=lambda query: query.query_id, context={}, title="t"
    )
    write_jsonl(split / "proxies/t2i/index.jsonl", gather(queries, read_jsonl(shard))[0])
    rows = np.ones((3, 2), np.float32)
    save_features(split / "mini/gallery.safetensors", Features(rows, ("a", "b", "c")))
    save_features(split / "mini/references.safetensors", Features(rows, ("q0", "q1", "q2")))
    lists = [(f"q{i}", [("a", 0.5), ("b", 0.25)]) for i in range(3)]
    write_rankings(split / "mini/ldre/base.rankings.parquet", lists, {})
    write_json(tmp_path / "results/photos_metrics.json", {"entries": []})
    (tmp_path / "models/m").mkdir(parents=True)
    (tmp_path / "models/m/weights").write_bytes(b"12345678")
    manifest = describe("llm", "models/m", "models/m")
    write_json(tmp_path / "resources/manifests/llm.json", vars(manifest))
    return tmp_path


def flip(path, offset=-1):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def test_a_whole_tree_has_no_findings(tree, capsys):
    assert examine(tree) == []
    assert main(["doctor", str(tree)]) == 0
    assert "Nothing is damaged." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "damage", "problem"),
    [
        (f"{SPLIT}/queries.jsonl", lambda p: p.write_bytes(p.read_bytes()[:-9]), "is not valid JSON"),
        (f"{SPLIT}/gallery.jsonl", lambda p: p.write_text(p.read_text() * 2), "'name' is missing or appears twice"),
        (f"{SPLIT}/mini/gallery.safetensors", lambda p: p.write_bytes(p.read_bytes()[:-4]), "is cut short"),
        (f"{SPLIT}/mini/references.safetensors", lambda p: flip(p, 3), "is not a safetensors file"),
        (f"{SPLIT}/mini/ldre/base.rankings.parquet", lambda p: p.write_bytes(p.read_bytes()[:-9]), ""),
        ("results/photos_metrics.json", lambda p: p.write_text("{"), "is not valid JSON"),
        (f"{SPLIT}/shards/proxies/0-0.jsonl", lambda p: p.write_text(p.read_text().replace("q1/0", "q1/1")), "journal"),
        (f"{SPLIT}/proxies/t2i/index.jsonl", lambda p: p.write_text(p.read_text().replace("q1/0", "q1/1")), "shards"),
    ],
)
def test_damage_is_found_and_the_file_is_named(tree, capsys, file, damage, problem):
    damage(tree / file)
    found = {str(finding.path.relative_to(tree)): finding for finding in examine(tree)}
    assert problem in found[file].problem
    assert main(["doctor", str(tree)]) == 1
    told = capsys.readouterr().out
    assert f"DAMAGED  {tree / file}" in told and f"rm -f {file}" in told and "snakemake --cores all" in told


def test_one_damaged_image_asks_for_its_shard_only(tree, capsys):
    flip(tree / SPLIT / "proxies/t2i/q1/0.png")
    (tree / SPLIT / "proxies/t2i/q2/0.png").unlink()
    found = {finding.path.parent.name: finding for finding in examine(tree)}
    assert {name: finding.problem for name, finding in found.items()} == {
        "q1": "is not the image that the index names",
        "q2": "is missing",
    }
    assert {finding.rebuild for finding in found.values()} == {tree / SPLIT / "shards/proxies/0-0.jsonl"}


def test_lists_and_rows_that_do_not_belong_together(tree):
    rows = np.ones((2, 2), np.float32)
    save_features(tree / SPLIT / "mini/references.safetensors", Features(rows, ("q0", "q1")))
    write_rankings(tree / SPLIT / "mini/ldre/base.rankings.parquet", [("q0", [("a", 0.5), ("z", 0.2)])], {})
    problems = sorted(finding.problem for finding in examine(tree))
    assert problems == ["it ranks 'z', which gallery.jsonl lacks", "its rows are not those of queries.jsonl"]


@pytest.mark.parametrize(
    ("ranks", "about", "problems"),
    [
        ((1, 4), {}, ["the ranks of 'q0' have a gap"]),
        ((1, 4), {"whole": True}, []),
        ((2, 1), {"whole": True}, ["the ranks of 'q0' have a gap"]),
    ],
)
def test_only_lists_with_every_target_may_have_gaps(tree, ranks, about, problems):
    rows = [("q0", [(name, 0.5, rank) for name, rank in zip("ab", ranks, strict=True)])]
    write_rankings(tree / SPLIT / "mini/ldre/base.rankings.parquet", rows, about)
    assert [finding.problem for finding in examine(tree)] == problems


def test_a_changed_value_is_found_by_the_record_of_its_step(tree):
    """Nothing but the digest tells that a feature has changed."""
    path = tree / SPLIT / "mini/references.safetensors"
    outputs = [{"path": str(path.relative_to(tree)), "sha256": sha256(path), "bytes": path.stat().st_size}]
    write_json(tree / f"provenance/{SPLIT}/mini/references.safetensors.json", {"outputs": outputs})
    assert examine(tree) == []
    flip(path)
    [finding] = examine(tree)
    assert finding.path == finding.rebuild == path and "is not the file that its step wrote" in finding.problem


def test_a_changed_model_is_named_with_its_manifest(tree):
    flip(tree / "models/m/weights")
    [finding] = examine(tree)
    assert finding.problem == "model 'llm': has changed since it was recorded"
    assert finding.rebuild == tree / "resources/manifests/llm.json"


def test_unfinished_work_is_no_damage(tree, capsys):
    def stop(batch):
        if batch == [1]:
            raise RuntimeError
        return [{"value": 1}]

    with pytest.raises(RuntimeError):
        output = tree / SPLIT / "shards/layouts/0-0.jsonl"
        run_journaled([0, 1], stop, output=output, key="query_id", key_of=str, context={}, title="t")
    part = tree / SPLIT / "shards/layouts/0-0.jsonl.part"
    part.write_bytes(part.read_bytes() + b"half a li")
    left = tree / SPLIT / ".queries.jsonl.x1y2z3.jsonl"
    left.write_text("")
    assert examine(tree) == []
    assert unfinished(tree) == [f"{part}: 1 records kept, 9 bytes behind them are cut off"]
    assert leftovers(tree) == [left]
    assert main(["doctor", "--clean", str(tree)]) == 0
    assert not left.exists() and part.exists()


def test_a_directory_without_results_is_refused(tmp_path, capsys):
    assert main(["doctor", str(tmp_path)]) == 2
    assert "holds no results" in capsys.readouterr().err
