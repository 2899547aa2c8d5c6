"""Layouts: as many things as the caption states."""

import pytest

from ipcir_steps.imagine.layouts import parse_layout
from ipcir_steps.imagine.layouts.counts import keep_counts
from tests.imagine.layouts.example import DOG, is_valid


@pytest.mark.parametrize(
    ("caption", "have", "want"),
    [
        ("shows two dogs", 3, 2),
        ("shows only one large dog", 2, 1),
        ("has 3 dogs", 1, 3),
        ("has three dogs", 3, 3),
        ("has one more dog", 2, 2),
        ("shows one of the dogs", 2, 2),
        ("has two cats", 3, 3),
        ("shows dogs", 3, 3),
    ],
)
def test_counts_follow_the_caption(caption, have, want):
    dogs = [{**DOG, "label": f"dog {n}", "category": "dog"} for n in range(have)]
    # "dog 1" would read as a stated number
    layout = parse_layout(
        {"scene": "a lawn", "instances": [{**d, "label": "dog", "size": 1 + n} for n, d in enumerate(dogs)]}
    )
    fixed, repairs = keep_counts(layout, caption)
    assert len(fixed.instances) == want and bool(repairs) == (have != want)
    assert is_valid(fixed.as_dict()) and len({i.box for i in fixed.instances}) >= (want if have == 1 else 1)


def test_a_group_in_one_box_counts_as_stated():
    layout = parse_layout({"scene": "a lawn", "instances": [{**DOG, "label": "two dogs"}]})
    assert keep_counts(layout, "shows two dogs") == (layout, [])
