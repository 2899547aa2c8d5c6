"""The captioner: pictures to captions that name every attribute, in one of several wordings at random."""

import dataclasses
import random
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ipcir_steps.core.files import seed as derive
from mini_world import garments, language, models, world
from mini_world.training import pool
from mini_world.training.loop import Recipe, train, write_weights

STEPS = 4500
BATCH = 64
SHIFT = 2  # pixels that a training picture is moved at most
ASIDE = 1.0  # weight of the attributes that the visual tokens are asked for, which speeds up the start
MIRRORED = {f"{row} {a}": f"{row} {b}" for row in ("top", "bottom") for a, b in (("left", "right"), ("right", "left"))}
# Which attribute of a picture each visual token is asked for; the tokens 0 to 3 are asked for the four places.
PLACED = {"shape": ("none", *world.SHAPES), "colour": world.COLOURS, "size": world.SIZES}
WHOLE = {
    "background": (4, ("none", *world.BACKGROUNDS)),
    "kind": (4, ("none", *garments.KINDS)),
    **{name: (5 + n // 2, options) for n, (name, options) in enumerate(garments.ATTRIBUTES.items())},
}


class Lesson(nn.Module):
    """The captioner and, for training only, linear readers of its visual tokens."""

    def __init__(self, captioner: nn.Module):
        super().__init__()
        self.captioner = captioner
        width = captioner.config.qformer_config.hidden_size
        self.placed = nn.ModuleDict({name: nn.Linear(width, len(options)) for name, options in PLACED.items()})
        self.whole = nn.ModuleDict({name: nn.Linear(width, len(options)) for name, (_, options) in WHOLE.items()})


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    result = train(recipe(images, seed), work, seed)
    prefix = "captioner."
    own = {name.removeprefix(prefix): value for name, value in result.items() if name.startswith(prefix)}
    write_weights(own, weights / "blip2.safetensors")


def recipe(images: np.ndarray, seed: int, steps: int = STEPS, batch: int = BATCH) -> Recipe:
    """images: uint8 [pairs, 2, 64, 64, 3] of pool.pairs(seed); the last pool.HELD_OUT pairs are left alone."""
    processor = models.captions_processor()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mini", "blip2"))
        model = Lesson(language.captioner(processor.tokenizer))
    model.captioner.set_attn_implementation("eager")
    fast = torch.cpu._is_avx512_bf16_supported()
    pairs = pool.pairs(seed)[: -pool.HELD_OUT]

    def loss(generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(int(torch.randint(2**62, (1,), generator=generator)))
        places = [(rng.randrange(len(pairs)), rng.randrange(2)) for _ in range(batch)]
        pictures = [pairs[pair][half] for pair, half in places]
        pixels = [np.asarray(images[place]) for place in places]
        for number in range(batch):
            if rng.random() < 0.5:
                pictures[number], pixels[number] = mirrored(pictures[number]), pixels[number][:, ::-1]
            pixels[number] = moved(pixels[number], rng)
        captions = [describe(picture, rng) for picture in pictures]
        values = normalised(np.stack(pixels), processor.image_processor)
        values += 0.05 * torch.randn(values.shape, generator=generator)
        ids, labels = encode(processor.tokenizer, captions)
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            output = model.captioner(pixel_values=values, input_ids=ids, attention_mask=torch.ones_like(ids))
        words = _cross_entropy(output.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        aside = _aside(model, output.qformer_outputs.last_hidden_state.float(), pictures)
        return words + ASIDE * aside, {"words": words.item(), "attributes": aside.item()}

    return Recipe("blip2", model, loss, steps, learning_rate=1.5e-3, weight_decay=0.05, warmup=200)


def mirrored(picture: pool.Picture) -> pool.Picture:
    """What the picture shows when left and right are swapped."""
    if isinstance(picture, garments.Garment):
        return picture
    return picture.with_things(*(dataclasses.replace(t, place=MIRRORED[t.place]) for t in picture.things))


def moved(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """[H, W, 3] moved by up to SHIFT pixels, the border repeated."""
    size = len(pixels)
    x, y = rng.randint(0, 2 * SHIFT), rng.randint(0, 2 * SHIFT)
    return np.pad(pixels, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")[y : y + size, x : x + size]


def describe(picture: pool.Picture, rng: random.Random) -> str:
    """A caption in any template, the things in any order: a picture does not show which is named first."""
    if isinstance(picture, world.Scene):
        picture = picture.with_things(*rng.sample(picture.things, len(picture.things)))
    return pool.describe(picture, rng.randrange(len(world.TEMPLATES)))


def normalised(pixels: np.ndarray, image_processor) -> Tensor:
    """uint8 [B, H, W, 3] as the processor gives it to the model: float32 [B, 3, H, W]."""
    mean, std = torch.tensor(image_processor.image_mean), torch.tensor(image_processor.image_std)
    return ((torch.from_numpy(pixels).float() / 255 - mean) / std).permute(0, 3, 1, 2).contiguous()


def encode(tokenizer, captions: list[str]) -> tuple[Tensor, Tensor]:
    """Ids int64 [B, L] as generation has them (visual tokens, </s>, the caption, </s>), padded on the right, and
    labels int64 [B, L] with -100 where nothing is to be learned."""
    image = tokenizer.convert_tokens_to_ids(language.IMAGE_TOKEN)
    rows = tokenizer(captions, add_special_tokens=False)["input_ids"]
    before = [image] * language.QUERIES + [tokenizer.bos_token_id]
    length = len(before) + max(map(len, rows)) + 1
    ids = torch.full((len(rows), length), tokenizer.pad_token_id)
    labels = torch.full((len(rows), length), -100)
    for number, row in enumerate(rows):
        row = [*row, tokenizer.eos_token_id]
        ids[number, : len(before) + len(row)] = torch.tensor(before + row)
        labels[number, len(before) : len(before) + len(row)] = torch.tensor(row)
    return ids, labels


def _aside(model: Lesson, tokens: Tensor, pictures: list[pool.Picture]) -> Tensor:
    """Mean cross-entropy of the attributes read from the visual tokens [B, 8, D]."""
    losses = []
    for number, place in enumerate(world.PLACES):
        things = [next((t for t in getattr(p, "things", ()) if t.place == place), None) for p in pictures]
        for name, options in PLACED.items():
            values = [getattr(t, name) if t else "none" if "none" in options else None for t in things]
            losses.append(_read(model.placed[name], tokens[:, number], options, values))
    for name, (number, options) in WHOLE.items():
        values = [getattr(p, name, "none" if number == 4 else None) for p in pictures]
        hidden = [name == "ink" and getattr(p, "pattern", "plain") == "plain" for p in pictures]
        values = [None if h else v for h, v in zip(hidden, values, strict=True)]
        losses.append(_read(model.whole[name], tokens[:, number], options, values))
    return torch.stack(losses).mean()


def _read(reader: nn.Linear, tokens: Tensor, options: tuple[str, ...], values: list[str | None]) -> Tensor:
    targets = torch.tensor([-100 if value is None else options.index(value) for value in values])
    return _cross_entropy(reader(tokens), targets)


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the targets that are not -100; zero when there is none."""
    return nn.functional.cross_entropy(logits.float(), targets, reduction="sum") / (targets != -100).sum().clamp(min=1)


# --- evaluation --------------------------------------------------------------------------------------------------

_WORD = {name: "|".join(options) for name, options in {**garments.ATTRIBUTES, "shape": world.SHAPES}.items()}
_THING = re.compile(
    rf"an? (?P<size>small|large) (?P<colour>{_WORD['colour']}) (?P<shape>{_WORD['shape']})"
    rf" at the (?P<place>{'|'.join(world.PLACES)})"
)
_GARMENT = re.compile(
    rf"a (?P<length>{_WORD['length']}) (?P<colour>{_WORD['colour']}) (?P<noun>{'|'.join(garments.NOUNS.values())})"
    rf"(?: (?P<pattern>{_WORD['pattern']}) in (?P<ink>{_WORD['ink']}))? with (?P<sleeves>{_WORD['sleeves']}) sleeves"
    rf"(?: and an? (?P<logo>{_WORD['logo']}) on it)?"
)


def parse(caption: str) -> tuple | None:
    """What a caption says, comparable with picture.key(); None when it is no sentence of the mini world.

    >>> parse("a grey background with a small red star at the top left")
    ('grey', (('star', 'red', 'small', 'top left'),))
    >>> parse("a grey star") is None
    True
    """
    if match := _GARMENT.fullmatch(caption):
        kind = next(kind for kind, noun in garments.NOUNS.items() if noun == match["noun"])
        pattern, ink, logo = match["pattern"] or "plain", match["ink"] or "", match["logo"] or "none"
        return kind, match["colour"], pattern, ink, match["sleeves"], match["length"], logo
    for template in world.TEMPLATES:
        form = re.escape(template).replace(r"\{things\}", "(?P<things>.+)")
        form = form.replace(r"\{background\}", f"(?P<background>{'|'.join(world.BACKGROUNDS)})")
        if match := re.fullmatch(form, caption):
            things = [_THING.fullmatch(text) for text in match["things"].split(" and ")]
            if all(things):
                return match["background"], tuple(sorted(t.group("shape", "colour", "size", "place") for t in things))
    return None


def evaluate(models: Path, seed: int, count: int = 300) -> dict[str, float]:
    """Shares of sampled captions of held-out pictures that name every attribute right, for scenes and garments.

    Captions come from the captions step's own function with the default settings. wordings: different captions per
    picture of a scene, of the configured number.
    """
    from ipcir_steps.config import Config
    from ipcir_steps.imagine.captions import captioner, clean
    from mini_world import render

    settings = Config().stacks["mini"].captions
    caption = captioner(models / "blip2", settings)
    marks, wordings = {"scenes": [], "garments": []}, []
    for number, (picture, _, _) in enumerate(pool.pairs(seed)[-pool.HELD_OUT :][:count]):
        texts = clean(caption(render.draw(picture), derive(seed, "captions", str(number))))
        kind = "garments" if isinstance(picture, garments.Garment) else "scenes"
        marks[kind].extend(parse(text) == picture.key() for text in texts)
        if kind == "scenes":
            wordings.append(len(set(texts)))
    figures = {kind: sum(values) / len(values) for kind, values in marks.items()}
    return {**figures, "wordings": sum(wordings) / len(wordings)}
