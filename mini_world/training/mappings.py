"""Pseudo-words: SEARLE's, LinCIR's and Pic2Word's networks, each with its published kind of loss, on the trained CLIP.

SEARLE: words are inverted from training pictures (OTI), then distilled into Phi beside a loss on phrases. LinCIR:
captions alone. Pic2Word: contrastive, the picture against "a photo of $".
"""

import functools
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss, normalize

from ipcir_steps.core.files import atomic
from ipcir_steps.core.files import seed as derive
from ipcir_steps.core.progress import Progress
from ipcir_steps.seek.baselines import pseudo_words, searle_oti
from mini_world import garments, models, render, world
from mini_world.training import statements
from mini_world.training.clip import SLOT, encode_rows, load, pixels_of
from mini_world.training.loop import Recipe, train, write_weights
from mini_world.training.pool import HELD_OUT, Picture, describe, pairs, training

STEPS = {"searle": 1500, "lincir": 800, "pic2word": 800}
PICTURES = 12_000  # training pictures whose features the networks see
INVERTED = 2048  # of them, pictures whose words are inverted for SEARLE
INVERSION_STEPS = 100
BLOCK = 256
BATCH = 256
TEMPERATURE = 0.25  # of the distillation, as SEARLE's
NOISE = 0.5  # of LinCIR, as a share of the feature's length
CONTEXTS = tuple(" ".join(text.replace(searle_oti.SLOT, SLOT).split()) for text in searle_oti.CONTEXTS)
GROUNDS = tuple(f"{{}} on {world.article(b)} background" for b in world.BACKGROUNDS)
PLACES = tuple(f"{{}} at the {place}" for place in world.PLACES)
KEYWORDS = frozenset(
    " ".join((*world.SHAPES, *world.COLOURS, *world.SIZES, *world.PLACES, *world.BACKGROUNDS)).split()
) | {"background", "dress", "shirt", "top", "striped", "dotted", "no", "short", "long", "sleeves", "heart", "star"}


class Frozen:
    """What the losses read: CLIP, its captions, and features of training pictures [n, D], un-normalised."""

    def __init__(self, weights: Path, images: np.ndarray, count: int = PICTURES):
        self.model, self.captions = load(weights)
        with torch.inference_mode():
            parts = [
                self.model.visual(pixels_of(torch.tensor(images[i : i + 256, 0]).permute(0, 3, 1, 2) / 255))
                for i in range(0, count, 256)
            ]
        self.features = torch.cat(parts).clone()

    def read(self, texts: list[str], words: Tensor | None = None) -> Tensor:
        """Features [n, D] of texts, in which each ``$`` is the row's word."""
        return encode_rows(self.model, self.captions.rows(texts), words)


# --- SEARLE ------------------------------------------------------------------------------------------------------


@functools.cache
def concepts() -> tuple[str, ...]:
    nouns = (*world.SHAPES, *garments.NOUNS.values())
    return tuple(f"{colour} {noun}" for colour in world.COLOURS for noun in nouns)


def phrase(concept: str, rng: random.Random) -> str:
    if concept.split()[1] in world.SHAPES:
        return rng.choice((*GROUNDS, *PLACES)).format(f"a {concept}")
    return f"a {concept} with {rng.choice(garments.ATTRIBUTES['sleeves'])} sleeves"


def phrase_loss(frozen: Frozen, nearest: Tensor, words: Tensor, rng: random.Random) -> Tensor:
    """Phrases of the most similar concepts, the concept replaced by the word, keep their features: mean distance.

    nearest: [n, k] numbers of concepts.
    """
    names = [concepts()[rng.choice(row)] for row in nearest.tolist()]
    whole = [phrase(name, rng) for name in names]
    with torch.no_grad():
        wanted = frozen.read(whole)
    made = frozen.read([text.replace(name, SLOT) for text, name in zip(whole, names, strict=True)], words)
    return (1 - cosine_similarity(made, wanted)).mean()


def nearest_concepts(frozen: Frozen, features: Tensor, count: int = 3) -> Tensor:
    with torch.inference_mode():
        known = normalize(frozen.read([f"a photo of a {c}" for c in concepts()]), dim=-1)
    return (normalize(features, dim=-1) @ known.T).topk(count).indices


