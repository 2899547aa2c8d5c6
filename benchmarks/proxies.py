"""Time the layout generator: five proxies in one batch against explicit attention maps, one image at a time.

    python benchmarks/proxies.py                     # about 15 minutes on two cores
    python benchmarks/proxies.py --steps 2 --images 1   # quick look

Topology of SD 1.5 with channels (64, 128, 256, 256), 64 x 64 latents, three instances, random weights, CPU, float32.
The bare U-Net is the same number of forwards with diffusers' own fused attention and no layout. ``--images 1`` times
one image of the explicit path and multiplies it (its images do not share any work).
"""

import argparse
import json
import time

import explicit_maps
import torch
from diffusers import UNet2DConditionModel

from ipcir_steps.proxies.checkpoints import BLOCKS, LAYER, install
from ipcir_steps.proxies.migc import MIGC
from ipcir_steps.proxies.pipeline import LayoutPipeline
from ipcir_steps.proxies.processors import Plan, Stage
from ipcir_steps.proxies.regions import Regions, box_masks

BOXES = [(0.1, 0.2, 0.5, 0.9), (0.45, 0.1, 0.9, 0.6), (0.3, 0.5, 0.8, 0.95)]
PROXIES = 5


class Bare(torch.nn.Module):
    """Stands in for VAE and text encoder, which the benchmark does not time."""


def build() -> UNet2DConditionModel:
    torch.manual_seed(0)
    cross = "CrossAttnDownBlock2D"
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=(64, 128, 256, 256),
        down_block_types=(cross, cross, cross, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        cross_attention_dim=768,
        attention_head_dim=8,
    ).eval()


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--images", type=int, default=PROXIES, help="images that the explicit path really draws")
    parser.add_argument("--output", help="JSON file for the figures")
    args = parser.parse_args()
    unet = build()
    blocks = {name: MIGC(unet.get_submodule(name + LAYER).to_q.in_features) for name in BLOCKS}
    text, pooled = torch.randn(len(BOXES) + 2, 77, 768), torch.randn(len(BOXES), 768)
    noise = torch.randn(PROXIES, 4, 64, 64)
    phases = {"migc_steps": args.steps // 2, "fuser_steps": args.steps}

    rows = text[:1].expand(2 * PROXIES, -1, -1)
    double = torch.cat([noise, noise])
    unet(double[:1], 999, encoder_hidden_states=rows[:1])  # warm up
    bare = timed(lambda: [unet(double, 999 - step, encoder_hidden_states=rows) for step in range(args.steps)])

    stage: Stage = install(unet)
    for name, block in blocks.items():
        unet.get_submodule(name + LAYER).processor.migc = block.eval()
    pipeline = LayoutPipeline(unet, Bare(), Bare(), None, stage)
    stage.migc_steps, stage.fuser_steps = phases.values()

    def ours():
        plan = Plan(text, pooled, torch.tensor(BOXES), Regions(box_masks(BOXES, 512, 512)))
        return pipeline.denoise(plan, noise, args.steps, 7.5)

    batched = timed(ours)
    situation = explicit_maps.Situation(text, pooled, BOXES, (512, 512), **phases)
    explicit_maps.set_processors(unet, situation, {name: dict(block.state_dict()) for name, block in blocks.items()})
    explicit = timed(
        lambda: [list(explicit_maps.denoise(unet, situation, noise[n], args.steps, 7.5)) for n in range(args.images)]
    )
    explicit *= PROXIES / args.images
    figures = {
        "steps": args.steps,
        "threads": torch.get_num_threads(),
        "bare_unet_seconds": bare,
        "five_proxies_seconds": batched,
        "explicit_seconds": explicit,
        "speedup": explicit / batched,
        "over_bare_unet": batched / bare - 1,
        "block_1280_seconds": wide_block(),
    }
    print(json.dumps(figures, indent=2))
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


def wide_block() -> float:
    """One MIGC block of real width (1280 channels) at 16 x 16 positions: seconds per call for five proxies."""
    block = MIGC(1280).eval()
    level = Regions(box_masks(BOXES, 512, 512)).level(256)
    context = block.context(torch.randn(len(BOXES), 768), torch.tensor(BOXES))
    cross, tokens = torch.randn(PROXIES, len(BOXES) + 1, 256, 1280), torch.randn(PROXIES, 256, 1280)
    block(cross, tokens, context, level)
    return min(timed(lambda: block(cross, tokens, context, level)) for _ in range(3))


if __name__ == "__main__":
    main()
