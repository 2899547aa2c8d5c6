"""The mini world's Stable Diffusion, MIGC and ELITE: the parts of SD 1.5 with few channels and three levels."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER
from ipcir_steps.imagine.proxies.elite import GlobalMapper, LocalMapper
from ipcir_steps.imagine.proxies.migc import MIGC
from mini_world import tokenizers
from mini_world.lora import LoRA
from mini_world.render import SIZE as IMAGE_SIZE
from mini_world.shipped import settle

LATENT_SIZE = 16  # the autoencoder divides by 4
WIDTH = 64  # of the text encoder
LENGTH = 32  # tokens of the longest prompt; CLIP's 77 would be mostly padding here
POSITION_WIDTH = 64  # of the MLP of the box tokens
VOCABULARY = 49408  # of CLIP's tokenizer
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
MAPPER_WIDTH = 128  # of ELITE's mappers
PREDICTION = "v_prediction"  # of a network this small it asks the same precision at every noise level


def autoencoder() -> nn.Module:
    """AutoencoderKL: images of 64 pixels to latents of 4 x 16 x 16."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        sample_size=IMAGE_SIZE,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 64),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        mid_block_add_attention=False,
    )


def unet() -> nn.Module:
    """UNet2DConditionModel: convolutions at 16 x 16, attention at 8 x 8 and, in the middle, at 4 x 4."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        block_out_channels=(64, 96, 96),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=2,
        norm_num_groups=8,
        attention_head_dim=4,  # diffusers reads this as the number of heads
        cross_attention_dim=WIDTH,
    )


def text_encoder(vocabulary: int = VOCABULARY) -> nn.Module:
    """CLIPTextModel. vocabulary: number of token embeddings."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=49407,
    )
    return CLIPTextModel(config)


def migc_blocks(network: nn.Module) -> nn.ModuleDict:
    """The MIGC blocks of a U-Net by the names of its modules, with ``-`` for ``.``."""
    channels = {name: network.get_submodule(name).in_channels for name in BLOCKS}
    return nn.ModuleDict(
        {
            name.replace(".", "-"): MIGC(count, context_dim=WIDTH, position_width=POSITION_WIDTH)
            for name, count in channels.items()
        }
    )


def vision() -> nn.Module:
    """CLIPVisionModel for ELITE, which reads its layers 4, 8, 12 and 16: as many thin layers."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=16,
        num_attention_heads=4,
        image_size=IMAGE_SIZE,
        patch_size=8,
    )
    return CLIPVisionModel(config)


def projections(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The key and value projections of a U-Net's cross-attentions, by the names that ELITE's mappers give to theirs."""
    for name, module in network.named_modules():
        if name.endswith("attn2"):
            for part in ("to_k", "to_v"):
                yield f"{name.replace('.', '_')}_{part}", getattr(module, part)


def mapper(kind: type, network: nn.Module) -> nn.Module:
    """One of ELITE's mappers with the key and value projections for the cross-attentions of a U-Net."""
    result = kind(WIDTH, WIDTH, MAPPER_WIDTH)
    for name, projection in projections(network):
        result.add_module(name, nn.Linear(projection.in_features, projection.out_features, bias=False))
    return result


def widen(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The text encoder's state with a row per token of CLIP's vocabulary.

    weights: as trained, with ``token_ids`` of the rows of the embedding but the last; that one is of all other tokens.
    """
    weights = dict(weights)
    ids = weights.pop("token_ids").long()
    name = next(key for key in weights if key.endswith("token_embedding.weight"))
    rows = weights[name]
    table = rows[-1:].expand(VOCABULARY, -1).clone()
    table[ids] = rows[:-1]
    return {**weights, name: table}


# --- checkpoints as the published ones are laid out ---------------------------------------------------------------


def trained_autoencoder(weights: Path | None) -> tuple[nn.Module, float | None]:
    """The autoencoder, and the factor by which its latents are scaled where it is trained."""
    scale = []

    def without_scale(trained: dict) -> dict:
        scale.append(float(trained["scaling_factor"]))
        return {key: value for key, value in trained.items() if key != "scaling_factor"}

    vae = settle(autoencoder(), weights, "sd_vae", without_scale)
    return vae, scale[0] if scale else None


def sd(path: Path, weights: Path | None = None) -> None:
    """A Stable Diffusion pipeline of diffusers. weights: sd_vae, sd_unet, sd_text."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline
    from transformers import CLIPTokenizer

    vae, scale = trained_autoencoder(weights)
    if scale is not None:
        vae.register_to_config(scaling_factor=scale)
    tokenizers.clip(path / "tokenizer", LENGTH)
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=settle(text_encoder(), weights, "sd_text", widen),
        tokenizer=CLIPTokenizer.from_pretrained(path / "tokenizer", local_files_only=True),
        unet=settle(unet(), weights, "sd_unet"),
        scheduler=PNDMScheduler(**BETAS, prediction_type=PREDICTION, skip_prk_steps=True, steps_offset=1),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(path)
    tokenizers.clip(path / "tokenizer", LENGTH)


def migc(path: Path, weights: Path | None = None) -> None:
    """The MIGC blocks under the names of MIGC_SD14.ckpt."""
    blocks = settle(migc_blocks(unet()), weights, "migc").state_dict()
    published = dict(zip(BLOCKS, ("middle_block.1", *(f"output_blocks.{n}.1" for n in (3, 4, 5))), strict=True))
    values = {}
    for key, value in blocks.items():
        block, _, rest = key.partition(".")
        values[f"model.diffusion_model.{published[block.replace('-', '.')]}{LAYER}.migc.{rest}"] = value
    _save(values, path / "migc.safetensors")


def lcm(path: Path, weights: Path | None = None) -> None:
    """The LoRA of the U-Net with which it draws in a few steps."""
    settle(LoRA(unet()), weights, "lcm").save(path)


def elite_global(path: Path, weights: Path | None = None) -> None:
    _mapper(GlobalMapper, path, weights)


def elite_local(path: Path, weights: Path | None = None) -> None:
    _mapper(LocalMapper, path, weights)


def _mapper(kind: type, path: Path, weights: Path | None) -> None:
    model = settle(mapper(kind, unet()), weights, path.name)
    _save(model.state_dict(), path / "mapper.safetensors")


def elite_vision(path: Path, weights: Path | None = None) -> None:
    """The CLIPVisionModel that the mappers read."""
    settle(vision(), weights, "elite_vision").save_pretrained(path)


def _save(values: dict[str, torch.Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in values.items()}, path, metadata={"format": "pt"})
