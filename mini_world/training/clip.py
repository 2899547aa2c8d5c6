"""CLIP: pictures and captions in one space, each pair beside its sibling, which differs in one attribute."""

import functools
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ipcir_steps.core.files import seed as derive
from mini_world import models, render
from mini_world.training import statements
from mini_world.training.augment import augment
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, Picture, describe, pairs, training

STEPS = 1600
PAIRS = 128  # of a batch, with their siblings
LENGTH = 40  # tokens that a training caption may have; the text tower takes 77
UNKNOWN = 0.01  # share of caption words replaced by the row of unknown words
PARTIAL = 0.3  # share of captions that leave attributes out
NORM = 8.0  # mean length of the features of either tower, so that a mapping can take both
SLOT = "$"  # a pseudo-word
START, END = 49406, 49407  # CLIP's tokens
WORDS = 4000  # pictures whose captions give the vocabulary


@functools.cache
def _tokenizer():
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


@functools.cache
def tokens_of(word: str) -> list[int]:
    return _tokenizer().encode(word)


class Captions:
    """Captions as tokens of CLIP's vocabulary, and as rows of the few embeddings that are trained.

    tokens: int64, ascending. Row 0 is padding and every unknown word; the end token stays the highest row.
    """

    def __init__(self, tokens: Tensor):
        self.tokens = tokens
        self._row = {token: row for row, token in enumerate(tokens.tolist()) if row}

    @classmethod
    def of(cls, pictures: Sequence[Picture], seed: int) -> "Captions":
        """With the words of the captions of these pictures."""
        rng = random.Random(derive(seed, "mini", "clip words"))
        texts = [make(p, rng)[0] for p in pictures for make in (statements.whole, statements.partial)]
        used = {token for text in texts for word in text.split() for token in tokens_of(word)}
        return cls(torch.tensor([0, *sorted(used | {START, END})]))

    def rows(self, texts: Sequence[str], rng: random.Random | None = None) -> Tensor:
        """int64 [n, LENGTH], -1 for each ``$``; with ``rng`` a few words are made unknown."""
        out = np.zeros((len(texts), LENGTH), np.int64)
        for line, text in zip(out, texts, strict=True):
            row = [len(self.tokens) - 2]
            for word in text.split():
                hide = rng is not None and rng.random() < UNKNOWN
                if word == SLOT:
                    row.append(-1)
                else:
                    row += [0 if hide else self._row.get(token, 0) for token in tokens_of(word)]
            row = [*row[: LENGTH - 1], len(self.tokens) - 1]
            line[: len(row)] = row
        return torch.from_numpy(out)


def encode_rows(model: torch.nn.Module, rows: Tensor, words: Tensor | None = None) -> Tensor:
    """CLIP.encode_text for rows shorter than the context (what follows the end token has no effect).

    rows: int64 [n, length], -1 where the embedding of ``words`` [n, W] stands. Returns [n, D], un-normalised.
    """
    length = int((rows != 0).any(0).nonzero().max()) + 1
    rows = rows[:, :length]
    x = model.token_embedding(rows.clamp(min=0))
    if words is not None:
        x = torch.where((rows < 0)[..., None], words[:, None], x)
    x = x + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    return x[torch.arange(len(rows)), rows.argmax(1)] @ model.text_projection


