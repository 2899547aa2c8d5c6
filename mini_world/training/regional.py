"""Cross-attention as in ``imagine.proxies.processors``, over a batch in which each picture has its own layout.

Shapes: B pictures, n instances of a picture (padded), U different prompts, T positions, C channels, I instances that
look like a reference.
"""

import dataclasses

import torch
from diffusers.models.attention_processor import Attention
from torch import Tensor
from torch.nn import functional as F

from ipcir_steps.imagine.proxies.migc import MAPS, MIGC, Block, merge
from ipcir_steps.imagine.proxies.processors import split
from ipcir_steps.imagine.proxies.regions import grid_of


@dataclasses.dataclass
class Layouts:
    """What the pictures of a batch are drawn from.

    text: [U, tokens, D] states of the prompts, pooled: [U, D] those at the end token. rows: [B, 1 + n] which of them
    are a picture's scene and instances. present: [B, n] false for padding. boxes: [B, n, 4]. masks: [B, n + 1, h, w]
    of the instances (zero for padding) and the supplement on the latent grid. blocks: so many pictures, the first of
    the batch, go through the MIGC blocks; the others through the naive fuser. A picture without instances is drawn
    from its scene alone, as Stable Diffusion does.
    """

    text: Tensor
    pooled: Tensor
    rows: Tensor
    present: Tensor
    boxes: Tensor
    masks: Tensor
    blocks: int
    references: "References | None" = None
    levels: dict[int, "Level"] = dataclasses.field(default_factory=dict)

    def level(self, tokens: int) -> "Level":
        if tokens not in self.levels:
            grid = grid_of(tokens, *self.masks.shape[-2:])
            maps = F.interpolate(self.masks, size=grid, mode="bilinear").flatten(2)
            self.levels[tokens] = Level(maps[:, :-1], maps[:, -1:], grid)
        return self.levels[tokens]


@dataclasses.dataclass
class References:
    """Instances that look like a reference (ELITE). picture, place: [I] their rows in ``Layouts.rows``.

    local: [I, patches, D] features of the masked instances. placeholder: [I] index of its token in the row's text.
    """

    picture: Tensor
    place: Tensor
    local: Tensor
    placeholder: Tensor


@dataclasses.dataclass
class Level:
    """Masks of one level of the U-Net: instances [B, n, T], supplement [B, 1, T]."""

    instances: Tensor
    supplement: Tensor
    grid: tuple[int, int]

    @property
    def fuser(self) -> Tensor:
        """Weights [B, n + 1, T] of the naive fuser."""
        weights = torch.cat([torch.ones_like(self.supplement), self.instances * 10], dim=1)
        return weights / (weights.sum(1, keepdim=True) + 1e-6)


def latent_masks(boxes: Tensor, present: Tensor, size: int, latent: int) -> Tensor:
    """Masks [B, n + 1, latent, latent] of instances and supplement, from boxes [B, n, 4] on ``size`` pixels."""
    low, high = (boxes[..., :2] * size).int(), (boxes[..., 2:] * size).int()
    position = torch.arange(size)
    inside = (position >= low[..., None]) & (position < high[..., None])  # [B, n, 2, size]
    masks = (inside[:, :, 1, :, None] & inside[:, :, 0, None, :] & present[..., None, None]).float()
    supplement = 1 - masks.sum(1, keepdim=True).clamp(max=1)
    return F.interpolate(torch.cat([masks, supplement], dim=1), size=(latent, latent), mode="bilinear")


