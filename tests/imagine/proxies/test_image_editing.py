"""Editing pipelines of diffusers, their real classes, tiny: one reference and one caption for all images of a query."""

import numpy as np
import pytest
import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.flux import pipeline_flux_kontext
from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2Tokenizer,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.devices import noise_sources
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.imagine.proxies.generator import Task, load_generator

BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>")  # fmt: skip
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def instruct_pix2pix(sd, directory):
    base = StableDiffusionPipeline.from_pretrained(sd, safety_checker=None)
    unet = UNet2DConditionModel.from_config({**base.unet.config, "in_channels": 8})
    parts = {**base.components, "unet": unet}
    StableDiffusionInstructPix2PixPipeline(**parts, requires_safety_checker=False).save_pretrained(directory)


def attentive(transformer):
    """With larger weights: untrained ones pass on too little of the reference for 8 bits."""
    with torch.no_grad():
        for weight in transformer.transformer_blocks.parameters():
            weight.mul_(4)
    return transformer


def kontext(sd, directory):
    tokenizer = CLIPTokenizer.from_pretrained(sd / "tokenizer")
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -1.0)]
    words += [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz,"]
    unigram = Tokenizer(models.Unigram(words, unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    second = T5TokenizerFast(tokenizer_object=unigram, extra_ids=0, model_max_length=32)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    vae = AutoencoderKL(
        **{name: kinds * 2 for name, kinds in BLOCKS.items()}, block_out_channels=(4,) * 4, norm_num_groups=2,
        latent_channels=4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1, scaling_factor=0.3,
    )  # fmt: skip
    t5 = T5Config(vocab_size=len(second), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=4)
    FluxKontextPipeline(
        FlowMatchEulerDiscreteScheduler(),
        vae,
        CLIPTextModel(text),
        tokenizer,
        T5EncoderModel(t5),
        second,
        attentive(transformer),
    ).save_pretrained(directory)


def qwen_tokenizer():
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *bytes_to_unicode().values()])}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[], additional_special_tokens=list(SPECIAL[1:]))
    tokenizer.chat_template = CHAT
    return tokenizer


def klein(_, directory):
    tokenizer = qwen_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=28, num_attention_heads=2,
        num_key_value_heads=1, head_dim=4,
    )  # fmt: skip
    transformer = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=24, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=False,
    )  # fmt: skip
    vae = AutoencoderKLFlux2(**BLOCKS, block_out_channels=(4, 4), norm_num_groups=2, latent_channels=4)
    Flux2KleinPipeline(
        FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True),
        vae,
        Qwen3ForCausalLM(config),
        tokenizer,
        attentive(transformer),
    ).save_pretrained(directory)


def qwen(kind):
    def save(_, directory):
        tokenizer = qwen_tokenizer()
        numbers = {name: tokenizer.convert_tokens_to_ids(token) for name, token in (
            ("image_token_id", SPECIAL[5]), ("video_token_id", SPECIAL[6]), ("vision_start_token_id", SPECIAL[3]),
            ("vision_end_token_id", SPECIAL[4]),
        )}  # fmt: skip
        text = {
            "vocab_size": len(tokenizer), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1,
            "rope_scaling": {"type": "default", "rope_type": "default", "mrope_section": [1, 1, 2]},
        }  # fmt: skip
        vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16,
                  "fullatt_block_indexes": [0]}  # fmt: skip
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **numbers)
        limits = {"min_pixels": 28 * 28, "max_pixels": 56 * 56}
        processor = Qwen2_5_VLProcessor(Qwen2VLImageProcessor(**limits), tokenizer, Qwen2VLVideoProcessor())
        transformer = QwenImageTransformer2DModel(
            in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=16, axes_dims_rope=(4, 4, 8),
        )  # fmt: skip
        vae = AutoencoderKLQwenImage(
            base_dim=2, z_dim=4, num_res_blocks=1, latents_mean=[0.0] * 4, latents_std=[1.0] * 4
        )
        encoder = Qwen2_5_VLForConditionalGeneration(config)
        kind(
            scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae, text_encoder=encoder, tokenizer=tokenizer,
            processor=processor, transformer=transformer,
        ).save_pretrained(directory)  # fmt: skip

    return save


