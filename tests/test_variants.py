"""The cards of the variants: one tuple that every list derives from."""

import itertools
import re

from ipcir_steps.seek.fusion.recipes import FUSIONS
from ipcir_steps.variants import BASE, CONTROLS, LADDER, METHOD, PROXIES, VARIANTS


def test_each_card_is_complete_and_unlike_the_others():
    cards = VARIANTS.values()
    for field in ("label", "description", "colour"):
        assert len({getattr(card, field) for card in cards}) == len(VARIANTS)
    assert all(re.fullmatch("#[0-9A-F]{6}", card.colour) for card in cards)
    assert all(card.proxy is None or card.proxy in FUSIONS for card in cards)


def test_the_derived_lists():
    assert [name for name, card in VARIANTS.items() if card.proxy is None] == [BASE]
    assert (VARIANTS[METHOD].proxy, VARIANTS[METHOD].combine) == ("rp", "product")
    assert (*LADDER, *CONTROLS) == tuple(VARIANTS) == ("base", "pi", "rp", "rp_bm", "no_proxy", "other_proxy")
    assert PROXIES == ("pi", "rp", "no_proxy", "other_proxy")


def test_colours_are_told_apart_in_grey():
    """Bars of one group differ in luminance or are neighbours of a different kind; no two are the same grey."""
    from matplotlib.colors import to_rgb

    grey = sorted(
        sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), to_rgb(v), strict=True))
        for v in (variant.colour for variant in VARIANTS.values())
    )
    assert all(high - low > 0.005 for low, high in itertools.pairwise(grey))
