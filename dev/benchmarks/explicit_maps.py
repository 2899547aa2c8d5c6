"""The layout generator written out: explicit attention maps, loops over instances, one image at a time, any precision.

It shares no code with ipcir_steps. The benchmark measures against it, and the tests compare latents with it in float64.
"""

import dataclasses

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch.nn.functional import conv2d, interpolate, layer_norm, linear, silu


@dataclasses.dataclass
class Situation:
    """text: [n+2, tokens, D] rows negative, scene, instances; pooled: [n, D]; boxes: lists x1, y1, x2, y2.

    images: {instance: (local features [patches, D], placeholder index)}; regions: {instance: mask [height, width]}, in
    place of its box; elite: {layer: (K, V global, K, V local)}.
    """

    text: torch.Tensor
    pooled: torch.Tensor
    boxes: list
    size: tuple[int, int]
    migc_steps: int = 25
    fuser_steps: int = 50
    images: dict = dataclasses.field(default_factory=dict)
    regions: dict = dataclasses.field(default_factory=dict)
    step: int = 0


class ExplicitProcessor:
    """weights: MIGC block by published subkey, or None. elite: weights of K, V global, K, V local, or None."""

    def __init__(self, situation, weights=None, elite=None):
        self.situation, self.weights, self.elite = situation, weights, elite

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, **kwargs):
        s = self.situation
        uncond, cond = hidden_states
        first = self.attend(attn, uncond, s.text[0])
        migc = self.weights is not None and s.step <= s.migc_steps
        if not s.boxes or (not migc and s.step > s.fuser_steps):
            return torch.stack([first, self.attend(attn, cond, s.text[1])])
        cross = [self.attend(attn, cond, s.text[1])]
        cross += [self.instance(attn, cond, i) for i in range(len(s.boxes))]
        masks, supplement, grid = self.masks(len(cond), cond)
        if migc and "gamma" in self.weights:
            second = fuse(cross, masks) + self.weights["gamma"].tanh() * self.shade_plus(cond, masks, supplement, grid)
        elif migc:
            second = self.shade(cross, cond, masks, supplement, grid)
        else:
            second = fuse(cross, masks)
        return torch.stack([first, second])

    def attend(self, attn, x, text, keys=None, values=None, local=None):
        keys = linear(text, attn.to_k.weight if keys is None else keys)
        values = linear(text, attn.to_v.weight if values is None else values)
        out, maps = attention(linear(x, attn.to_q.weight), keys, values, attn.heads)
        if local is not None:
            features, place = local
            _, _, k, v = self.elite
            q, k, v = linear(x, attn.to_q.weight), linear(features, k), linear(features, v)
            gate = torch.stack([m[:, place] for m in maps])
            gate = gate / gate.max()
            out = 0.5 * out + 0.5 * attention(q, k, v, attn.heads, gate)[0]
        return linear(out, attn.to_out[0].weight, attn.to_out[0].bias)

    def instance(self, attn, x, i):
        text = self.situation.text[i + 2]
        if i not in self.situation.images:
            return self.attend(attn, x, text)
        return self.attend(attn, x, text, self.elite[0], self.elite[1], self.situation.images[i])

    def masks(self, tokens, like):
        height, width = self.situation.size
        full = []
        for i, (x1, y1, x2, y2) in enumerate(self.situation.boxes):
            mask = like.new_zeros(height, width)
            mask[int(height * y1) : int(height * y2), int(width * x1) : int(width * x2)] = 1
            full.append(self.situation.regions.get(i, mask))
        full.append(1 - torch.stack(full).amax(0))
        h, w = height // 8, width // 8
        maps = interpolate(torch.stack(full)[None], (h, w), mode="bilinear")
        while h * w != tokens:
            h, w = -(-h // 2), -(-w // 2)
        maps = interpolate(maps, (h, w), mode="bilinear")[0].flatten(1)
        return list(maps[:-1]), maps[-1], (h, w)

    def enhancement(self, x, i):
        w = self.weights
        x1, y1, x2, y2 = self.situation.boxes[i]
        box = x.new_tensor([x1, x2, y1, y2])
        parts = [f(100 ** (k / 8) * box) for k in range(8) for f in (torch.sin, torch.cos)]
        token = torch.cat(parts)
        for layer in (0, 2, 4):
            token = linear(
                token, w[f"pos_net.linears_position.{layer}.weight"], w[f"pos_net.linears_position.{layer}.bias"]
            )
            token = silu(token) if layer < 4 else token
        context = torch.stack([self.situation.pooled[i], token])
        x = layer_norm(x, x.shape[-1:], w["norm.weight"], w["norm.bias"])
        q, k, v = (linear(a, w[f"ea.to_{b}.weight"]) for a, b in ((x, "q"), (context, "k"), (context, "v")))
        return linear(attention(q, k, v, 8)[0], w["ea.to_out.0.weight"], w["ea.to_out.0.bias"])

    def layout(self, x, masks, supplement):
        w = self.weights
        shared = sum(m[:, None] * m[None] for m in [*masks, supplement]) > 0
        q, k, v = (linear(x, w[f"la.to_{b}.weight"]) for b in "qkv")
        return linear(attention(q, k, v, 8, allowed=shared)[0], w["la.to_out.0.weight"], w["la.to_out.0.bias"])

    def shade(self, cross, x, masks, supplement, grid):
        maps = [cross[0] * supplement[:, None]]
        maps += [
            (c + self.enhancement(x, i)) * m[:, None] for i, (c, m) in enumerate(zip(cross[1:], masks, strict=True))
        ]
        maps.append(self.layout(x, masks, supplement))
        scores = [
            self.score(a, m, grid) for a, m in zip(maps, [supplement, *masks, torch.ones_like(supplement)], strict=True)
        ]
        return self.aggregate(maps, scores, self.score(torch.zeros_like(x), torch.zeros_like(supplement), grid), grid)

    def score(self, x, mask, grid):
        w = self.weights
        y = torch.cat([x, mask[:, None]], 1).T.reshape(1, -1, *grid)
        y = self.cbam(conv2d(y, w["sac.conv1.weight"], w["sac.conv1.bias"]), "sac.cbam1")
        return conv2d(y, w["sac.conv2.weight"], w["sac.conv2.bias"])[0, 0]

    def shade_plus(self, x, masks, supplement, grid):
        maps = [self.enhancement(x, i) * m[:, None] for i, m in enumerate(masks)] + [self.layout(x, masks, supplement)]
        weight, bias = self.weights["sac.conv2.weight"].flatten(), self.weights["sac.conv2.bias"]
        scores = [(a @ weight + bias).reshape(grid) for a in maps]
        return self.aggregate(maps, scores, bias.expand(grid), grid)

    def aggregate(self, maps, scores, empty, grid):
        channels = [*scores[:-1], *[empty] * (30 - len(scores)), scores[-1]]
        gated = self.cbam(torch.stack(channels)[None], "sac.cbam2")[0]
        weights = torch.cat([gated[: len(maps) - 1], gated[-1:]]).softmax(0).flatten(1)
        return sum(a * weight[:, None] for a, weight in zip(maps, weights, strict=True))

    def cbam(self, x, name):
        w = self.weights

        def mlp(v):
            v = linear(v, w[f"{name}.ChannelGate.mlp.1.weight"], w[f"{name}.ChannelGate.mlp.1.bias"]).relu()
            return linear(v, w[f"{name}.ChannelGate.mlp.3.weight"], w[f"{name}.ChannelGate.mlp.3.bias"])

        flat = x[0].flatten(1)
        x = x * (mlp(flat.mean(1)) + mlp(flat.max(1)[0])).sigmoid()[None, :, None, None]
        pooled = torch.stack([x[0].max(0)[0], x[0].mean(0)])[None]
        return x * conv2d(pooled, w[f"{name}.SpatialGate.spatial.conv.weight"], padding=3).sigmoid()


def attention(q, k, v, heads, gate=None, allowed=None):
    """[T, C] x [S, C] -> [T, C] and the map [T, S] of each head. gate: [heads, T] factor; allowed: [T, S] pairs."""
    out, maps = [], []
    for h, (a, b, c) in enumerate(zip(q.chunk(heads, 1), k.chunk(heads, 1), v.chunk(heads, 1), strict=True)):
        scores = a @ b.T * a.shape[1] ** -0.5
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.finfo(scores.dtype).max)
        maps.append(scores.softmax(1))
        out.append((maps[-1] if gate is None else maps[-1] * gate[h][:, None]) @ c)
    return torch.cat(out, 1), maps


