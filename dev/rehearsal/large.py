"""The steps without a model at the size of the largest benchmark, CIRCO's test split, on made-up features.

Their memory grows with the number of images and queries, not with any model. Features are of the widest backbone.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dev.rehearsal.settings import WIDE, manifest
from dev.rehearsal.steps import Step
from ipcir_steps.config import Config, canonical, section_json
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.variants import PROXIES, VARIANTS

LARGE = "large"
IMAGES, QUERIES, WIDTH = 123_403, 800, 1280
CAPTION = "a brown dog lies on a green couch beside a window with white curtains"  # as long as CIRCO's released ones
LINKS = 30_000  # to one file; ext4 allows 65,000


def name_of(image: int) -> str:
    return f"{image:06}.png"


def prepare(directory: Path, config: Config) -> None:
    """Write what the steps read below ``large/``, unless it is there."""
    here = directory / LARGE
    if (here / "ready").is_file():
        return
    pictures(here / "photos", next((directory / "photos").iterdir()))
    rows = [f'{name_of(n)},"the same in the snow",{name_of(n + QUERIES)},{n}' for n in range(QUERIES)]
    (here / "queries.csv").write_text("\n".join(["reference,caption,targets,id", *rows]) + "\n")
    resolved = config.resolved("rehearsal")
    texts, images, shards = resolved.captions.count, resolved.proxies.count, 8
    for shard in range(shards):
        of = range(shard, QUERIES, shards)
        lines = [json.dumps({"reference": name_of(n), "captions": [f"{CAPTION} {n}"] * texts}) + "\n" for n in of]
        file = here / "shards" / f"{shard}.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(lines))
    ids = tuple(map(str, range(QUERIES)))
    features(here / "gallery.safetensors", tuple(map(name_of, range(IMAGES))), ())
    for kind, shape in (("references", ()), ("source_captions", (texts,)), ("target_captions", (texts,)),
                        ("proxies", (images,))):  # fmt: skip
        features(here / f"{kind}.safetensors", ids, shape)
    instances(here / "instances.json")
    (here / "ready").touch()


def pictures(folder: Path, photo: Path) -> None:
    """As many files as the gallery has images, all of one content."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    first = folder / name_of(0)
    for number in range(IMAGES):
        if number % LINKS == 0:
            first = folder / name_of(number)
            with Image.open(photo) as image:
                image.convert("RGB").resize((16, 16)).save(first)
        elif not (folder / name_of(number)).exists():
            os.link(first, folder / name_of(number))


def instances(path: Path) -> None:
    """As many annotations and images as instances_train2017.json has, and as large: 0.45 GB."""
    outline = [round(100 + 3.17 * point, 2) for point in range(50)]
    with open(path, "w") as file:
        file.write('{"categories": ' + json.dumps([{"id": n, "name": f"thing {n}"} for n in range(80)]))
        images = [{"id": n, "width": 640, "height": 480, "file_name": f"{n:012}.jpg"} for n in range(118_287)]
        file.write(', "images": ' + json.dumps(images) + ', "annotations": [')
        for number in range(860_001):
            item = {"segmentation": [outline], "area": 1234.5678, "iscrowd": 0, "image_id": number % len(images),
                    "bbox": [1.5, 2.25, 100.75, 50.5], "category_id": number % 80, "id": number}  # fmt: skip
            file.write("," * (number > 0) + json.dumps(item))
        file.write("]}")


def features(path: Path, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).standard_normal((len(names), *shape, WIDTH), np.float32)
    save_features(path, Features(values, names, (), {"digest": "made up"}))


