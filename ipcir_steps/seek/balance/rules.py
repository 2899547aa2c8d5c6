"""The rules that balance each query by itself, one card each. None reads a label."""

import dataclasses
from collections.abc import Callable

import torch

from ipcir_steps.config.data import JUDGED_FIRST
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
    counts in eq. 1, [Q, N] in [0, 1]; None: 1. together: eq. 2 has one lambda for all queries.
    needs_judgements: a judge must have seen the first images of both lists. help: what it is.
    """

    name: str
    help: str
    weights: Callable[[Sides], Weights]
    trust: Callable[..., torch.Tensor] | None = None
    together: bool = False
    needs_judgements: bool = False


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
    """Fisher's linear discriminant of the image on which both sides agree from the gallery, each query by itself."""
    return discriminant(*heights(sides), sides.correlation)


def agreed_together(sides: Sides) -> Weights:
    """``agreed`` with the means over all queries: what one query shows of its target is mostly noise."""
    text, proxy, correlation = (values.mean().expand(len(values)) for values in (*heights(sides), sides.correlation))
    return discriminant(text, proxy, correlation)


def judged(sides: Sides) -> Weights:
    """``agreed`` with a judge in place of agreement: how high each side puts the image that the judge believes in.

    Among the first ``JUDGED_FIRST`` images x of both lists, each once, the judge's log-odds j are the logarithms of
    likelihood ratios, so the target is x with probability exp(j_x) / sum exp(j) (Bayes, all alike before). The heights
    are the means under it of the standardised similarities. Queries of which nothing was judged have those of
    ``agreed``.
    """
    head = sides.lists[..., :JUDGED_FIRST]
    odds = sides.odds[..., :JUDGED_FIRST].clone()
    odds[:, 1][(head[:, 1, :, None] == head[:, 0, None]).any(2)] = torch.nan
    known = ~odds.flatten(1).isnan()
    some = known.any(1)
    belief = torch.where(known, odds.flatten(1), -torch.inf).masked_fill(~some[:, None], 0).softmax(1)
    means = [(belief * side[..., :JUDGED_FIRST].flatten(1)).sum(1) for side in sides.standard()]
    text, proxy = (torch.where(some, mean, own) for mean, own in zip(means, heights(sides), strict=True))
    return discriminant(text, proxy, sides.correlation)


def heights(sides: Sides) -> Weights:
    """How far the image on which both sides agree stands above the mean of each, standard deviations [Q].

    It is the first image of the sum weighted by these heights, which take turns with it (pseudo-relevance), and is
    looked for in both lists.
    """
    text, proxy = (values.flatten(1) for values in sides.standard())
    absent = (sides.lists < 0).flatten(1)
    height = [torch.ones(len(text), 1), torch.ones(len(text), 1)]
    for _ in range(ROUNDS):
        first = (height[0] * text + height[1] * proxy).masked_fill(absent, -torch.inf).argmax(1, keepdim=True)
        height = [side.gather(1, first).clamp(min=LEAST) for side in (text, proxy)]
    return height[0].flatten(), height[1].flatten()


def discriminant(text: torch.Tensor, proxy: torch.Tensor, correlation: torch.Tensor) -> Weights:
    """The weights of two standardised sides that best part a target at these heights from images whose sides have this
    correlation (Fisher, 1936): what a side tells that the other does not.

    >>> import torch
    >>> [w.item() for w in discriminant(torch.tensor(2.0), torch.tensor(4.0), torch.tensor(0.5))]
    [0.0010000000474974513, 3.0]
    """
    return (text - correlation * proxy).clamp(min=LEAST), (proxy - correlation * text).clamp(min=LEAST)


def lambda_of(rule: Rule, sides: Sides, combine: str) -> torch.Tensor:
    """Lambda [Q] in [0, 1] at which a step of one standard deviation of either side counts as the rule's weights say.

    combine "sum": exact. "rrf": the weights themselves, because ranks have no scale. "product" (eq. 2): at the head of
    the list, where the order is decided; there it changes by (lambda + (1 - lambda) S_p) dS_t + (1 - lambda)
    S_t dS_p. Lambda 0 gives the text the weight (sd_t / S_t) / (sd_p / S_p), and eq. 2 cannot give it less; so lambda
    is 0 where the text should count less than that.
    """
    text, proxy = rule.weights(sides)
    if combine == "rrf":
        return text / (text + proxy)
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
         agreed_together, trust.by_lists, together=True),
    Rule("cohesion", "agreed over all queries, with each proxy trusted by its agreement with the others",
         agreed_together, trust.by_one_another, together=True),
    Rule("captions", "agreed over all queries, with each proxy trusted by its agreement with the target captions",
         agreed_together, trust.by_captions, together=True),
    Rule("judged", "by how high each side puts the image that a judge believes in", judged, needs_judgements=True),
)  # fmt: skip
RULES = {rule.name: rule for rule in _ALL}
