"""Time and peak memory of the streaming pass at the benchmarks' size; see docs/ranking.md for measured figures.

    python dev/benchmarks/ranking.py --queries 800 --images 123403
    python dev/benchmarks/ranking.py --queries 200 --published     # also the published order of operations

Each measurement runs in its own process, so that peaks do not mix. Features are random.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.seek.fusion import robust_proxy, semantic_perturbation
from ipcir_steps.seek.ranking.streaming import Balance, scan, top_sum

ELEVEN = tuple(step / 10 for step in range(11))


def clocks():
    """Wall and processor time: on a machine that others use too, only the second one compares."""
    return np.array([time.perf_counter(), time.process_time()])


def peak():
    """Peak resident MiB of this process (getrusage would hand down that of the process that started it)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) >> 10


def make(directory: Path, images: int, dims: int) -> Path:
    path = directory / "gallery.safetensors"
    draw, values = np.random.default_rng(0), np.empty((images, dims), np.float32)
    for start in range(0, images, 4096):
        values[start : start + 4096] = draw.standard_normal(values[start : start + 4096].shape, np.float32)
    save_features(path, Features(values, tuple(map(str, range(images)))))
    return path


def query_side(sizes):
    queries, dims, captions, proxies = sizes
    torch.manual_seed(1)
    shapes = (captions, queries, dims), (captions, queries, dims), (queries, proxies, dims), (queries, dims)
    return [torch.randn(shape) for shape in shapes]


def weights_and_text(target, source, gallery, k=50, temperature=0.01):
    """LDRE's ensemble (dataset scope) on the streamed statistic."""
    target, source = (torch.nn.functional.normalize(part, dim=-1) for part in (target, source))
    statistic = top_sum((target - source).transpose(0, 1), gallery, k).sum(0)
    weights = (statistic / statistic.max() / temperature).softmax(0)
    return torch.einsum("c,cqd->qd", weights, target)


def streamed(path, sizes, lambdas, text_side=True):
    """17 products: one per caption for the weights, one for S_t, one for S_p."""
    gallery = load_features(path).values
    target, source, proxies, references = query_side(sizes)
    began = clocks()
    fused = robust_proxy(proxies, references, semantic_perturbation(target, source))
    text = weights_and_text(target, source, gallery) if text_side else references
    del target, source
    scan(text, gallery, [Balance("proxy", lambdas)], {"proxy": fused}, 50)
    return clocks() - began


def bare(path, sizes, products):
    """As many products of [Q, D] with blocks of the gallery, and nothing else."""
    gallery = load_features(path).values
    sides = [torch.randn(sizes[0], sizes[1]) for _ in range(products)]
    out = torch.empty(sizes[0], 8192)
    began = clocks()
    for start in range(0, len(gallery), 8192):
        block = torch.from_numpy(np.array(gallery[start : start + 8192]))
        for side in sides:
            torch.mm(side, block.T, out=out[:, : len(block)] if len(block) < 8192 else out)
    return clocks() - began


def published(path, sizes, lambdas):
    """The published order of operations: whole Q x G matrices, two products per caption, 38 in all, kept at once.

    15 captions: target and source similarities and their difference (30 products), one S_t per use, the five proxies,
    the reference, the perturbation and the fused proxy.
    """
    gallery = torch.nn.functional.normalize(torch.from_numpy(np.array(load_features(path).values)), dim=-1)
    target, source, proxies, references = query_side(sizes)
    began = clocks()
    target, source = (torch.nn.functional.normalize(part, dim=-1) for part in (target, source))
    towards, away = [t @ gallery.T for t in target], [s @ gallery.T for s in source]
    drops = [(b - a).clamp(min=0) for a, b in zip(towards, away, strict=True)]
    statistic = torch.stack([drop.topk(50).values.sum() for drop in drops])
    weights = (statistic / statistic.max() / 0.01).softmax(0)
    text = torch.einsum("c,cqd->qd", weights, target) @ gallery.T
    drawn = [torch.nn.functional.normalize(part, dim=-1) @ gallery.T for part in proxies.unbind(1)]
    fused = robust_proxy(proxies, references, semantic_perturbation(target, source))
    reference = torch.nn.functional.normalize(references, dim=-1) @ gallery.T
    similar = fused @ gallery.T
    for value in lambdas:
        (value * text + (1 - value) * text * similar).topk(50)
    assert len(drawn) == sizes[3] and len(reference) == sizes[0]
    return clocks() - began


def measure(threads, function, *args):
    """Wall seconds, processor seconds and peak resident MiB of one call in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (threads, function, args))


def _measured(threads, function, args):
    torch.set_num_threads(threads)
    return *function(*args), peak()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=800)
    parser.add_argument("--images", type=int, default=123_403)
    parser.add_argument("--dims", type=int, default=1024)
    parser.add_argument("--captions", type=int, default=15)
    parser.add_argument("--proxies", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=2, help="the fastest of so many runs counts")
    parser.add_argument("--threads", type=int, default=multiprocessing.cpu_count())
    parser.add_argument(
        "--published", action="store_true", help="also the published order of operations (needs memory)"
    )
    args = parser.parse_args()
    sizes = args.queries, args.dims, args.captions, args.proxies
    with tempfile.TemporaryDirectory() as directory:
        path = make(Path(directory), args.images, args.dims)
        runs = {
            "products": (bare, path, sizes, args.captions + 2),
            "one_lambda": (streamed, path, sizes, (0.3,)),
            "eleven_lambdas": (streamed, path, sizes, ELEVEN),
            "two_products": (bare, path, sizes, 2),
            "ranking_one_lambda": (streamed, path, sizes, (0.3,), False),
            "ranking_eleven_lambdas": (streamed, path, sizes, ELEVEN, False),
        }
        if args.published:
            runs["published"] = (published, path, sizes, (0.3,))
        found = {name: [] for name in runs}
        for _ in range(args.repeats):  # interleaved, so that a slow phase of the machine meets all of them
            for name, run in runs.items():
                wall, processor, memory = measure(args.threads, *run)
                found[name].append((wall, processor, memory))
                print(f"{name:24} {wall:7.2f} s wall {processor:7.2f} s processor {memory:6} MiB", flush=True)
    wall, processor = ({name: min(run[clock] for run in rows) for name, rows in found.items()} for clock in (0, 1))
    peaks = {name: max(run[2] for run in rows) for name, rows in found.items()}
    pairs = [("one_lambda", "products"), ("eleven_lambdas", "one_lambda")]
    pairs += [("ranking_eleven_lambdas", "ranking_one_lambda")] + [("published", "one_lambda")] * args.published
    ratios = {
        f"{a} / {b}": {name: round(float(x[a] / x[b]), 3) for name, x in (("wall", wall), ("processor", processor))}
        for a, b in pairs
    }
    if args.published:
        ratios["published / one_lambda"]["memory"] = round(peaks["published"] / peaks["one_lambda"], 2)
    print(json.dumps({"sizes": vars(args), "MiB": peaks, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
