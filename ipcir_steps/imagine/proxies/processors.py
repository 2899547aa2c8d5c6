"""Cross-attention of the U-Net with a layout: MIGC, then the naive fuser, then plain attention, by step index."""

import dataclasses

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn
from torch.nn import functional as F

from ipcir_steps.imagine.proxies.course import Call
from ipcir_steps.imagine.proxies.migc import Block
from ipcir_steps.imagine.proxies.regions import Level, Regions

Window = tuple[int, int, int, int]


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
    """What the processors of one U-Net are to do now. plan None: plain attention on the given text.

    migc: whether the MIGC blocks act. guided: the batch has an unconditional half.
    twins: promises that both halves of the batch enter the U-Net with the same latents.
    """

    plan: Plan | None = None
    step: int = 0
    migc: bool = True
    guided: bool = True
    fuser_steps: int = 50
    twins: bool = False
    published_gate: bool = False
    local_weight: float = 0.5

    def follow(self, call: Call) -> None:
        """Do what a call computes, both halves of whose batch have the same latents."""
        self.migc, self.guided, self.twins = call.migc, call.guided, call.guided

    def rest(self) -> None:
        """Plain attention again."""
        self.plan, self.migc, self.guided, self.twins = None, True, True, False


class MIGCProcessor(nn.Module):
    """Attention processor of one cross-attention; with ``migc`` for the blocks that have a MIGC block.

    Hidden states have rows [uncond of each proxy, cond of each proxy], or the conditional ones alone
    (``stage.guided``). elite_global, elite_local: K and V projections of the ELITE mappers for this layer ({"to_k":
    Linear, "to_v": Linear}), or None.
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
        use_migc = self.migc is not None and self.stage.migc
        fuse = use_migc or step <= self.stage.fuser_steps
        keys, values = plan.once((id(self), "text"), lambda: self.text_projections(attn, plan))
        level = plan.regions.level(hidden_states.shape[1])
        heads = Heads(attn, hidden_states, level, self.stage.guided)
        negative = [heads.attend(0, keys[0], values[0])] if self.stage.guided else []
        scene = heads.attend(1, keys[1], values[1])
        if len(plan.boxes) == 0 or not fuse:
            return heads.project(torch.stack([*negative, scene]))
        instances = [self.instance(attn, plan, heads, number, keys, values) for number in range(len(plan.boxes))]
        if not use_migc:
            return heads.project_fused(negative, scene, instances)
        context = plan.once((id(self), "context"), lambda: self.migc.context(plan.pooled, plan.boxes))
        cross = heads.project(heads.stack(scene, instances)).unflatten(0, (-1, heads.proxies)).transpose(0, 1)
        cond = self.migc(cross, hidden_states[-heads.proxies :], context, level)
        return torch.cat([*(heads.project(row[None]) for row in negative), cond])

    def text_projections(self, attn: Attention, plan: Plan) -> tuple[Tensor, Tensor]:
        """Keys and values [n+2, heads, tokens, d]; rows of image instances by ELITE's global projections."""
        keys, values = attn.to_k(plan.text), attn.to_v(plan.text)
        if self.elite_global is not None:
            for number in plan.images:
                keys[number + 2] = self.elite_global["to_k"](plan.text[number + 2])
                values[number + 2] = self.elite_global["to_v"](plan.text[number + 2])
        return split(keys, attn.heads), split(values, attn.heads)

    def instance(self, attn, plan: Plan, heads: "Heads", number: int, keys: Tensor, values: Tensor) -> Tensor:
        """Attention to the text of an instance in its window: [heads, P * t, d].

        An image instance is (1 - w) * that + w * gate * local attention. The gate is the attention to the placeholder
        over its greatest value in the proxy. It comes from the instance's own row, or from the negative prompt's
        (``published_gate``), as published.
        """
        window, image = heads.level.windows[number], plan.images.get(number)
        out = heads.attend(1, keys[number + 2], values[number + 2], window)
        if image is None:
            return out

        def project():
            return tuple(split(self.elite_local[name](image.local), attn.heads) for name in ("to_k", "to_v"))

        local = heads.attend(1, *plan.once((id(self), "local", number), project), window)
        half, row = (0, 0) if self.stage.published_gate else (1, number + 2)
        logits = heads.halves[half] @ keys[row].transpose(-1, -2) * attn.scale
        gate = logits.softmax(-1)[..., image.placeholder].unflatten(-1, (heads.proxies, -1))
        gate = (gate / gate.amax((0, 2), keepdim=True)).flatten(1)[..., None]
        weight = self.stage.local_weight
        return (out * (1 - weight)).addcmul_(local, heads.cut(gate, window), value=weight)


