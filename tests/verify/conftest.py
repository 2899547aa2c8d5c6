"""A little world to verify: pictures, queries, lists, and tiny models of the real classes."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from ipcir_steps.core.files import write_jsonl
from ipcir_steps.core.rankings import write_rankings
from ipcir_steps.core.records import Image, Query, write_records

NAMES = [f"image{n}" for n in range(6)]
QUERIES = [
    Query("q0", "image0", ("make it red",), targets=("image3",)),
    Query("q1", "image1", ("add a star",), targets=("image0", "image5")),
    Query("q2", "image2", ("in the dark",), targets=("image4",)),
]
CAPTIONS = {"q0": ["a red star", "a red star", "a large circle"], "q1": ["a star"], "q2": ["a small blue cross"]}
LISTS = {
    "base": {"q0": [4, 3, 2, 1, 0], "q1": [0, 1, 2, 3, 4], "q2": [5, 4, 3, 2, 1]},
    "rp_bm": {"q0": [3, 4, 2, 1, 5], "q1": [0, 1, 2, 5, 3], "q2": [5, 4, 3, 2, 0]},
}


@dataclasses.dataclass(frozen=True)
class World:
    """Files of a dataset and its lists in a directory, and the options that name them."""

    root: Path

    def rankings(self, variant: str) -> Path:
        return self.root / f"{variant}.rankings.parquet"

    def options(self) -> list[str]:
        files = {"queries": "queries.jsonl", "captions": "captions.jsonl"}
        files |= {"gallery-images": "gallery.jsonl", "references": "gallery.jsonl"}
        named = [word for name, file in files.items() for word in (f"--{name}", str(self.root / file))]
        return [*named, "--root", str(self.root), "--rankings", *map(str, sorted(self.root.glob("*.rankings.parquet")))]


@pytest.fixture
def world(tmp_path) -> World:
    generator = np.random.default_rng(0)
    images = [Image(name, f"{name}.png") for name in NAMES]
    for image in images:
        PILImage.fromarray(generator.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(tmp_path / image.path)
    write_records(tmp_path / "gallery.jsonl", images)
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_jsonl(tmp_path / "captions.jsonl", [{"query_id": name, "captions": c} for name, c in CAPTIONS.items()])
    for variant, lists in LISTS.items():
        rows = [(name, [(NAMES[i], 0.9 - 0.1 * at) for at, i in enumerate(row)]) for name, row in lists.items()]
        write_rankings(tmp_path / f"{variant}.rankings.parquet", rows, {"variant": variant, "lambda": 0.5})
    return World(tmp_path)


@pytest.fixture(scope="session")
def qwen_vl(tmp_path_factory) -> Path:
    """Qwen2.5-VL, tiny and untrained, laid out as its repository is."""
    from transformers import AutoTokenizer

    from tests.hub import captioners

    directory = tmp_path_factory.mktemp("qwen_vl") / "model"
    directory.mkdir()
    captioners.qwen_vl(directory)
    told = json.loads((directory / "generation_config.json").read_text())
    end = AutoTokenizer.from_pretrained(directory).convert_tokens_to_ids("<|im_end|>")
    (directory / "generation_config.json").write_text(json.dumps({**told, "eos_token_id": end}))
    return directory
