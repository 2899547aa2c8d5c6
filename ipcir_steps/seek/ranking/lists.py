"""The ranked lists of every variant, over the whole gallery and within CIRR's image sets."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Union

from ipcir_steps.core.rankings import Entry
from ipcir_steps.core.records import Query
from ipcir_steps.seek.ranking.inputs import RetrievalInputs, places_below, searches, target_rows
from ipcir_steps.seek.ranking.rrf import CONSTANT
from ipcir_steps.variants import BASE, card_of

if TYPE_CHECKING:
    import torch

Entries = list[Entry]  # (image, score), best first
Lambda = Union[float, "torch.Tensor"]  # of all queries, or float32 [Q]: each query's own


class Lists:
    """Ranked lists by variant. A query without the proxy of a variant keeps the list of the text there.

    lams: {variant: values of lambda}, one list per query for each. without: {proxy: ids of the queries that lack it}.
    """

    def __init__(self, lams: Mapping[str, Sequence[float]], without: Mapping[str, frozenset[str]]):
        self._without = without
        self._found: dict[str, list[dict[str, Entries]]] = {name: [{} for _ in lams[name]] for name in lams}

    def add(self, query: Query, text: Entries, ranked: Mapping[str, Sequence[Entries]]) -> None:
        """The lists of one query: by the text alone, and {variant: a list per lambda} of the others."""
        for variant, of_lams in self._found.items():
            own = variant != BASE and query.query_id not in self._without[card_of(variant).proxy]
            for number, filled in enumerate(of_lams):
                filled[query.query_id] = ranked[variant][number] if own else text

    def of(self, queries: Sequence[Query]) -> dict[str, list[list[tuple[str, Entries]]]]:
        """{variant: [(query id, entries)] per lambda}, in the order of ``queries``; those without a list left out."""
        ids = [query.query_id for query in queries]
        return {
            variant: [[(query_id, filled[query_id]) for query_id in ids if query_id in filled] for filled in of_lams]
            for variant, of_lams in self._found.items()
        }


def rank_gallery(
    inputs: RetrievalInputs, lams: Mapping[str, Sequence[Lambda]], settings, whole: bool = False,
    rrf_k: int = CONSTANT,
) -> dict[str, list[list]]:  # fmt: skip
    """{variant: [(query id, [(image, score)])] per lambda}, best first, of all variants from one pass over the gallery.

    lams: {variant: values of lambda, each a number or a tensor [Q]}; base always ranks by S_t. settings:
    ``config.retrieval.Ranking``. whole: the targets below the first k follow with their places, as (image, score,
    place). rrf_k: the constant of a rank fusion.
    """
    from ipcir_steps.seek.ranking.streaming import Balance, scan

    variants = [card_of(name) for name in lams if name != BASE]
    lists = Lists(lams, inputs.without)
    count = 1 + sum(len(lams[variant.name]) for variant in variants)
    for rows, subset, k in searches(inputs, settings.k, whole, count, settings.memory_mb):
        of_rows = {v: tuple(_of_rows(lam, rows) for lam in lams[v.name]) for v in variants}
        # A rank fusion's place is kept by its proxy alone, which costs no pass of its own.
        balances = [Balance(), *(_balance_of(v, own) for v, own in of_rows.items())]
        found = scan(
            inputs.text[rows], inputs.gallery, balances, {name: part[rows] for name, part in inputs.proxies.items()},
            k, inputs.excluded(rows), subset, block=settings.block, memory_mb=settings.memory_mb,
        )  # fmt: skip
        targets = target_rows(inputs, rows) if whole else None
        found = [*found[:1], *_with_rrf(inputs, rows, subset, k, found[1:], of_rows, settings, rrf_k)]
        lists_of = (_named(indices, scores, inputs.names, settings.k, targets) for indices, scores in found)
        of_queries = zip(*lists_of, strict=True)
        for row, (text, *others) in zip(rows, of_queries, strict=True):
            ranked = dict(zip((variant.name for variant in variants), others, strict=True))
            lists.add(inputs.queries[row], text[0], ranked)
    return lists.of(inputs.queries)


def _balance_of(variant, lams):
    from ipcir_steps.seek.ranking.streaming import Balance

    return (
        Balance(variant.proxy, (0.0,), "sum")
        if variant.combine == "rrf"
        else Balance(variant.proxy, lams, variant.combine)
    )


def _with_rrf(inputs: RetrievalInputs, rows, subset, k: int, found, of_rows: Mapping, settings, rrf_k) -> Iterator:
    """(indices, scores) of every variant, those of rank fusions made of the first ``DEPTH`` places of both sides."""
    from ipcir_steps.seek.ranking.rrf import DEPTH, fused
    from ipcir_steps.seek.ranking.streaming import Balance, scan

    for (variant, lams), known in zip(of_rows.items(), found, strict=True):
        if variant.combine != "rrf":
            yield known
            continue
        sides = scan(
            inputs.text[rows], inputs.gallery, [Balance(), Balance("proxy", (0.0,), "sum")],
            {"proxy": inputs.proxies[variant.proxy][rows]}, max(k, DEPTH), inputs.excluded(rows), subset,
            block=settings.block, memory_mb=settings.memory_mb,
        )  # fmt: skip
        (text,), (proxy,) = (indices for indices, _ in sides)
        yield fused(text, proxy, lams, k, rrf_k)


def _of_rows(lam: Lambda, rows):
    return lam if isinstance(lam, float | int) else lam[rows]


def _named(indices, scores, names: Sequence[str], k: int, targets=None) -> Iterator[list[Entries]]:
    """The lists of each query, one per lambda, of indices and scores [L, Q, n]: the first k, then the targets below."""
    heads = (side[..., :k].transpose(0, 1).tolist() for side in (indices, scores))
    for query, of_lams in enumerate(zip(*heads, strict=True)):
        lists = [
            [(names[i], score) for i, score in zip(*one, strict=True) if i >= 0] for one in zip(*of_lams, strict=True)
        ]
        if targets is not None:
            for filled, found, scored in zip(lists, indices[:, query], scores[:, query], strict=True):
                below = places_below(found, k, targets[query])
                filled += [(names[found[at]], scored[at].item(), at + 1) for at in below]
        yield lists


def rank_subsets(
    inputs: RetrievalInputs, lams: Mapping[str, Lambda], rrf_k: int = CONSTANT
) -> dict[str, list[tuple[str, Entries]]]:
    """CIRR's subset lists {variant: [(query id, [(image, score)])]}: the other members of each query's image set.

    lams: {variant: lambda, a number or a tensor [Q]}. Members that the gallery lacks are left out, ties keep the
    annotated order. Queries without an image set have no list.
    """
    import torch

    row_of = {name: row for row, name in enumerate(inputs.names)}
    lists = Lists({variant: (lam,) for variant, lam in lams.items()}, inputs.without)
    for row, query in enumerate(inputs.queries):
        if not query.group:
            continue
        names = [name for name in query.group if name in row_of and name != query.reference]
        members = torch.as_tensor(inputs.gallery[[row_of[name] for name in names]])
        members = torch.nn.functional.normalize(members, dim=1)
        text = members @ inputs.text[row]
        similar = {name: members @ part[row] for name, part in inputs.proxies.items()}
        ranked = {}
        for variant, lam in lams.items():
            if variant != BASE:
                own = float(_of_rows(lam, row))
                scores = _balanced(text, similar[card_of(variant).proxy], own, card_of(variant).combine, rrf_k)
                ranked[variant] = [_sorted(names, scores)]
        lists.add(query, _sorted(names, text), ranked)
    return {variant: rows for variant, (rows,) in lists.of(inputs.queries).items()}


def _balanced(text, proxy, lam: float, combine: str, rrf_k: int):
    """S_f of some images (eq. 2, the sum of the paper's plainer variants, or the fusion of their ranks)."""
    if combine == "rrf":
        from ipcir_steps.seek.ranking.rrf import shares_of

        return lam * shares_of(text, rrf_k) + (1 - lam) * shares_of(proxy, rrf_k)
    return (text * proxy if combine == "product" else proxy).lerp(text, lam)


def _sorted(names: Sequence[str], scores) -> Entries:
    order = scores.argsort(descending=True, stable=True).tolist()
    return [(names[i], scores[i].item()) for i in order]
