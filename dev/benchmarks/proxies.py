"""Time the layout generator: five proxies in one batch against explicit attention maps, one image at a time.

    python dev/benchmarks/proxies.py                        # about 8 minutes on two idle cores
    python dev/benchmarks/proxies.py --steps 2 --images 1   # quick look

Topology of SD 1.5 with channels (64, 128, 256, 256), 64 x 64 latents, three instances, random weights, CPU, float32;
half of the steps run the MIGC blocks, the others the naive fuser. The bare U-Net is the same number of forwards with
diffusers' own fused attention and no layout. After each step of ours the same step of the bare U-Net and of the
explicit path is timed, so that whatever else the machine does disturbs all three alike; wall time and CPU time are
given. ``--images 1`` times one image of the explicit path and multiplies it (its images do not share any work).
"""

import argparse
import json
import sys
import time
import types

import explicit_maps
import torch
from diffusers import UNet2DConditionModel

from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER, install
from ipcir_steps.imagine.proxies.course import Course
from ipcir_steps.imagine.proxies.migc import MIGC
from ipcir_steps.imagine.proxies.pipeline import LayoutPipeline
from ipcir_steps.imagine.proxies.processors import Plan
from ipcir_steps.imagine.proxies.regions import Regions, box_masks

BOXES = [(0.1, 0.2, 0.5, 0.9), (0.45, 0.1, 0.9, 0.6), (0.3, 0.5, 0.8, 0.95)]


class Untimed(torch.nn.Module):
    """Stands in for autoencoder and text encoder, which the benchmark does not time."""

    config = types.SimpleNamespace(block_out_channels=(1, 1, 1, 1))


class Clock:
    """Wall and CPU seconds by name, and of a step the part since the last mark."""

    def __init__(self):
        self.wall, self.cpu = {}, {}
        self.mark()

    def mark(self):
        self.start = time.perf_counter(), time.process_time()

    def stop(self, name: str, factor: float = 1.0) -> None:
        wall, cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        self.wall[name] = self.wall.get(name, 0.0) + factor * wall
        self.cpu[name] = self.cpu.get(name, 0.0) + factor * cpu
        self.mark()


def build(channels: tuple[int, ...] = (64, 128, 256, 256)) -> UNet2DConditionModel:
    """The topology of Stable Diffusion 1.5, whose own channels are 320, 640, 1280 and 1280."""
    torch.manual_seed(0)
    cross = "CrossAttnDownBlock2D"
    return UNet2DConditionModel(
        sample_size=64,
        block_out_channels=channels,
        down_block_types=(cross, cross, cross, "DownBlock2D"),
        up_block_types=("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
        cross_attention_dim=768,
        attention_head_dim=8,
    ).eval()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--proxies", type=int, default=5, help="images of the query")
    parser.add_argument("--images", type=int, help="images that the explicit path really draws, all by default")
    parser.add_argument("--output", help="JSON file for the figures")
    args = parser.parse_args()
    args.images = args.images or args.proxies
    bare, unet, written_out = build(), build(), build()
    blocks = {name: MIGC(unet.get_submodule(name + LAYER).to_q.in_features).eval() for name in BLOCKS}
    text, pooled = torch.randn(len(BOXES) + 2, 77, 768), torch.randn(len(BOXES), 768)
    noise = torch.randn(args.proxies, 4, 64, 64)
    phases = {"migc_steps": args.steps // 2 - 1, "fuser_steps": args.steps}

    stage = install(unet)
    for name, block in blocks.items():
        unet.get_submodule(name + LAYER).processor.migc = block
    pipeline = LayoutPipeline(unet, Untimed(), Untimed(), None, stage)
    stage.fuser_steps = phases["fuser_steps"]
    situation = explicit_maps.Situation(text, pooled, BOXES, (512, 512), **phases)
    weights = {name: dict(block.state_dict()) for name, block in blocks.items()}
    explicit_maps.set_processors(written_out, situation, weights)
    explicit = [explicit_maps.denoise(written_out, situation, noise[n], args.steps, 7.5) for n in range(args.images)]

    rows, double = text[:1].expand(2 * args.proxies, -1, -1), torch.cat([noise, noise])
    bare(double[:1], 999, encoder_hidden_states=rows[:1])  # warm up
    clock, difference = Clock(), 0.0

    def after_step(step: int, latents: torch.Tensor) -> None:
        nonlocal difference
        clock.stop("ours")
        bare(double, 999 - step, encoder_hidden_states=rows)
        clock.stop("bare_unet")
        theirs = [next(images) for images in explicit]
        clock.stop("explicit", args.proxies / args.images)
        difference = max((a - b).abs().max().item() for a, b in zip(latents, theirs, strict=False))
        so_far = f"explicit {ratios(clock, 'explicit', 'ours')}, bare {ratios(clock, 'ours', 'bare_unet')}"
        print(f"{step + 1} of {args.steps} steps: {so_far}", file=sys.stderr, flush=True)
        clock.mark()

    plan = Plan(text, pooled, torch.tensor(BOXES), Regions(box_masks(BOXES, 512, 512)))
    course = Course(args.steps, 7.5, migc_steps=phases["migc_steps"])
    pipeline.follow(course, plan, noise, callback=after_step)
    figures = {
        "steps": args.steps,
        "proxies": args.proxies,
        "explicit_images": args.images,
        "threads": torch.get_num_threads(),
        "wall_seconds": clock.wall,
        "cpu_seconds": clock.cpu,
        "explicit_over_ours": ratios(clock, "explicit", "ours"),
        "ours_over_bare_unet": ratios(clock, "ours", "bare_unet"),
        "final_latents_differ_by": difference,
        "block_1280_seconds": wide_block(args.proxies),
    }
    print(json.dumps(figures, indent=2))
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


def ratios(clock: Clock, numerator: str, denominator: str) -> dict[str, float]:
    pairs = {"wall": clock.wall, "cpu": clock.cpu}
    return {name: round(seconds[numerator] / seconds[denominator], 3) for name, seconds in pairs.items()}


def wide_block(proxies: int) -> dict[str, float]:
    """One MIGC block of real width (1280 channels) at 16 x 16 positions: seconds of the fastest of three calls."""
    block = MIGC(1280).eval()
    level = Regions(box_masks(BOXES, 512, 512)).level(256)
    context = block.context(torch.randn(len(BOXES), 768), torch.tensor(BOXES))
    cross, tokens = torch.randn(proxies, len(BOXES) + 1, 256, 1280), torch.randn(proxies, 256, 1280)
    block(cross, tokens, context, level)
    wall, cpu = [], []
    for _ in range(3):
        clock = Clock()
        block(cross, tokens, context, level)
        clock.stop("block")
        wall.append(clock.wall["block"])
        cpu.append(clock.cpu["block"])
    return {"wall": min(wall), "cpu": min(cpu)}


if __name__ == "__main__":
    main()
