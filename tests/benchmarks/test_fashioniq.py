"""FashionIQ's scores by hand; the protocol with references and targets alone."""

import pytest

from ipcir_steps.benchmarks import BENCHMARKS, datasets, fashioniq
from ipcir_steps.config.data import Source
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from tests.benchmarks import layouts


def test_fashioniq_averages_categories_not_queries():
    queries = [Query(str(n), "r", ["c"], ["t"], category="dress") for n in range(3)]
    queries.append(Query("3", "r", ["c"], ["t"], category="shirt"))
    values = fashioniq.total({"3": ["t"]}, queries)
    assert values["dress/recall@10"] == 0 and values["shirt/recall@10"] == 1
    assert values["recall@10"] == 0.5 and values["recall@50"] == 0.5


def load(kind, root, split="val"):
    return datasets.load(Source(benchmark=kind, root=str(root)), split)


def galleries(data):
    kinds = {kind for image in data.gallery for kind in image.categories}
    return {kind: {image.name for image in data.gallery if kind in image.categories} for kind in kinds}


def test_pairs_search_references_and_targets_only(tmp_path):
    root = layouts.fashioniq(tmp_path)
    official, pairs = load("fashioniq", root), load("fashioniq_pairs", root)
    assert pairs.queries == official.queries
    assert galleries(official) == {"dress": set("012345"), "shirt": {"5", "6", "7", "8", "9", "10"}}
    assert galleries(pairs) == {"dress": set("01234"), "shirt": set("56789")}  # 5: no dress of any caption


def test_published_fashioniq_by_pairs(published):
    """2,628 dresses, as CoSMo's code counts them (postBG/CosMo.pytorch at ab4af36, "VAL evaluation method")."""
    data, official = (load(kind, published / "FashionIQ") for kind in ("fashioniq_pairs", "fashioniq"))
    sought = {name for query in data.queries for name in (query.reference, *query.targets)}
    assert len(data.gallery) == 2628 and {image.name for image in data.gallery} == sought
    assert sought < {image.name for image in official.gallery} and data.queries == official.queries


def test_pairs_need_targets(tmp_path):
    root = layouts.fashioniq(tmp_path)
    layouts.write(root / "captions/cap.dress.test.json", [{"candidate": "1", "captions": ["is redder"]}])
    with pytest.raises(InputError, match="cap.dress.test.json: record dress-0: field 'target': is missing"):
        load("fashioniq_pairs", root, "test")


def test_numbers_of_both_protocols_are_told_apart():
    card, official = BENCHMARKS["fashioniq_pairs"], BENCHMARKS["fashioniq"]
    assert card.caution and card.rules != official.rules and not official.caution
