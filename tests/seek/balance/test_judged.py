"""The rule that balances by what a judge believes of the first images of both sides."""

import json
import math

import pytest
import torch

from ipcir_steps.config import Config
from ipcir_steps.config.data import JUDGED, JUDGED_FIRST
from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.core.errors import InputError
from ipcir_steps.seek.balance import _believed
from ipcir_steps.seek.balance.apply import balance
from ipcir_steps.seek.balance.rules import LEAST, RULES, agreed, judged
from ipcir_steps.seek.balance.sides import sides_of


def of(found, believed):
    proxy = torch.from_numpy(found.features["proxies"].values.mean(1))
    return sides_of(found.inputs, proxy, believed=believed)


def firsts(found) -> list[list[list[int]]]:
    return of(found, None).lists[:, :, :JUDGED_FIRST].tolist()


def both(lists: list[list[int]]) -> list[int]:
    """Each image of two lists once."""
    return list(dict.fromkeys([*lists[0], *lists[1]]))


def test_the_cards_that_need_a_judge_are_the_ones_that_the_settings_refuse_without_one():
    assert tuple(name for name, rule in RULES.items() if rule.needs_judgements) == JUDGED
    datasets = {"mine": {"benchmark": "folder", "root": "x", "exclude_reference": False, "lambda": {"rule": "judged"}}}
    for judge in (None, "grid"):
        with pytest.raises(ValueError, match=r"lambda\.rule: judged needs a judge.*captioner or yes_no"):
            Config(datasets=datasets, run=["mine"], verify={"judge": judge})
    Config(datasets=datasets, run=["mine"], verify={"judge": "captioner"})


def test_weights_are_those_of_the_posterior_written_out(world):
    """Log-odds of a few images, some on one list alone; images beyond the first places and null ones do not count."""
    found = world(text=1.5, proxy=1.5)
    lists, draw = firsts(found), torch.Generator().manual_seed(3)
    deep = of(found, None).lists[:, :, JUDGED_FIRST + 5].tolist()
    believed = {}
    for row, query in enumerate(found.inputs.queries):
        names = sorted(set(lists[row][0][:6] + lists[row][1][3:]))
        believed[query.query_id] = {f"i{n}": float(torch.randn(1, generator=draw) * 2) for n in names}
        believed[query.query_id] |= {f"i{n}": 50.0 for n in deep[row] if n not in both(lists[row])}
    text, proxy = judged(of(found, believed))
    sides = of(found, None)
    images = torch.nn.functional.normalize(found.inputs.gallery, dim=1)
    sizes = set()
    for row, query in enumerate(found.inputs.queries):
        rows = [n for n in both(lists[row]) if f"i{n}" in believed[query.query_id]]
        sizes.add(len(rows))
        odds = [math.exp(believed[query.query_id][f"i{n}"]) for n in rows]
        heights = []
        side_p = torch.from_numpy(found.features["proxies"].values.mean(1))[row]
        for side in (found.inputs.text[row], side_p):
            scores = images @ side
            z = (scores - scores.mean()) / scores.std(correction=0)
            heights.append(sum(o * float(z[n]) for o, n in zip(odds, rows, strict=True)) / sum(odds))
        r = float(sides.correlation[row])
        assert float(text[row]) == pytest.approx(max(heights[0] - r * heights[1], LEAST), abs=2e-3)
        assert float(proxy[row]) == pytest.approx(max(heights[1] - r * heights[0], LEAST), abs=2e-3)
    assert len(sizes) > 1


def test_who_finds_what_the_judge_believes_in_counts_more(world):
    found = world(text=1.5, proxy=1.5)
    lists = firsts(found)
    lams = {}
    for side in (0, 1):
        believed = {
            query.query_id: {f"i{n}": 9.0 if n in lists[row][side][:3] else -9.0 for n in both(lists[row])}
            for row, query in enumerate(found.inputs.queries)
        }
        lams[side] = balance(
            RULES["judged"], found.inputs, found.features, ["rp", "pi"], Fusion(), 0, believed=believed
        ).lams
    for variant in ("rp", "pi"):
        assert float((lams[0][variant] > lams[1][variant]).float().mean()) > 0.8


def test_what_nobody_judged_is_balanced_as_agreed(world):
    found = world()
    third = f"i{firsts(found)[0][0][2]}"
    some = {found.inputs.queries[0].query_id: {third: 1.0, "elsewhere": 2.0}}
    for one, other in zip(judged(of(found, {})), agreed(of(found, None)), strict=True):
        assert torch.equal(one, other)
    text, own = judged(of(found, some))[0], agreed(of(found, None))[0]
    assert float(text[0]) != float(own[0]) and torch.equal(text[1:], own[1:])


def test_judgements_are_read_where_each_image_was_judged_by_itself(tmp_path):
    path = tmp_path / "side_judgements.jsonl"
    one = {"images": ["a", "b"], "values": [1.5, None]}
    path.write_text(json.dumps({"query_id": "q", "judged": [one], "failed": [{"image": "b", "reason": "x"}]}) + "\n")
    assert _believed(path) == {"q": {"a": 1.5}}
    path.write_text(json.dumps({"query_id": "q", "judged": [one, one], "failed": []}) + "\n")
    with pytest.raises(InputError, match=r"side_judgements.*q.*list by list.*captioner or yes_no"):
        _believed(path)
    with pytest.raises(InputError, match=r"--judgements.*ipcir verify"):
        _believed(None)
