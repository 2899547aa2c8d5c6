"""CIRCO's scores: the official example, and values by hand."""

import json

import pytest

from ipcir_steps.benchmarks import circo
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import Query
from tests.benchmarks import layouts


@pytest.fixture
def circo_val(published):
    records = json.loads((published / "CIRCO/annotations/val.json").read_text())
    return [
        Query(
            str(r["id"]), str(r["reference_img_id"]), [r["relative_caption"]],
            [str(r["target_img_id"]), *(str(i) for i in r["gt_img_ids"] if i != r["target_img_id"])],
            aspects=r["semantic_aspects"],
        )
        for r in records
    ]  # fmt: skip


def test_the_official_circo_example(published, circo_val):
    rankings = read_rankings(published / "submissions/circo_val_official_example.json")
    values = circo.total(rankings, circo_val)
    assert [round(100 * values[f"mAP@{k}"], 3) for k in (5, 10, 25, 50)] == [0.486, 0.518, 0.540, 0.602]
    assert len([key for key in values if key.startswith("mAP@10/")]) == 9


@pytest.mark.parametrize("concept", [False, True])
def test_the_shared_concept_is_read_where_it_is_asked_for(tmp_path, concept):
    record = {"id": 7, "reference_img_id": 1, "relative_caption": "is fed", "shared_concept": "a dog with a hat"}
    layouts.write(tmp_path / "annotations/test.json", [record])
    source = Source(benchmark="circo", root=str(tmp_path), shared_concept=concept)
    (query,), _ = circo.read(source, "test")
    assert query.captions == (("a dog with a hat, is fed" if concept else "is fed"),)
    del record["shared_concept"]
    layouts.write(tmp_path / "annotations/test.json", [record])
    if concept:
        with pytest.raises(InputError, match=r"test.json.*record 7.*shared_concept"):
            circo.read(source, "test")


def test_circo_by_hand():
    query = Query("1", "r", ["c"], ["a", "b", "c"], aspects=["x", "y"])
    other = Query("2", "r", ["c"], ["z"], aspects=["y"])
    values = circo.total({"1": ["b", "n", "a", *"pq", "c"], "2": ["n"]}, [query, other])
    # query 1: precisions 1/1 and 2/3 in the first five of three relevant; the third at rank 6
    assert values["mAP@5"] == pytest.approx((1 + 2 / 3) / 3 / 2)
    assert values["mAP@10"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3 / 2)
    assert values["recall@5"] == 0.5
    assert values["mAP@10/x"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3)
    assert values["mAP@10/y"] == pytest.approx((1 + 2 / 3 + 3 / 6) / 3 / 2)
