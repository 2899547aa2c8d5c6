"""Source captions from a tiny untrained BLIP-2."""

import json
import shutil

import pytest
from PIL import Image as PILImage
from safetensors.torch import load_file, save_file

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.errors import InputError, ModelError, StepFailure
from ipcir_steps.core.files import read_json, read_jsonl, write_json
from ipcir_steps.core.images import load_image
from ipcir_steps.core.records import Image
from ipcir_steps.imagine.captions import captioner, clean
from mini_world import models, shipped
from tests.imagine.conftest import noise_references

SETTINGS = {"count": 4, "max_new_tokens": 6}


@pytest.fixture
def references(tmp_path):
    noise_references(tmp_path, 5, 40, 24)
    return tmp_path


def run(references, model, name, *extra, **settings):
    command = ["captions", "--references", str(references / "references.jsonl"), "--root", str(references)]
    command += ["--model", str(model), "--settings", json.dumps({**SETTINGS, **settings}), "--seed", "3"]
    assert main([*command, "--output", str(references / name), *extra]) == 0
    return read_jsonl(references / name)


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Tiny untrained models of other families: BLIP, which continues a text, and Qwen2-VL, which is asked."""
    import torch
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )  # fmt: skip

    from mini_world import tokenizers

    root = tmp_path_factory.mktemp("others")
    torch.manual_seed(0)
    words = BertTokenizer(vocab=tokenizers.bert_vocabulary(), do_lower_case=True)
    side = {"height": 32, "width": 32}
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    text = {**small, "vocab_size": len(words), "encoder_hidden_size": 32, "bos_token_id": 101, "sep_token_id": 102}
    vision = {**small, "image_size": 32, "patch_size": 16}
    config = BlipConfig(text_config={**text, "eos_token_id": 102, "pad_token_id": 0}, vision_config=vision)
    BlipForConditionalGeneration(config).save_pretrained(root / "blip")
    BlipProcessor(BlipImageProcessor(size=side), words).save_pretrained(root / "blip")

    chat = tokenizers.qwen(root / "qwen_tokenizer")
    marks = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    chat.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>", *marks]})
    ids = dict(zip(("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"),
                   chat.convert_tokens_to_ids(marks), strict=True))  # fmt: skip
    text = {**small, "num_key_value_heads": 2, "vocab_size": len(chat)}
    text["rope_scaling"] = {"type": "mrope", "mrope_section": [2, 3, 3]}
    vision = {"depth": 1, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "patch_size": 8, "mlp_ratio": 2}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, **ids)
    Qwen2VLForConditionalGeneration(config).save_pretrained(root / "qwen2_vl")
    images = Qwen2VLImageProcessor(patch_size=8, min_pixels=256, max_pixels=1024)
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% for part in message['content'] %}"
        "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}"
        "{% endif %}{% endfor %}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    )
    videos = Qwen2VLVideoProcessor(patch_size=8)
    Qwen2VLProcessor(images, chat, videos, chat_template=template).save_pretrained(root / "qwen2_vl")
    return root


@pytest.mark.parametrize("family", ["blip", "qwen2_vl"])
def test_other_families_caption_too(references, others, family):
    """Real classes through the same step; a caption holds neither the question nor the prompt."""
    records = run(references, others / family, f"{family}.jsonl", prompt="Describe the picture.")
    captions = [r["captions"] for r in records if "captions" in r]
    assert [len(c) for c in captions] == [4] * 4 and len({text for c in captions for text in c}) > 4
    assert not any("Describe" in text or "assistant" in text for c in captions for text in c)
    parts = [
        run(references, others / family, f"{n}.jsonl", "--shard", f"{n}/2", prompt="Describe the picture.")
        for n in (0, 1)
    ]
    assert sorted(map(json.dumps, parts[0] + parts[1])) == sorted(map(json.dumps, records))


def test_each_image_gets_k_captions_and_a_broken_one_a_reason(references, blip2):
    records = run(references, blip2, "captions.jsonl")
    assert [r["reference"] for r in records] == [f"image{n}" for n in range(5)]
    assert records[3].keys() == {"reference", "failure"} and "3.png cannot be read" in records[3]["failure"]
    captions = [r["captions"] for r in records if "captions" in r]
    assert [len(c) for c in captions] == [4] * 4
    assert all(text and text == " ".join(text.split()) for c in captions for text in c)
    assert len({text for c in captions for text in c}) > 8, "nucleus samples differ"


def test_shards_give_the_same_bytes(references, blip2):
    run(references, blip2, "whole.jsonl")
    for count in (3, 8):
        for i in range(count):
            run(references, blip2, f"{i}.jsonl", "--shard", f"{i}/{count}")
        joined = b"".join((references / f"{i}.jsonl").read_bytes() for i in range(count))
        assert joined == (references / "whole.jsonl").read_bytes()


def test_beam_search_needs_no_seed(references, blip2):
    caption = captioner(blip2, Captions(**SETTINGS, nucleus=False))
    image = load_image(references, Image("image0", "0.png"))
    assert caption(image, 1) == caption(image, 2) and len(caption(image, 1)) == 4


def test_a_prompt_is_continued_but_not_part_of_the_caption(references, blip2):
    [record] = run(references, blip2, "p.jsonl", "--shard", "0/5", prompt="a photo of")
    assert len(record["captions"]) == 4
    assert not any(caption.startswith("a photo of a photo of") for caption in record["captions"])


def test_clean_removes_the_prompt_and_fills_gaps():
    assert clean(["a photo of a cat \n", "\x00", "a photo of"], "a photo of ") == ["a cat", "a cat", "a cat"]
    with pytest.raises(StepFailure, match="no caption"):
        clean(["", " \n"])


def test_greyscale_and_rotated_images_are_rgb_and_upright(tmp_path):
    exif = PILImage.Exif()
    exif[0x0112] = 6
    PILImage.new("L", (30, 20), 7).save(tmp_path / "a.jpg", exif=exif)
    image = load_image(tmp_path, Image("a", "a.jpg"))
    assert image.mode == "RGB" and image.size == (20, 30)
    with pytest.raises(InputError, match="leaves"):
        load_image(tmp_path, Image("a", "../a.jpg"))


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(ModelError, match=str(tmp_path)):
        captioner(tmp_path, Captions())


def old_copy(model, directory, rows=None, processor_config=True):
    """The model as copies from before transformers 4.46 are: no image token anywhere, fewer rows of embeddings."""
    shutil.copytree(model, directory)
    config = read_json(directory / "config.json")
    del config["image_token_index"]
    tokenizer = read_json(directory / "tokenizer.json")
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] != "<image>"]
    if rows is not None:
        config["text_config"]["vocab_size"] = rows
        weights = load_file(directory / "model.safetensors")
        key = "language_model.model.decoder.embed_tokens.weight"
        weights[key] = weights[key][:rows].clone()
        save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    write_json(directory / "config.json", config)
    write_json(directory / "tokenizer.json", tokenizer)
    if processor_config:
        write_json(directory / "processor_config.json", {"processor_class": "Blip2Processor"})
    else:
        (directory / "processor_config.json").unlink()
    return directory


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A trained new-style copy, made as its makers convert old ones: rows of embeddings up to a multiple of 64."""
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    directory = tmp_path_factory.mktemp("converted") / "model"
    models.blip2(directory, shipped.SHIPPED)
    model = Blip2ForConditionalGeneration.from_pretrained(directory)
    model.resize_token_embeddings(len(Blip2Processor.from_pretrained(directory).tokenizer), pad_to_multiple_of=64)
    model.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("prompt", ["", "a photo of"])
