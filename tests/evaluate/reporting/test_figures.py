"""Every figure: drawn from real files, the same bytes twice, with its record inside."""

import re
import shutil
from pathlib import Path

import PIL.Image
import pytest

from ipcir_steps import cli
from ipcir_steps.core.files import read_json, sha256
from ipcir_steps.evaluate.reporting.figures import cards
from ipcir_steps.provenance.audit.pictures import carried

DRAWN = [
    "world", *cards.names("results"), *cards.names("sweeps"), *(f"world/{name}" for name in cards.names("queries")),
]  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_each_figure_is_a_picture_that_carries_its_record(finished, name):
    svg, png = (finished / f"results/figures/{name}.{end}" for end in ("svg", "png"))
    record = read_json(finished / f"provenance/results/figures/{name}.svg.json")
    assert carried(svg) == carried(png) == record["id"]
    with PIL.Image.open(png) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
    assert len(colours) > 20 and max(count for count, _ in colours) < image.width * image.height
    assert not re.search(r"<dc:date>", svg.read_text())


@pytest.mark.parametrize("name", ["fig7", "world/fig4"])
def test_the_same_inputs_give_the_same_bytes(finished, name, tmp_path, monkeypatch):
    record = read_json(finished / f"provenance/results/figures/{name}.svg.json")
    monkeypatch.chdir(shutil.copytree(finished, tmp_path / "copy"))
    monkeypatch.setenv("IPCIR_PROVENANCE", "provenance")
    before = {end: sha256(f"results/figures/{name}.{end}") for end in ("svg", "png")}
    for end in before:
        Path(f"results/figures/{name}.{end}").unlink()
    import shlex

    assert cli.main(shlex.split(record["command"])[1:]) == 0
    assert {end: sha256(f"results/figures/{name}.{end}") for end in before} == before
