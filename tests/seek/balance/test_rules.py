"""Lambda of each query, from sides whose best balance is known."""

import dataclasses

import numpy as np
import pytest
import torch

from ipcir_steps.config.data import RULES as NAMES
from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.core.features import Features
from ipcir_steps.core.records import Query
from ipcir_steps.seek.balance.apply import balance
from ipcir_steps.seek.balance.rules import RULES, Rule, discriminant, lambda_of
from ipcir_steps.seek.balance.sides import sides_of
from ipcir_steps.variants import BASE, VARIANTS

OTHERS = [name for name in VARIANTS if name != BASE]


def done(world, rule, variants=OTHERS):
    return balance(RULES[rule], world.inputs, world.features, variants, Fusion(), 0)


def test_the_settings_list_every_rule():
    assert tuple(RULES) == NAMES


def test_sides_are_those_of_whole_matrices(world):
    found = world().inputs
    proxy = torch.randn(60, 24, generator=torch.Generator().manual_seed(0))
    exclude = torch.full((60,), -1)
    exclude[3] = 7
    queries = [dataclasses.replace(query, pool="a" if n % 2 else "b") for n, query in enumerate(found.queries)]
    parts = {"a": list(range(0, 300, 3)), "b": list(range(30))}
    found = dataclasses.replace(found, queries=queries, categories=parts, exclude=exclude)
    sides = sides_of(found, proxy, depth=40)
    unit = torch.nn.functional.normalize(found.gallery, dim=1)
    for row, query in enumerate(queries):
        rows = torch.tensor(parts[query.pool])
        text, image = (unit[rows] @ side[row] for side in (found.text, proxy))
        assert float(sides.text_mean[row]) == pytest.approx(float(text.mean()), rel=1e-4)
        assert float(sides.proxy_sd[row]) == pytest.approx(float(image.std(correction=0)), rel=1e-4)
        assert float(sides.correlation[row]) == pytest.approx(
            float(torch.corrcoef(torch.stack([text, image]))[0, 1]), abs=1e-4
        )
        for place, side in enumerate((text, image)):
            listed = [at for at in rows[side.argsort(descending=True)].tolist() if at != exclude[row]][:40]
            assert sides.lists[row, place, : len(listed)].tolist() == listed
            assert bool((sides.lists[row, place, len(listed) :] == -1).all())
            shown = unit[listed] @ found.text[row]
            assert torch.allclose(sides.text[row, place, : len(listed)], shown, atol=1e-5)
            assert torch.allclose(sides.text[row, place, len(listed) :], text.mean(), atol=1e-5)


def rule_of(text: float, proxy: float, together: bool = False) -> Rule:
    return Rule("mine", "", lambda sides: (torch.full((60,), text), torch.full((60,), proxy)), together=together)


@pytest.mark.parametrize("combine", ["sum", "product"])
def test_lambda_gives_the_sides_their_weights(world, combine):
    sides = sides_of(world().inputs, torch.from_numpy(np.array(world().features["references"].values)))
    lam = lambda_of(rule_of(3.0, 1.0), sides, combine)
    assert bool((lam > 0).all() and (lam < 1).all())
    by_text, by_proxy = lam * sides.text_sd, (1 - lam) * sides.proxy_sd
    if combine == "product":  # the derivatives at the head of the list
        text, proxy = sides.head()
        by_text, by_proxy = (lam + (1 - lam) * proxy) * sides.text_sd, (1 - lam) * text * sides.proxy_sd
        least = float(((sides.text_sd / text) / (sides.proxy_sd / proxy)).min())
        assert bool((lambda_of(rule_of(least * 0.9, 1.0), sides, combine) == 0).all())
    assert torch.allclose(by_text / by_proxy, torch.tensor(3.0), rtol=1e-3)


def test_a_common_lambda_of_eq_2_is_that_of_the_mean_and_the_sum_keeps_each_querys_scale(world):
    sides = sides_of(world().inputs, torch.from_numpy(np.array(world().features["references"].values)))
    apart, common = (lambda_of(rule_of(3.0, 1.0, together), sides, "product") for together in (False, True))
    assert len(set(common.tolist())) == 1 < len(set(apart.tolist()))
    odds = (apart / (1 - apart)).mean()
    assert float(common[0]) == pytest.approx(float(odds / (1 + odds)), rel=1e-4)
    assert len(set(lambda_of(rule_of(3.0, 1.0, True), sides, "sum").tolist())) > 1


