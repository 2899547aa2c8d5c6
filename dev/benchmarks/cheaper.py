"""Seconds per proxy of the settings that make drawing cheaper, beside the published path and the bare U-Net.

    python dev/benchmarks/cheaper.py                                     # narrow: a minute on an idle core
    python dev/benchmarks/cheaper.py --full --proxies 1 --repeats 1      # SD 1.5's widths: 6 GB, ten minutes or more
    python dev/benchmarks/cheaper.py --only merged 384                   # settings whose names hold one of the words

Topology of Stable Diffusion 1.5, random weights, three instances, CPU, float32. Each kind of call (size, rows, MIGC or
the naive fuser, whole or shallow) is timed by itself, the kinds in turn and the rounds one after the other, so that
whatever else the machine does disturbs all alike; of each the fastest round counts, which is not the first: what is the
same in all steps is computed in it. A setting's seconds are those of its calls, as ``course.calls`` plans them, and of
its decoder. The bare U-Net makes the published calls with diffusers' own attention. The table follows each round.
"""

import argparse
import json
import time
from collections import Counter

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from proxies import BOXES, build

from ipcir_steps.imagine.proxies.checkpoints import BLOCKS, LAYER, install
from ipcir_steps.imagine.proxies.course import Course, calls
from ipcir_steps.imagine.proxies.deep import Deep
from ipcir_steps.imagine.proxies.merging import merge_tokens
from ipcir_steps.imagine.proxies.migc import MIGC
from ipcir_steps.imagine.proxies.processors import Plan, TwinProcessor
from ipcir_steps.imagine.proxies.regions import Regions, box_masks
from ipcir_steps.imagine.proxies.samplers import BETAS, sampler

BESIDE = ("sampler", "size", "merged", "small")  # what is no part of a course
TRAILING = {"sampler": "ddim", "migc_until": 0.52}
# Sampler, steps and the rest of a course; size in pixels; share of merged tokens; whether the decoder is the small one.
SETTINGS = {
    "published": {},
    "20 steps": {"sampler": "dpm++_2m_karras", "migc_until": 0.52, "steps": 20},
    "10 steps": {"sampler": "dpm++_2m_karras", "migc_until": 0.52, "steps": 10},
    "guidance until 0.5": {"guidance_until": 0.5},
    "deep features every 2": {"reuse_every": 2},
    "deep features every 5": {"reuse_every": 5},
    "half merged": {"merged": 0.5},
    "three quarters merged": {"merged": 0.75},
    "384 pixels": {"size": 384},
    "384 pixels, half merged": {"size": 384, "merged": 0.5},
    "384 pixels, three quarters merged": {"size": 384, "merged": 0.75},
    "256 pixels": {"size": 256},
    "small decoder": {"small": True},
    "10 steps, every 2, 384 pixels": {"sampler": "dpm++_2m_karras", "migc_until": 0.52, "steps": 10, "reuse_every": 2,
                                      "size": 384, "small": True},
    "4 steps, no guidance": {**TRAILING, "steps": 4, "guidance": 1.0},
    "4 steps, no guidance, 384 pixels": {**TRAILING, "steps": 4, "guidance": 1.0, "size": 384, "small": True},
    "1 step, no guidance": {**TRAILING, "steps": 1, "guidance": 1.0},
    "1 step, no guidance, 256 pixels": {**TRAILING, "steps": 1, "guidance": 1.0, "size": 256, "small": True},
}  # fmt: skip