def inverted(frozen: Frozen, path: Path, seed: int, count: int = INVERTED, steps: int = INVERSION_STEPS) -> Tensor:
    """Words [count, W] of the first training pictures, by textual inversion; finished blocks are kept in ``path``."""
    from safetensors.torch import load_file, save_file

    blocks = load_file(path) if path.is_file() else {}
    with Progress("inverting words", total=count, done=BLOCK * len(blocks)) as progress:
        for start in range(0, count, BLOCK):
            if str(start) in blocks:
                continue
            features = frozen.features[start : min(start + BLOCK, count)]
            nearest = nearest_concepts(frozen, features)
            rng = random.Random(derive(seed, "inversion", start))
            generator = torch.Generator().manual_seed(derive(seed, "inversion", start))
            width = frozen.model.token_embedding.embedding_dim
            words = nn.Parameter(0.02 * torch.randn(len(features), width, generator=generator))
            optimizer = torch.optim.AdamW([words], lr=0.02, weight_decay=0.01)
            average = words.detach().clone()
            for step in range(steps):
                made = frozen.read([rng.choice(CONTEXTS) for _ in features], words)
                distance = (1 - cosine_similarity(made, features)).sum()
                loss = (distance + 0.5 * len(features) * phrase_loss(frozen, nearest, words, rng)) / 1.5
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                average.lerp_(words.detach(), 1 - min(0.95, step / (step + 10)))
            blocks[str(start)] = average
            with atomic(path) as temporary:
                save_file(blocks, temporary)
            progress.advance(len(features), distance=round(distance.item() / len(features), 4))
    return torch.cat([blocks[str(start)] for start in range(0, count, BLOCK)])


def searle(frozen: Frozen, words: Tensor, network: nn.Module) -> Callable:
    """Distillation of the inverted words, contrastive both ways, and the loss on phrases."""
    features = frozen.features[: len(words)]
    nearest = nearest_concepts(frozen, features)

    def loss(generator: torch.Generator):
        rows = torch.randperm(len(words), generator=generator)[:BATCH]
        rng = random.Random(int(rows[0]) * len(words) + int(rows[1]))
        made = network(features[rows])
        logits = normalize(made, dim=-1) @ normalize(words[rows], dim=-1).T / TEMPERATURE
        right = torch.arange(len(rows))
        distil = (cross_entropy(logits, right) + cross_entropy(logits.T, right)) / 2
        phrases = phrase_loss(frozen, nearest[rows], made, rng)
        return distil + phrases, {"distil": distil.item(), "phrases": phrases.item()}

    return loss


# --- LinCIR ------------------------------------------------------------------------------------------------------


def masked(text: str) -> str:
    """Each run of keywords becomes one slot.

    >>> masked("a small red circle at the top left on a grey background")
    'a $ at the $ on a $'
    """
    out: list[str] = []
    for word in text.split():
        word = SLOT if word in KEYWORDS else word
        if not (word == SLOT and out and out[-1] == SLOT):
            out.append(word)
    return " ".join(out)


def lincir(frozen: Frozen, known: list[Picture], network: nn.Module) -> Callable:
    """Self-masking projection: the caption whose keywords are the word of its own noisy feature keeps its feature."""

    def loss(generator: torch.Generator):
        rng = random.Random(int(torch.randint(2**62, (), generator=generator)))
        pictures = rng.sample(known, BATCH)
        texts = [(statements.partial if rng.random() < 0.3 else statements.whole)(p, rng)[0] for p in pictures]
        with torch.no_grad():
            wanted = frozen.read(texts)
        length = wanted.norm(dim=-1, keepdim=True) / wanted.shape[1] ** 0.5
        strength = 2 * NOISE * torch.rand(len(texts), 1, generator=generator)
        noise = strength * length * torch.randn(wanted.shape, generator=generator)
        made = frozen.read([masked(t) if rng.random() < 0.5 else f"a photo of {SLOT}" for t in texts],
                           network(wanted + noise))  # fmt: skip
        near = cosine_similarity(made, wanted).mean().item()
        return mse_loss(made, wanted), {"cosine": near}

    return loss