def test_the_discriminant_parts_best(world):
    """No other weights part targets at these heights better from images whose sides are correlated."""
    draw, correlation = torch.Generator().manual_seed(0), 0.7
    shared, own = torch.randn(200_000, 1, generator=draw), torch.randn(200_000, 2, generator=draw)
    others = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
    text, proxy = discriminant(torch.tensor(2.5), torch.tensor(3.0), torch.tensor(correlation))

    def apart(share: float) -> float:
        weights = torch.tensor([share, 1 - share])
        return float(weights @ torch.tensor([2.5, 3.0]) / (others @ weights).std())

    best = max((step / 100 for step in range(101)), key=apart)
    assert float(text / (text + proxy)) == pytest.approx(best, abs=0.03)


@pytest.mark.parametrize("rule", ["agreed", "cohesion", "captions"])
def test_a_query_whose_text_is_clearer_gets_more_of_it(world, rule):
    clear = done(world(text=0.2, proxy=2.5), rule, ["rp_bm", "pi"])
    vague = done(world(text=2.5, proxy=0.2), rule, ["rp_bm", "pi"])
    for variant in ("rp_bm", "pi"):
        assert float(clear.lams[variant].mean()) > float(vague.lams[variant].mean())


def test_queries_without_trusted_proxies_are_ranked_by_the_text_or_without_them(world):
    mixed = done(world([(range(30), range(5))]), "captions")
    assert float(mixed.trust["rp"][:30].mean()) < 0.1 and float(mixed.trust["rp"][30:].mean()) > 0.9
    assert float(mixed.lams["pi"][:30].mean()) > 0.9 and float(mixed.lams["pi"][30:].mean()) < 0.3
    none = mixed.trust["rp"] == 0
    assert none.any()
    # eq. 1 without its proxy is the control that has none, up to a factor.
    rows = [
        torch.nn.functional.normalize(torch.from_numpy(np.array(mixed.fused[name].values)), dim=1)
        for name in ("rp", "no_proxy")
    ]
    assert torch.allclose((rows[0] * rows[1]).sum(1)[none], torch.tensor(1.0), atol=0.02)
    gone = [query.query_id for query, without in zip(world().inputs.queries, none.tolist(), strict=True) if without]
    assert set(gone) <= set(mixed.fused["pi"].missing)


def test_the_plain_proxies_count_as_much_as_they_are_trusted(world):
    mixed = done(world([(range(60), range(2))]), "captions", ["pi"])
    trusted = mixed.trust["pi"]
    assert 0.4 < float(trusted.mean()) < 0.8 and bool((mixed.lams["pi"] >= 1 - trusted - 1e-4).all())


def test_the_trust_of_the_same_proxies_is_computed_once(world):
    asked, found, rule = [], world(), RULES["captions"]

    def trust(parts, inputs, **limits):
        asked.append(parts.proxies)
        return rule.trust(parts, inputs, **limits)

    again = balance(dataclasses.replace(rule, trust=trust), found.inputs, found.features, OTHERS, Fusion(), 0)
    assert len(asked) == 2, "the query's own, for pi and rp, and those of another query"
    assert torch.equal(again.trust["pi"], again.trust["rp"]) and not torch.equal(asked[0], asked[1])


def test_a_rule_without_trust_leaves_eq_1_as_it_is(world):
    from ipcir_steps.seek.fusion.recipes import fuse

    found = world()
    for name, fused in done(found, "agreed").fused.items():
        assert np.array_equal(fused.values, fuse(name, found.features).values)


def test_queries_that_lack_proxies_or_text_do_not_stop_a_rule(world):
    found = world()
    values = np.array(found.features["proxies"].values)
    values[4] = 0
    proxies = Features(values, found.features["proxies"].names, ("q4",))
    kept = [query for query in found.inputs.queries if query.query_id != "q7"]
    rows = [n for n in range(60) if n != 7]
    inputs = dataclasses.replace(found.inputs, queries=kept, text=found.inputs.text[rows])
    for rule in NAMES:
        some = balance(RULES[rule], inputs, {**found.features, "proxies": proxies}, OTHERS, Fusion(), 0)
        assert "q4" in some.fused["rp"].missing
        assert all(len(lam) == 59 and bool(lam.isfinite().all()) for lam in some.lams.values())


def test_every_gallery_of_its_own_is_balanced(world):
    """GeneCIS: a few images for each query, shorter than a list."""
    found = world()
    queries = [Query(query.query_id, "r", ("c",), pool=query.query_id) for query in found.inputs.queries]
    parts = {query.query_id: list(range(n, n + 12)) for n, query in enumerate(queries)}
    inputs = dataclasses.replace(found.inputs, queries=queries, categories=parts)
    for rule in NAMES:
        lams = balance(RULES[rule], inputs, found.features, ["rp_bm"], Fusion(), 0).lams["rp_bm"]
        assert bool(((lams >= 0) & (lams <= 1)).all())
