"""Every tiny checkpoint loads through the real class's from_pretrained, offline, and runs once."""

import hashlib
import re

import numpy as np
import pytest
import torch
from PIL import Image

from ipcir_steps.core.manifests import describe

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


def test_same_seed_same_bytes_and_small(tmp_path, mini_models):
    from mini_world.models import BUILDERS, build

    build(tmp_path / "again", seed=5)
    for name in BUILDERS:
        assert describe(name, "", tmp_path / "again" / name).files == describe(name, "", mini_models / name).files
    files = [p for p in mini_models.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 95e6
    assert not [p for p in files if p.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


def test_other_seed_other_weights(tmp_path, mini_models):
    from mini_world.models import qwen

    torch.manual_seed(6)
    qwen(tmp_path)
    a, b = (hashlib.sha256((p / "model.safetensors").read_bytes()).digest() for p in (tmp_path, mini_models / "qwen"))
    assert a != b


def test_clip(mini_models):
    import open_clip

    name = f"local-dir:{mini_models / 'clip'}"
    model, _, transform = open_clip.create_model_and_transforms(name)
    tokens = open_clip.get_tokenizer(name)(["a red circle", "a photo of $ that is blue"])
    assert 259 in tokens[1].tolist()
    model.eval()
    with torch.no_grad():
        image, text = model.encode_image(transform(PICTURE)[None]), model.encode_text(tokens)
    assert image.shape == (1, 64) and text.shape == (2, 64)
    assert torch.isfinite(image).all() and not torch.allclose(text[0], text[1])


def test_blip2(mini_models):
    from transformers import Blip2ForConditionalGeneration, Blip2Processor

    processor = Blip2Processor.from_pretrained(mini_models / "blip2", local_files_only=True)
    model = Blip2ForConditionalGeneration.from_pretrained(mini_models / "blip2", local_files_only=True)
    torch.manual_seed(0)
    inputs = processor(images=[PICTURE, PICTURE], return_tensors="pt")
    tokens = model.generate(**inputs, do_sample=True, top_p=0.9, max_new_tokens=10, num_return_sequences=2)
    texts = processor.batch_decode(tokens, skip_special_tokens=True)
    assert len(texts) == 4 and all(isinstance(t, str) for t in texts) and any(t.strip() for t in texts)


def test_opt_tokenizer_keeps_the_published_special_ids(mini_models):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(mini_models / "blip2", local_files_only=True)
    assert tokenizer.convert_tokens_to_ids(["<s>", "<pad>", "</s>"]) == [0, 1, 2]
    text = "a large red striped circle at the top left on a green background"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == text and len(ids) == len(text.split())


def test_qwen(mini_models):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(mini_models / "qwen", local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(mini_models / "qwen", local_files_only=True)
    assert type(model).__name__ == "Qwen2ForCausalLM" and model.config.vocab_size == len(tokenizer)
    text = 'Ünïcode 🙂 "quotes"\n{"box": [0.12, 0.5]} \t $5'
    assert tokenizer.decode(tokenizer(text).input_ids) == text
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    inputs = tokenizer(chat, return_tensors="pt")
    assert (inputs.input_ids == tokenizer.convert_tokens_to_ids("<|im_start|>")).sum() == 3
    assert tokenizer.eos_token_id in model.generation_config.eos_token_id
    out = model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert out.shape[1] > inputs.input_ids.shape[1]


def test_qwen_writes_json_under_constrained_decoding(mini_models):
    xgrammar = pytest.importorskip("xgrammar")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(mini_models / "qwen", local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(mini_models / "qwen", local_files_only=True)
    info = xgrammar.TokenizerInfo.from_huggingface(tokenizer, vocab_size=model.config.vocab_size)
    grammar = xgrammar.GrammarCompiler(info).compile_regex(r'\{"box": \[0\.[0-9]{2}, 0\.[0-9]{2}\]\}')
    processor = xgrammar.contrib.hf.LogitsProcessor(grammar)
    inputs = tokenizer("a red circle", return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=60, do_sample=False, logits_processor=[processor])
    text = tokenizer.decode(out[0, inputs.input_ids.shape[1] :], skip_special_tokens=True)
    assert re.fullmatch(r'\{"box": \[0\.\d\d, 0\.\d\d\]\}', text)


def test_grounding_dino(mini_models):
    from transformers import AutoProcessor, GroundingDinoForObjectDetection

    path = mini_models / "grounding_dino"
    processor = AutoProcessor.from_pretrained(path, local_files_only=True)
    model = GroundingDinoForObjectDetection.from_pretrained(path, local_files_only=True).eval()
    inputs = processor(images=PICTURE, text="a red circle. a blue square.", return_tensors="pt")
    assert inputs.input_ids[0, 0] == 101 and inputs.input_ids[0, -1] == 102
    assert (inputs.input_ids == 1012).sum() == 2 and (inputs.input_ids == 100).sum() == 0
    with torch.no_grad():
        out = model(**inputs)
    found = processor.post_process_grounded_object_detection(
        out, inputs.input_ids, threshold=0.0, text_threshold=0.0, target_sizes=[(64, 64)]
    )
    assert out.pred_boxes.shape == (1, 8, 4) and len(found[0]["boxes"]) == 8


def test_sam(mini_models):
    from transformers import SamModel, SamProcessor

    processor = SamProcessor.from_pretrained(mini_models / "sam", local_files_only=True)
    model = SamModel.from_pretrained(mini_models / "sam", local_files_only=True).eval()
    wide = PICTURE.resize((80, 60))
    inputs = processor(wide, input_boxes=[[[10.0, 10.0, 40.0, 40.0]]], return_tensors="pt")
    with torch.no_grad():
        out = model(**inputs)
    masks = processor.image_processor.post_process_masks(
        out.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    assert masks[0].shape == (1, 3, 60, 80) and masks[0].dtype == torch.bool


def test_stable_diffusion(mini_models):
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(mini_models / "sd", local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    crossed = [name for name in pipe.unet.attn_processors if "attn2" in name]
    assert len(crossed) == 6 and sum("mid_block" in n or "up_blocks.1" in n for n in crossed) == 4
    draw = [pipe("a red circle", num_inference_steps=2, generator=torch.Generator().manual_seed(0)) for _ in range(2)]
    images = [np.asarray(d.images[0]) for d in draw]
    assert images[0].shape == (64, 64, 3) and images[0].std() > 0 and (images[0] == images[1]).all()


def test_stable_diffusion_tokenizer_is_clips(mini_models):
    import open_clip
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(mini_models / "sd" / "tokenizer", local_files_only=True)
    texts = ["a photo of $ that has three stars", "Fewer paper towels, it's 5 packs!"]
    ours = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt")
    theirs = open_clip.get_tokenizer("ViT-B-32")(texts)
    for row, mask, other in zip(ours.input_ids, ours.attention_mask, theirs, strict=True):
        assert row[mask.bool()].tolist() == other[other > 0].tolist()


@pytest.mark.parametrize("name", ["searle", "lincir", "pic2word"])
def test_mapping_networks(mini_models, name):
    from ipcir_steps.core.errors import ModelError
    from ipcir_steps.seek.baselines.pseudo_words import IM2TEXT, Phi, load_mapping

    kind, other = (IM2TEXT, Phi) if name == "pic2word" else (Phi, IM2TEXT)
    words = load_mapping(mini_models / name, kind)(torch.eye(64))
    assert words.shape == (64, 64) and torch.isfinite(words).all() and words.std(0).min() > 0
    with pytest.raises(ModelError, match=f"is not a {other.__name__} checkpoint"):
        load_mapping(mini_models / name, other)
