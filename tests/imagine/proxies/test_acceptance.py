"""Images are accepted or redrawn by a real, tiny Grounding DINO."""

import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertTokenizerFast,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessor,
    GroundingDinoProcessor,
    SwinConfig,
)

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.files import read_jsonl, seed, write_jsonl
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.core.records import read_queries
from ipcir_steps.imagine.proxies.acceptance import Check, found_all
from ipcir_steps.imagine.proxies.step import draw_proxies
from ipcir_steps.imagine.proxies.tasks import Inputs


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    directory = tmp_path_factory.mktemp("detector")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *letters, *(f"##{c}" for c in letters), "cat", "dog"]
    (directory / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(str(directory / "vocab.txt"))
    torch.manual_seed(5)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=128,
            embed_dim=8,
            depths=[1, 1, 1, 1],
            num_heads=[1, 1, 2, 2],
            window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
        ),
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=10,
        max_text_len=32,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(directory / "model")
    images = GroundingDinoImageProcessor(size={"shortest_edge": 128, "longest_edge": 128})
    GroundingDinoProcessor(images, tokenizer).save_pretrained(directory / "model")
    return load_manifest(directory / "model")


@pytest.fixture
def run(world, stable_diffusion, detector):
    """Draw the first query with its one instance in a box; return its index record."""
    models = {"generator": load_manifest(stable_diffusion), "detector": detector}

    def run(box, name, **settings):
        cat = {"category": "cat", "description": "a cat", "box": box}
        write_jsonl(world / "layouts.jsonl", [{"query_id": "q0", "scene": "a garden", "instances": [cat]}])
        settings = Proxies(width=64, height=64, steps=1, count=2, device="cpu", acceptance_score=0.0, **settings)
        inputs = Inputs(world / "layouts.jsonl", None, None, None)
        index, directory = world / f"{name}.jsonl", world / name
        draw_proxies(
            read_queries(world / "queries.jsonl")[:1],
            inputs,
            settings,
            models,
            directory=directory,
            outputs=[index],
            run_seed=1,
        )
        return read_jsonl(index)[0]

    return run


def test_an_instance_in_its_place_is_accepted_at_once(run, world, detector):
    first = run([0.1, 0.1, 0.9, 0.9], "unchecked")
    check = Check(Proxies(device="cpu", acceptance_score=0.0), detector)
    pictures = [Image.open(world / "unchecked" / name) for name in first["images"]]
    box = next(
        box for box in check.detect(pictures[0], "cat") if 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1
    )
    expected = [found_all([box], check.detect(picture, "cat"), 0.25) for picture in pictures]
    record = run(list(box), "checked", redraws=2)
    assert expected[0] and record["accepted"][0]
    assert record["draws"][0] == 1
    assert record["sha256"][0] == first["sha256"][0]


def test_redraws_are_bounded_and_recorded(run):
    first = run([0.1, 0.1, 0.9, 0.9], "unchecked")
    record = run([0.1, 0.1, 0.9, 0.9], "strict", redraws=2, acceptance_iou=1.0)
    assert record["accepted"] == [False, False]
    assert record["draws"] == [3, 3]
    assert record["seeds"] == [seed(planned, 2) for planned in first["seeds"]]
    assert not set(record["sha256"]) & set(first["sha256"])
