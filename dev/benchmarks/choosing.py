"""Lambda with and without labels on worlds where text or proxy is the better side; see docs/ranking.md.

A world has clustered images; text and proxy are noisy views of the target. Half of the queries choose lambda, the other
half measure recall@10. The best lambda of the measured half itself is the ceiling.
"""

import torch

from ipcir_steps.config.retrieval import Tuning
from ipcir_steps.core.statistics import interval
from ipcir_steps.evaluate.tuning.choose import agreed, matched_spread
from ipcir_steps.seek.ranking import rank

LAMBDAS = Tuning().lambdas


def world(text_noise, proxy_noise, length, seed, images=5000, groups=200, dims=64, queries=400):
    draw = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, dims, generator=draw)
    gallery = centres[torch.randint(0, groups, (images,), generator=draw)] + torch.randn(images, dims, generator=draw)
    # As in CLIP, all images share a direction, so similarities are positive.
    gallery = torch.nn.functional.normalize(
        gallery + 10 * torch.nn.functional.normalize(torch.ones(dims), dim=0), dim=1
    )
    right = torch.randperm(images, generator=draw)[:queries]

    def view(noise):
        rows = gallery[right] + noise * torch.randn(queries, dims, generator=draw) / dims**0.5
        return torch.nn.functional.normalize(rows, dim=1)

    return view(text_noise), length * view(proxy_noise), gallery, right


def hits(text, proxy, gallery, right, lam):
    indices, _ = rank(text, gallery, 10, proxy, (lam,))
    return (indices[0] == right[:, None]).any(1).double()


def main():
    print("text noise, proxy noise, |proxy|: recall@10 (lambda) of the held-out half")
    for text_noise, proxy_noise in ((2.5, 2.5), (2.0, 3.5), (3.5, 2.0), (2.0, 8.0)):
        for length in (0.8, 2.5):
            rows = {}
            for seed in range(3):
                text, proxy, gallery, right = world(text_noise, proxy_noise, length, seed)
                half = len(text) // 2
                own, held = (text[:half], proxy[:half]), (text[half:], proxy[half:])
                chosen = {
                    "labelled": max(LAMBDAS, key=lambda w: float(hits(*own, gallery, right[:half], w).mean())),
                    "matched spread": matched_spread(*own, gallery),
                    "agreed": agreed(*own, gallery),
                    "0.0 (CIRR)": 0.0,
                    "0.3 (CIRCO)": 0.3,
                    "0.8 (FashionIQ)": 0.8,
                    "ceiling": max(LAMBDAS, key=lambda w: float(hits(*held, gallery, right[half:], w).mean())),
                }
                for name, lam in chosen.items():
                    found = rows.setdefault(name, ([], []))
                    found[0].append(lam)
                    found[1].append(hits(*held, gallery, right[half:], lam))
            print(f"\n{text_noise} {proxy_noise} {length}")
            for name, (lams, found) in rows.items():
                found = torch.cat(found)
                low, high = interval(found.tolist())
                mean = sum(lams) / len(lams)
                print(
                    f"  {name:16} {mean:.2f}  {100 * found.mean():5.1f} % [{100 * low:.1f}, {100 * high:.1f}]",
                    flush=True,
                )


if __name__ == "__main__":
    main()
