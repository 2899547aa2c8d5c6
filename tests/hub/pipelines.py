"""Diffusers pipelines in small: their real classes with random weights, saved as their repositories are laid out."""

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderKLFlux2,
    AutoencoderKLQwenImage,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Transformer2DModel,
    FluxKontextPipeline,
    FluxPipeline,
    FluxTransformer2DModel,
    QwenImageEditPipeline,
    QwenImageEditPlusPipeline,
    QwenImageTransformer2DModel,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
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

BLOCKS = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>")  # fmt: skip
CHAT = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


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


def t5():
    """(text encoder, tokenizer)"""
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), ("▁", -1.0)]
    words += [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz,"]
    unigram = Tokenizer(models.Unigram(words, unk_id=2))
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    second = T5TokenizerFast(tokenizer_object=unigram, extra_ids=0, model_max_length=32)
    config = T5Config(vocab_size=len(second), d_model=16, d_kv=4, d_ff=32, num_layers=1, num_heads=4)
    return T5EncoderModel(config), second


def flux_transformer():
    return FluxTransformer2DModel(
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


def flux(tokenizer, directory):
    encoder, second = t5()
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder(4),
        text_encoder=clip_text(CLIPTextModel, tokenizer),
        tokenizer=tokenizer,
        text_encoder_2=encoder,
        tokenizer_2=second,
        transformer=flux_transformer(),
    ).save_pretrained(directory)


# Functions (CLIP tokenizer, directory to write).
DRAWING = {"sdxl": stable_diffusion_xl, "flux": flux}


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
    encoder, second = t5()
    vae = AutoencoderKL(
        **{name: kinds * 2 for name, kinds in BLOCKS.items()}, block_out_channels=(4,) * 4, norm_num_groups=2,
        latent_channels=4, use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.1, scaling_factor=0.3,
    )  # fmt: skip
    FluxKontextPipeline(
        FlowMatchEulerDiscreteScheduler(),
        vae,
        clip_text(CLIPTextModel, tokenizer),
        tokenizer,
        encoder,
        second,
        attentive(flux_transformer()),
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


# Functions (directory of a Stable Diffusion 1 pipeline, directory to write).
EDITING = {
    "instruct_pix2pix": instruct_pix2pix,
    "kontext": kontext,
    "klein": klein,
    "qwen_edit": qwen(QwenImageEditPipeline),
    "qwen_edit_plus": qwen(QwenImageEditPlusPipeline),
}