KINDS = {
    "instruct_pix2pix": instruct_pix2pix,
    "kontext": kontext,
    "klein": klein,
    "qwen_edit": qwen(QwenImageEditPipeline),
    "qwen_edit_plus": qwen(QwenImageEditPlusPipeline),
}
SCALED = ("kontext", "qwen_edit", "qwen_edit_plus")  # those that take true_cfg_scale


@pytest.fixture(scope="module", params=KINDS)
def model(request, stable_diffusion, tmp_path_factory):
    directory = tmp_path_factory.mktemp("editing") / request.param
    torch.manual_seed(5)
    KINDS[request.param](stable_diffusion, directory)
    return request.param, directory


@pytest.fixture(autouse=True)
def small_references(monkeypatch):
    """These pipelines bring every reference to 1024 x 1024 pixels: seconds of a CPU that show nothing more here."""
    monkeypatch.setattr(pipeline_flux_kontext, "PREFERRED_KONTEXT_RESOLUTIONS", [(96, 64)])
    for module in (pipeline_qwenimage_edit, pipeline_qwenimage_edit_plus):
        whole = module.calculate_dimensions
        monkeypatch.setattr(module, "calculate_dimensions", lambda _, ratio, whole=whole: whole(96 * 96, ratio))


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "reference.png"
    Image.linear_gradient("L").convert("RGB").resize((80, 64)).save(path)
    return Task("q", "with a dog instead", "", (), (3, 11), path)


def drawn(directory, task, **changes):
    """Images as an integer array of shape (seeds, height, width, 3)."""
    given = {"generator": "image_editing", "width": 64, "height": 64, "steps": 2, "device": "cpu", **changes}
    generator = load_generator(Proxies(**given), {"generator": load_manifest(directory)})
    images, notes = generator.draw(task)
    assert notes == {"prompt": task.caption}
    return np.stack([np.asarray(image) for image in images]).astype(int)


def direct(name, directory, task, **given):
    """The pipeline as its own documentation calls it: one image, one caption, one seed."""
    pipeline = DiffusionPipeline.from_pretrained(directory)
    pipeline.set_progress_bar_config(disable=True)
    if name == "instruct_pix2pix":
        given["image_guidance_scale"] = 1.5
    elif name == "kontext":
        given["max_area"] = 64 * 64
    if name != "instruct_pix2pix":
        given |= {"width": 64, "height": 64}
    if name != "klein":
        given["negative_prompt"] = Proxies().negative_prompt
    reference = task.open_reference().resize((64, 64))
    images = [
        pipeline(image=reference, prompt=task.caption, generator=noise_sources([seed]), **given).images[0]
        for seed in task.seeds
    ]
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_a_batch_is_what_single_calls_of_the_pipeline_give(model, task):
    name, directory = model
    settings = {"true_cfg_scale": 3.0} if name in SCALED else {}
    batch = drawn(directory, task, guidance=4.0, settings=settings)
    single = direct(name, directory, task, guidance_scale=4.0, num_inference_steps=2, **settings)
    assert batch.shape == (2, 64, 64, 3) and np.abs(batch - single).max() <= 1
    assert np.abs(batch[0] - batch[1]).max() > 8  # seeds

    changes = [{"steps": 3}]
    changes += [] if name.startswith("qwen") else [{"guidance": 9.0}]  # theirs is not distilled into the weights
    changes += [{"settings": {"true_cfg_scale": 9.0}}] if settings else []
    for change in changes:
        other = drawn(directory, task, **{"guidance": 4.0, "settings": settings, **change})
        assert np.abs(batch - other).max() > 1, change
    Image.new("RGB", (80, 64), "red").save(task.reference)
    assert np.abs(batch - drawn(directory, task, guidance=4.0, settings=settings)).max() > 1
