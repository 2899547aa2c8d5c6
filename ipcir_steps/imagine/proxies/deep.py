"""Deep features of a U-Net, reused between neighbouring steps (the idea of DeepCache, Ma et al., CVPR 2024).

The features of the deep levels change slowly from step to step. A whole call keeps what enters the last layers of the
U-Net from below; a shallow call computes these layers alone, with their two outermost skip connections: ``conv_in``,
the first layer going down, and the last two going up.
"""

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

LAYERS = 2  # going up, of the last block


class Deep:
    """Whole and shallow calls of one U-Net of Stable Diffusion 1.x."""

    def __init__(self, unet: UNet2DConditionModel):
        self.unet, self.kept = unet, None

    def whole(self, rows: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """The U-Net's prediction; rows: latents [B, 4, h, w], text: states [B, tokens, D]."""
        entry = self.unet.up_blocks[-1].resnets[-LAYERS].register_forward_pre_hook(self._keep)
        try:
            return self.unet(rows, time, encoder_hidden_states=text).sample
        finally:
            entry.remove()

    def _keep(self, layer, inputs) -> None:
        """What enters a layer going up: the features from below, then those of the skip connection."""
        joined, skipped = inputs[0], self.unet.config.block_out_channels[0]
        self.kept = joined[:, :-skipped]

    def shallow(self, rows: Tensor, time: Tensor, text: Tensor) -> Tensor:
        """As ``whole``, with the deep features of the last whole call."""
        unet, up = self.unet, self.unet.up_blocks[-1]
        if self.kept is None or len(self.kept) != len(rows):
            raise RuntimeError("a shallow call follows no whole call with as many rows")
        embedded = unet.time_embedding(unet.time_proj(time.expand(len(rows)).to(rows.device)).to(rows.dtype))
        skips = [unet.conv_in(rows)]
        for number in range(LAYERS - 1):
            skips.append(layer(unet.down_blocks[0], number, skips[-1], embedded, text))
        x = self.kept
        for number in range(-LAYERS, 0):
            x = layer(up, number, torch.cat([x, skips.pop()], dim=1), embedded, text)
        return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))

    def forget(self) -> None:
        self.kept = None


def layer(block, number: int, x: Tensor, embedded: Tensor, text: Tensor) -> Tensor:
    """A residual layer of a block, and its attentions where the block has some."""
    x = block.resnets[number](x, embedded)
    attentions = getattr(block, "attentions", None)
    return x if attentions is None else attentions[number](x, encoder_hidden_states=text, return_dict=False)[0]