class RegionalProcessor:
    """Attention processor of one cross-attention. lesson.layouts: the batch, set before each call of the U-Net.

    elite: key and value projections of ELITE's mappers for this layer, {"global" | "local": (to_k, to_v)}.
    """

    local_weight = 0.5

    def __init__(self, lesson, migc: Block | None = None, elite: dict | None = None):
        self.lesson, self.migc, self.elite = lesson, migc, elite

    def __call__(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states=None, *args, **kwargs) -> Tensor:
        layouts: Layouts = self.lesson.layouts
        count, level = layouts.blocks, layouts.level(hidden_states.shape[1])
        keys, values = (split(to(layouts.text), attn.heads)[layouts.rows] for to in (attn.to_k, attn.to_v))
        if references := layouts.references:
            place = references.picture, references.place
            text = layouts.text[layouts.rows[place]]
            own, worn = (split(to(text), attn.heads) for to in self.elite["global"])
            keys, values = keys.index_put(place, own), values.index_put(place, worn)
        single = split(attn.to_q(hidden_states), attn.heads)
        query = single[:, None].expand(-1, keys.shape[1], -1, -1, -1)
        rows = F.scaled_dot_product_attention(
            query.flatten(0, 1), keys.flatten(0, 1), values.flatten(0, 1), scale=attn.scale
        ).unflatten(0, keys.shape[:2])
        if references:
            blended = self.local(attn, single[references.picture], own, rows[place], references)
            rows = rows.index_put(place, blended)
        if self.migc is None:
            count = 0
        fused = (rows[count:] * level.fuser[count:, :, None, :, None]).sum(1)
        out = attn.to_out[0](merge(fused))
        if count == 0:
            return out
        cross = attn.to_out[0](merge(rows[:count]))
        return torch.cat([shade(self.migc, cross, hidden_states[:count], layouts, level), out])

    def local(self, attn: Attention, query: Tensor, keys: Tensor, row: Tensor, references: References) -> Tensor:
        """``MIGCProcessor``'s local attention for all image rows. query, row: [I, heads, T, d]; returns the same."""
        keys_, values_ = (split(to(references.local), attn.heads) for to in self.elite["local"])
        drawn = F.scaled_dot_product_attention(query, keys_, values_, scale=attn.scale)
        attention = (query @ keys.transpose(-1, -2) * attn.scale).softmax(-1)
        index = references.placeholder[:, None, None, None].expand(*attention.shape[:3], 1)
        gate = attention.gather(-1, index)
        gate = gate / gate.amax((1, 2), keepdim=True)
        return (1 - self.local_weight) * row + self.local_weight * gate * drawn


def shade(block: MIGC, cross: Tensor, tokens: Tensor, layouts: Layouts, level: Level) -> Tensor:
    """``MIGC.forward`` with masks per picture. cross: [B, n + 1, T, C]; tokens: [B, T, C]. Returns [B, T, C]."""
    count = len(cross)
    instances, supplement = level.instances[:count], level.supplement[:count]
    enhanced = enhance(block, tokens, layouts) * instances[..., None]
    template = arrange(block, tokens, instances, supplement)[:, None]
    painted = cross[:, 1:] * instances[..., None] + enhanced
    maps = torch.cat([cross[:, :1] * supplement[..., None], painted, template], dim=1)
    masks = torch.cat([supplement, instances, torch.ones_like(supplement)], dim=1)
    marked = torch.cat([maps, masks[..., None]], dim=-1)
    sac, number = block.sac, maps.shape[1]
    scores = sac.score(marked.flatten(0, 1), level.grid).unflatten(0, (count, number))
    empty = sac.score(torch.zeros_like(marked[0, :1]), level.grid)[None]
    padding = empty.expand(count, MAPS - number, -1, -1)
    gated = sac.cbam2(torch.cat([scores[:, :-1], padding, scores[:, -1:]], dim=1))
    kept = torch.cat([gated[:, : number - 1], gated[:, -1:]], dim=1).flatten(2)
    # The softmax is over the instances that there are; the gates see the others as the published padding.
    absent = F.pad(~layouts.present[:count], (1, 1))
    kept = kept.masked_fill(absent[..., None], float("-inf"))
    return (maps * kept.softmax(dim=1)[..., None]).sum(1)


def enhance(block: MIGC, tokens: Tensor, layouts: Layouts) -> Tensor:
    """``Block.enhance`` before the masks. [B, T, C] -> [B, n, T, C]"""
    count, ea = len(tokens), block.ea
    places = block.pos_net(layouts.boxes[:count].flatten(0, 1)).unflatten(0, layouts.boxes[:count].shape[:2])
    context = torch.stack([layouts.pooled[layouts.rows[:count, 1:]], places], dim=2)
    keys, values = (ea.split(to(context)).flatten(0, 1) for to in (ea.to_k, ea.to_v))
    query = ea.split(ea.to_q(block.norm(tokens)))[:, None].expand(-1, context.shape[1], -1, -1, -1).flatten(0, 1)
    out = F.scaled_dot_product_attention(query, keys, values)
    return ea.to_out(merge(out)).unflatten(0, context.shape[:2])


def arrange(block: MIGC, tokens: Tensor, instances: Tensor, supplement: Tensor) -> Tensor:
    """``Block.arrange`` with masks per picture. [B, T, C] -> [B, T, C]"""
    la, maps = block.la, torch.cat([instances, supplement], dim=1)
    shared = (maps.transpose(1, 2) @ maps > 0)[:, None]
    query, keys, values = (la.split(to(tokens)) for to in (la.to_q, la.to_k, la.to_v))
    return la.to_out(merge(F.scaled_dot_product_attention(query, keys, values, attn_mask=shared)))
