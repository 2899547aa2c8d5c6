"""The judge: a small classifier of pictures, trained on renders alone, which only measures how well proxies are drawn.

No step of the pipeline uses it, and it shares nothing with the models that it judges.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ipcir_steps.core.files import seed as derive
from mini_world import garments, render, world
from mini_world.training.augment import augment
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, Picture, pairs, training

STEPS = 1800
BATCH = 192

# What is asked of each place, and of the whole picture. A picture on "light" is a garment.
PLACE = {"shape": ("none", *world.SHAPES), "colour": world.COLOURS, "size": world.SIZES}
WHOLE = {"background": (*world.BACKGROUNDS, "light"), "kind": garments.KINDS}
WHOLE |= {f"garment_{name}": values for name, values in garments.ATTRIBUTES.items()}
IGNORED = -100  # the label of what a picture does not have


class Judge(nn.Module):
    """float32 [n, 3, 64, 64] in 0..1 → logits {name: [n, 4, classes]} of places and {name: [n, classes]} of wholes.

    One head looks at each quadrant of the feature map, one at all of it.
    """

    def __init__(self, width: int = 80, hidden: int = 64):
        super().__init__()

        def layer(before: int, after: int, stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

        self.trunk = nn.Sequential(
            *layer(3, 32, 2), *layer(32, 64, 2), *layer(64, 64), *layer(64, width, 2), *layer(width, width)
        )
        self.place = nn.Sequential(nn.Linear(width * 16, hidden), nn.ReLU())
        self.whole = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(width * 16, hidden), nn.ReLU())
        self.place_heads = nn.ModuleDict({name: nn.Linear(hidden, len(v)) for name, v in PLACE.items()})
        self.whole_heads = nn.ModuleDict({name: nn.Linear(hidden, len(v)) for name, v in WHOLE.items()})

    def forward(self, pixels: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        found = self.trunk(pixels * 4 - 2)
        n, width = found.shape[:2]
        # [n, width, 8, 8] → [n, 4, width * 16], the places in the order of world.PLACES
        quarters = found.reshape(n, width, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(n, 4, width * 16)
        place, whole = self.place(quarters), self.whole(found)
        return (
            {name: head(place) for name, head in self.place_heads.items()},
            {name: head(whole) for name, head in self.whole_heads.items()},
        )


def labels(picture: Picture) -> tuple[list[list[int]], list[int]]:
    """Class numbers [shape, colour, size][4 places] and of the whole, IGNORED where there is nothing to tell."""
    places = [[0] * 4, [IGNORED] * 4, [IGNORED] * 4]
    if isinstance(picture, garments.Garment):
        whole = {"background": "light", "kind": picture.kind}
        whole |= {f"garment_{name}": getattr(picture, name) for name in garments.ATTRIBUTES}
        if picture.pattern == "plain":
            del whole["garment_ink"]
        places[0] = [IGNORED] * 4
    else:
        whole = {"background": picture.background}
        for thing in picture.things:
            at = world.PLACES.index(thing.place)
            for row, (name, values) in zip(places, PLACE.items(), strict=True):
                row[at] = values.index(getattr(thing, name))
    return places, [values.index(whole[name]) if name in whole else IGNORED for name, values in WHOLE.items()]


def _surprise(logits: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy over what is not IGNORED; 0 where all is."""
    return cross_entropy(logits, truth, ignore_index=IGNORED, reduction="sum") / (truth != IGNORED).sum().clamp(min=1)


def recipe(seed: int, images: np.ndarray, steps: int = STEPS, batch: int = BATCH) -> Recipe:
    """images: uint8 [n, 2, 64, 64, 3], the pool."""
    known = [labels(p) for pair in training(seed, images) for p in pair[:2]]
    places, wholes = (torch.tensor(column) for column in zip(*known, strict=True))
    flat = images.reshape(-1, *images.shape[2:])
    model = Judge().to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator):
        rows = torch.randint(len(known), (batch,), generator=generator).sort().values
        pixels = augment(flat[rows.numpy()], generator, share=0.6).contiguous(memory_format=torch.channels_last)
        place, whole = model(pixels)
        losses = [_surprise(logits.flatten(0, 1), places[rows, i].flatten()) for i, logits in enumerate(place.values())]
        losses += [_surprise(logits, wholes[rows, i]) for i, logits in enumerate(whole.values())]
        right = (place["shape"].argmax(-1) == places[rows, 0])[places[rows, 0] > 0].float().mean().item()
        return torch.stack(losses).sum(), {"shape": right}

    return Recipe("judge", model, loss, steps, learning_rate=3e-3, weight_decay=0.02, average=0.995)


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "judge", "start"))
        how = recipe(seed, images)
    write_weights(train(how, work, seed), weights / "judge.safetensors")


