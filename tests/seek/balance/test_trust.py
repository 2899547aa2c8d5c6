"""Which proxies are trusted, where it is known which of them are another query's."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from ipcir_steps.seek.balance import trust
from ipcir_steps.seek.fusion.recipes import Parts

HALF, ALL = range(30), range(60)


def parts_of(world) -> Parts:
    values = {name: torch.from_numpy(np.array(rows.values)) for name, rows in world.features.items()}
    captions = values["target"].transpose(0, 1), values["source"].transpose(0, 1)
    ids = list(world.features["proxies"].names)
    return Parts(ids, values["references"], values["proxies"], *captions, (1, 1, 1), "dataset", 0)


def told(measure, world) -> tuple[float, float]:
    """Mean trust of the query's own proxies, and of those of others."""
    found = measure(parts_of(world), world.inputs)
    wrong = torch.from_numpy(world.wrong)
    assert found.shape == wrong.shape and bool(((found >= 0) & (found <= 1)).all())
    own, others = found[~wrong], found[wrong]
    return float(own.mean()) if len(own) else 1.0, float(others.mean()) if len(others) else 0.0


def test_a_proxy_that_is_wrong_in_a_detail_is_told_by_those_of_similar_requests(world):
    made, draw = world(), np.random.default_rng(2)
    # Ten groups of six similar requests; in the first five groups each has the proxies of the next one.
    wanted = np.repeat(draw.standard_normal((10, 24)), 6, 0) + 0.5 * draw.standard_normal((60, 24))
    drawn = wanted.copy()
    drawn[:30] = np.roll(wanted[:30].reshape(5, 6, 24), 1, 1).reshape(30, 24)
    values = {
        "target": wanted[:, None].repeat(4, 1),
        "proxies": drawn[:, None] + 0.1 * draw.standard_normal((60, 5, 24)),
    }
    features = made.features | {
        name: dataclasses.replace(made.features[name], values=rows.astype(np.float32)) for name, rows in values.items()
    }
    found = trust.by_captions(parts_of(dataclasses.replace(made, features=features)), made.inputs)
    assert float(found[:30].mean()) < 0.4 and float(found[30:].mean()) > 0.9


@pytest.mark.parametrize("measure", [trust.by_captions, trust.by_lists])
@pytest.mark.parametrize("wrong", [[], [(HALF, range(5))], [(ALL, range(5))]])
def test_proxies_of_other_queries_are_told_apart_at_any_rate(world, measure, wrong):
    own, others = told(measure, world(wrong))
    assert own > 0.9 and others < 0.15


def test_single_proxies_are_told_apart_by_captions_and_less_by_one_another(world):
    mixed = world([(ALL, range(2))])
    own, others = told(trust.by_captions, mixed)
    assert own > 0.85 and others < 0.15
    own, others = told(trust.by_one_another, mixed)
    assert own - others > 0.2
    # What five proxies of one wrong query have in common, they cannot tell.
    assert told(trust.by_one_another, world([(ALL, range(5))]))[1] > 0.9


def test_one_proxy_and_few_queries_are_trusted(world):
    alone = world([(HALF, [0])], count=1)
    assert bool((trust.by_one_another(parts_of(alone), alone.inputs) == 1).all())
    few = world([(range(10), range(5))], queries=trust.FEWEST - 1)
    for measure in (trust.by_captions, trust.by_one_another, trust.by_lists):
        assert bool((measure(parts_of(few), few.inputs) == 1).all())


def test_other_rows_are_others_and_do_not_depend_on_the_order():
    ids = [f"q{number}" for number in range(150)]
    rows = trust.other_rows(ids, 0)
    assert all(len(set(of.tolist())) == trust.OTHERS and row not in of for row, of in enumerate(rows))
    turned = trust.other_rows(ids[::-1], 0)
    assert [ids[at] for at in rows[3].tolist()] == [ids[::-1][at] for at in turned[-4].tolist()]
    assert len(trust.other_rows(ids[:4], 0)[0]) == 3


def test_the_posterior_is_one_minus_the_local_false_discovery_rate():
    draw = np.random.default_rng(0)
    # Wrong ones are uniform, right ones crowd near zero: density 0.4 + 0.6 * 8 (1 - u)^7.
    shares = torch.from_numpy(np.concatenate([draw.uniform(size=4000), draw.beta(1, 8, size=6000)])).float()
    found = trust.posterior(shares)
    for at in (0.02, 0.1, 0.3):
        near = (shares - at).abs() < 0.01
        exact = 1 - 0.4 / (0.4 + 0.6 * 8 * (1 - at) ** 7)
        assert float(found[near].mean()) == pytest.approx(exact, abs=0.12)
    ordered = found[shares.argsort()]
    assert bool((ordered[1:] <= ordered[:-1] + 1e-6).all())
    assert float(trust.posterior(torch.from_numpy(draw.uniform(size=2000)).float()).mean()) < 0.1


def test_slopes_are_those_of_the_least_concave_function():
    points, heights = torch.tensor([0.1, 0.4, 0.5, 1.0]).double(), torch.tensor([0.1, 0.7, 0.75, 1.0]).double()
    # The first point lies below the line from the origin to the second one.
    assert trust.concave_slopes(points, heights).tolist() == pytest.approx([1.75, 1.75, 0.5, 0.5])


def test_rank_biased_overlap_is_the_sum_over_depths():
    draw = np.random.default_rng(1)
    one, other = (draw.choice(30, 12, replace=False) for _ in range(2))
    p = trust.PERSISTENCE
    expected = sum((1 - p) * p ** (d - 1) * len({*one[:d]} & {*other[:d]}) / d for d in range(1, 13))
    found = trust.rank_biased_overlap(torch.tensor(one), torch.tensor(np.stack([other, other])))
    assert found.tolist() == pytest.approx([expected] * 2, rel=1e-5)
    empty = torch.full((12,), -1)
    assert trust.rank_biased_overlap(empty, empty[None]).tolist() == [0.0]
    pairs = itertools.product(range(12), repeat=2)
    assert expected == pytest.approx(
        sum(sum((1 - p) * p ** (d - 1) / d for d in range(max(a, b) + 1, 13)) for a, b in pairs if one[a] == other[b])
    )


@pytest.mark.parametrize("measure", [trust.by_captions, trust.by_one_another, trust.by_lists])
def test_proxies_that_were_not_drawn_change_no_trust(world, measure):
    """Room for proxies that no query has changes nothing, and where some queries have fewer, those are judged."""
    made = parts_of(world([(range(30), range(5))]))
    inputs = world([(range(30), range(5))]).inputs
    room = torch.cat([made.proxies, torch.zeros(60, 2, 24)], 1)
    wide = dataclasses.replace(made, proxies=room, counts=torch.full((60,), 5))
    assert torch.equal(measure(wide, inputs)[:, :5], measure(made, inputs))
    counts = torch.arange(60) % 4 + 2
    few = dataclasses.replace(
        made, proxies=made.proxies * (torch.arange(5) < counts[:, None])[..., None], counts=counts
    )
    found, there = measure(few, inputs), torch.arange(5) < counts[:, None]
    assert bool(((found >= 0) & (found <= 1)).all())
    if measure is not trust.by_one_another:  # which does not see five proxies of one wrong query
        assert found[:30][there[:30]].mean() < 0.2 and found[30:][there[30:]].mean() > 0.85
