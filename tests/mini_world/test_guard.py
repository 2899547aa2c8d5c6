"""The guard on the test world's metrics: it fails on a drop beyond the noise, and only then."""

import copy

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import read_json, write_json
from mini_world.guard import check, record

RESULTS = {
    "dataset": "mini_test",
    "queries": 400,
    "entries": [
        {
            "backbone": "mini", "baseline": "ldre", "variant": variant, "queries": 400,
            "metrics": {"mAP@10": value, "recall@1": 0.5, "mAP@10/addition": 0.9},
        }
        for variant, value in (("base", 0.4), ("rp_bm", 0.6))
    ],
}  # fmt: skip


@pytest.fixture
def recorded(tmp_path):
    write_json(tmp_path / "results.json", RESULTS)
    record(tmp_path / "results.json", tmp_path / "reference.json")
    return tmp_path


def test_the_same_and_better_values_pass(recorded, capsys):
    check(recorded / "results.json", recorded / "reference.json")
    better = copy.deepcopy(RESULTS)
    better["entries"][0]["metrics"]["mAP@10"] = 0.9
    better["entries"][0]["metrics"]["mAP@10/addition"] = 0.0  # aspects are not guarded
    write_json(recorded / "better.json", better)
    check(recorded / "better.json", recorded / "reference.json")
    assert "2 entries" in capsys.readouterr().out


def test_a_drop_beyond_the_noise_is_named(recorded):
    noise = read_json(recorded / "reference.json")["entries"]["mini/ldre/rp_bm"]["mAP@10"]["noise"]
    assert noise == pytest.approx(1.96 * (0.6 * 0.4 / 400) ** 0.5, abs=1e-6)
    for drop, fails in ((0.9 * noise, False), (1.1 * noise, True)):
        worse = copy.deepcopy(RESULTS)
        worse["entries"][1]["metrics"]["mAP@10"] = 0.6 - drop
        write_json(recorded / "worse.json", worse)
        if fails:
            with pytest.raises(InputError, match="mini/ldre/rp_bm mAP@10: 0.5472, recorded 0.6000 ± 0.0480"):
                check(recorded / "worse.json", recorded / "reference.json")
        else:
            check(recorded / "worse.json", recorded / "reference.json")


def test_a_missing_entry_is_no_pass(recorded):
    write_json(recorded / "part.json", {**RESULTS, "entries": RESULTS["entries"][:1]})
    with pytest.raises(InputError, match="no entry mini/ldre/rp_bm"):
        check(recorded / "part.json", recorded / "reference.json")
