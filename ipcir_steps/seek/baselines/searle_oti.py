"""SEARLE-OTI (Baldrati et al., ICCV 2023): optimisation-based textual inversion, one pseudo-word per reference image.

The word is optimised until sentences around it have the image's feature; phrases about similar concepts in which the
concept is replaced by the word keep it a word that can be combined with others.
"""

import logging
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cosine_similarity, normalize

from ipcir_steps.config.baselines import Inversion
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest, read_json, read_jsonl, seed
from ipcir_steps.core.journal import batches, run_journaled
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.pseudo_words import (
    SLOT,
    compose,
    encode_with_pseudo_words,
    sentences,
    tokenize_with_slots,
)
from ipcir_steps.seek.baselines.searle import PLACEHOLDER, TEMPLATE
from ipcir_steps.seek.embeddings.clip import Encoder

log = logging.getLogger(__name__)

# Contexts the word has to fit into; their number matters more than their wording.
CONTEXTS = tuple(
    text.format(f" {SLOT} ")
    for text in (
        "a photo of {}", "a picture of {}", "an image of {}", "a close-up of {}", "a bright photo of {}",
        "a dark photo of {}", "a photo of one {}", "a photo of the {}", "a cropped image of {}", "a view of {}",
        "a snapshot of {}", "a photo showing {}", "a drawing of {}", "a good photo of {}", "a blurry photo of {}",
        "a large photo of {}", "a small photo of {}", "this is {}",
    )
)  # fmt: skip


def text_features(inputs: Inputs, settings: Inversion) -> tuple[np.ndarray, set[str]]:
    """The normalised feature of "a photo of $ that <caption>" with the optimised word; resumable image by image.

    Images are optimised in fixed groups whose progress is journaled beside the output; each has its own random
    stream, derived from the run seed and its name.
    """
    values, missing = inputs.features("references")
    images = {
        query.reference: torch.from_numpy(np.array(values[row]))
        for row, query in enumerate(inputs.queries)
        if query.query_id not in missing
    }
    phrases = read_phrases(settings.phrases) if settings.phrase_weight else {}
    if settings.phrase_weight and not phrases:
        log.warning("no phrases: words are optimised without the regularisation of the paper")
    features = _concept_features(inputs.encoder, phrases, settings)

    def work(groups: list) -> list[dict]:
        return [
            {
                "words": invert(
                    inputs.encoder, {name: images[name] for name in group}, settings, inputs.seed, phrases, features
                ).tolist()
            }
            for group in groups
        ]

    groups = list(batches(list(images), settings.images_per_batch))
    journal = inputs.output.with_name(inputs.output.name + ".words.jsonl")
    content = {name: value.tolist() for name, value in images.items()}
    run_journaled(
        groups, work, output=journal, key="group", key_of="\n".join,
        context={
            "model": inputs.encoder.identity, "settings": settings.model_dump(), "seed": inputs.seed,
            "phrases": phrases, "features": digest(content),
        },
        title="textual inversion", keep=False,
    )  # fmt: skip
    found = [word for record in read_jsonl(journal) for word in record["words"]]
    words = dict(zip(images, found, strict=True))
    blank = torch.zeros(inputs.encoder.token_embedding.embedding_dim)
    table = torch.stack([torch.tensor(words[q.reference]) if q.reference in words else blank for q in inputs.queries])
    texts = compose(inputs, sentences(inputs, TEMPLATE), table, PLACEHOLDER, settings.batch_size)
    journal.unlink()
    return texts.numpy(), missing


def invert(
    encoder: Encoder,
    images: dict[str, torch.Tensor],
    settings: Inversion,
    run_seed: int = 0,
    phrases: dict[str, list[str]] | None = None,
    concept_features: torch.Tensor | None = None,
) -> torch.Tensor:
    """Optimise one word per image; float32 [n, W], the moving average over the steps.

    images: {name: feature [D]}. phrases: {concept: sentences that contain it}; concept_features: [concepts, D].
    Losses are summed over images, so that an image's result does not depend on how many share the batch.
    """
    width, device = encoder.token_embedding.embedding_dim, encoder.device
    generators = [torch.Generator().manual_seed(seed(run_seed, name, "inversion")) for name in images]
    start = torch.stack([torch.randn(width, generator=generator) * 0.02 for generator in generators])
    targets = torch.stack(list(images.values())).to(device)
    choices = _choices(targets, phrases, concept_features, settings)
    words = torch.nn.Parameter(start.to(device))
    average = words.detach().clone()
    optimizer = torch.optim.AdamW([words], lr=settings.learning_rate, weight_decay=settings.weight_decay)
    for _ in range(settings.steps):
        contexts = [CONTEXTS[_draw(generator, len(CONTEXTS))] for generator in generators]
        loss = settings.image_weight * _distance(encoder, contexts, words, targets)
        if choices:
            pairs = [own[_draw(generator, len(own))] for own, generator in zip(choices, generators, strict=True)]
            with torch.no_grad():
                tokens = encoder.tokenize([phrase for phrase, _ in pairs]).to(device)
                wanted = encoder.model.encode_text(tokens)
            loss = loss + settings.phrase_weight * _distance(encoder, [text for _, text in pairs], words, wanted)
            loss = loss / (settings.image_weight + settings.phrase_weight)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average = settings.ema_decay * average + (1 - settings.ema_decay) * words.detach()
    return average.cpu()


def _draw(generator: torch.Generator, count: int) -> int:
    return int(torch.randint(count, (), generator=generator))


def _distance(encoder: Encoder, texts: list[str], words: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    tokens, positions = tokenize_with_slots(encoder.tokenize, texts, PLACEHOLDER)
    made = encode_with_pseudo_words(encoder.model, tokens.to(words.device), words, positions.to(words.device))
    return (1 - cosine_similarity(made, targets)).sum()


def read_phrases(path: str | Path | None) -> dict[str, list[str]]:
    """{concept: phrases containing it}; others are dropped. Raises InputError when the file has another form."""
    if path is None:
        return {}
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(phrases, list) for phrases in content.values()):
        raise InputError("is not an object {concept: [phrases]}", file=path)
    kept = {concept: [phrase for phrase in phrases if concept in phrase] for concept, phrases in content.items()}
    return {concept: phrases for concept, phrases in kept.items() if phrases}


def _concept_features(encoder: Encoder, phrases: dict, settings: Inversion) -> torch.Tensor | None:
    if not phrases:
        return None
    texts = [f"a photo of {concept}" for concept in phrases]
    return torch.cat([encoder.texts(batch) for batch in batches(texts, settings.batch_size)])


def _choices(targets, phrases, features, settings: Inversion) -> list[list[tuple[str, str]]]:
    """Per image, (phrase, phrase with the slot) of the concepts most similar to it."""
    if not phrases:
        return []
    similarity = normalize(targets.cpu(), dim=-1) @ normalize(features, dim=-1).T
    nearest = similarity.topk(min(settings.concepts, len(phrases))).indices.tolist()
    concepts = list(phrases)
    return [
        [
            (phrase, phrase.replace(concepts[i], f" {SLOT} ", 1))
            for i in row
            for phrase in phrases[concepts[i]]
        ]
        for row in nearest
    ]  # fmt: skip
