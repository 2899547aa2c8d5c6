"""Time and memory, as Snakemake measured them."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.evaluate.reporting.figures import costs


def test_costs_are_summed_over_shards(tmp_path):
    for name, wall in (
        ("captions/0", 2),
        ("captions/1", 3),
        ("mini/gallery", 4),
        ("mini/ldre/ranking", 5),
        ("mini/ldre/baseline", 6),
        ("mini/fusion/rp", 7),
        ("datasets", 1),
        ("mini/ldre/rp.metrics", 9),
        ("failures", 9),
    ):
        path = tmp_path / "d/val" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{wall}\t0:0:1\t{100 * wall}\t-\n")
    expected = {"datasets": 1, "captions": 5, "embeddings": 4, "baselines": 6, "fusion": 7, "ranking": 5}
    found = costs.measured(tmp_path, "d", "val")
    assert {step: value["wall"] for step, value in found.items()} == expected
    assert found["captions"]["peak"] == 300 and found["captions"]["cpu"] == 0
    assert (
        costs.gpu_seconds([{"seconds": 10, "host": {"gpus": ["a", "b"]}}, {"seconds": 5, "host": {"gpus": []}}]) == 20
    )
    costs.costs({"d": found}, {"d": 2}, {"d": 7200.0})
    with pytest.raises(InputError, match="no benchmark files"):
        costs.costs({"d": {}}, {"d": 2}, {"d": 0.0})