def pixels_of(images: Tensor) -> Tensor:
    """0..1 → normalised as CLIP's preprocessing does, channels last in memory (faster on a CPU)."""
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, std = (torch.tensor(v)[:, None, None] for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return ((images - mean) / std).contiguous(memory_format=torch.channels_last)


def contrast(model, pictures: list[Picture], images: np.ndarray, captions: Captions, generator, rng):
    """Symmetric InfoNCE; a caption that fits another picture too is no negative of it.

    Each picture also meets the caption of one more sibling, of which there is no picture.
    """
    said = [(statements.partial if rng.random() < PARTIAL else statements.whole)(p, rng) for p in pictures]
    said += [statements.whole(statements.sibling(p, rng), rng) for p in pictures]
    texts, told = zip(*said, strict=True)
    count = len(pictures)
    fit = torch.from_numpy(statements.fits(list(told), [statements.facts(p) for p in pictures])).T
    fit[torch.arange(count), torch.arange(count)] = False
    seen = normalize(model.visual(pixels_of(augment(images, generator))), dim=-1)
    read = normalize(encode_rows(model, captions.rows(texts, rng)), dim=-1)
    logits = model.logit_scale.clamp(max=4.6).exp() * seen @ read.T
    logits = logits.masked_fill(fit, -1e4)
    right = torch.arange(count)
    to_text, to_image = cross_entropy(logits, right), cross_entropy(logits[:, :count].T, right)
    found = (logits[:, :count].argmax(1) == right).float().mean().item()
    return (to_text + to_image) / 2, {"found": found, "scale": model.logit_scale.exp().item()}


def recipe(seed: int, images: np.ndarray, steps: int = STEPS, batch: int = PAIRS) -> tuple[Recipe, Captions]:
    """images: uint8 [n, 2, 64, 64, 3], the pool."""
    known = training(seed, images)
    captions = Captions.of([p for pair in known[: WORDS // 2] for p in pair[:2]], seed)
    model = models.clip_model(len(captions.tokens))
    model.visual.to(memory_format=torch.channels_last)

    def loss(generator: torch.Generator):
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        chosen = sorted(rng.sample(range(len(known)), batch))
        pictures = [p for i in chosen for p in known[i][:2]]
        return contrast(model, pictures, images[chosen].reshape(-1, *images.shape[2:]), captions, generator, rng)

    return Recipe("clip", model, loss, steps, learning_rate=2e-3, weight_decay=0.05, average=0.997), captions


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "clip", "start"))
        how, captions = recipe(seed, images)
    state = train(how, work, seed)
    how.model.load_state_dict(state)
    level(how.model.eval(), captions, [pair[0] for pair in training(seed, images[:2000])], images[:2000, 0])
    write_weights({**how.model.state_dict(), "tokens": captions.tokens}, weights / "clip.safetensors")


@torch.no_grad()
def level(model, captions: Captions, pictures: Sequence[Picture], images: np.ndarray) -> None:
    """Scale both towers so that features are NORM long on average; no direction changes."""
    seen = model.visual(pixels_of(torch.tensor(images).permute(0, 3, 1, 2) / 255))
    read = encode_rows(model, captions.rows([describe(p) for p in pictures]))
    for parameter, features in (
        (model.visual.attnpool.c_proj.weight, seen), (model.visual.attnpool.c_proj.bias, seen),
        (model.text_projection, read),
    ):  # fmt: skip
        parameter.mul_(NORM / features.norm(dim=-1).mean())


def load(weights: Path) -> tuple[torch.nn.Module, Captions]:
    """The trained CLIP with the few embeddings it was trained with, frozen."""
    from safetensors.torch import load_file

    state = load_file(weights / "clip.safetensors")
    captions = Captions(state.pop("tokens"))
    model = models.clip_model(len(captions.tokens))
    model.load_state_dict(state)
    return model.float().eval().requires_grad_(False), captions


def evaluate(built: Path, seed: int, count: int = 512) -> dict[str, float]:
    """Retrieval among ``count`` held-out pictures of distinct captions, through the embeddings step's encoder.

    r1, r5: shares of detailed captions that find their picture first, among five; siblings: shares of pictures
    nearer to their caption than to that of a sibling; partial: of captions that leave attributes out, the share whose
    nearest picture fits them.
    """
    from ipcir_steps.seek.embeddings.clip import load_encoder

    encoder = load_encoder(built / "clip")
    held = pairs(seed)[-HELD_OUT:]
    distinct = list({describe(p): p for pair in held for p in pair[:1]}.values())[:count]
    rng = random.Random(derive(seed, "clip evaluation"))
    seen = normalize(encoder.pixels(torch.stack([encoder.transform(render.draw(p)) for p in distinct])), dim=-1)

    def read(texts: list[str]) -> Tensor:
        return normalize(torch.cat([encoder.texts(texts[i : i + 256]) for i in range(0, len(texts), 256)]), dim=-1)

    full = read([describe(p, i % 4) for i, p in enumerate(distinct)])
    near = read([describe(statements.sibling(p, rng), i % 4) for i, p in enumerate(distinct)])
    scores = full @ seen.T
    rank = (scores > scores.diagonal()[:, None]).sum(1)
    short = [statements.partial(p, rng) for p in distinct]
    fit = statements.fits([s for _, s in short], [statements.facts(p) for p in distinct])
    best = (read([t for t, _ in short]) @ seen.T).argmax(1).numpy()
    return {
        "r1": (rank < 1).float().mean().item(),
        "r5": (rank < 5).float().mean().item(),
        "siblings": ((full * seen).sum(1) > (near * seen).sum(1)).float().mean().item(),
        "partial": float(fit[np.arange(len(fit)), best].mean()),
        "pictures": len(distinct),
    }