# --- use ---------------------------------------------------------------------------------------------------------


def load(path: Path) -> Judge:
    """The judge of a directory of built models, or of one weights file."""
    from safetensors.torch import load_file

    path = Path(path)
    model = Judge()
    model.load_state_dict(load_file(path if path.is_file() else path / "judge" / "model.safetensors"))
    return model.float().eval().requires_grad_(False)


@torch.inference_mode()
def judge(model: Judge, images: Sequence[Image.Image]) -> list[dict]:
    """What each picture shows, as the judge sees it.

    Scenes: {"background": name, "things": {place: {"shape", "colour", "size"}}}, where only places that hold
    something are named. Garments: {"background": "light", "kind", "colour", "pattern", "ink", "sleeves",
    "length", "logo"}. Pictures of other sizes are resized to 64 x 64.
    """
    size = (render.SIZE, render.SIZE)
    small = [image.convert("RGB") if image.size == size else image.convert("RGB").resize(size) for image in images]
    found = []
    for start in range(0, len(small), 256):
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in small[start : start + 256]]))
        place, whole = model(pixels.permute(0, 3, 1, 2).float() / 255)
        place = {name: logits.argmax(-1).tolist() for name, logits in place.items()}
        whole = {name: logits.argmax(-1).tolist() for name, logits in whole.items()}
        for i in range(len(pixels)):
            seen = {name.removeprefix("garment_"): WHOLE[name][whole[name][i]] for name in WHOLE}
            if seen["background"] != "light":
                things = {
                    at: {name: PLACE[name][place[name][i][j]] for name in PLACE}
                    for j, at in enumerate(world.PLACES)
                    if place["shape"][i][j]
                }
                seen = {"background": seen["background"], "things": things}
            found.append(seen)
    return found


def agreement(asked: Sequence[Picture], seen: Sequence[dict]) -> dict[str, float]:
    """Shares of what was asked that the judge sees, by attribute.

    Per asked thing: shape, colour, size (at its place); per scene: background, "things" (nothing missing and nothing
    more), "scene" (all of it right); per garment: its attributes and "garment" (all of them; ink where it shows).
    An attribute that no picture has is absent.
    """
    hits: dict[str, list[bool]] = {}

    def note(name: str, right: bool) -> bool:
        hits.setdefault(name, []).append(right)
        return right

    for picture, what in zip(asked, seen, strict=True):
        if isinstance(picture, garments.Garment):
            names = ["kind", *(n for n in garments.ATTRIBUTES if n != "ink" or picture.pattern != "plain")]
            right = [note(f"garment_{n}", what.get(n) == getattr(picture, n)) for n in names]
            note("garment", all(right))
            continue
        things = what.get("things", {})
        right = [note("background", what["background"] == picture.background)]
        right.append(note("things", set(things) == {t.place for t in picture.things}))
        for thing in picture.things:
            at = things.get(thing.place, {})
            right += [note(name, at.get(name) == getattr(thing, name)) for name in PLACE]
        note("scene", all(right))
    return {name: sum(values) / len(values) for name, values in sorted(hits.items())}


def evaluate(built: Path, seed: int, count: int = 2000) -> dict[str, float]:
    """agreement() with the truth on held-out renders, and under "worse_…" on the same renders blurred and noisy."""
    model = load(built)
    held = [p for pair in pairs(seed)[-HELD_OUT:] for p in pair[:1]][:count]
    renders = [render.draw(p) for p in held]
    generator = torch.Generator().manual_seed(derive(seed, "judge evaluation"))
    worse = augment(np.stack([np.asarray(r) for r in renders]), generator, share=1.0, shift=0)
    worse = (worse.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    figures = agreement(held, judge(model, renders))
    others = agreement(held, judge(model, [Image.fromarray(w) for w in worse]))
    return figures | {f"worse_{name}": value for name, value in others.items()}
