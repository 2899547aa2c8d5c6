"""Whose list a query gets: its proxy's, or where it has none that of the text; over the gallery and in image sets."""

import dataclasses

import pytest
import torch

from ipcir_steps.config.retrieval import Ranking
from ipcir_steps.core.records import Query
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, searches
from ipcir_steps.seek.ranking.lists import Lists, rank_gallery, rank_subsets

TEXT, OWN, OTHER = [("a", 1.0)], [("b", 1.0)], [("c", 1.0)]


def test_a_query_without_a_proxy_keeps_the_list_of_the_text_for_every_lambda():
    queries = [Query("q1", "r", ("c",)), Query("q0", "r", ("c",)), Query("none", "r", ("c",))]
    lists = Lists({"base": (1.0,), "rp": (0.0, 0.5), "pi": (0.5,)}, {"rp": frozenset({"q0"}), "pi": frozenset()})
    for query in reversed(queries[:2]):
        lists.add(query, TEXT, {"rp": [OWN, OTHER], "pi": [OTHER]})
    assert lists.of(queries) == {
        "base": [[("q1", TEXT), ("q0", TEXT)]],
        "rp": [[("q1", OWN), ("q0", TEXT)], [("q1", OTHER), ("q0", TEXT)]],
        "pi": [[("q1", OTHER), ("q0", OTHER)]],
    }


@pytest.fixture
def search():
    """Three queries; q1 has no robust proxy, q2 no image set."""
    draw = torch.Generator().manual_seed(0)
    text, proxy, gallery = (torch.randn(rows, 5, generator=draw) for rows in (3, 3, 20))
    names = [f"i{n}" for n in range(20)]
    groups = [("i3", "i0", "i7", "absent", "i1"), ("i9", "i1", "i2"), None]
    queries = [Query(f"q{n}", f"i{n}", ("c",), group=groups[n]) for n in range(3)]
    return RetrievalInputs(
        queries=queries, names=names, text=text, gallery=gallery, proxies={"rp": proxy}, without={"rp": {"q1"}}
    )


LAMS = {"rp_bm": 0.3, "base": 1.0, "rp": 0.3}


def _whole(search, variant, lam):
    unit = torch.nn.functional.normalize(search.gallery.double(), dim=1)
    text, proxy = search.text.double() @ unit.T, search.proxies["rp"].double() @ unit.T
    proxy = text * proxy if variant == "rp_bm" else proxy
    scores = text if variant == "base" else lam * text + (1 - lam) * proxy
    scores[1] = text[1]
    return scores


def test_each_query_has_its_own_lambda_in_the_gallery_and_in_its_image_set(search):
    lams = torch.tensor([0.0, 0.4, 0.9])
    own = rank_gallery(search, {"rp_bm": (lams, 0.4), "rp": (lams,)}, Ranking(k=20))
    sets = rank_subsets(search, {"base": 1.0, "rp_bm": lams, "rp": lams})
    for row, lam in enumerate(lams.tolist()):
        one = rank_gallery(search, {"rp_bm": (lam,), "rp": (lam,)}, Ranking(k=20))
        for variant in one:
            names = [[name for name, _ in found[variant][0][row][1]] for found in (own, one)]
            assert names[0] == names[1]
    assert own["rp_bm"][1] == rank_gallery(search, {"rp_bm": (0.4,)}, Ranking(k=20))["rp_bm"][0]
    alone = rank_subsets(search, {"base": 1.0, "rp_bm": 0.0, "rp": 0.0})
    assert sets["rp_bm"][0] == alone["rp_bm"][0]


def test_full_lists_are_the_formula_and_fall_back(search):
    found = rank_gallery(search, {name: (lam, 0.9) for name, lam in LAMS.items() if name != "base"}, Ranking(k=20))
    for variant, of_lams in found.items():
        for lam, rows in zip((LAMS[variant], 0.9), of_lams, strict=True):
            scores = _whole(search, variant, lam)
            assert [query for query, _ in rows] == ["q0", "q1", "q2"]
            for row, (_, entries) in enumerate(rows):
                assert [name for name, _ in entries] == [f"i{i}" for i in scores[row].argsort(descending=True)]
                expected = scores[row].sort(descending=True).values
                assert torch.allclose(torch.tensor([s for _, s in entries], dtype=torch.float64), expected, atol=1e-5)


def test_subset_lists_are_the_members_in_the_order_of_the_full_list(search):
    full = rank_gallery(search, {name: (lam,) for name, lam in LAMS.items()}, Ranking(k=20))
    inner = rank_subsets(search, LAMS)
    for variant, rows in inner.items():
        assert [query for query, _ in rows] == ["q0", "q1"]  # q2 has no image set
        of_query = {query: [name for name, _ in entries] for query, entries in full[variant][0]}
        for query, entries in rows:
            members = {"q0": {"i3", "i7", "i1"}, "q1": {"i9", "i2"}}[query]  # neither the reference nor what is absent
            assert [name for name, _ in entries] == [name for name in of_query[query] if name in members]
    assert dict(inner["rp"])["q1"] == dict(inner["base"])["q1"] != dict(inner["rp"])["q0"]


def test_whole_lists_hold_the_targets_below_their_end(search):
    queries = [dataclasses.replace(query, targets=("i4", "i11", "absent")) for query in search.queries]
    search = dataclasses.replace(search, queries=queries)
    lams = {"rp_bm": (0.3, 0.9), "base": (1.0,)}
    full, short, whole = (
        rank_gallery(search, lams, Ranking(k=k), more) for k, more in ((20, False), (3, False), (3, True))
    )
    below = 0
    for variant, of_lams in whole.items():
        for number, rows in enumerate(of_lams):
            for (query, entries), (_, head), (_, every) in zip(
                rows, short[variant][number], full[variant][number], strict=True
            ):
                names = [name for name, _ in every]
                assert entries[:3] == head and query.startswith("q")
                places = {name: place for name, _, place in entries[3:]}
                assert places == {name: names.index(name) + 1 for name in ("i4", "i11") if name not in names[:3]}
                assert [place for _, _, place in entries[3:]] == sorted(places.values())
                below += len(places)
    assert below > 10


def test_queries_search_the_part_of_the_gallery_that_they_name(search):
    """A pool goes before a category; few queries at a time where their lists would take too much memory."""
    parts = {"left": list(range(10)), "right": list(range(10, 20)), "dress": list(range(20))}
    queries = [
        dataclasses.replace(query, pool=pool, category="dress", targets=(f"i{at}",))
        for query, pool, at in zip(search.queries, ("left", "right", None), (9, 19, 5), strict=True)
    ]
    search = dataclasses.replace(search, queries=queries, categories=parts)
    (rows,) = rank_gallery(search, {"base": (1.0,)}, Ranking(k=30))["base"]
    assert [{name for name, _ in entries} for _, entries in rows] == [
        {f"i{n}" for n in parts[name]} for name in ("left", "right", "dress")
    ]
    passes = list(searches(search, 3, True, lists=500_000, memory_mb=1024))  # 8 lists of 10 images: more than a quarter
    assert passes == [([0], parts["left"], 10), ([1], parts["right"], 10), ([2], parts["dress"], 20)]
    together = dataclasses.replace(search, queries=[dataclasses.replace(q, pool="left") for q in queries])
    alone = list(searches(together, 3, True, lists=500_000, memory_mb=1024))
    assert alone == [([row], parts["left"], 10) for row in range(3)]
    assert list(searches(together, 3, True, lists=5, memory_mb=1024)) == [([0, 1, 2], parts["left"], 10)]
