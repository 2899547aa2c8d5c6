"""Token merging in the self-attentions of a U-Net's outermost levels (Bolya and Hoffman, CVPR workshops 2023, arXiv
2303.17604).

The cost of a self-attention grows with the square of its positions, and many of them are alike. Before it, the
positions that are most like another one are merged into that one, as their mean; after it each takes what came out for
the two. The attention's own residual connection keeps what told them apart.

Deviations from the paper: the positions that others are merged into are the same in every call (the first of each
square of two by two) and not drawn at random, so that images depend on their seeds alone; and likeness is that of the
attention's input, which is normalised, since that is what an attention processor is given.
"""

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor
from torch.nn import functional as F

from ipcir_steps.core.errors import InputError


class MergingProcessor:
    """Self-attention of the positions that are left of each row. share: of all positions, those that are merged."""

    def __init__(self, share: float):
        self.share, self.grid, self.plain = share, (0, 0), AttnProcessor2_0()

    def see(self, layer, inputs) -> None:
        """The height and width of the feature map [B, C, h, w] whose positions follow."""
        self.grid = tuple(inputs[0].shape[-2:])

    def __call__(self, attn: Attention, hidden_states: Tensor, *args, **kwargs) -> Tensor:
        places, count = match(hidden_states, self.grid, self.share)
        out = self.plain(attn, means(hidden_states, places, count), *args, **kwargs)
        return out.gather(1, places[..., None].expand(-1, -1, out.shape[-1]))


def merge_tokens(network, share: float) -> None:
    """Merge that share of the positions, 0 to 0.75, in every self-attention at the highest resolution that has some.

    That is the latents' own in Stable Diffusion 1 and 2, half of it in SDXL. Call it before ``install`` and
    ``load_migc``, which keep it. At 0 the network is left as it is. Raises InputError for one that is no U-Net.
    """
    if share == 0:
        return
    if not isinstance(network, UNet2DConditionModel):
        raise InputError(
            "merges positions of a U-Net, which the model does not have",
            file="--settings", field="merge_tokens", remedy="Leave it out.",
        )  # fmt: skip
    for blocks in (network.down_blocks, network.up_blocks[::-1]):
        for layer in next((block.attentions for block in blocks if hasattr(block, "attentions")), ()):
            processor = MergingProcessor(share)
            layer.register_forward_pre_hook(processor.see)
            for block in layer.transformer_blocks:
                block.attn1.set_processor(processor)


def match(tokens: Tensor, grid: tuple[int, int], share: float) -> tuple[Tensor, int]:
    """Which of the ``count`` merged rows each position belongs to: ([B, T] of 0 to count - 1, count).

    Bipartite soft matching: every position but the first of each square of two by two finds the most similar (cosine)
    of these; the ``share`` * T most similar pairs are merged. Equal likenesses go by position. tokens: [B, T, C] on a
    ``grid`` of height, width. Each row of the batch is matched by itself.
    """
    rows, total = tokens.shape[:2]
    numbers = torch.arange(total, device=tokens.device).unflatten(0, grid)
    into = numbers[::2, ::2].flatten()
    others = torch.cat([numbers[::2, 1::2].flatten(), numbers[1::2].flatten()]).sort().values
    directions = F.normalize(tokens, dim=-1)
    likeness = directions[:, others] @ directions[:, into].transpose(1, 2)
    partner = likeness.argmax(-1)  # the first, where several are greatest
    order = likeness.gather(-1, partner[..., None])[..., 0].argsort(dim=-1, descending=True, stable=True)
    merged = min(int(share * total), len(others))
    gone, alone = order[:, :merged], order[:, merged:].sort(-1).values
    count = total - merged
    left = torch.arange(len(into), count, device=tokens.device).expand(rows, -1)
    places = numbers.new_empty(rows, total)
    places[:, into] = torch.arange(len(into), device=tokens.device)
    places[:, others] = partner.scatter(1, gone, partner.gather(1, gone)).scatter(1, alone, left)
    return places, count


def means(tokens: Tensor, places: Tensor, count: int) -> Tensor:
    """[B, T, C] -> [B, count, C]: the mean of the positions of each place. Sums are in the order of the positions, so
    that they are the same on every run, on a GPU too."""
    rows = len(tokens)
    bags = (places + count * torch.arange(rows, device=places.device)[:, None]).flatten()
    sizes = bags.new_zeros(rows * count).scatter_add(0, bags, torch.ones_like(bags))
    starts = sizes.cumsum(0) - sizes
    summed = F.embedding_bag(bags.argsort(stable=True), tokens.flatten(0, 1), starts, mode="mean")
    return summed.unflatten(0, (rows, count))