def steps(everything: Config) -> Iterator[Step]:
    config = everything.resolved("rehearsal")
    queries, files = f"--queries {LARGE}/queries.jsonl", f"{LARGE}/{{}}.safetensors".format
    source = everything.datasets["rehearsal"].source.model_dump(mode="json")
    source |= {"root": f"{LARGE}/photos", "queries": f"{LARGE}/queries.csv"}
    yield Step(f"{LARGE}: datasets", "dataset", "datasets --split val", (), LARGE, canonical(source))
    words = f"gather {queries} --key reference --failures {LARGE}/captions.failures.jsonl --shards "
    words += " ".join(f"{LARGE}/shards/{shard}.jsonl" for shard in range(8))
    yield Step(f"{LARGE}: gather", "gather_captions", words, (), f"{LARGE}/source_captions.jsonl")
    words = f"embeddings images --images {LARGE}/gallery.jsonl --root {LARGE}/photos --model {manifest(WIDE)}"
    yield Step(f"{WIDE}: gallery", "gallery_features", words, (WIDE,), f"{LARGE}/wide.safetensors",
               section_json(config, "embeddings"), "image_features", WIDE)  # fmt: skip
    captions = f"--target-captions {files('target_captions')} --source-captions {files('source_captions')}"
    words = f"baselines ldre {queries} --benchmark circo {captions} --gallery {files('gallery')}"
    text, settings = f"{LARGE}/text.safetensors", section_json(config, "ldre")
    yield Step(f"{LARGE}: ldre", "baseline", words, (), text, settings, "baseline", baseline="ldre")
    for proxy in PROXIES:
        words = f"fusion --proxies {files('proxies')} --references {files('references')} {captions} --variant {proxy}"
        yield Step(f"{LARGE}: fusion {proxy}", "fusion", words, (), f"{LARGE}/fusion/{proxy}.safetensors",
                   section_json(config, "fusion"))  # fmt: skip
    words = f"ranking --text {text} --gallery {files('gallery')} {queries} --gallery-images {LARGE}/gallery.jsonl"
    words += f" --variants {' '.join(VARIANTS)} --lambda 0.3 --output-dir {LARGE}/lists --fusion "
    words += " ".join(f"{LARGE}/fusion/{proxy}.safetensors" for proxy in PROXIES)
    ranked = f"{LARGE}/lists/rp_bm.rankings.parquet"
    yield Step(f"{LARGE}: ranking", "ranking", words, (), ranked, section_json(config, "ranking"))
    scores = f"{LARGE}/ViT-bigG-14/ldre"
    for variant in VARIANTS:
        words = f"metrics --rankings {LARGE}/lists/{variant}.rankings.parquet {queries} --benchmark folder"
        yield Step(f"{LARGE}: metrics {variant}", "metrics", words, (), f"{scores}/{variant}.metrics.json")
    failures = f"{LARGE}/failures.jsonl"
    words = f"failures {LARGE}/datasets.failures.jsonl {LARGE}/captions.failures.jsonl"
    yield Step(f"{LARGE}: failures", "failures", words, (), failures)
    results = f"{LARGE}/results.json"
    words = f"results --dataset rehearsal {queries} --failures {failures} --metrics "
    words += " ".join(f"{scores}/{variant}.metrics.json" for variant in VARIANTS)
    yield Step(f"{LARGE}: results", "results", words, (), results)
    yield from reports(results)
    words = f"{queries} --text {text} --gallery {files('gallery')} --gallery-images {LARGE}/gallery.jsonl"
    words += " --benchmark folder {}"
    more = f"--fusion {' '.join(f'{LARGE}/fusion/{proxy}.safetensors' for proxy in PROXIES)}"
    yield Step(f"{LARGE}: tuning", "tuning", f"tune --per-variant {words.format(more)}", (),
               f"{LARGE}/lambda.json", section_json(everything, "tuning"))  # fmt: skip
    more = f"--lambda 0.3 --references {files('references')} --proxies {files('proxies')} {captions}"
    sweep = everything.sensitivity.model_copy(update={"lambdas": (0.0, 1.0), "proxy_weights": (1.0,)})  # of 66, hours
    yield Step(f"{LARGE}: sensitivity", "sensitivity", f"sensitivity {words.format(more)}", (),
               f"{LARGE}/sensitivity.json", canonical(sweep.model_dump(mode="json")))  # fmt: skip
    words = f"statistics --instances {LARGE}/instances.json"
    yield Step(f"{LARGE}: statistics", "statistics", words, (), f"{LARGE}/statistics.json")


def reports(results: str) -> Iterator[Step]:
    """What is drawn and written from the results file."""
    words = f"figures scores --results {results} --svg {LARGE}/scores.svg --png {LARGE}/scores.png"
    yield Step(f"{LARGE}: scores", "scores_figure", words, (), f"{LARGE}/scores.png")
    words = f"tables --results {results} --number 1 --markdown {LARGE}/1.md --csv {LARGE}/1.csv --latex {LARGE}/1.tex"
    yield Step(f"{LARGE}: tables", "tables", words, (), f"{LARGE}/1.md")
