"""A figure is traced to annotations and weights; what changed on the way is named."""

import json
import os
import random
import re
import shutil
from pathlib import Path

import pytest
import yaml

from ipcir_steps import cli
from ipcir_steps.config.stack import merged
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.provenance.audit import audit, pictures
from ipcir_steps.provenance.audit.library import Library
from ipcir_steps.provenance.record import seal

FIGURE = "results/figures/fig7.svg"


@pytest.fixture
def tree(finished, tmp_path, monkeypatch):
    """A copy of the finished tree, as the working directory."""
    shutil.copytree(finished, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("IPCIR_PROVENANCE", "provenance")
    return tmp_path / "copy"


def check(path=None, **more):
    return audit(Library(Path("provenance")), path and Path(path), **more)


def alter(path, position=None):
    """Change one byte; give the way back."""
    content = Path(path).read_bytes()
    position = len(content) // 2 if position is None else position
    Path(path).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    return lambda: Path(path).write_bytes(content)


def test_a_finished_tree_is_verified(tree, capsys):
    assert cli.main(["audit", "--all"]) == 0
    assert "everything: verified" in capsys.readouterr().out


def test_the_chain_of_a_figure_goes_down_to_annotations_and_weights(tree, capsys):
    assert cli.main(["audit", FIGURE, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    paths = {link["path"] for link in result["links"]}
    assert result["status"] == "verified" and result["links"][0]["path"] == FIGURE
    assert "world/mini_circo/annotations/val.json" in paths  # annotations
    assert {"models/clip", "models/qwen", "models/blip2", "models/sd", "models/sam", "models/grounding_dino"} <= paths
    assert {model["name"] for model in result["models"]} >= {"llm", "captioner", "generator", "mini"}
    assert cli.main(["audit", FIGURE]) == 0
    text = capsys.readouterr().out
    assert f"{FIGURE}: verified" in text and "sensitivity_figure" in text and "model llm: models/qwen" in text


def test_one_altered_byte_in_thirty_files_is_found_and_named_every_time(tree):
    """Artefacts, inputs, checkpoints and the container image, one at a time."""
    library = Library(Path("provenance"))
    recorded = {
        path
        for record in library.records
        for entry in [*record["inputs"], *record["outputs"]]
        for path in library.files(entry)
        if os.path.getsize(path)
    }
    weights = sorted(path for path in recorded if path.startswith("models/"))
    annotations = sorted(path for path in recorded if path.startswith("world/"))
    artefacts = sorted(path for path in recorded if path.startswith(("results/", "resources/")))
    chance = random.Random(9)
    chosen = chance.sample(weights, 6) + chance.sample(annotations, 6) + chance.sample(artefacts, 17) + ["analysis.sif"]
    found = 0
    for path in chosen:
        restore = alter(path, chance.randrange(os.path.getsize(path)))
        result = check()
        restore()
        first = result["problems"][0]
        found += result["status"] == "broken" and first["path"] == path and first["kind"] == "changed"
    assert (found, len(chosen)) == (30, 30)
    assert check()["status"] == "verified"


def test_one_figure_names_the_link_far_below_it(tree):
    for path in ("world/mini_circo/annotations/val.json", "results/world/val/source_captions.jsonl", "analysis.sif"):
        restore = alter(path)
        result = check(FIGURE)
        restore()
        assert result["problems"][0]["path"] == path and path in result["problems"][0]["text"]
    unrelated = "results/figures/controls.svg"
    alter(unrelated)
    assert check(FIGURE)["status"] == "verified" and check(unrelated)["status"] == "broken"


def test_altered_and_missing_records_are_noticed(tree):
    record = Path("provenance/results/world/val/layouts.jsonl.json")
    restore = alter(record, record.read_text().index('"seconds": ') + 12)
    assert any(p["kind"] == "record" and p["path"] == str(record) for p in check()["problems"])
    restore()
    record.unlink()
    problems = check()["problems"]
    assert ("results/world/val/layouts.jsonl", "unrecorded") in [(p["path"], p["kind"]) for p in problems]
    Path("results/foreign.json").write_text("{}")
    assert any(p["path"] == "results/foreign.json" for p in check()["problems"])


def test_a_lost_input_and_an_older_input_are_told_apart(tree, monkeypatch):
    Path("results/world/val/failures.jsonl").unlink()
    problems = check(FIGURE.replace("fig7", "world"))["problems"]
    assert [(p["path"], p["kind"]) for p in problems] == [("results/world/val/failures.jsonl", "missing")]
    failed = [f"results/world/val/{name}.failures.jsonl" for name in ("captions", "datasets")]
    Path("results/world/val/captions.failures.jsonl").write_text('{"query_id": "0", "failure": "none"}\n')
    assert cli.main(["failures", *failed, "--output", "results/world/val/failures.jsonl"]) == 0
    kinds = {p["kind"]: p["text"] for p in check("results/world_metrics.json")["problems"]}
    assert "was made from an older results/world/val/failures.jsonl" in kinds["outdated"]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"sensitivity": {"resamples": 51}}, "sensitivity.resamples was 50, is now 51"),
        ({"stacks": {"small": {"proxies": {"steps": 50}}}}, "stacks.small.proxies.steps was 2, is now 50"),
        ({"seed": 1}, "seed was 2025, is now 1"),
        ({"datasets": {"world": {"lambda": 0.25}}}, "datasets.world.lambda was 0.5, is now 0.25"),
        ({"fusion": {"weights": [1.0, 0.5, 1.0]}}, "fusion.weights was [1.0, 1.0, 1.0], is now [1.0, 0.5, 1.0]"),
        (
            {"stacks": {"small": {"models": {"llm": {"source": "other"}}}}},
            "stacks.small.models.llm.source was models/qwen, is now other",
        ),
        ({"stacks": {"small": {"ldre": {"k": 5}}}}, "stacks.small.ldre.k was 50, is now 5"),
        ({"stacks": {"small": {"embeddings": {"ratio": 1.5}}}}, "stacks.small.embeddings.ratio was 1.25, is now 1.5"),
    ],
)
def test_a_changed_configuration_makes_the_figure_stale_and_names_the_parameter(tree, change, key):
    mine = yaml.safe_load(Path("config.yaml").read_text())
    Path("config.yaml").write_text(yaml.safe_dump(merged(mine, change)))
    result = check(FIGURE)
    assert result["status"] == "stale"
    assert any(key in problem["text"] for problem in result["problems"]), result["problems"]


