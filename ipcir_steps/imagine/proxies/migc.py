"""The MIGC and MIGC++ blocks (limuloo/MIGC), vectorised over instances and proxies.

Parameter names follow the published checkpoints. Shapes: P proxies, n instances, T tokens (positions), C channels.
The published code shuffles the middle channels of the shading scores at random; here their order is fixed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ipcir_steps.imagine.proxies.regions import Level

MAPS = 30  # score channels of the published shading aggregation


class Projections(nn.Module):
    """Query, key, value and output projections of a multi-head attention."""

    def __init__(self, channels: int, heads: int, context_dim: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context_dim, channels, bias=False)
        self.to_v = nn.Linear(context_dim, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels), nn.Dropout(0.0))

    def split(self, x: Tensor) -> Tensor:
        """[..., T, C] -> [..., heads, T, C / heads]"""
        return x.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def merge(x: Tensor) -> Tensor:
    """[..., heads, T, d] -> [..., T, C]"""
    return x.transpose(-3, -2).flatten(-2)


class PositionNet(nn.Module):
    """Box tokens: Fourier features of x1, x2, y1, y2 (in this order) through an MLP."""

    def __init__(self, out: int, frequencies: int = 8, temperature: float = 100, width: int = 512):
        super().__init__()
        self.frequencies, self.temperature = frequencies, temperature
        self.linears_position = nn.Sequential(
            nn.Linear(frequencies * 8, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, out)
        )

    def forward(self, boxes: Tensor) -> Tensor:
        """boxes x1, y1, x2, y2 in [0, 1] [n, 4] -> [n, out]"""
        bands = self.temperature ** (torch.arange(self.frequencies, device=boxes.device) / self.frequencies)
        angles = boxes[:, None, [0, 2, 1, 3]].float() * bands[:, None]
        features = torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)
        return self.linears_position(features.to(boxes.dtype))


class ChannelGate(nn.Module):
    def __init__(self, channels: int, reduction: int):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.mlp = nn.Sequential(nn.Flatten(), nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))

    def gate(self, mean: Tensor, greatest: Tensor) -> Tensor:
        """Factors [B, C] from the mean and maximum of each channel [B, C]."""
        return (self.mlp(mean) + self.mlp(greatest)).sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3)), x.amax((2, 3)))[:, :, None, None]


class SpatialGate(nn.Module):
    def __init__(self):
        super().__init__()
        self.spatial = nn.ModuleDict({"conv": nn.Conv2d(2, 1, 7, padding=3, bias=False)})

    def gate(self, greatest: Tensor, mean: Tensor) -> Tensor:
        """Factors [B, H, W] from the maximum and mean over the channels [B, H, W]."""
        return self.spatial["conv"](torch.stack([greatest, mean], dim=1)).sigmoid().squeeze(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.amax(1), x.mean(1))[:, None]


class CBAM(nn.Module):
    """Convolutional block attention: a gate per channel, then one per position. x: [B, C, H, W]."""

    def __init__(self, channels: int, reduction: int = 16):
        super().__init__()
        self.ChannelGate = ChannelGate(channels, reduction)
        self.SpatialGate = SpatialGate()

    def forward(self, x: Tensor) -> Tensor:
        return self.SpatialGate(self.ChannelGate(x))


class Shading(nn.Module):
    """Shading aggregation of MIGC (SAC): a softmax over the maps decides who paints a position."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels + 1, channels, 1)
        self.cbam1 = CBAM(channels)
        self.conv2 = nn.Conv2d(channels, 1, 1)
        self.cbam2 = CBAM(MAPS, reduction=1)

    def forward(self, maps: Tensor, masks: Tensor, grid: tuple[int, int]) -> Tensor:
        """maps [P, m, T, C] with masks [m, T] -> weighted sum [P, T, C]"""
        proxies, count = maps.shape[:2]
        scores = self.rate(maps.flatten(0, 1), masks.repeat(proxies, 1), grid).unflatten(0, (proxies, count))
        empty = self.rate(torch.zeros_like(maps[0, :1]), torch.zeros_like(masks[:1]), grid)
        return aggregate(self.cbam2, maps, scores, empty)

    def score(self, x: Tensor, grid: tuple[int, int]) -> Tensor:
        """``rate`` of maps with their masks as the last channel. [B, T, C + 1] -> [B, H, W]"""
        return self.rate(x[..., :-1], x[..., -1], grid)

    def rate(self, x: Tensor, mask: Tensor, grid: tuple[int, int]) -> Tensor:
        """conv2(cbam1(conv1([x, mask]))): the 1 x 1 convolutions are products over the last axis.

        x: [B, T, C]; mask: [B, T] -> [B, H, W]
        """
        weight = self.conv1.weight.flatten(1)
        x = F.linear(x, weight[:, :-1], self.conv1.bias) + mask[..., None] * weight[:, -1]
        x = x * self.cbam1.ChannelGate.gate(x.mean(1), x.amax(1))[:, None]
        gate = self.cbam1.SpatialGate.gate(x.amax(-1).unflatten(1, grid), x.mean(-1).unflatten(1, grid))
        return F.linear(x, self.conv2.weight.flatten(1)).squeeze(-1).unflatten(1, grid) * gate + self.conv2.bias


