"""When is eq. 2 (the product of the similarities) a better balance than their weighted sum? See docs/ranking.md.

    snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
    python -m dev.benchmarks.product_or_sum --figure docs/images/product_or_sum.png

On made-up scores, where one property is varied at a time, and on the mini test world, where only the zero point of the
text similarity is moved. Whole matrices are held: this is an experiment, not a step.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dev.benchmarks.worlds import load
from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.seek.fusion.recipes import fuse

LAMBDAS = tuple(step / 20 for step in range(21))
CIRCO = BENCHMARKS["circo"]
QUERIES, IMAGES, SEEDS = 2000, 2000, 2
CHUNK = 250  # queries whose scores are held at once


def scores(draw, queries, images, *, text=2.5, proxy=2.5, text_dispersion=0.2, proxy_dispersion=0.2, correlation=0.0,
           scale=0.0, hopeless=0.0):  # fmt: skip
    """S_t and S_p [Q, G]; the target is column 0.

    text, proxy: how far the target stands above the mean, in standard deviations. *_dispersion: standard deviation over
    mean. correlation: of both sides over the other images. scale: standard deviation of the logarithm of each query's
    own factor of S_p. hopeless: share of images that resemble the proxy (3 standard deviations up) and not the text at
    all (3 down).
    """
    shared = torch.randn(queries, images, generator=draw)
    sides = []
    for lift in (text, proxy):
        own = torch.randn(queries, images, generator=draw)
        side = correlation**0.5 * shared + (1 - correlation) ** 0.5 * own
        side[:, 0] = lift + torch.randn(queries, generator=draw)
        sides.append(side)
    if hopeless:
        bad = torch.rand(queries, images, generator=draw) < hopeless
        bad[:, 0] = False
        sides[0][bad] -= 3
        sides[1][bad] += 3
    t, p = (1 + spread * side for spread, side in zip((text_dispersion, proxy_dispersion), sides, strict=True))
    return t, p * (scale * torch.randn(queries, 1, generator=draw)).exp()


def hits(t: torch.Tensor, p: torch.Tensor, k: int = 10) -> dict[str, float]:
    """Recall@k in percent of each combination at its best lambda (one for all queries)."""
    found = {}
    for name, other in {"product": t * p, "sum": p}.items():
        # Scores that are equal count against the target.
        below = [(torch.lerp(other, t, lam) >= torch.lerp(other[:, :1], t[:, :1], lam)).sum(1) <= k for lam in LAMBDAS]
        found[name] = below
    return found


def gain(**world) -> float:
    """Points of recall@10 by which the product is better than the sum, each at its best lambda."""
    counts = {"product": np.zeros(len(LAMBDAS)), "sum": np.zeros(len(LAMBDAS))}
    for seed in range(SEEDS):
        draw = torch.Generator().manual_seed(seed)
        for _ in range(0, QUERIES, CHUNK):
            for name, found in hits(*scores(draw, CHUNK, IMAGES, **world)).items():
                counts[name] += [int(of.sum()) for of in found]
    return 100 * float(counts["product"].max() - counts["sum"].max()) / (SEEDS * QUERIES)


def mini(directory: Path, baseline: str) -> tuple[torch.Tensor, torch.Tensor, Callable, torch.Tensor]:
    """S_t, S_p (robust proxy) [Q, G], the function of scores that gives mAP@10, and the targets' columns [Q]."""
    found, features = load(directory, "mini_test", baseline)
    fused = fuse("rp", features)
    rows = [fused.names.index(query.query_id) for query in found.queries]
    images = torch.nn.functional.normalize(torch.from_numpy(np.array(found.gallery)), dim=1)
    text, proxy = (side @ images.T for side in (found.text, torch.from_numpy(fused.values[rows].copy())))

    def precision(similar: torch.Tensor) -> float:
        best = similar.topk(10).indices.tolist()
        lists = {
            query.query_id: [found.names[at] for at in row] for query, row in zip(found.queries, best, strict=True)
        }
        return 100 * CIRCO.total(lists, found.queries)[CIRCO.tuned_by]

    return text, proxy, precision, torch.tensor([found.row_of[query.targets[0]] for query in found.queries])


def best(text, proxy, precision, combine: str, lams: Sequence[float] = LAMBDAS[::2]) -> tuple[float, float]:
    """(mAP@10, lambda) at the best lambda."""
    other = text * proxy if combine == "product" else proxy
    return max((precision(torch.lerp(other, text, lam)), lam) for lam in lams)


def dispersions(text: torch.Tensor, proxy: torch.Tensor) -> dict[str, float]:
    """What ``ipcir balance`` tells of both sides, and how much the scale of S_p differs between queries."""
    t, p = (side.std(1) / side.mean(1) for side in (text, proxy))
    centred = [side - side.mean(1, keepdim=True) for side in (text, proxy)]
    alike = torch.nn.functional.cosine_similarity(*centred)
    head = proxy.topk(10).indices
    hopeless = (centred[0].gather(1, head) < 0).float().mean()
    return {"text": float(t.median()), "proxy": float(p.median()), "correlation": float(alike.median()),
            "scale": float((proxy.std(1) / text.std(1)).log().std()), "hopeless": float(hopeless)}  # fmt: skip


def measure(directory: Path, baselines: Sequence[str], shifts: Sequence[float]) -> dict[str, dict]:
    """Of each baseline: both combinations, what decides between them, and the product with a moved zero of S_t."""
    told = {}
    for baseline in baselines:
        text, proxy, precision, right = mini(directory, baseline)
        of = {"sides": dispersions(text, proxy)}
        of |= {combine: best(text, proxy, precision, combine) for combine in ("product", "sum")}
        sd = text.std(1, keepdim=True)
        of["moved"] = [
            (float(((text + shift * sd).std(1) / (text + shift * sd).mean(1)).median()),
             *best(text + shift * sd, proxy, precision, "product"))
            for shift in shifts
        ]  # fmt: skip
        z = [
            ((side - side.mean(1, keepdim=True)) / side.std(1, keepdim=True)).gather(1, right[:, None]).mean()
            for side in (text, proxy)
        ]
        of["target"] = [float(value) for value in z]
        told[baseline] = of
        print(baseline, of, flush=True)
    return told
