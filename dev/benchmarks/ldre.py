"""LDRE's ensemble on real text features against a synthetic gallery of CIRCO's size: time and peak memory.

    python dev/benchmarks/ldre.py val_text_features_vit-g-14.npz --images 123403

The npz holds "target" and "source" caption features [C, Q, D]. See docs/baselines.md for measured figures.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.seek.baselines.ldre import ensemble


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("features", type=Path)
    parser.add_argument("--images", type=int, default=123_403)
    parser.add_argument("--directory", type=Path, help="where the synthetic gallery is written")
    parser.add_argument("--scope", choices=["dataset", "query"], default="dataset")
    args = parser.parse_args()
    stored = np.load(args.features)
    target, source = (torch.from_numpy(stored[name]).float() for name in ("target", "source"))
    with tempfile.TemporaryDirectory(dir=args.directory) as directory:
        path = Path(directory) / "gallery.safetensors"
        make_gallery(path, args.images, target.mean((0, 1)).numpy())
        gallery = load_features(path).values
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for k, temperature in ((5, 0.04), (50, 0.01)):
            began = time.perf_counter()
            text, weights = ensemble(target, source, gallery, k, temperature, args.scope)
            seconds = time.perf_counter() - began
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            shown = {
                "k": k,
                "temperature": temperature,
                "shape": [*target.shape, args.images],
                "seconds": round(seconds, 1),
                "peak_mb": round(peak / 1024),
                "peak_before_mb": round(before / 1024),
                "weights": [round(weight, 5) for weight in weights.flatten()[: len(target)].tolist()],
                "norm": round(float(text.norm(dim=-1).mean()), 4),
            }
            print(json.dumps(shown), flush=True)


def make_gallery(path: Path, images: int, centre: np.ndarray) -> None:
    """Random directions around the centre of the text features, so that similarities have both signs."""
    generator = np.random.default_rng(0)
    mapped = np.lib.format.open_memmap(path.with_suffix(".npy"), "w+", np.float32, (images, len(centre)))
    for start in range(0, images, 4096):
        rows = mapped[start : start + 4096]
        rows[:] = centre + generator.standard_normal(rows.shape, np.float32) / len(centre) ** 0.5
    save_features(path, Features(mapped, tuple(map(str, range(images)))))


if __name__ == "__main__":
    main()
