"""GeneCIS, i-CIR and FashionIQ by pairs through the whole workflow, on tiny data in the official layouts."""

import pytest

from ipcir_steps.core.files import read_json, read_jsonl
from ipcir_steps.core.rankings import read_rankings
from tests.benchmarks import layouts

NAMES = ("genecis", "icir", "fashioniq_pairs")
TOY = {"stack": "mini", "toy_models": True}
CONFIG = {
    "run": list(NAMES),
    "devices": 1,
    "datasets": {
        "genecis": {"root": "genecis", **TOY},
        "icir": {"root": "icir", "lambda": {"rule": "captions"}, **TOY},
        "fashioniq_pairs": {"root": "fashioniq", "lambda": {"rule": "overlap"}, **TOY},
    },
    "stacks": {"mini": {"proxies": {"generator": "text_to_image", "count": 2, "steps": 1, "width": 64, "height": 64}}},
}


@pytest.fixture(scope="module")
def done(tmp_path_factory, make_workspace, ipcir):
    """A workspace in which one command has measured all three."""
    workspace = make_workspace(tmp_path_factory.mktemp("benchmarks") / "work", ipcir)
    layouts.genecis(workspace / "genecis", 1)
    layouts.icir(workspace / "icir")
    layouts.fashioniq(workspace / "fashioniq")
    crops = workspace.run("ipcir", "crops", "--root", "genecis")
    assert crops.returncode == 0, crops.stderr
    workspace.snakemake(*(f"results/{name}_metrics.json" for name in NAMES), config=CONFIG)
    return workspace


def entries(done, name: str) -> dict[str, dict]:
    """{variant: metrics}, after what holds of every result file."""
    result = read_json(done / f"results/{name}_metrics.json")
    assert "TOY MODELS" in result["stack"]["mark"] and result["failures"]["queries"] == 0
    assert all(not entry["published"] for entry in result["entries"])
    return {entry["variant"]: entry["metrics"] for entry in result["entries"]}


@pytest.mark.slow
def test_genecis_ranks_each_query_in_its_own_gallery(done):
    metrics = entries(done, "genecis")["rp_bm"]
    tasks = ("focus_attribute", "change_attribute", "focus_object", "change_object")
    assert metrics["recall@1"] == pytest.approx(sum(metrics[f"{task}/recall@1"] for task in tasks) / 4)
    queries = {query["query_id"]: query for query in read_jsonl(done / "results/genecis/all/queries.jsonl")}
    images = read_jsonl(done / "results/genecis/all/gallery.jsonl")
    for variant in ("base", "rp_bm"):
        for query, found in read_rankings(done / f"results/genecis/all/mini/ldre/{variant}.rankings.parquet").items():
            pool = {image["name"] for image in images if queries[query]["pool"] in image["categories"]}
            assert set(found) == pool and queries[query]["targets"][0] in pool and len(pool) == 5


@pytest.mark.slow
def test_icir_scores_the_whole_gallery_of_an_instance(done):
    metrics = entries(done, "icir")
    assert set(metrics["base"]) >= {"mAP", "mmAP", "minmAP"} and 0 < metrics["rp_bm"]["mAP"] <= 1
    audited = done.run("ipcir", "audit", "results/icir_metrics.json")
    assert audited.returncode == 0 and "balance" in audited.stdout, audited.stdout[-2000:] + audited.stderr
    told = read_json(done / "results/icir/all/mini/ldre/balance.json")
    assert told["rule"] == "captions" and set(told["queries"]["rp_bm"]) == {
        query["query_id"] for query in read_jsonl(done / "results/icir/all/queries.jsonl")
    }


@pytest.mark.slow
def test_fashioniq_by_pairs_searches_references_and_targets_alone(done):
    result = read_json(done / "results/fashioniq_pairs_metrics.json")
    assert "caution" in result and result["protocol"] == "fashioniq_pairs"
    named = {
        name
        for query in read_jsonl(done / "results/fashioniq_pairs/val/queries.jsonl")
        for name in (query["reference"], *query["targets"])
    }
    assert {image["name"] for image in read_jsonl(done / "results/fashioniq_pairs/val/gallery.jsonl")} == named
    assert entries(done, "fashioniq_pairs")["base"]["recall@10"] == 1  # five images of each category
