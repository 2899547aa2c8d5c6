"""Every step leaves a record of what it made, of what, and with which code, settings and machine."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps import cli, provenance
from ipcir_steps.core import record_id
from ipcir_steps.core.arguments import InFile, OutFile, OutTree, Root, Scratch
from ipcir_steps.core.files import digest, read_json, sha256, used, write_jsonl
from ipcir_steps.provenance import digests, environment
from ipcir_steps.provenance.record import seal
from ipcir_steps.steps import STEPS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPCIR_PROVENANCE", "provenance")
    return tmp_path


def gather(number=2, **more):
    """A small real step: join two shards."""
    write_jsonl("q.jsonl", [{"query_id": str(n), "reference": "a", "captions": ["b"]} for n in range(number)])
    write_jsonl("s/0.jsonl", [{"query_id": "0", "captions": ["x"]}])
    write_jsonl("s/1.jsonl", [{"query_id": str(n), "failure": "none"} for n in range(1, number)])
    arguments = ["gather", "--queries", "q.jsonl", "--shards", "s/0.jsonl", "s/1.jsonl"]
    assert cli.main([*arguments, "--output", "out/done.jsonl", "--failures", "out/failed.jsonl"]) == 0
    return read_json("provenance/out/done.jsonl.json")


def test_a_record_names_inputs_outputs_code_and_machine(workspace, monkeypatch):
    monkeypatch.setenv("IPCIR_RULE", "gather_captions")
    monkeypatch.setenv("IPCIR_RUN", json.dumps({"configfiles": ["config.yaml"], "revision": "abc", "dirty": True}))
    record = gather()
    assert [(e["argument"], e["path"]) for e in record["inputs"]] == [
        ("queries", "q.jsonl"), ("shards", "s/0.jsonl"), ("shards", "s/1.jsonl"),
    ]  # fmt: skip
    assert [entry["path"] for entry in record["outputs"]] == ["out/done.jsonl", "out/failed.jsonl"]
    for entry in record["inputs"] + record["outputs"]:
        assert entry["sha256"] == sha256(entry["path"]) and entry["bytes"] == os.path.getsize(entry["path"])
    assert record["rule"] == "gather_captions" and record["configuration"] == {"configfiles": ["config.yaml"]}
    assert record["parameters"] == {"key": "query_id"}
    assert record["command"].startswith("ipcir gather --queries q.jsonl")
    assert record["code"]["revision"] == "abc" and record["code"]["dirty"] is True
    assert record["code"]["digest"] == environment.code_digest("gather")
    assert record["host"]["cores"] >= 1 and record["software"]["python"] == sys.version.split()[0]
    assert record["started"] <= record["finished"] and record["container"] is None
    assert record["seal"] == seal(record)


def test_the_id_depends_on_content_not_on_time_or_place(workspace, monkeypatch):
    first = gather()
    other = workspace / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    assert gather()["id"] == first["id"]
    assert gather(3)["id"] != first["id"]


def test_results_carry_no_trace_of_recording(workspace, monkeypatch):
    gather()
    recorded = sha256("out/done.jsonl")
    monkeypatch.setenv("IPCIR_PROVENANCE", "")
    Path("provenance/out/done.jsonl.json").unlink()
    with pytest.raises(Exception, match="does not exist"):
        gather()
    assert sha256("out/done.jsonl") == recorded


def test_a_record_that_cannot_be_written_spoils_nothing(workspace, caplog):
    (workspace / "provenance").write_text("a file in the way")
    with pytest.raises(NotADirectoryError):
        gather()  # the step itself succeeds; reading the record is what fails
    assert Path("out/done.jsonl").exists() and "could be written" in caplog.text


def test_a_file_is_hashed_again_only_when_it_changed(workspace, monkeypatch):
    hashed = []
    monkeypatch.setattr(digests, "sha256", lambda path: hashed.append(str(path)) or sha256(path))
    path = workspace / "weights.bin"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))
    for _ in range(2):
        memory = digests.Digests(workspace / "memory")
        assert memory.file(path)["sha256"] == sha256(path)
        memory.save()
    assert len(hashed) == 1
    path.write_bytes(b"two")  # same size, another time
    assert digests.Digests(workspace / "memory").file(path)["sha256"] == sha256(path)
    assert len(hashed) == 2


def test_directories_have_members(workspace):
    assert cli.main(["mini", "world", "--seed", "3", "--queries", "4", "--gallery", "40", "--output", "world"]) == 0
    (tree,) = read_json("provenance/world.json")["outputs"]
    members = read_json(f"provenance/members/{tree['sha256']}.json")
    assert tree["files"] == len(members) > 100 and digest(members) == tree["sha256"]
    settings = json.dumps({"benchmark": "circo", "root": "world/mini_circo"})
    assert cli.main(["datasets", "--settings", settings, "--split", "val", "--output", "results/w/val"]) == 0
    record = read_json("provenance/results/w/val/queries.jsonl.json")
    annotations = [entry["path"] for entry in record["inputs"] if entry["argument"] == "read"]
    assert "world/mini_circo/annotations/val.json" in annotations
    (images,) = [entry for entry in record["inputs"] if entry["path"] == "world/mini_circo"]
    assert images["files"] == 40 and len(record["outputs"]) == 5
    name, value = next(iter(read_json(f"provenance/members/{images['sha256']}.json").items()))
    assert value == sha256(Path("world/mini_circo") / name)


def test_proxies_and_models_are_recorded_down_to_each_file(workspace):
    """A folder of ready images as generator: the images named by the shard belong to its record."""
    import PIL.Image

    for query in ("0", "1"):
        Path("ready", query).mkdir(parents=True)
        PIL.Image.new("RGB", (8, 8), (int(query), 2, 3)).save(f"ready/{query}/0.png")
    write_jsonl("q.jsonl", [{"query_id": q, "reference": "a", "captions": ["b"]} for q in ("0", "1")])
    box = {"label": "a", "category": "a", "description": "a", "box": [0, 0, 1, 1], "size": 3}
    write_jsonl("l.jsonl", [{"query_id": q, "scene": "s", "instances": [box]} for q in ("0", "1")])
    settings = json.dumps({"generator": "directory", "directory": "ready", "count": 1, "width": 8, "height": 8})
    command = ["proxies", "--queries", "q.jsonl", "--layouts", "l.jsonl", "--settings", settings]
    assert cli.main([*command, "--images", "drawn", "--seed", "7", "--output", "index.jsonl"]) == 0
    record = read_json("provenance/index.jsonl.json")
    assert record["seed"] == 7
    members = read_json(f"provenance/members/{record['outputs'][1]['sha256']}.json")
    assert members == {f"{q}/0.png": sha256(f"drawn/{q}/0.png") for q in ("0", "1")}
    assert {"ready/0/0.png", "ready/1/0.png"} <= {entry["path"] for entry in record["inputs"]}

    Path("weights").mkdir()
    Path("weights/model.safetensors").write_bytes(b"w")
    command = ["models", "--name", "llm", "--source", "weights", "--directory", "unused", "--output", "llm.json"]
    assert cli.main(command) == 0
    record = read_json("provenance/llm.json.json")
    assert record["inputs"][0]["path"] == "weights" and record["models"][0]["name"] == "llm"
    assert record["models"][0]["digest"] == digest({"model.safetensors": sha256("weights/model.safetensors")})


def test_the_container_is_recorded(workspace, monkeypatch):
    (workspace / "analysis.sif").write_bytes(b"image")
    monkeypatch.setenv("APPTAINER_CONTAINER", str(workspace / "analysis.sif"))
    assert gather()["container"] == {"path": "analysis.sif", "sha256": sha256("analysis.sif"), "bytes": 5}


def test_code_has_a_revision_in_a_checkout(tmp_path):
    assert environment.revision(tmp_path) == (None, None)
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a"]):
        (tmp_path / "code.py").touch()
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    environment.revision.cache_clear()
    commit, dirty = environment.revision(tmp_path)
    assert len(commit) == 40 and dirty is False
    (tmp_path / "code.py").write_text("changed = True\n")
    environment.revision.cache_clear()
    assert environment.revision(tmp_path) == (commit, True)


def test_every_rule_hands_over_its_name(workflow_rules):
    for name, rule in workflow_rules.items():
        given = rule.params["rule"] if "{params.rule}" in rule.shellcmd else name
        command = rule.shellcmd.replace("{params.rule}", given)
        assert command.startswith(f"IPCIR_RULE={name} "), name


def test_recording_is_off_where_it_is_not_wanted(monkeypatch):
    monkeypatch.setenv("IPCIR_PROVENANCE", "")
    assert provenance.start(STEPS["gather"], [], None) is None and record_id.current() is None


def test_shipped_weights_are_named_by_the_package(workspace):
    """So that a run inside an image can be audited outside it."""
    from ipcir_steps.provenance.audit.chain import located
    from mini_world.models import BUILDERS
    from mini_world.shipped import SHIPPED

    args = argparse.Namespace(step="mini", command="models", seed=1, weights=None, output=OutTree("models"))
    recording = provenance.start(STEPS["mini"], ["mini", "models"], args)
    for name in ("searle", "lincir"):
        BUILDERS[name](Path("models", name), SHIPPED)
    provenance.finish(recording)
    (entry,) = read_json("provenance/models.json")["inputs"]
    members = read_json(f"provenance/members/{entry['sha256']}.json")
    assert entry["path"] == "package:mini_world/weights"
    assert set(members) == {"searle.safetensors", "lincir.safetensors"}
    for name, value in members.items():
        assert sha256(located(f"{entry['path']}/{name}")) == value


def test_what_is_read_below_a_recorded_directory_is_recorded_once(workspace):
    """A file of an input directory is in its digest; one that the code digest stands for is no input."""
    from mini_world.models import BUILDERS

    Path("weights").mkdir()
    shutil.copy(ROOT / "mini_world/weights/searle.safetensors", "weights")
    args = argparse.Namespace(step="mini", weights=InFile("weights"), output=OutTree("models"))
    recording = provenance.start(STEPS["mini"], ["mini", "models"], args)
    BUILDERS["searle"](Path("models/searle"), Path("weights"))
    read_json(ROOT / "mini_world/weights/vocabularies.json")
    provenance.finish(recording)
    (entry,) = read_json("provenance/models.json")["inputs"]
    assert (entry["argument"], entry["path"], entry["files"]) == ("weights", "weights", 1)


def test_files_below_a_root_are_one_input(workspace):
    """Pictures that a figure opens, and what its caches hold."""
    for name in ("root/a.png", "root/sub/b.png", "root/c.png", "cache/d.json", "alone.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    args = argparse.Namespace(root=Root("root"), cache=Scratch("cache"), svg=OutFile("out.svg"), seed=4)
    recording = provenance.start(STEPS["figures"], ["figures"], args)
    for path in ("root/a.png", "root/sub/b.png", "alone.txt", "root/a.png"):
        used(Path(path).absolute())
    write_jsonl("cache/e.json", [])
    write_jsonl("out.svg", [])
    provenance.finish(recording)
    record = read_json("provenance/out.svg.json")
    assert record["parameters"] == {"root": "root", "seed": 4}
    assert [entry["path"] for entry in record["outputs"]] == ["out.svg"]
    root, alone = sorted(record["inputs"], key=lambda entry: entry["path"], reverse=True)
    members = read_json(f"provenance/members/{root['sha256']}.json")
    assert (root["path"], set(members)) == ("root", {"a.png", "sub/b.png"}) and alone["path"] == "alone.txt"