def test_what_a_figure_does_not_depend_on_does_not_make_it_stale(tree):
    mine = yaml.safe_load(Path("config.yaml").read_text())
    Path("config.yaml").write_text(yaml.safe_dump(merged(mine, {"shards": 7, "resamples": 99})))
    assert check(FIGURE)["status"] == "verified"
    assert check("results/world_metrics.json")["status"] == "stale"


def test_a_picture_found_alone_is_traced(tree, tmp_path):
    for name in ("results/figures/fig8.svg", "results/figures/world/fig4.png", "results/browser/world/index.html"):
        alone = tmp_path / f"alone{Path(name).suffix}"
        shutil.copy(name, alone)
        record = next(r for r in Library(Path("provenance")).records if r["id"] == pictures.carried(alone))
        assert any(name.startswith(entry["path"]) for entry in record["outputs"])
        result = check(alone)
        assert result["status"] == "verified" and "the same bytes" in result["notes"][0]
        assert result["target"] == name


def _as_before_the_move(path):
    """A record in the form that steps left when they were called rooms."""
    record = read_json(path)
    record["room"] = record.pop("step")
    record["configuration"].pop("values", None)
    for entry in record["inputs"]:
        entry["path"] = entry["path"].replace("package:mini_world/", "package:mini/")
    write_json(path, {**record, "seal": seal(record)})


def test_a_tree_made_before_the_move_is_read(tree, tmp_path, capsys):
    """Its files are verified, and the audit says what it cannot compare."""
    records = Library(Path("provenance")).records
    for record in records:
        _as_before_the_move(record["file"])
    mine = yaml.safe_load(Path("config.yaml").read_text())
    Path("config.yaml").write_text(yaml.safe_dump(merged(mine, {"seed": 1})))
    result = check()
    assert result["status"] == "verified"
    (note,) = [note for note in result["notes"] if "earlier version" in note]
    assert re.match(r"(\d+) of \1 records", note) and "run the workflow again" in note
    assert {record["step"] for record in Library(Path("provenance")).records} >= {"captions", "ranking", "mini"}
    alter("models/clip/open_clip_model.safetensors")
    assert check(FIGURE)["status"] == "broken"


def test_a_record_without_a_step_is_damaged(tree):
    path = Path("provenance/results/world_metrics.json.json")
    record = read_json(path)
    del record["step"]
    write_json(path, {**record, "seal": seal(record)})
    assert (str(path), "record") in [(p["path"], p["kind"]) for p in check()["problems"]]


def test_mistakes_are_told(tree, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        check("results/figures/none.svg")
    assert cli.main(["audit"]) == 2
    assert cli.main(["audit", "--all", "--records", "nowhere"]) == 2


def test_every_record_of_the_tree_is_complete(tree):
    for record in Library(Path("provenance")).records:
        assert record["rule"] and record["code"]["digest"] and record["host"]["cores"], record["file"]
        assert record["container"]["path"] == "analysis.sif"
        assert record["recording_seconds"] < 5
    layouts = read_json("provenance/results/world/val/shards/layouts/0-0.jsonl.json")
    assert layouts["seed"] == 2025 and layouts["models"][0]["name"] == "llm"
