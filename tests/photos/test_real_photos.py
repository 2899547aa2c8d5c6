"""Real photographs with the mini CLIP: it knows nothing of them, but the lists are the workflow's all the same."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from pyarrow import parquet

from ipcir_steps.cli import main
from ipcir_steps.photos.finder import Finder
from ipcir_steps.photos.index import update
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.terms import Term

ROOT = Path(__file__).parents[2]
LAM = 0.4
EDITS = ("at night", "in the snow, with a dog", "as a drawing")
BELOW = "results/photos/val/mini"


@pytest.fixture(scope="module")
def folder(published) -> Path:
    found = published / "photos"
    if len(list(found.glob("*.JPEG"))) != 64:
        pytest.skip("the 64 photographs are absent")
    return found


@pytest.fixture(scope="module")
def questions(folder, models, tmp_path_factory):
    """(finder, questions) on an index of the photographs."""
    directory = tmp_path_factory.mktemp("index")
    changes, problems = update(folder, directory / "mini", models, progress=False)
    assert (changes.photos, problems) == (64, {})
    finder = Finder(folder, directory / "mini", models)
    names = sorted(path.name for path in folder.iterdir())
    asked = [Question((finder.reference(folder / names[20 * n]),), (Term(edit),)) for n, edit in enumerate(EDITS)]
    return directory, asked


@pytest.fixture(scope="module")
def lists(questions, folder, house, tmp_path_factory) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """{baseline and variant: {query id: [(path, score)]}}: the folder as a dataset of the workflow, by Snakemake."""
    work = tmp_path_factory.mktemp("workflow")
    for name in ("Snakefile", "config.yaml", "rules", "envs", "profiles", "report"):
        (work / name).symlink_to(ROOT / name)
    (work / "resources/mini").mkdir(parents=True)
    (work / "resources/mini/models").symlink_to(house / "resources/mini/models")
    rows = [f'{q.query.reference},"{q.query.caption}",{q.query.query_id}' for q in questions[1]]
    (work / "queries.csv").write_text("\n".join(["reference,caption,id", *rows]) + "\n")
    dataset = {"benchmark": "folder", "root": str(folder), "queries": "queries.csv", "stack": "mini",
               "toy_models": True, "exclude_reference": False, "lambda": LAM}  # fmt: skip
    config = {"datasets": {"photos": dataset}, "run": ["photos"], "baselines": ["ldre", "image_text"], "devices": 1,
              "fusion": {"scale": "query"}}  # fmt: skip
    (work / "mine.yaml").write_text(yaml.safe_dump(config))
    (work / "bin").mkdir()
    (work / "bin/ipcir").write_text(f"#!/bin/sh\nexec '{sys.executable}' -m ipcir_steps \"$@\"\n")
    (work / "bin/ipcir").chmod(0o755)
    environment = os.environ | {"PATH": f"{work / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    wanted = {f"{baseline} {variant}": f"{BELOW}/{baseline}/{variant}.rankings.parquet"
              for baseline, variant in (("ldre", "rp_bm"), ("ldre", "base"), ("image_text", "base"))}  # fmt: skip
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *wanted.values(), "--configfile", "mine.yaml"]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found = {}
    for name, path in wanted.items():
        by_query = found[name] = {}
        for row in parquet.read_table(work / path).to_pylist():
            by_query.setdefault(row["query_id"], []).append((row["image"], row["score"]))
    return found


@pytest.mark.slow
def test_the_terminal_gives_the_lists_of_the_workflow(questions, lists, folder, here, capsys):
    directory, asked = questions
    for question in asked:
        reference, term = question.main
        words = ["search", str(folder), "--index", str(directory), "--image", reference.name, "--text", term.text]
        for more, name in ((("--imagine", "--lambda", str(LAM)), "ldre rp_bm"),
                           (("--imagine", "--lambda", "1"), "ldre base"), ((), "image_text base")):  # fmt: skip
            assert main([*words, "--stack", "mini", "--k", "50", "--json", *more]) == 0
            told = capsys.readouterr()
            assert "TOY MODELS" in told.err
            found, wanted = json.loads(told.out)["results"], lists[name][question.query.query_id]
            assert len(wanted) == 50 and [row["path"] for row in found] == [path for path, _ in wanted], name
            np.testing.assert_allclose([row["score"] for row in found], [score for _, score in wanted], atol=1e-6)
