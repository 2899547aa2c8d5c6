"""Text-to-image with other families than Stable Diffusion 1: SDXL and FLUX, their real classes, tiny."""

import json

import pytest
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_jsonl


def clip_text(kind, tokenizer, act="quick_gelu"):
    torch.manual_seed(7)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        projection_dim=16,
        hidden_act=act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    return kind(config)


def autoencoder(channels):
    return AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=channels,
        use_quant_conv=False,
        use_post_quant_conv=False,
        shift_factor=0.1,
        scaling_factor=0.3,
    )


def stable_diffusion_xl(tokenizer, directory):
    cross = "CrossAttnDownBlock2D"
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        layers_per_block=1,
        down_block_types=("DownBlock2D", cross),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=(2, 4),
        cross_attention_dim=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
        use_linear_projection=True,
        norm_num_groups=4,
    )
    StableDiffusionXLPipeline(
        vae=autoencoder(4),
        text_encoder=clip_text(CLIPTextModel, tokenizer),
        text_encoder_2=clip_text(CLIPTextModelWithProjection, tokenizer, "gelu"),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
        add_watermarker=False,
    ).save_pretrained(directory)


def flux(tokenizer, directory):
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -1.0)]
    words += [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz,"]
    unigram = Tokenizer(models.Unigram(words, unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    second = T5TokenizerFast(tokenizer_object=unigram, extra_ids=0, model_max_length=32)
    config = T5Config(vocab_size=len(second), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=4)
    transformer = FluxTransformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
        guidance_embeds=True,
    )
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(4),
        text_encoder=clip_text(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=T5EncoderModel(config),
        tokenizer_2=second,
        transformer=transformer,
    ).save_pretrained(directory)


FAMILIES = {"sdxl": stable_diffusion_xl, "flux": flux}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, stable_diffusion, tmp_path_factory):
    directory = tmp_path_factory.mktemp("families") / request.param
    torch.manual_seed(2)
    FAMILIES[request.param](CLIPTokenizer.from_pretrained(stable_diffusion / "tokenizer"), directory)
    return directory


def command(world, model, name, *more, models=(), **settings):
    settings = {"width": 64, "height": 48, "steps": 2, "count": 2, "device": "cpu", **settings}
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
    words += ["--images", world / name, "--output", world / f"{name}.jsonl", "--settings", json.dumps(settings)]
    words += [*more, "--models", f"generator={model}", *models]
    return [str(word) for word in words]


def test_other_families_draw_reproducible_images(world, family):
    assert main(command(world, family, "proxies")) == 0
    first, second, third = read_jsonl(world / "proxies.jsonl")
    assert Image.open(world / "proxies" / "q0" / "0.png").size == (64, 48)
    assert len(set(first["sha256"] + second["sha256"])) == 4 and third["failure"] == "no layout"
    assert main(command(world, family, "again", "--shard", "1/2")) == 0
    assert read_jsonl(world / "again.jsonl")[0]["sha256"] == second["sha256"]


def test_they_cannot_carry_migc(world, family, checkpoints, capsys):
    models = [f"migc={checkpoints / 'migc.ckpt'}"]
    assert main(command(world, family, "migc", models=models, generator="migc", migc_steps=1)) == 2
    message = capsys.readouterr().err
    assert f"{family} is a " in message and "not a StableDiffusionPipeline" in message and "text_encoder_2" in message
