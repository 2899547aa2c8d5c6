"""The architectures of the mini world's Stable Diffusion and MIGC: SD 1.5's parts with few channels and three levels."""

import torch
from torch import nn

from ipcir_steps.proxies.checkpoints import BLOCKS
from ipcir_steps.proxies.migc import MIGC

IMAGE_SIZE = 64  # pixels
LATENT_SIZE = 16  # the autoencoder divides by 4
WIDTH = 64  # of the text encoder
LENGTH = 32  # tokens of the longest prompt; CLIP's 77 would be mostly padding here
POSITION_WIDTH = 64  # of the MLP of the box tokens
VOCABULARY = 49408  # of CLIP's tokenizer
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
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
