"""What the rehearsal measured still holds for today's plan; its writers, its table, its continuing."""

import json
import random
import sys

import pytest
import torch
from safetensors.torch import load_file

from dev.rehearsal import claims, measure, settings, stage, table
from dev.rehearsal.__main__ import main
from dev.rehearsal.expected import asked
from dev.rehearsal.steps import Step
from dev.rehearsal.weights import Noise, tensors, write_model
from mini_world.render import draw
from mini_world.world import random_scene


@pytest.fixture(scope="module")
def measured() -> dict:
    return json.loads(table.MEASURED.read_text())


@pytest.fixture(scope="module")
def claimed(measured) -> dict:
    return claims.claims(measured)


def test_every_step_of_the_rehearsal_was_measured(measured):
    assert [note["step"] for note in measured["steps"]] == [step.name for step in claims.every()]


@pytest.mark.slow
def test_every_rule_asks_for_its_peak_and_at_most_twice_that(measured, claimed):
    for note in measured["steps"]:
        peak = (note["resident"] + measured["engine"]) / 1e6
        asks = claimed[note["step"]]["mem_mb"]
        assert peak <= asks <= 2 * peak, f"{note['step']}: asks for {asks} MB, held {peak:.0f} MB"


@pytest.mark.slow
def test_counted_operations_agree_with_what_ran(measured, claimed):
    compared = set()
    for note in measured["steps"]:
        counted = claimed[note["step"]]["operations"]
        if counted:
            assert counted == pytest.approx(note["operations"], rel=table.AGREE), note["step"]
            compared.add(note["rule"])
    assert {"captions", "reasoning", "layouts", "proxies", "gallery_features", "source_captions_features"} <= compared


@pytest.mark.slow
def test_the_documentation_holds_the_table(measured):
    text = table.DOCUMENT.read_text()
    assert table.within(text, table.table(measured)) == text, "python -m dev.rehearsal.table --write"


def test_the_table_marks_what_does_not_hold(measured, claimed, monkeypatch):
    one = next(note for note in measured["steps"] if note["step"] == "ViT-L-14: gallery")
    peak = one["resident"] + measured["engine"]
    for factor, marked in ((0.9, True), (1.5, False), (2.1, True)):
        claim = {"mem_mb": factor * peak / 1e6, "operations": one["operations"]}
        assert table.row(one, claim, measured["engine"])[5].startswith("**") == marked
    for factor, marked in ((0.9, True), (1.0, False), (1.1, True)):
        claim = {"mem_mb": 1, "operations": factor * one["operations"]}
        assert table.row(one, claim, measured["engine"])[7].startswith("**") == marked


def test_a_document_without_a_place_for_the_table_is_refused():
    assert table.within(f"a\n{table.BEGIN}\nold\n{table.END}\nb", "new") == f"a\n{table.BEGIN}\nnew\n{table.END}\nb"
    with pytest.raises(ValueError, match="no <!-- table -->"):
        table.within("nothing", "new")


def test_a_rule_is_read_as_it_is_written():
    assert asked("gather_captions") == 300 and asked("captions") is None and asked("no_such_rule") is None


@pytest.fixture
def options(tmp_path) -> list[str]:
    """Of a rehearsal in ``run`` on three pictures."""
    photos = tmp_path / "others"
    photos.mkdir()
    for number in range(3):
        draw(random_scene(random.Random(number))).save(photos / f"{number}.png")
    return ["--directory", str(tmp_path / "run"), "--photo", str(photos / "0.png"), "--gallery", str(photos)]


def test_a_rehearsal_continues_where_it_stopped(tmp_path, options, capsys):
    assert main([*options, "--next", "--only", "datasets"]) == 0
    note = json.loads((tmp_path / "run/state/datasets.json").read_text())
    assert note["output"] == "datasets.failures: 0, gallery: 3, queries: 1, references: 1"
    assert note["resident"] > 20e6 and note["plan"]["mem_mb"] == asked("dataset")
    assert main([*options, "--next", "--only", "datasets"]) == 1  # nothing is left
    capsys.readouterr()
    assert main([*options, "--list"]) == 0
    assert capsys.readouterr().out.split("\n")[0] == "captions"


def test_a_step_that_fails_is_told_with_its_message_and_runs_again(tmp_path, options):
    with pytest.raises(RuntimeError, match=r"(?s)gather.*failed:.*shards/captions/0-0.jsonl: does not exist"):
        main([*options, "--only", "datasets", "gather captions"])
    assert (tmp_path / "run/state/datasets.json").is_file()
    assert not (tmp_path / "run/state/gather_captions.json").exists()


def test_models_go_when_no_later_step_reads_them(tmp_path, monkeypatch):
    one, other = (Step(name, "rule", "words", ("llm", name), "output") for name in ("migc", "vision"))
    for name in ("llm", "migc", "vision"):
        (tmp_path / "models" / name).mkdir(parents=True)
        manifest = tmp_path / settings.manifest(name)
        manifest.parent.mkdir(parents=True, exist_ok=True)
        manifest.write_text("{}")
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(stage, "rehearse", lambda step, directory: stage.state_of(step, directory).touch())

    def left():
        return sorted(path.name for path in (tmp_path / "models").iterdir())

    stage.run(one, tmp_path, [one, other])
    assert left() == ["llm", "vision"]
    stage.run(other, tmp_path, [one, other], keep=True)
    assert left() == ["llm", "vision"]
    stage.run(other, tmp_path, [one, other])
    assert left() == [] and not list((tmp_path / "resources").rglob("*.json"))


def test_memory_at_the_peak_is_seen(tmp_path):
    code = "import time; a = bytearray(b'1') * 200_000_000; time.sleep(0.3); del a; time.sleep(0.1)"
    taken = measure.run([sys.executable, "-c", code], tmp_path / "log", tmp_path, {})
    assert 200e6 < taken.resident < 260e6 and 200e6 < taken.anonymous <= taken.resident


@pytest.mark.parametrize("limit", [5e9, 300])
def test_weights_are_read_by_the_real_loader(tmp_path, limit):
    model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.LayerNorm(16))
    write_model(tmp_path, model, torch.bfloat16, Noise(), limit=limit)
    files = list(tmp_path.glob("*.safetensors"))
    read = {name: value for file in files for name, value in load_file(file).items()}
    assert {name: value.shape for name, value in read.items()} == tensors(model)
    assert all(value.dtype == torch.bfloat16 for value in read.values())
    assert torch.equal(read["1.weight"].float(), torch.ones(16)) and read["0.weight"].float().std() > 0.1
    assert (tmp_path / "model.safetensors.index.json").exists() == (len(files) > 1) == (limit == 300)