class TwinProcessor:
    """Self-attention before the first cross-attention. There both halves of a batch (uncond, cond) are still the same
    when they started from the same latents (``stage.twins``), so one of them is computed, by the processor ``plain``.
    """

    def __init__(self, stage: Stage, plain):
        self.stage, self.plain = stage, plain

    def __call__(self, attn: Attention, hidden_states: Tensor, *args, **kwargs) -> Tensor:
        if not self.stage.twins:
            return self.plain(attn, hidden_states, *args, **kwargs)
        return self.plain(attn, hidden_states.chunk(2)[0], *args, **kwargs).repeat(2, 1, 1)


def without_bias(linear: nn.Module, x: Tensor) -> Tensor:
    """W x. A projection with LoRA weights beside its own is more than its weight, so it is called."""
    if type(linear) is nn.Linear:
        return F.linear(x, linear.weight)
    out = linear(x)
    return out if linear.bias is None else out - linear.bias


def split(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2).contiguous()


class Heads:
    """Queries of one call, computed once and used with every text row.

    The proxies of a half (uncond 0, cond 1) lie along the query axis: [heads, P * T, d]. So a text row
    is one batch item, and its keys are not copied. An instance is computed in its window only (t of T positions).
    """

    def __init__(self, attn: Attention, hidden_states: Tensor, level: Level, guided: bool = True):
        halves = (0, 1) if guided else (1,)
        self.attn, self.proxies, self.level = attn, len(hidden_states) // len(halves), level
        query = attn.to_q(hidden_states).unflatten(-1, (attn.heads, -1)).chunk(len(halves))
        self.halves = {half: rows.flatten(0, 1).transpose(0, 1) for half, rows in zip(halves, query, strict=True)}

    def view(self, x: Tensor, window: Window) -> Tensor:
        """[heads, P * T, d] -> its part in the window [heads, P, h, w, d], not copied."""
        top, bottom, left, right = window
        return x.unflatten(1, (self.proxies, *self.level.grid))[:, :, top:bottom, left:right]

    def cut(self, x: Tensor, window: Window) -> Tensor:
        """[heads, P * T, d] -> [heads, P * t, d]"""
        return self.view(x, window).flatten(1, 3)

    def attend(self, half: int, keys: Tensor, values: Tensor, window: Window | None = None) -> Tensor:
        """Outputs [heads, P * t, d] before the output projection. keys, values: [heads, tokens, d]."""
        query = self.halves[half] if window is None else self.cut(self.halves[half], window)
        if query.shape[1] == 0:
            return query
        return F.scaled_dot_product_attention(query[None], keys[None], values[None], scale=self.attn.scale)[0]

    def stack(self, scene: Tensor, instances: list[Tensor]) -> Tensor:
        """Rows [n+1, heads, P * T, d], zero outside the windows."""
        heads, positions, width = scene.shape
        rows = scene.new_zeros(len(instances) + 1, positions, heads, width).transpose(1, 2)
        rows[0] = scene
        for number, (part, window) in enumerate(zip(instances, self.level.windows, strict=True), 1):
            target = self.view(rows[number], window)
            target.copy_(part.reshape(target.shape))
        return rows

    def project(self, rows: Tensor) -> Tensor:
        """[rows, heads, P * T, d] -> [rows * P, T, C]"""
        return self.attn.to_out[0](rows.transpose(1, 2).flatten(2)).unflatten(1, (self.proxies, -1)).flatten(0, 1)

    def project_fused(self, negative: list[Tensor], scene: Tensor, instances: list[Tensor]) -> Tensor:
        """The naive fuser of the conditional half before the (affine) output projection, which then runs once.

        negative: the unconditional half, or empty. -> [2 P, T, C] or [P, T, C], the unconditional half first.
        """
        weights = self.level.fuser.repeat(1, self.proxies)[..., None]
        fused = scene * weights[0]
        for weight, part, window in zip(weights[1:], instances, self.level.windows, strict=True):
            target = self.view(fused, window)
            target.addcmul_(part.reshape(target.shape), self.view(weight[None], window))
        linear = self.attn.to_out[0]
        out = without_bias(linear, torch.stack([*negative, fused]).transpose(1, 2).flatten(2))
        if linear.bias is not None:
            out[:-1] += linear.bias
            out[-1].addcmul_(weights.sum(0), linear.bias)
        return out.unflatten(1, (self.proxies, -1)).flatten(0, 1)
