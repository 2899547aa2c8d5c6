"""Ranking: text and proxy similarity are balanced and the gallery is ranked, exactly and in bounded memory (eq. 2)."""

from ipcir_steps.seek.ranking.command import arguments, main

__all__ = ["arguments", "main", "rank"]


def rank(text, gallery, k=50, proxy=None, lambdas=(1.0,), exclude=None, *, combine="product", **limits):
    """S_f = lambda S_t + (1 - lambda) S_t S_p (eq. 2) over the whole gallery, the k best of each query and lambda.

    text [Q, D]: its products with the normalised gallery are S_t. It is used as given: the baseline decides
    whether it is normalised (LDRE's CIRCO ensemble is not). gallery [G, D]: un-normalised tensor or memory map.
    proxy [Q, D]: used as given, its products are S_p; None ranks by S_t. exclude: per query a gallery row or -1.
    combine: "product" is eq. 2; "sum" is lambda S_t + (1 - lambda) S_p (the paper's variants pi and rp).
    limits: block (gallery rows, 8192), memory_mb (resident memory, 2048 MiB), device ("cpu").
    Returns (indices int64 [L, Q, k], scores float32 [L, Q, k]), k no larger than the gallery; ties in gallery order;
    index -1 and score -inf fill up a list that an exclusion leaves short.
    Raises InputError naming tensor and row: NaN or infinite values, zero vectors, other dimensions.
    """
    from ipcir_steps.seek.ranking.streaming import Balance, scan

    if proxy is None:
        return scan(text, gallery, [Balance(None, tuple(lambdas))], None, k, exclude, **limits)[0]
    chosen = [Balance("proxy", tuple(lambdas), combine)]
    return scan(text, gallery, chosen, {"proxy": proxy}, k, exclude, **limits)[0]
