"""The variants that every query is ranked with, one card each. A new variant is one more card in this tuple."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Variant:
    """One way to rank the gallery.

    proxy: the fused proxy whose similarity is S_p, a name in ``ipcir_steps.seek.fusion.recipes.FUSIONS``; None ranks by
    the text similarity S_t alone.
    combine: "product" is eq. 2, lambda S_t + (1 - lambda) S_t S_p; "sum" is lambda S_t + (1 - lambda) S_p.
    "rrf" is reciprocal rank fusion of the two lists, lambda its weight.
    control: it has no proxy of the query, so what it gains is not a gain of imagination.
    drawn: it needs images that were drawn.
    label: its name in figures and tables. description: what it is, in the result files.
    colour: of its bars and marks, "#RRGGBB"; they must differ in lightness too.
    """

    name: str
    proxy: str | None
    combine: Literal["product", "sum", "rrf"]
    label: str
    description: str
    colour: str
    control: bool = False
    drawn: bool = True


_ALL = (
    Variant("base", None, "product", "base", "text baseline alone", "#999999", drawn=False),
    Variant("pi", "pi", "sum", "+ proxies", "weighted sum with the plain proxies", "#56B4E9"),
    Variant("rp", "rp", "sum", "+ robust proxy", "weighted sum with the robust proxy", "#0072B2"),
    Variant("rp_bm", "rp", "product", "IP-CIR", "IP-CIR: robust proxy, balanced (eq. 2)", "#D55E00"),
    Variant("no_proxy", "no_proxy", "product", "no proxy",
            "control: fusion without any proxy", "#009E73", control=True, drawn=False),
    Variant("other_proxy", "other_proxy", "product", "other queries' proxies",
            "control: fusion with other queries' proxies", "#CC79A7", control=True),
)  # fmt: skip
VARIANTS = {variant.name: variant for variant in _ALL}
_MORE = (
    Variant("rrf", "rp", "rrf", "+ robust proxy, RRF", "robust proxy by reciprocal rank fusion", "#F0E442"),
)  # fmt: skip
EXTRA = {variant.name: variant for variant in _MORE}  # the workflow ranks those that ``extra_variants`` names
RANKED = {**VARIANTS, **EXTRA}  # all that the commands rank

BASE = "base"  # what every other variant is compared with
METHOD = "rp_bm"  # the paper's method in full
NO_PROXY = "no_proxy"  # the control that needs no images
LADDER = tuple(variant.name for variant in _ALL if not variant.control)  # base, and as the parts are added
CONTROLS = tuple(variant.name for variant in _ALL if variant.control)
UNDRAWN = tuple(variant.name for variant in _ALL if not variant.drawn)  # all that there is without images
PROXIES = tuple(dict.fromkeys(variant.proxy for variant in _ALL if variant.proxy))  # the fused proxies that are needed


VERIFIED = "_verified"  # behind the name of a variant whose first candidates were looked at and ordered anew


def verified_name(variant: str) -> str:
    """
    >>> verified_name("rp_bm")
    'rp_bm_verified'
    """
    return f"{variant}{VERIFIED}"


def unverified(name: str) -> str:
    """The variant that a list is of, verified or not.

    >>> unverified("rp_bm_verified"), unverified("rp_bm")
    ('rp_bm', 'rp_bm')
    """
    return name.removesuffix(VERIFIED)


def card_of(name: str) -> Variant:
    """The card of a variant, or of its verified lists. Raises KeyError for another name."""
    if name in RANKED:
        return RANKED[name]
    card = RANKED[unverified(name)]
    told = {"label": f"{card.label}, verified", "description": f"{card.description}; first candidates verified"}
    return dataclasses.replace(card, name=name, **told)