def fuse(cross, masks):
    weights = [torch.ones_like(masks[0]), *(10 * m for m in masks)]
    total = sum(weights) + 1e-6
    return sum(c * (a / total)[:, None] for c, a in zip(cross, weights, strict=True))


def set_processors(unet, situation, blocks, elite=None):
    """blocks: {"up_blocks.1.attentions.0": {subkey: tensor}, …}; elite: {module path of attn2: four weights}."""
    processors = {}
    for name in unet.attn_processors:
        path = name.removesuffix(".processor")
        if path.endswith("attn1"):
            processors[name] = AttnProcessor()
        else:
            block = blocks.get(path.removesuffix(".transformer_blocks.0.attn2"))
            processors[name] = ExplicitProcessor(situation, block, (elite or {}).get(path))
    unet.set_attn_processor(processors)


@torch.no_grad()
def denoise(unet, situation, noise, steps, guidance):
    """Euler steps over sigmas of linspace(999, 0) in the latents' precision. noise: [4, h, w]. Yields each latent."""
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    alphas = (1 - betas).cumprod(0)
    table = ((1 - alphas) / alphas).sqrt()
    times = [999 * (1 - i / (steps - 1)) if steps > 1 else 0.0 for i in range(steps)]
    sigmas = []
    for time in times:
        low = min(int(time), 998)
        sigmas.append(float(table[low] + (time - low) * (table[low + 1] - table[low])))
    x = noise * sigmas[0]
    for step, (time, sigma, following) in enumerate(zip(times, sigmas, [*sigmas[1:], 0.0], strict=True)):
        situation.step = step
        scaled = (x / (sigma**2 + 1) ** 0.5)[None].expand(2, -1, -1, -1)
        text = situation.text[:2]
        uncond, cond = unet(scaled, torch.tensor(time, dtype=x.dtype), encoder_hidden_states=text).sample
        x = x + (following - sigma) * (uncond + guidance * (cond - uncond))
        yield x
