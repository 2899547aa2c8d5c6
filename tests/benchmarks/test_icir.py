"""i-CIR: the official layout, the official numbers, lists that reach the last target."""

import numpy as np
import pytest

from ipcir_steps.benchmarks import datasets, icir
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.rankings import Places
from ipcir_steps.core.records import Query
from tests.benchmarks import layouts

# What the official code gives for the lists below: mAP, mmAP, minmAP (billpsomas/icir at 463cc1d, map_calc_icir in
# utils_retrieval.py and the averages in run_retrieval.py).
OFFICIAL = (0.22814413343698833, 0.22814413343698828, 0.14801767462522505)


@pytest.fixture
def lists():
    """(queries, rankings): six instances with six queries each, of three texts, on 20 to 300 images."""
    draw, queries, rankings, texts = np.random.default_rng(17), [], {}, ["t0", "t1", "t2"]
    for instance in range(6):
        size = int(draw.integers(20, 300))
        labels = draw.choice([*texts, "", ""], size)
        labels[:3] = texts
        names = np.array([f"{instance}/{number}" for number in range(size)])
        for number, order in enumerate([draw.permutation(size) for _ in range(6)]):
            targets = tuple(names[labels == texts[number % 3]].tolist())
            queries.append(Query(f"{instance}-{number}", "r", ("c",), targets, pool=str(instance)))
            rankings[queries[-1].query_id] = names[order].tolist()
    return queries, rankings


def test_numbers_are_those_of_the_official_code(lists):
    queries, rankings = lists
    values = icir.total(rankings, queries)
    assert [values[name] for name in ("mAP", "mmAP", "minmAP")] == pytest.approx(OFFICIAL, abs=1e-9)


def test_average_precision_is_the_area_under_the_curve(lists):
    """Integrated by numpy, from cumulated hits: one upright step and one trapezoid for each right image."""
    queries, rankings = lists
    for query in queries:
        hits = np.isin(rankings[query.query_id], query.targets)
        count = np.cumsum(hits)
        places = np.flatnonzero(hits)
        after = count[places] / (places + 1)
        before = np.where(places == 0, 1.0, (count[places] - 1) / np.maximum(places, 1))
        width = 1 / (hits.sum() + 1e-5)
        area = sum(np.trapezoid(sides, dx=width) for sides in np.stack([before, after], 1))
        found = icir.average_precision(rankings[query.query_id], query.targets)
        assert found == pytest.approx(area, abs=1e-9)


def test_places_between_need_not_be_known(lists):
    queries, rankings = lists
    gapped = {}
    for query in queries:
        places = enumerate(rankings[query.query_id], 1)
        gapped[query.query_id] = Places(place for place in places if place[0] <= 5 or place[1] in query.targets)
    assert icir.total(gapped, queries) == icir.total(rankings, queries)


def test_a_short_list_counts_what_is_there():
    assert icir.average_precision(["a"], ["a", "b"]) == pytest.approx(1 / (2 + 1e-5))
    assert icir.average_precision([], ["a"]) == 0


def test_official_layout(tmp_path):
    data = datasets.load(Source(benchmark="icir", root=str(layouts.icir(tmp_path))), "all")
    night, drawing, bridge = data.queries
    assert (night.reference, night.captions, night.pool) == ("query/lamp/a.png", ("at night",), "lamp")
    assert night.targets == ("database/0.png", "database/1.png")
    assert drawing.targets == ("database/2.png", "database/0.png+")  # listed again: another image of the gallery
    assert bridge.targets == ("database/4.png",)  # the lamp at night is no bridge
    pools = {image.name: image.categories for image in data.gallery}
    assert pools["database/3.png"] == ("lamp", "bridge") and pools["database/0.png+"] == ("lamp",)
    assert {image.path for image in data.gallery} == {f"database/{n}.png" for n in range(6)}


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("query_files.csv", "query/lamp/a.png,at night", "record 4: is not image,text,instance"),
        ("database_files.csv", "database/1.png,x,", "record 9: is not image,text,instance"),
        ("query_files.csv", "query/lamp/a.png,on a table,lamp", "record 4: field 'text': lamp has no image of"),
    ],
)  # fmt: skip
def test_bad_lines_are_told(tmp_path, file, line, message):
    path = layouts.icir(tmp_path) / file
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(InputError, match=message):
        datasets.load(Source(benchmark="icir", root=str(tmp_path)), "all")


def test_absent_files_and_other_splits(tmp_path):
    with pytest.raises(InputError, match=r"database_files.csv: the annotation file is missing. Get it from https"):
        datasets.load(Source(benchmark="icir", root=str(tmp_path)), "all")
    with pytest.raises(InputError, match="has no split 'val'. Set split to all"):
        datasets.load(Source(benchmark="icir", root=str(tmp_path)), "val")