def decoders(width: int) -> dict:
    """{kind: decoder}; width: of the narrowest level, 128 in SD 1.5, whose TAESD has 64 channels in each."""
    down, up = ("DownEncoderBlock2D",) * 4, ("UpDecoderBlock2D",) * 4
    whole = AutoencoderKL(
        down_block_types=down, up_block_types=up, block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        layers_per_block=2,
    )  # fmt: skip
    channels = (width // 2,) * 4
    return {
        "whole": whole.eval(),
        "small": AutoencoderTiny(encoder_block_out_channels=channels, decoder_block_out_channels=channels).eval(),
    }


def planned(setting: dict) -> list:
    course = {key: value for key, value in setting.items() if key not in BESIDE}
    scheduler = sampler(setting.get("sampler", "euler"), BETAS)
    scheduler.set_timesteps(setting.get("steps", 50))
    return calls(Course(**course), scheduler.timesteps, 1000)


def kinds(setting: dict) -> Counter:
    """{(size, share of merged tokens, call): how often}"""
    return Counter((setting.get("size", 512), setting.get("merged", 0), call) for call in planned(setting))


class Rig:
    """Times every kind of call once a round."""

    def __init__(self, channels: tuple[int, ...], proxies: int, clock=time.perf_counter):
        self.clock = clock
        self.net, self.proxies, self.seconds, self.plans = build(channels), proxies, {}, {}
        self.bare_processors = dict(self.net.attn_processors)
        self.stage = install(self.net)
        for name in BLOCKS:
            attention = self.net.get_submodule(name + LAYER)
            attention.processor.migc = MIGC(attention.to_q.in_features).eval()
        self.layout_processors = {0: dict(self.net.attn_processors)}
        self.deep, self.text = Deep(self.net), torch.randn(len(BOXES) + 2, 77, 768)
        self.pooled = torch.randn(len(BOXES), 768)
        self.decoders = decoders(128 if channels[0] == 320 else 32)

    def merge(self, share: float) -> None:
        """Let the U-Net merge that share of its tokens. A share of its own is installed once."""
        if share not in self.layout_processors:
            self.net.set_attn_processor(dict(self.bare_processors))
            merge_tokens(self.net, share)
            layout, merged = dict(self.layout_processors[0]), self.net.attn_processors
            layout |= {name: merged[name] for name in layout if name.endswith("attn1.processor")}
            first = next(iter(layout))
            layout[first] = TwinProcessor(self.stage, layout[first])
            self.layout_processors[share] = layout
        self.net.set_attn_processor(dict(self.layout_processors[share]))

    def time(self, key, run) -> None:
        start = self.clock()
        run()
        self.seconds[key] = min(self.seconds.get(key, float("inf")), self.clock() - start)

    def round(self, wanted: list, decodings: set) -> None:
        at = torch.tensor(500)
        for size, share, call in wanted:  # a shallow call comes after a whole one of its rows
            rows = torch.randn((2 if call.guided else 1) * self.proxies, 4, size // 8, size // 8)
            text = self.text[:1].expand(len(rows), -1, -1)
            self.merge(share)
            self.stage.plan = self.plan(size)
            self.stage.follow(call)
            run = self.deep.whole if call.whole else self.deep.shallow
            self.time((size, share, call), lambda run=run, rows=rows, text=text: run(rows, at, text))
        self.stage.rest()
        rows = torch.randn(2 * self.proxies, 4, 64, 64)
        self.net.set_attn_processor(dict(self.bare_processors))
        self.time("bare", lambda: self.net(rows, at, self.text[:1].expand(len(rows), -1, -1)))
        for size, kind in sorted(decodings):
            latents = torch.randn(1, 4, size // 8, size // 8)
            self.time((size, kind), lambda kind=kind, latents=latents: self.decoders[kind].decode(latents))

    def plan(self, size: int) -> Plan:
        if size not in self.plans:
            regions = Regions(box_masks(BOXES, size, size))
            self.plans[size] = Plan(self.text, self.pooled, torch.tensor(BOXES), regions)
        return self.plans[size]

    def per_proxy(self, setting: dict) -> tuple[float, float]:
        """(seconds of the U-Net, of the decoder)"""
        network = sum(count * self.seconds[key] for key, count in kinds(setting).items())
        return network / self.proxies, self.seconds[decoding(setting)]


def decoding(setting: dict) -> tuple[int, str]:
    return setting.get("size", 512), "small" if setting.get("small") else "whole"


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the widths of SD 1.5 (320 to 1280), not a fifth of them")
    parser.add_argument("--proxies", type=int, default=2, help="images drawn together")
    parser.add_argument("--repeats", type=int, default=2, help="rounds")
    parser.add_argument(
        "--processor", action="store_true", help="seconds of the processor, where other work shares the machine"
    )
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="settings whose names hold one of these"
    )
    parser.add_argument("--output", help="JSON file for the figures")
    args = parser.parse_args()
    clock = time.process_time if args.processor else time.perf_counter
    rig = Rig((320, 640, 1280, 1280) if args.full else (64, 128, 256, 256), args.proxies, clock)
    chosen = {
        name: setting
        for name, setting in SETTINGS.items()
        if not setting or any(word in name for word in args.only)  # all are compared with the published one
    }
    wanted = list(dict.fromkeys(key for setting in chosen.values() for key in kinds(setting)))
    wanted.sort(key=lambda key: (*key[:2], key[2].guided, not key[2].whole))
    for number in range(args.repeats):
        rig.round(wanted, {decoding(setting) for setting in chosen.values()})
        figures = table(rig, chosen)
        print(f"round {number + 1} of {args.repeats}", *figures["lines"], sep="\n", flush=True)
    if args.output:
        figures |= {"full": args.full, "proxies": args.proxies, "threads": torch.get_num_threads()}
        with open(args.output, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)


def table(rig: Rig, chosen: dict) -> dict:
    """What was measured so far, by setting, and as lines to read."""
    published, bare = sum(rig.per_proxy({})), 50 * rig.seconds["bare"] / rig.proxies
    rows, lines = {}, [f"bare U-Net, 50 calls: {bare:.2f} s per proxy"]
    for name, setting in chosen.items():
        network, decoder = rig.per_proxy(setting)
        share, ratio = (network + decoder) / published, network / bare
        rows[name] = {"unet": network, "decoder": decoder, "of_published": share, "of_bare_unet": ratio}
        lines.append(
            f"{name:34} {network:9.3f} + {decoder:7.3f} s {share:8.2%} of published {ratio:8.2%} of bare calls"
        )
    calls_made = {str(key): value for key, value in rig.seconds.items()}
    return {"bare_unet_50_calls": bare, "settings": rows, "calls": calls_made, "lines": lines}


if __name__ == "__main__":
    main()
