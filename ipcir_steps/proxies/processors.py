"""Cross-attention of the U-Net with a layout: MIGC, then the naive fuser, then plain attention, by step index."""

import dataclasses

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional as F

from ipcir_steps.proxies.migc import Block
from ipcir_steps.proxies.regions import Regions


@dataclasses.dataclass
class Plan:
    """What is constant over the steps and the proxies of a query.

    text: [n+2, tokens, D] rows negative, scene, rows of instances. pooled: [n, D]. boxes: [n, 4] x1, y1, x2, y2.
    regions: their masks. images: {row number 0..n-1: ImageRow} for rows that look like a reference.
    cache: whatever a layer derives from these.
    """

    text: Tensor
    pooled: Tensor
    boxes: Tensor
    regions: Regions
    images: dict[int, "ImageRow"] = dataclasses.field(default_factory=dict)
    cache: dict = dataclasses.field(default_factory=dict)

    def once(self, key, make):
        if key not in self.cache:
            self.cache[key] = make()
        return self.cache[key]


@dataclasses.dataclass
class ImageRow:
    """local: [256, D] features of the masked instance (ELITE). placeholder: index of its token in the row's text."""

    local: Tensor
    placeholder: int


@dataclasses.dataclass
class Stage:
    """What the processors of one U-Net are to do now. plan None: plain attention on the given text."""

    plan: Plan | None = None
    step: int = 0
    migc_steps: int = 25
    fuser_steps: int = 50
    published_gate: bool = False
    local_weight: float = 0.5


class MIGCProcessor(nn.Module):
    """Attention processor of one cross-attention; with ``migc`` for the blocks that have a MIGC block.

    Hidden states have rows [uncond of each proxy, cond of each proxy]. elite_global, elite_local: K and V
    projections of the ELITE mappers for this layer ({"to_k": Linear, "to_v": Linear}), or None.
    """

    def __init__(self, stage: Stage, migc: Block | None = None):
        super().__init__()
        self.stage, self.migc = stage, migc
        self.elite_global: nn.ModuleDict | None = None
        self.elite_local: nn.ModuleDict | None = None
        self.plain = AttnProcessor2_0()

    def forward(self, attn: Attention, hidden_states: Tensor, encoder_hidden_states=None, *args, **kwargs) -> Tensor:
        plan, step = self.stage.plan, self.stage.step
        if plan is None:
            return self.plain(attn, hidden_states, encoder_hidden_states, *args, **kwargs)
        use_migc = self.migc is not None and step <= self.stage.migc_steps
        fuse = use_migc or step <= self.stage.fuser_steps
        keys, values = plan.once((id(self), "text"), lambda: self.text_projections(attn, plan))
        heads = Heads(attn, hidden_states)
        negative = heads.attend(0, keys[:1], values[:1])
        if len(plan.boxes) == 0 or not fuse:
            cond = heads.attend(1, keys[1:2], values[1:2])
            return torch.cat([heads.project(negative)[:, 0], heads.project(cond)[:, 0]])
        rows = heads.attend(1, keys[1:], values[1:])
        for number, image in plan.images.items():
            self.add_local(attn, plan, heads, rows, number, image, keys)
        level = plan.regions.level(hidden_states.shape[1])
        if use_migc:
            context = plan.once((id(self), "context"), lambda: self.migc.context(plan.pooled, plan.boxes))
            tokens = hidden_states.chunk(2)[1]
            cond = self.migc(heads.project(rows), tokens, context, level)
        else:
            cond = heads.project_fused(rows, level.fuser)
        return torch.cat([heads.project(negative)[:, 0], cond])

    def text_projections(self, attn: Attention, plan: Plan) -> tuple[Tensor, Tensor]:
        """Keys and values [n+2, heads, tokens, d]; rows of image instances by ELITE's global projections."""
        keys, values = attn.to_k(plan.text), attn.to_v(plan.text)
        if self.elite_global is not None:
            for number in plan.images:
                keys[number + 2] = self.elite_global["to_k"](plan.text[number + 2])
                values[number + 2] = self.elite_global["to_v"](plan.text[number + 2])
        return split(keys, attn.heads), split(values, attn.heads)

    def add_local(self, attn, plan: Plan, heads: "Heads", rows: Tensor, number: int, image: ImageRow, keys: Tensor):
        """Replace a row by (1 - w) * row + w * gate * local attention, in place.

        The gate is the attention to the placeholder over its greatest value in the proxy. It comes from the
        instance's own row, or from the negative prompt's (``published_gate``), as published.
        """
        source = self.elite_local

        def project():
            return tuple(split(source[name](image.local[None]), attn.heads) for name in ("to_k", "to_v"))

        local = heads.attend(1, *plan.once((id(self), "local", number), project))[0]
        half, row = (0, 0) if self.stage.published_gate else (1, number + 2)
        logits = heads.query(half) @ keys[row].transpose(-1, -2) * attn.scale
        gate = logits.softmax(-1)[..., image.placeholder].unflatten(-1, (heads.proxies, -1))
        gate = (gate / gate.amax((0, 2), keepdim=True)).flatten(1)[..., None]
        weight = self.stage.local_weight
        rows[number + 1].mul_(1 - weight).add_(local * gate, alpha=weight)


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2).contiguous()


class Heads:
    """Queries of one call, computed once and used with every text row.

    The proxies of a half (uncond 0, cond 1) lie along the query axis: [heads, P * T, d]. So a text row
    is one batch item, and neither its keys nor the queries are copied.
    """

    def __init__(self, attn: Attention, hidden_states: Tensor):
        self.attn, self.proxies = attn, len(hidden_states) // 2
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1))
        self.halves = [half.flatten(0, 1).transpose(0, 1) for half in query.chunk(2)]

    def query(self, half: int) -> Tensor:
        return self.halves[half]

    def attend(self, half: int, keys: Tensor, values: Tensor) -> Tensor:
        """Outputs [rows, heads, P * T, d] before the output projection."""
        query = self.halves[half][None].expand(len(keys), -1, -1, -1)
        return F.scaled_dot_product_attention(query, keys, values, scale=self.attn.scale)

    def project(self, rows: Tensor) -> Tensor:
        """[rows, heads, P * T, d] -> [P, rows, T, C]"""
        out = self.attn.to_out[0](rows.transpose(1, 2).flatten(2))
        return out.unflatten(1, (self.proxies, -1)).transpose(0, 1)

    def project_fused(self, rows: Tensor, weights: Tensor) -> Tensor:
        """The naive fuser before the (affine) output projection, which is then applied once. -> [P, T, C]"""
        weights = weights.repeat(1, self.proxies)[:, None, :, None]
        fused = rows[0] * weights[0]
        for row, weight in zip(rows[1:], weights[1:], strict=True):
            fused.addcmul_(row, weight)
        out = F.linear(fused.transpose(0, 1).flatten(1), self.attn.to_out[0].weight)
        if self.attn.to_out[0].bias is not None:
            out += weights.sum(0)[0] * self.attn.to_out[0].bias
        return out.unflatten(0, (self.proxies, -1))
