"""The rules that balance each query by itself, one card each. None reads a label."""

import dataclasses
from collections.abc import Callable

import torch

from ipcir_steps.seek.balance import trust
from ipcir_steps.seek.balance.sides import Sides

HEAD = 10  # first images of a list from which it is seen how clear it is
ROUNDS = 8
LEAST = 1e-3

Weights = tuple[torch.Tensor, torch.Tensor]  # of text and proxy, float32 [Q], both in standard deviations


@dataclasses.dataclass(frozen=True)
class Rule:
    """How much the standardised similarities of text and proxy count, and which proxies do.

    weights: sides -> (text [Q], proxy [Q]), positive; ``lambda_of`` turns them into lambda. trust: what each proxy
    counts in eq. 1, [Q, N] in [0, 1]; None: 1. together: the weights are means over all queries, because what one query
    shows of its target is mostly noise. help: what it is.
    """

    name: str
    help: str
    weights: Callable[[Sides], Weights]
    trust: Callable[..., torch.Tensor] | None = None
    together: bool = False


def equal(sides: Sides) -> Weights:
    """Both sides alike: what moves a similarity by one standard deviation moves the sum by the same."""
    ones = torch.ones_like(sides.text_mean)
    return ones, ones


def seen_clearly(sides: Sides) -> Weights:
    """Each side by how far the head of its own list stands above the gallery (WIG: Zhou and Croft, SIGIR 2007)."""
    text, proxy = sides.standard()
    return text[:, 0, :HEAD].mean(1).clamp(min=LEAST), proxy[:, 1, :HEAD].mean(1).clamp(min=LEAST)


def spread(sides: Sides) -> Weights:
    """Each side by how much the scores in its own list differ (NQC: Shtok et al., TOIS 2012)."""
    text, proxy = sides.standard()
    return text[:, 0].std(1).clamp(min=LEAST), proxy[:, 1].std(1).clamp(min=LEAST)


def agreed(sides: Sides) -> Weights:
    """Each side by how clearly it sees the image on which both agree: for independent noise the best weights are in the
    ratio of the target's two z-scores. The first image of the weighted sum stands for the target; weights and image
    take turns (pseudo-relevance). The image is looked for in both lists.
    """
    text, proxy = (values.flatten(1) for values in sides.standard())
    absent = (sides.lists < 0).flatten(1)
    weight = [torch.ones(len(text), 1), torch.ones(len(text), 1)]
    for _ in range(ROUNDS):
        first = (weight[0] * text + weight[1] * proxy).masked_fill(absent, -torch.inf).argmax(1, keepdim=True)
        weight = [side.gather(1, first).clamp(min=LEAST) for side in (text, proxy)]
    return weight[0].flatten(), weight[1].flatten()


def lambda_of(rule: Rule, sides: Sides, combine: str) -> torch.Tensor:
    """Lambda [Q] in [0, 1] at which a step of one standard deviation of either side counts as the rule's weights say.

    combine "sum": exact. "product" (eq. 2): at the head of the list, where the order is decided; there it changes by
    (lambda + (1 - lambda) S_p) dS_t + (1 - lambda) S_t dS_p. Lambda 0 gives the text the weight (sd_t / S_t) / (sd_p /
    S_p), and eq. 2 cannot give it less; so lambda is 0 where the text should count less than that.
    """
    text, proxy = rule.weights(sides)
    if rule.together:
        text, proxy = (weight.mean().expand(len(weight)) for weight in (text, proxy))
    if combine == "sum":
        text, proxy = text / sides.text_sd, proxy / sides.proxy_sd
        return text / (text + proxy)
    text_head, proxy_head = sides.head()
    ratio = text / proxy * sides.proxy_sd * text_head / sides.text_sd - proxy_head
    ratio = (ratio.mean().expand(len(ratio)) if rule.together else ratio).clamp(min=0)
    return ratio / (1 + ratio)


_ALL = (
    Rule("matched", "both sides spread the gallery equally", equal),
    Rule("clarity", "by how far the head of each list stands above the gallery (WIG)", seen_clearly),
    Rule("spread", "by how much the scores in the head of each list differ (NQC)", spread),
    Rule("agreed", "by how clearly each side sees the image on which they agree", agreed),
    Rule("overlap", "agreed over all queries, with a query's proxies trusted if their list overlaps that of the text",
         agreed, trust.by_lists, together=True),
    Rule("cohesion", "agreed over all queries, with each proxy trusted by its agreement with the others",
         agreed, trust.by_one_another, together=True),
    Rule("captions", "agreed over all queries, with each proxy trusted by its agreement with the target captions",
         agreed, trust.by_captions, together=True),
)  # fmt: skip
RULES = {rule.name: rule for rule in _ALL}
