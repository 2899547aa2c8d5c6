"""PinPoint: the official layout, the official numbers, wordings of a request, hard negatives."""

import numpy as np
import pytest

from ipcir_steps.benchmarks import datasets, pinpoint
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query, read_queries, write_records
from ipcir_steps.evaluate.metrics import score
from tests.benchmarks import layouts

# What the official code gives for the lists below (pinterest/pinpoint-dataset at e4ebb38, evaluate.py).
OFFICIAL = {
    "mAP@1": 0.0, "mAP@1_noNeg": 0.0, "precision@1": 0.0, "recall@1": 0.0, "NegRecall@1": 0.0,
    "mAP@5": 0.02139784946236559, "mAP@5_noNeg": 0.024623655913978495, "precision@5": 0.05161290322580645,
    "recall@5": 0.03870376934893063, "NegRecall@5": 0.11612903225806452, "mAP@10": 0.024443164362519205,
    "mAP@10_noNeg": 0.02416794674859191, "precision@10": 0.061290322580645165, "recall@10": 0.08984993501122533,
    "NegRecall@10": 0.12974910394265235, "mAP@50": 0.0475335764497204, "mAP@50_noNeg": 0.04624147058281238,
    "precision@50": 0.053548387096774196, "recall@50": 0.3839950372208437, "NegRecall@50": 0.3040129649637289,
    "ling_sens_range": 0.1285714285714286, "ling_sens_std": 0.05670350401379665,
}  # fmt: skip


@pytest.fixture
def lists():
    """(queries, rankings): eight requests in up to six wordings, half of them with repeated targets; 120 images."""
    draw, queries, rankings = np.random.default_rng(17), [], {}
    names = np.array([f"i{number}" for number in range(120)])
    for request in range(8):
        right = draw.choice(names, int(draw.integers(1, 14)), replace=bool(request % 2)).tolist()
        wrong = [] if request == 3 else draw.choice(names, int(draw.integers(5, 30)), replace=False).tolist()
        for wording in range(int(draw.integers(1, 7))):
            name = f"{request}{wording}".zfill(5)
            queries.append(Query(name, f"r{request}", ("c",), right, request=f"r{request}", negatives=wrong))
            rankings[name] = draw.permutation(names)[:50].tolist()
    return queries, rankings


def test_numbers_are_those_of_the_official_code(lists):
    queries, rankings = lists
    assert pinpoint.total(rankings, queries) == pytest.approx(OFFICIAL, abs=1e-9)
    assert any(len(set(query.targets)) < len(query.targets) for query in queries)


def test_official_layout(tmp_path):
    data = datasets.load(Source(benchmark="pinpoint", root=str(layouts.pinpoint(tmp_path))), "all")
    assert [query.query_id for query in data.queries] == ["00001", "00002", "00003", "00004"]  # one reference each
    first = data.queries[0]
    assert (first.reference, first.captions) == ("00" * 16, ("is red",))
    assert first.targets == ("03" * 16, "04" * 16, "03" * 16) and first.negatives == ("06" * 16, "f" * 32)
    assert [query.request for query in data.queries] == ["00" * 16] * 3 + ["01" * 16]
    assert data.gallery[1].path == f"images/01/01/01/{'01' * 16}.jpg" and len(data.gallery) == 8
    found, failures, _ = datasets.inspect(data, tmp_path, "error")
    assert len(found.gallery) == 8 and not failures
    write_records(tmp_path / "queries.jsonl", data.queries)
    assert read_queries(tmp_path / "queries.jsonl") == data.queries
    rankings = {query.query_id: ["03" * 16, "06" * 16] for query in data.queries}
    told = score(rankings, data.queries, "pinpoint")
    assert told["paraphrases"]["requests"] == 1 and told["metrics"]["NegRecall@10"] == pytest.approx(3 / 4 / 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"instruction": None}, "field 'instruction': is missing"),
        ({"instruction": ["is red", "", "c", "d", "e"]}, "record query_00002: field 'instruction': is empty"),
        ({"query_id": [1, 2, 3, 4, 5]}, "record 1: field 'query_id': has the wrong type .int"),
        ({"positive_candidates": [["03" * 16], [], ["03" * 16], ["03" * 16], []]}, "positive_candidates.: is empty"),
        ({"positive_candidates": [["9"]] * 5}, "target '9' is not in the gallery"),
    ],
)  # fmt: skip
def test_bad_records_are_told(tmp_path, changed, message):
    with pytest.raises(InputError, match=message):
        datasets.load(Source(benchmark="pinpoint", root=str(layouts.pinpoint(tmp_path, **changed))), "all")


def test_other_files_and_splits(tmp_path):
    source = Source(benchmark="pinpoint", root=str(tmp_path))
    with pytest.raises(InputError, match=r"pinpoint_licensed.parquet: the annotation file is missing. Get it from"):
        datasets.load(source, "all")
    with pytest.raises(InputError, match="has no split 'val'. Set split to all"):
        datasets.load(source, "val")
    layouts.pinpoint(tmp_path)
    (tmp_path / "pinpoint_licensed.parquet").write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(InputError, match="is no parquet file"):
        datasets.load(source, "all")
