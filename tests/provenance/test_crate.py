"""A run as a Workflow Run RO-Crate, checked by the validator of the RO-Crate community, without a network."""

import shutil
from pathlib import Path

import pytest

from ipcir_steps import cli
from ipcir_steps.core.files import read_json, sha256
from ipcir_steps.evaluate.reporting.figures import cards

pytest.importorskip("rocrate", reason="rocrate is not installed")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def crate(finished, tmp_path_factory):
    directory = tmp_path_factory.mktemp("crate") / "crate"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished)
        patch.setenv("IPCIR_PROVENANCE", "provenance")
        assert cli.main(["crate", "--output", str(directory), "--workflow", str(ROOT)]) == 0
    return directory


def test_it_passes_the_validator_at_the_required_level(crate):
    pytest.importorskip("rocrate_validator", reason="roc-validator is not installed")
    from ipcir_steps.provenance.crate import validate

    assert validate(crate) == []


def test_the_validator_can_fail(crate, tmp_path):
    pytest.importorskip("rocrate_validator", reason="roc-validator is not installed")
    from ipcir_steps.provenance.crate import validate

    broken = shutil.copytree(crate, tmp_path / "broken")
    path = broken / "ro-crate-metadata.json"
    path.write_text(path.read_text().replace('"ComputationalWorkflow"\n', '"SoftwareApplication"\n'))
    assert validate(broken)


def test_every_figure_is_listed_with_its_inputs(crate, finished):
    graph = {entity["@id"]: entity for entity in read_json(crate / "ro-crate-metadata.json")["@graph"]}
    made = {
        result["@id"]: entity
        for entity in graph.values()
        if entity["@type"] == "CreateAction" and entity["@id"] != "#run"
        for result in (entity["result"] if isinstance(entity["result"], list) else [entity["result"]])
    }
    figures = [path.relative_to(finished).as_posix() for path in (finished / "results/figures").rglob("*.*")]
    # SVG and PNG of scores and controls, the sweeps, and the queries.
    assert len(figures) == 2 * (2 + len(cards.names("sweeps")) + len(cards.names("queries")))
    for figure in figures:
        assert graph[figure]["sha256"] == sha256(crate / figure) == sha256(finished / figure)
        record = read_json(finished / f"provenance/{figure.replace('.png', '.svg')}.json")
        inputs = {entry["@id"].removeprefix("#") for entry in made[figure]["object"]}
        assert {entry["path"] for entry in record["inputs"]} <= inputs
        assert made[figure]["identifier"] == record["id"]
    run = graph["#run"]
    sources = {entry["@id"] for entry in run["object"]}
    assert "#analysis.sif" not in sources and run["instrument"] == {"@id": "Snakefile"}
    assert set(figures) <= {entry["@id"] for entry in run["result"]}


def test_it_does_not_overwrite(crate, finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    monkeypatch.setenv("IPCIR_PROVENANCE", "provenance")
    assert cli.main(["crate", "--output", str(crate), "--workflow", str(ROOT)]) == 2
    assert "is not empty" in capsys.readouterr().err