# --- Pic2Word ----------------------------------------------------------------------------------------------------


def pic2word(frozen: Frozen, network: nn.Module) -> Callable:
    """Symmetric InfoNCE of a picture and "a photo of $"."""
    scale = frozen.model.logit_scale.clamp(max=4.6).exp()

    def loss(generator: torch.Generator):
        rows = torch.randperm(len(frozen.features), generator=generator)[:BATCH]
        features = frozen.features[rows]
        made = frozen.read([f"a photo of {SLOT}"] * len(rows), network(features))
        logits = scale * normalize(made, dim=-1) @ normalize(features, dim=-1).T
        right = torch.arange(len(rows))
        found = (logits.argmax(1) == right).float().mean().item()
        return (cross_entropy(logits, right) + cross_entropy(logits.T, right)) / 2, {"found": found}

    return loss


# --- all ---------------------------------------------------------------------------------------------------------


def run(work: Path, weights: Path, seed: int, images: np.ndarray) -> None:
    frozen = Frozen(weights, images)
    known = [pair[0] for pair in training(seed, images)]
    words = inverted(frozen, work / "words.safetensors", seed)
    for name, steps in STEPS.items():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, name, "start"))
            network = models.mapping(name)
        losses = {
            "searle": lambda n: searle(frozen, words, n),
            "lincir": lambda n: lincir(frozen, known, n),
            "pic2word": lambda n: pic2word(frozen, n),
        }
        how = Recipe(name, network, losses[name](network), steps, learning_rate=1e-3, average=0.99)
        write_weights(train(how, work / name, seed), weights / f"{name}.safetensors")


def evaluate(built: Path, seed: int, count: int = 512) -> dict[str, float]:
    """Retrieval with each network's words, through the baselines step's own functions.

    Of ``count`` held-out pictures: "…_own_r1": "a photo of $" finds its picture first among them. "…_edit_r1" and
    "…_edit_r10": "a photo of $ that <relative caption>" finds the edited picture, among all pictures and all
    edited ones but the reference itself. "image" and "text": the reference's feature, and the caption's.
    """
    from ipcir_steps.seek.embeddings.clip import load_encoder

    encoder = load_encoder(built / "clip")
    distinct = list({describe(pair[0]): pair for pair in pairs(seed)[-HELD_OUT:]}.values())[:count]
    gallery = torch.cat(
        [
            encoder.pixels(torch.stack([encoder.transform(render.draw(pair[side])) for pair in distinct]))
            for side in (0, 1)
        ]
    )
    references, gallery = gallery[: len(distinct)], normalize(gallery, dim=-1)
    captions = [" and ".join(dict.fromkeys(pair[2])) for pair in distinct]
    own = torch.arange(len(distinct))

    def edit_figures(name: str, queries: Tensor) -> dict[str, float]:
        scores = normalize(queries, dim=-1) @ gallery.T
        scores[own, own] = -2
        rank = (scores > scores[own, own + len(own)][:, None]).sum(1)
        return {f"{name}_edit_r{k}": (rank < k).float().mean().item() for k in (1, 10)}

    figures = {"pictures": len(distinct)}
    figures |= edit_figures("image", references) | edit_figures("text", encoder.texts(captions))
    for name in STEPS:
        kind = pseudo_words.IM2TEXT if name == "pic2word" else pseudo_words.Phi
        with torch.inference_mode():
            words = pseudo_words.load_mapping(built / name, kind)(references)

            def read(texts: list[str], words: Tensor = words) -> Tensor:
                tokens, at = pseudo_words.tokenize_with_slots(encoder.tokenize, texts, SLOT)
                return pseudo_words.encode_with_pseudo_words(encoder.model, tokens, words, at)

            alone = normalize(read([f"a photo of {pseudo_words.SLOT}"] * len(own)), dim=-1)
            edited = read([f"a photo of {pseudo_words.SLOT} that {text}" for text in captions])
        found = ((alone @ gallery[: len(own)].T).argmax(1) == own).float().mean().item()
        figures |= {f"{name}_own_r1": found, **edit_figures(name, edited)}
    return figures
