"""Early-stopping search against the scan at 2 M images: equal lists, inner products, time; see docs/ranking.md.

python dev/benchmarks/search.py --images 2000000 --dims 64
"""

import argparse
import time

import torch

from dev.clusters import build, search
from ipcir_steps.seek.ranking import rank


def clustered(images, groups, dims, spread):
    draw = torch.Generator().manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(groups, dims, generator=draw), dim=1)
    gallery = torch.randn(images, dims, generator=draw).mul_(spread)
    return gallery.add_(centres[torch.randint(0, groups, (images,), generator=draw)])


def timed(function, *args, **kwargs):
    began = time.perf_counter()
    result = function(*args, **kwargs)
    return result, time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2_000_000)
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--spread", type=float, nargs="+", default=[0.02, 0.04, 0.08], help="noise per dimension")
    parser.add_argument("--clusters", type=int, help="2 sqrt(images) unless given")
    parser.add_argument("--queries", type=int, default=200)
    args = parser.parse_args()
    draw = torch.Generator().manual_seed(1)
    for spread in [*args.spread, None]:
        if spread is None:
            gallery = torch.randn(args.images, args.dims, generator=draw)
        else:
            gallery = clustered(args.images, args.groups, args.dims, spread)
        rows = gallery[torch.randint(0, args.images, (args.queries,), generator=draw)]
        # Text and proxy are two noisy views of one image, half a radian off, as far as typical features go.
        text, proxy = (
            rows + rows.norm(dim=1).mean() * 0.06 * torch.randn(rows.shape, generator=draw) for _ in range(2)
        )
        clusters, building = timed(build, gallery, args.clusters)
        (indices, scores, report), searching = timed(search, text, clusters, 50, proxy, 0.3)
        (other, values), scanning = timed(rank, text, gallery, 50, proxy, (0.3,))
        differ = indices != other[0]
        worst = float((scores - values[0]).abs().max())
        swaps = (
            ""
            if not differ.any()
            else f" (scores at those places differ by {(scores - values[0])[differ].abs().max():.1e})"
        )
        print(f"spread {spread or 'uniform'}: {report}")
        print(
            f"  places that differ from the scan: {int(differ.sum())} of {differ.numel()}{swaps}; scores to {worst:.1e}"
        )
        print(f"  {searching:.2f} s against {scanning:.2f} s, clusters built in {building:.1f} s", flush=True)


if __name__ == "__main__":
    main()