class ShadingPlus(nn.Module):
    """Shading aggregation of MIGC++: scores straight from the maps."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv2 = nn.Conv2d(channels, 1, 1)
        self.cbam2 = CBAM(MAPS, reduction=1)

    def forward(self, maps: Tensor, grid: tuple[int, int]) -> Tensor:
        """maps [P, m, T, C] -> weighted sum [P, T, C]"""
        weight = self.conv2.weight.flatten(1)
        scores = F.linear(maps, weight, self.conv2.bias).squeeze(-1).unflatten(-1, grid)
        return aggregate(self.cbam2, maps, scores, self.conv2.bias.expand(1, *grid))


def aggregate(cbam: CBAM, maps: Tensor, scores: Tensor, empty: Tensor) -> Tensor:
    """Scores [P, m, H, W] are padded with ``empty`` [1, H, W] before the last one, gated, and softmaxed over m."""
    proxies, count = scores.shape[:2]
    padding = empty[None].expand(proxies, MAPS - count, -1, -1)
    gated = cbam(torch.cat([scores[:, :-1], padding, scores[:, -1:]], dim=1))
    kept = torch.cat([gated[:, : count - 1], gated[:, -1:]], dim=1).flatten(2)
    return (maps * kept.softmax(dim=1)[..., None]).sum(1)


class Block(nn.Module):
    """What MIGC and MIGC++ share: enhancement attention (EA), layout attention (LA), box tokens."""

    def __init__(self, channels: int, heads: int = 8, context_dim: int = 768, position_width: int = 512):
        super().__init__()
        self.ea = Projections(channels, heads, context_dim)
        self.la = Projections(channels, heads, channels)
        self.norm = nn.LayerNorm(channels)
        self.pos_net = PositionNet(context_dim, width=position_width)

    def context(self, pooled: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [n, heads, 2, d] of the enhancement attention: the same at every step.

        pooled: text of the instances [n, context_dim]; boxes: [n, 4] x1, y1, x2, y2 in [0, 1].
        """
        tokens = torch.stack([pooled, self.pos_net(boxes)], dim=1)
        return self.ea.split(self.ea.to_k(tokens)), self.ea.split(self.ea.to_v(tokens))

    def enhance(self, tokens: Tensor, context: tuple[Tensor, Tensor], level: Level) -> Tensor:
        """EA_i m_i: [P, T, C] -> [P, n, T, C]. All instances share the queries."""
        keys, values = context
        query = self.ea.split(self.ea.to_q(self.norm(tokens)))
        # Proxies lie along the query axis, so that keys are not copied per proxy nor queries per instance.
        query = query.transpose(0, 1).flatten(1, 2)[None].expand(len(keys), -1, -1, -1)
        out = merge(F.scaled_dot_product_attention(query, keys, values))
        out = self.ea.to_out(out.unflatten(1, tokens.shape[:2]).transpose(0, 1))
        return out * level.instances[..., None]

    def arrange(self, tokens: Tensor, level: Level) -> Tensor:
        """LA: self-attention between positions that share an instance or the supplement. [P, T, C] -> [P, T, C]"""
        q, k, v = (self.la.split(project(tokens)) for project in (self.la.to_q, self.la.to_k, self.la.to_v))
        return self.la.to_out(merge(F.scaled_dot_product_attention(q, k, v, attn_mask=level.shared)))


class MIGC(Block):
    """One MIGC block. Limit: 28 instances."""

    limit = MAPS - 2

    def __init__(self, channels: int, heads: int = 8, context_dim: int = 768, position_width: int = 512):
        super().__init__(channels, heads, context_dim, position_width)
        self.sac = Shading(channels)

    def forward(self, cross: Tensor, tokens: Tensor, context: tuple[Tensor, Tensor], level: Level) -> Tensor:
        """The conditional row of a cross-attention.

        cross: [P, n+1, T, C] cross-attention outputs with the scene (0) and each instance; tokens: [P, T, C] its input;
        context: see ``context``. Returns [P, T, C].
        """
        scene = cross[:, :1] * level.supplement[..., None]
        instances = cross[:, 1:] * level.instances[..., None] + self.enhance(tokens, context, level)
        template = self.arrange(tokens, level)[:, None]
        masks = torch.cat([level.supplement, level.instances, torch.ones_like(level.supplement)])
        return self.sac(torch.cat([scene, instances, template], dim=1), masks, level.grid)


class MIGCPlus(Block):
    """One MIGC++ block: naive fuser + tanh(gamma) * shading of the enhancement and layout attentions."""

    limit = MAPS - 1

    def __init__(self, channels: int, heads: int = 8, context_dim: int = 768, position_width: int = 512):
        super().__init__(channels, heads, context_dim, position_width)
        self.sac = ShadingPlus(channels)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, cross: Tensor, tokens: Tensor, context: tuple[Tensor, Tensor], level: Level) -> Tensor:
        """As MIGC.forward."""
        maps = torch.cat([self.enhance(tokens, context, level), self.arrange(tokens, level)[:, None]], dim=1)
        return NaiveFuser()(cross, level) + self.sac(maps, level.grid) * self.gamma.tanh()


class NaiveFuser(nn.Module):
    """sum_j CA_j a_j / (sum_j a_j + 1e-6) with a_0 = 1, a_i = 10 m_i. cross: [P, n+1, T, C] -> [P, T, C]"""

    def forward(self, cross: Tensor, level: Level) -> Tensor:
        return (cross * level.fuser[..., None]).sum(1)
