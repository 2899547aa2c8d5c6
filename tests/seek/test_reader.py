"""Multimodal language models as backbones: tiny untrained models of the real classes, through the real commands."""

import json

import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Embeddings, Reading
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import write_jsonl
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.seek.embeddings.clip import load_encoder
from tests.hub import backbones

TEXTS = ["a red dog", "two cats that sit side by side on a chair", "a"]
QUERIES = [Query("q0", "i0", ("is red",)), Query("q1", "i1", ("is red",)), Query("q2", "i0", ("is blue and small",)),
           Query("q3", "gone", ("is red",))]  # fmt: skip


@pytest.fixture(
    scope="module",
    params=["qwen2_5_vl", *(pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2_vl", "qwen3_vl"))],
)
def model(request, tmp_path_factory):
    """With weights so large that the words and the picture before the last token count."""
    directory = tmp_path_factory.mktemp("reader")
    found = backbones.reader(request.param, directory)
    weights = load_file(found / "model.safetensors")
    weights = {key: 10 * value if value.ndim > 1 else value for key, value in weights.items()}
    save_file(weights, found / "model.safetensors", metadata={"format": "pt"})
    return found


@pytest.fixture
def images():
    noise = [PIL.Image.effect_noise(size, 90).convert("RGB") for size in ((90, 60), (60, 120))]
    return [PIL.Image.blend(noise[0], PIL.Image.new("RGB", (90, 60), "red"), 0.5), noise[1]]


def alone(model, image, text, instruction, ending=""):
    """The last state of one prompt by itself, without padding."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    whole, processor = AutoModelForImageTextToText.from_pretrained(model).eval(), AutoProcessor.from_pretrained(model)
    said = [{"type": "image"}] * (image is not None) + [{"type": "text", "text": text}] * (text is not None)
    chat = [{"role": "system", "content": [{"type": "text", "text": instruction}]}, {"role": "user", "content": said}]
    prompt = processor.apply_chat_template(chat, add_generation_prompt=True) + ending
    inputs = processor(text=[prompt], images=image and [image], return_tensors="pt")
    with torch.no_grad():
        return whole(**inputs, output_hidden_states=True).hidden_states[-1][0, -1]


def test_a_feature_is_the_state_at_the_last_token(model, images):
    """In a batch of any lengths as by itself; a text and an image read together have a feature of their own."""
    reading = Reading(instruction="Look.", query_instruction="Find.", ending="<|endoftext|>")
    encoder = load_encoder(model, Embeddings(reading=reading))
    texts, seen = encoder.texts(TEXTS), encoder.images(images)
    both = encoder.joint(images, TEXTS[:2])
    assert texts.shape == (3, encoder.dims) and texts.dtype == seen.dtype == both.dtype == torch.float32
    cases = [(texts[n], alone(model, None, text, "Look.", "<|endoftext|>")) for n, text in enumerate(TEXTS)]
    cases += [(seen[n], alone(model, image, None, "Look.", "<|endoftext|>")) for n, image in enumerate(images)]
    cases += [(both[n], alone(model, images[n], TEXTS[n], "Find.", "<|endoftext|>")) for n in range(2)]
    for ours, theirs in cases:
        assert torch.allclose(ours, theirs, atol=2e-3), (ours - theirs).abs().max()
    features = torch.stack([theirs for _, theirs in cases])
    assert torch.pdist(features).min() > 0.1, "every input counts"
    assert encoder.identity["reading"]["query_instruction"] == "Find." and "ratio" not in encoder.identity


def test_a_backbone_of_the_workflow(model, images, tmp_path, capsys):
    """Gallery, captions, references and the baseline that reads both, by the commands of the rules."""
    listed = [Image(f"i{n}", f"{n}.png", *image.size) for n, image in enumerate(images)]
    for image, record in zip(images, listed, strict=True):
        image.save(tmp_path / record.path)
    write_records(tmp_path / "images.jsonl", listed)
    write_records(tmp_path / "references.jsonl", [*listed, Image("gone", "gone.png")])
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_jsonl(tmp_path / "captions.jsonl", [{"query_id": "q0", "captions": TEXTS}])
    how = ["--model", str(model), "--settings", json.dumps({"reading": {"longest": 64}, "batch_size": 2})]
    root, asked = ["--root", str(tmp_path)], ["--queries", str(tmp_path / "queries.jsonl")]
    jobs = {
        "gallery": ["images", "--images", str(tmp_path / "images.jsonl"), *root],
        "references": ["images", "--images", str(tmp_path / "references.jsonl"), *root, *asked],
        "captions": ["captions", "--captions", str(tmp_path / "captions.jsonl"), *asked],
    }
    for name, job in jobs.items():
        assert main(["embeddings", *job, *how, "--output", str(tmp_path / f"{name}.safetensors")]) == 0
    assert load_features(tmp_path / "captions.safetensors").values.shape == (4, 3, 32)
    assert load_features(tmp_path / "references.safetensors").missing == ("q3",)
    command = ["baselines", "joint", *asked, "--benchmark", "circo", "--model", str(model), *root]
    command += [
        "--references",
        str(tmp_path / "references.safetensors"),
        "--output",
        str(tmp_path / "joint.safetensors"),
    ]
    assert main([*command, "--images", str(tmp_path / "references.jsonl")]) == 0
    joint = load_features(tmp_path / "joint.safetensors")
    assert joint.missing == ("q3",) and joint.values.shape == (4, 32)
    assert not list(tmp_path.glob("*.part"))
    assert np.allclose(np.linalg.norm(joint.values[:3], axis=1), 1, atol=1e-5)
    encoder = load_encoder(model, Embeddings(reading=Reading(longest=64)))
    wanted = encoder.joint([encoder.read(tmp_path / "0.png")], ["is red"])
    assert np.allclose(joint.values[0], torch.nn.functional.normalize(wanted)[0], atol=1e-4), (
        "read as the features were"
    )
    assert len(np.unique(joint.values.round(3), axis=0)) == 4
    assert main(command) == 2 and "--images" in capsys.readouterr().err


def test_two_towers_read_nothing_together(model, tmp_path, clip_directory, capsys):
    write_records(tmp_path / "queries.jsonl", QUERIES)
    write_records(tmp_path / "images.jsonl", [Image("i0", "0.png", 4, 4)])
    command = ["baselines", "joint", "--queries", str(tmp_path / "queries.jsonl"), "--benchmark", "circo"]
    command += ["--model", str(clip_directory), "--images", str(tmp_path / "images.jsonl"), "--root", str(tmp_path)]
    assert main([*command, "--output", str(tmp_path / "text.safetensors")]) != 0
    assert "two towers. Take image_text" in capsys.readouterr().err
    for wrong in ({"encoder": "int8"}, {"preprocessing": "target_pad"}):
        with pytest.raises(ModelError, match="takes neither encoder int8 nor preprocessing target_pad"):
            load_encoder(model, Embeddings(**wrong))
    with pytest.raises(ModelError, match="pseudo-words"):
        _ = load_encoder(model).token_embedding
