"""When is eq. 2 (the product of the similarities) a better balance than their weighted sum? See docs/ranking.md.

    snakemake --cores 2 results/mini_test_metrics.json --configfile configs/mini_evaluation.yaml
    python -m dev.benchmarks.product_or_sum --figure docs/images/product_or_sum.png

On made-up scores, where one property is varied at a time, and on the mini test world, where only the zero point of the
text similarity is moved. Whole matrices are held: this is an experiment, not a step.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dev.benchmarks.worlds import load, rows_of
from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.evaluate.reporting.figures import style
from ipcir_steps.seek.fusion.recipes import fuse

LAMBDAS = tuple(step / 20 for step in range(21))
CIRCO = BENCHMARKS["circo"]
QUERIES, IMAGES, SEEDS = 2000, 2000, 2
CHUNK = 250  # queries whose scores are held at once
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2)
DISPERSIONS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0)  # sd over mean of S_t


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


def hits(t: torch.Tensor, p: torch.Tensor, k: int = 10) -> dict[str, list[torch.Tensor]]:
    """Of each combination and lambda, whether the target is among the first k: bool [Q]."""
    # The target counts itself; scores that are equal count against it.
    return {
        name: [(torch.lerp(other, t, lam) >= torch.lerp(other[:, :1], t[:, :1], lam)).sum(1) <= k for lam in LAMBDAS]
        for name, other in {"product": t * p, "sum": p}.items()
    }


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
    images = torch.nn.functional.normalize(torch.from_numpy(np.array(found.gallery)), dim=1)
    text, proxy = (side @ images.T for side in (found.text, rows_of(fuse("rp", features), found)))

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
    """Medians over the queries: standard deviation over mean of both sides, their correlation; how much the ratio of
    both standard deviations differs between queries; the share of the proxy's first ten images that the text puts below
    the mean of the gallery."""
    t, p = (side.std(1) / side.mean(1) for side in (text, proxy))
    centred = [side - side.mean(1, keepdim=True) for side in (text, proxy)]
    alike = torch.nn.functional.cosine_similarity(*centred)
    hopeless = (centred[0].gather(1, proxy.topk(10).indices) < 0).float().mean()
    return {"text": float(t.median()), "proxy": float(p.median()), "correlation": float(alike.median()),
            "scale": float((proxy.std(1) / text.std(1)).log().std()), "hopeless": float(hopeless)}  # fmt: skip


def heights(right: torch.Tensor, *sides: torch.Tensor) -> list[float]:
    """How far the targets stand above the mean of each side, standard deviations, mean over the queries."""
    standard = ((side - side.mean(1, keepdim=True)) / side.std(1, keepdim=True) for side in sides)
    return [float(side.gather(1, right[:, None]).mean()) for side in standard]


def measure(directory: Path, baselines: Sequence[str]) -> dict[str, dict]:
    """Of each baseline: both combinations, what decides between them, and the product with a moved zero of S_t."""
    told = {}
    for baseline in baselines:
        text, proxy, precision, right = mini(directory, baseline)
        of = {combine: best(text, proxy, precision, combine) for combine in ("product", "sum")}
        of |= {"sides": dispersions(text, proxy), "heights": heights(right, text, proxy), "moved": []}
        mean, sd = text.mean(1, keepdim=True), text.std(1, keepdim=True)
        for spread in DISPERSIONS:
            moved = text - mean + sd / spread  # the same list of S_t, whose standard deviation over mean is ``spread``
            of["moved"].append((spread, *best(moved, proxy, precision, "product")))
        told[baseline] = of
        print(baseline, of, flush=True)
    return told


def made_up() -> dict[str, list[tuple]]:
    """{what varies: [(value, gain)]}; the sides see the target equally well but where it says otherwise."""
    told = {}
    for sides in ({"text": 2.5, "proxy": 2.5}, {"text": 1.5, "proxy": 3.0}, {"text": 3.0, "proxy": 1.5}):
        name = ", ".join(f"{side} {height}" for side, height in sides.items())
        told[name] = [(spread, gain(**sides, text_dispersion=spread)) for spread in DISPERSIONS]
    told["scale"] = [(value, gain(scale=value)) for value in (0, 0.1, 0.2, 0.3, 0.5, 0.75, 1)]
    told["hopeless"] = [(value, gain(hopeless=value)) for value in (0, 0.01, 0.05, 0.1, 0.2, 0.3)]
    told["correlation"] = [(value, gain(correlation=value)) for value in (0, 0.2, 0.4, 0.6, 0.8)]
    for name, points in told.items():
        print(name, ", ".join(f"{value}: {found:+.1f}" for value, found in points), flush=True)
    return told


def draw(told: dict[str, list[tuple]], measured: dict[str, dict]):
    """Four panels: dispersion of the text, the moved zero on the mini world, scale between queries, hopeless images."""
    plt = style.start()
    figure, axes = style.panels(plt, 4, 3.1, 2.7, columns=2)
    draw_dispersion(axes[0], {name: points for name, points in told.items() if name.startswith("text ")})
    draw_moved(axes[1], measured)
    names = {"scale": "sd over the queries of log(scale of S_p)", "hopeless": "share like the proxy, unlike the text"}
    for axis, (name, label) in zip(axes[2:], names.items(), strict=True):
        axis.plot(*zip(*told[name], strict=True), color=style.BLUE, marker="o")
        axis.set(xlabel=label, ylabel="R@10: product - sum, points")
    axes[2].set_title("made up: scale differs between queries")
    axes[3].set_title("made up: hopeless images")
    for axis in axes:
        axis.axhline(0, color=style.BLACK, linewidth=0.8)
    for axis in axes[:2]:
        axis.set(xscale="log", xticks=TICKS, xticklabels=TICKS)
        axis.minorticks_off()
    return figure


def draw_dispersion(axis, lines: dict[str, list[tuple]]) -> None:
    for number, (name, points) in enumerate(lines.items()):
        look = {"color": style.SERIES[number], "marker": style.MARKERS[number], "linestyle": style.LINES[number]}
        axis.plot(*zip(*points, strict=True), label=name, **look)
    axis.axvline(0.2, color=style.GREY, linewidth=0.8)
    axis.annotate("proxy side: 0.2", (0.2, -34), (4, 0), textcoords="offset points", fontsize=7, color="#555555")
    axis.set(xlabel="dispersion of the text: sd / mean of S_t", ylabel="R@10: product - sum, points")
    axis.legend(
        title="target above the mean, sd", title_fontsize=7, fontsize=7, loc="lower left", bbox_to_anchor=(0, 0.08)
    )
    axis.set_title("made up: dispersion")


def draw_moved(axis, measured: dict[str, dict]) -> None:
    """A star is the product as it is; at the right edge where the mean of S_t is below zero, so that it has none."""
    for number, (baseline, of) in enumerate(measured.items()):
        spread, values, _ = zip(*of["moved"], strict=True)
        look = {"color": style.SERIES[number], "marker": style.MARKERS[number], "linestyle": style.LINES[number % 4]}
        axis.plot(spread, np.subtract(values, of["sum"][0]), label=style.name_of(baseline), **look)
        own = of["sides"]["text"]
        at = (own if own > 0 else 3.2), of["product"][0] - of["sum"][0]
        axis.plot(*at, marker="*", markersize=10, color=style.SERIES[number], markeredgecolor="white")
    axis.annotate(
        "mean of S_t\nbelow zero", (3.2, -4), (0, -8), textcoords="offset points", ha="center", va="top", fontsize=7
    )
    axis.set(xlabel="dispersion of the text, zero of S_t moved", ylabel="mAP@10: product - sum, points")
    axis.legend(fontsize=7, loc="lower left")
    axis.set_title("mini test world (stars: as it is)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--directory", type=Path, default=Path(), help="where the workflow ran")
    parser.add_argument("--baselines", nargs="+", default=["ldre", "cirevl", "searle", "lincir", "pic2word"])
    parser.add_argument("--figure", type=Path, help="PNG to write")
    args = parser.parse_args()
    figure = draw(made_up(), measure(args.directory, args.baselines))
    if args.figure:
        figure.savefig(args.figure, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
