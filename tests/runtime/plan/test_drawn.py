"""ipcir costs: operations of the settings of a frontier, and the times of the jobs that have drawn them."""

import json

import pytest

from ipcir_steps.cli import main
from ipcir_steps.config.generation import Proxies
from ipcir_steps.core import paths
from ipcir_steps.core.files import read_json, write_json
from ipcir_steps.core.journal import run_journaled
from ipcir_steps.runtime.plan.drawn import Setting, operations
from tests.hub.pipelines import EDITING

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"


def setting(source=SD, **proxies):
    values = {"generator": "text_to_image", "count": 2, **proxies}
    return {"proxies": Proxies(**values).model_dump(mode="json"), "models": {"generator": source}}


def counted(**proxies):
    return operations(Setting(**setting(**proxies)))[0]


@pytest.mark.slow
def test_the_steps_are_what_costs():
    """The decoder and the text stay."""
    one, two, four = (counted(steps=steps, width=256, height=256) for steps in (1, 2, 4))
    assert four - two == pytest.approx(2 * (two - one)) and one < two


def test_the_command(tmp_path, monkeypatch):
    """Times are read from the jobs' benchmark files, for what the last run of each drew itself."""
    monkeypatch.chdir(tmp_path)
    known = {"dataset": "d", "split": "val", "setting": "fast", "device": "0", "shard": "0"}
    shard, times = tmp_path / paths.DRAWN_SHARD.format(**known), tmp_path / paths.DRAWN_TIMES.format(**known)
    for path in (shard, times):
        path.parent.mkdir(parents=True)
    run_journaled(
        [f"q{n}" for n in range(5)], lambda batch: [{"query_id": name} for name in batch], output=shard, key="query_id",
        key_of=str, context={}, title="proxies",
    )  # fmt: skip
    times.write_text("s\tcpu_time\n20.0\t10.0\n")
    settings = {name: setting("someone/unknown") for name in ("configured", "fast")}
    settings["ready"] = setting(generator="directory")
    words = ["costs", "--dataset", "d", "--split", "val", "--settings", json.dumps(settings), "--output", "costs.json"]
    assert main(words) == 0
    found = read_json(tmp_path / "costs.json")["settings"]
    assert found["fast"]["seconds"] == 2 and found["fast"]["processor"] == 1 and found["fast"]["images"] == 10
    assert "seconds" not in found["configured"] and found["ready"]["operations"] == 0
    assert found["fast"]["operations"] is None and "someone/unknown" in found["fast"]["how"]


def test_a_model_that_was_fetched_is_counted(tmp_path):
    """By its own configs: nobody has published those of this one here."""
    given = Setting(**setting("someone/flux-2", generator="image_editing", steps=2, width=64, height=64))
    assert operations(given, directory=tmp_path)[0] is None
    EDITING["klein"](None, tmp_path / "resources/models/editor/klein")
    manifest = {"name": "editor", "source": "someone/flux-2", "path": "resources/models/editor/klein", "files": {}}
    write_json(tmp_path / paths.MANIFEST.format(stack="mini", role="editor"), manifest)
    one, how = operations(given, directory=tmp_path)
    assert one > 0 and how == "counted"


def test_settings_that_are_none_are_refused(tmp_path, capsys):
    words = ["costs", "--dataset", "d", "--split", "val", "--output", str(tmp_path / "costs.json"), "--settings"]
    assert main([*words, '{"a": {"proxies": {"stepss": 1}, "models": {}}}']) == 2
    assert "a.proxies.stepss" in capsys.readouterr().err
