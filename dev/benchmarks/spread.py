"""When does the number of proxies matter? The demo's proxies beside pictures that differ as a large generator's do.

    make demo && python -m dev.benchmarks.spread --figure docs/images/mini_spread.png

The robust proxy of eq. 1 is made of 1 to 5 proxies: of those that were drawn, and of renders of the wanted picture,
each on another texture. Nothing else differs. Prints both curves and how far the proxies of a query lie apart.
"""

import argparse
import dataclasses
import random
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.core.features import Features, load_features
from ipcir_steps.core.files import read_jsonl
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.statistics import interval
from ipcir_steps.evaluate.reporting.figures import style
from ipcir_steps.seek.embeddings.clip import load_encoder
from ipcir_steps.seek.fusion.recipes import fuse
from ipcir_steps.seek.ranking import rank
from mini_world import twins, world

SPLIT, SCENES = Path("results/mini_twins/val"), Path("resources/mini/twins/scenes")


def rendered(queries: list[dict], count: int, seed: int) -> list:
    """``count`` pictures for each query in turn: what its target shows, each on a texture of its own."""
    told = {record["image"]: record for record in read_jsonl(SCENES / "mini_twins.images.jsonl")}
    pictures = []
    for query in queries:
        record = told[query["targets"][0]]
        scene = world.Scene(record["background"], tuple(world.Thing(**t) for t in record["things"]), record["detail"])
        rng = random.Random(derive(seed, "spread", query["query_id"]))
        pictures += [twins.draw(dataclasses.replace(scene, detail=rng.getrandbits(31))) for _ in range(count)]
    return pictures


def embedded(pictures: list, count: int) -> np.ndarray:
    """float32 [Q, count, D]"""
    encoder = load_encoder(Path("resources/mini/models/clip"))
    parts = [pictures[start : start + 100] for start in range(0, len(pictures), 100)]
    features = torch.cat([encoder.pixels(torch.stack([encoder.transform(p) for p in part])) for part in parts])
    return features.reshape(-1, count, features.shape[-1]).numpy()


def apart(proxies: np.ndarray) -> float:
    """Mean distance, 1 - cosine, of two proxies of a query."""
    unit = torch.nn.functional.normalize(torch.from_numpy(proxies), dim=-1)
    count = unit.shape[1]
    return (1 - (unit @ unit.transpose(1, 2))[:, *torch.triu_indices(count, count, 1)]).mean().item()


def first_places(fused: Features, gallery: Features, queries: list[dict]) -> tuple[float, float, float]:
    """R@1 in percent and its 95 % interval, when the fused feature alone ranks."""
    row = {name: number for number, name in enumerate(gallery.names)}
    exclude = [row[query["reference"]] for query in queries]
    right = torch.tensor([row[query["targets"][0]] for query in queries])
    query_side, searched = (torch.from_numpy(np.array(features.values)) for features in (fused, gallery))
    hits = (rank(query_side, searched, 1, exclude=exclude)[0][0, :, 0] == right).double() * 100
    return hits.mean().item(), *interval(hits.tolist())


def curve(proxies: np.ndarray, inputs: dict[str, Features], gallery: Features, queries: list[dict]) -> list[tuple]:
    """``first_places`` of the robust proxy made of the first 1, 2, … proxies."""
    references = inputs["references"]
    some = (np.ascontiguousarray(proxies[:, :count]) for count in range(1, proxies.shape[1] + 1))
    fused = (fuse("rp", {**inputs, "proxies": Features(s, references.names, (), references.model)}) for s in some)
    return [first_places(one, gallery, queries) for one in fused]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figure", type=Path, help="PNG to write")
    parser.add_argument("--seed", type=int, default=2025)
    args = parser.parse_args()
    queries = read_jsonl(SPLIT / "queries.jsonl")
    features = {name: load_features(SPLIT / f"mini/{name}.safetensors") for name in
                ("references", "proxies", "target_captions", "source_captions", "gallery")}  # fmt: skip
    inputs = {"references": features["references"], "target": features["target_captions"],
              "source": features["source_captions"]}  # fmt: skip
    count = features["proxies"].values.shape[1]
    kinds = {
        "drawn by the toy generator": np.array(features["proxies"].values),
        "rendered, each on another texture": embedded(rendered(queries, count, args.seed), count),
    }
    plt = style.start()
    figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for number, (label, proxies) in enumerate(kinds.items()):
        points = curve(proxies, inputs, features["gallery"], queries)
        print(
            f"{label}: 1 - cosine {apart(proxies):.4f};", ", ".join(f"{m:.1f} [{a:.1f}, {b:.1f}]" for m, a, b in points)
        )
        middle, low, high = map(np.array, zip(*points, strict=True))
        places = np.arange(1, count + 1) + 0.04 * number
        axis.errorbar(places, middle, (middle - low, high - middle), color=style.SERIES[number],
                      marker=style.MARKERS[number], linestyle=style.LINES[number], capsize=2, label=label)  # fmt: skip
    without = first_places(fuse("no_proxy", inputs), features["gallery"], queries)
    print("no proxy: {:.1f} [{:.1f}, {:.1f}]".format(*without))
    axis.axhline(without[0], color=style.GREY, linestyle=":", label="control: no proxy")
    axis.set(xlabel="proxies of a query", ylabel="R@1 of the fused feature, %", xticks=range(1, count + 1))
    figure.legend(loc="outside upper center", ncols=1)
    if args.figure:
        figure.savefig(args.figure, dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
