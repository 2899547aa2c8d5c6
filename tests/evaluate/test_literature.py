"""Results of the literature: every row is whole and possible, and the paper's tables are what they were."""

import csv
import hashlib
import json
import re
from importlib import resources

import pytest

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.core.errors import InputError
from ipcir_steps.evaluate import results
from ipcir_steps.evaluate.literature import COLUMNS, UNKNOWN, read_published, read_reported
from ipcir_steps.evaluate.reporting.leaderboard.rows import PROTOCOLS

ROW = {
    "id": "circo/mine/vit-l-14", "benchmark": "circo", "split": "test", "method": "mine", "variant": "", "year": "2026",
    "venue": UNKNOWN, "backbone": "ViT-L-14", "encoder": UNKNOWN, "values": "mAP@5=30.00 mAP@10=31.5",
    "text": "relative caption", "gallery": UNKNOWN, "reference": UNKNOWN, "training": "none", "judged": "no",
    "run_by": "its authors", "source": "a paper, Table 1", "read_in": "https://example.org/paper", "reproduces": "",
    "note": "",
}  # fmt: skip


def write(path, *rows, columns=COLUMNS):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_numbers_of_the_papers_tables_are_what_they_were():
    """The digest of what `ipcir results` compares with, in its order, when it was a file of its own."""
    found = sorted((list(key), [list(pair) for pair in values.items()]) for key, values in read_published().items())
    assert sum(len(values) for _, values in found) == 269
    text = json.dumps(found, ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest() == (
        "7bf991f24d6c484d00e984ac3551e2365043011a1be70aff9c1cbcec232ca889"
    )
    both = [read_published()["circo", name, "ldre", "rp_bm"]["mAP@5"] for name in ("ViT-g-14", "ViT-bigG-14")]
    assert both[0] == both[1] and both[0]["value"] == 32.75 / 100
    assert results.read_published is read_published


def test_every_row_is_whole_and_says_what_it_knows():
    reported = read_reported()
    assert len(reported) >= 400 and {row.benchmark for row in reported} == set(PROTOCOLS) <= set(BENCHMARKS)
    for row in reported:
        assert row.values and row.split == PROTOCOLS[row.benchmark].split, row.id
        assert row.gallery == PROTOCOLS[row.benchmark].gallery, row.id
        assert row.reference in ("kept", "removed", "not in the gallery", UNKNOWN), row.id
        assert row.judged in ("yes", "no", UNKNOWN), row.id
        assert re.fullmatch(r"20[12]\d|not stated", row.year), row.id
        assert row.read_in.startswith("https://") or "repository" in row.read_in, row.id
        assert (row.id.startswith(f"{row.benchmark}/") and row.run_by != UNKNOWN) or not row.reproduces, row.id


def test_recalls_grow_with_k():
    """A slip of the pen in a row of numbers breaks the order that recalls must have."""
    wrong = []
    for row in read_reported():
        found: dict[str, list[tuple[int, float]]] = {}
        for metric, value in row.values.items():
            if "recall" in metric and "@" in metric:
                kind, _, k = metric.rpartition("@")
                found.setdefault(kind, []).append((int(k), float(value)))
        wrong += [row.id for pairs in found.values() if sorted(pairs) != sorted(pairs, key=lambda pair: pair[1])]
    assert wrong == []


def test_averages_are_those_of_the_categories():
    """To the rounding of the sources; CompoDiff's second row is misprinted there, and says so."""
    wrong, checked = [], 0
    for row in read_reported():
        for k in (1, 10, 50):
            each = [float(value) for metric, value in row.values.items() if metric.endswith(f"/recall@{k}")]
            if len(each) >= 3 and f"recall@{k}" in row.values:
                checked += 1
                if abs(sum(each) / len(each) - float(row.values[f"recall@{k}"])) > 0.11:
                    wrong.append((row.id, "its averages are not those of its categories" in row.note))
    assert checked > 150 and wrong == 2 * [("fashioniq/compodiff/clip-l-2", True)]


def test_cirevl_was_reproduced_four_times():
    found = {row.run_by: row.values["mAP@5"] for row in read_reported() if row.reproduces == "circo/cirevl/vit-g-14"}
    assert sorted(found.values()) == ["22.76", "24.43", "25.77", "26.47"]


def test_further_results_are_read_from_a_file_of_the_same_columns(tmp_path):
    again = {**ROW, "id": "circo/mine/again", "reproduces": ROW["id"], "values": "mAP@5=29.0"}
    reported = read_reported(write(tmp_path / "more.csv", again, ROW))
    assert [row.id for row in reported[-2:]] == ["circo/mine/again", ROW["id"]]
    assert reported[-1].values == {"mAP@5": "30.00", "mAP@10": "31.5"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"text": " "}, "field 'text': is empty"),
        ({"values": "mAP@5=101"}, "'mAP@5=101' is not METRIC=PERCENT"),
        ({"values": "mAP@5=-1"}, "is not METRIC=PERCENT"),
        ({"values": "mAP@5=nan"}, "is not METRIC=PERCENT"),
        ({"values": "mAP@5=x"}, "is not METRIC=PERCENT"),
        ({"values": "30.0"}, "is not METRIC=PERCENT"),
        ({"values": "mAP@5=1 mAP@5=2"}, "stands there twice"),
        ({"benchmark": "coco"}, "field 'benchmark': is none of"),
        ({"reproduces": "circo/none"}, "field 'reproduces': is no id"),
        ({"reproduces": "cirr/cirevl/vit-g-14"}, "field 'reproduces': is no id"),
        ({"reproduces": "circo/cirevl/again-author"}, "field 'reproduces': is no id"),
        ({"id": "circo/cirevl/vit-g-14"}, "the id stands there twice"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, change, complaint):
    with pytest.raises(InputError, match="record 2") as error:
        read_reported(write(tmp_path / "more.csv", {**ROW, **change}))
    assert complaint in str(error.value) and "more.csv" in str(error.value)


def test_other_columns_are_refused(tmp_path):
    write(tmp_path / "more.csv", columns=("id", "value"))
    with pytest.raises(InputError, match="has other columns. They are id, benchmark"):
        read_reported(tmp_path / "more.csv")
    text = (resources.files("ipcir_steps.evaluate") / "published.csv").read_text().splitlines()[0]
    (tmp_path / "short.csv").write_text(f"{text}\na,b\n")
    with pytest.raises(InputError, match=f"does not have {len(COLUMNS)} fields"):
        read_reported(tmp_path / "short.csv")