@pytest.mark.parametrize("processor_config", [True, False])
def test_a_copy_without_the_image_token_writes_the_same_captions(converted, tmp_path, prompt, processor_config):
    """Same number of rows, so the very same captions, sampled or searched."""
    old = old_copy(converted, tmp_path / "old", processor_config=processor_config)
    image = PILImage.linear_gradient("L").convert("RGB")
    for nucleus in (True, False):
        settings = Captions(count=15, nucleus=nucleus, prompt=prompt)
        assert captioner(old, settings)(image, 1) == captioner(converted, settings)(image, 1)


@pytest.mark.parametrize("prompt", ["", "a photo of"])
def test_a_copy_without_the_rows_of_the_image_token(converted, tmp_path, prompt):
    """As the published copies were: the vocabulary ends before the image token. The rows are made and never written."""
    old = old_copy(converted, tmp_path / "old", rows=483)
    image = PILImage.linear_gradient("L").convert("RGB")
    for nucleus in (True, False):
        settings = Captions(count=15, nucleus=nucleus, prompt=prompt)
        captions = captioner(old, settings)(image, 1)
        assert captions == captioner(converted, settings)(image, 1)
        assert len(set(captions)) > 3


def test_another_number_of_queries_than_the_configuration_says_is_told(converted, tmp_path):
    old = old_copy(converted, tmp_path / "old")
    config = read_json(old / "config.json")
    del config["num_query_tokens"]  # 32 where nothing is said; this model has 8
    write_json(old / "config.json", config)
    with pytest.raises(ModelError, match="no BLIP-2 model could be loaded"):
        captioner(old, Captions())


def test_missing_weights_are_an_error(blip2, tmp_path):
    shutil.copytree(blip2, tmp_path / "part")
    weights = load_file(blip2 / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "language_projection" not in k}, tmp_path / "part/model.safetensors")
    with pytest.raises(ModelError, match=r"2 of the weights of a BLIP-2 model are not in it \(language_projection"):
        captioner(tmp_path / "part", Captions())


def test_eight_shards_in_one_process_load_the_model_once(references, blip2, caplog):
    caplog.set_level("INFO", "models")
    files = [str(references / f"part{i}.jsonl") for i in range(8)]
    code = ["captions", "--references", str(references / "references.jsonl"), "--root", str(references)]
    code += ["--model", str(blip2), "--settings", json.dumps(SETTINGS), "--seed", "3"]
    assert main([*code, "--shard", *(f"{i}/8" for i in range(8)), "--output", *files]) == 0
    assert caplog.text.count("loaded the ") == 1
    assert sum(len(read_jsonl(file)) for file in files) == 5
