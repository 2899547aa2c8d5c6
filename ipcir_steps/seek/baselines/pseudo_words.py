"""Pseudo-words: the reference image as a word in a sentence (SEARLE, LinCIR, Pic2Word).

Networks and encoding follow the repositories miccunifi/SEARLE, navervision/lincir and
google-research/composed_image_retrieval, whose checkpoints load unchanged.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import normalize

from ipcir_steps.core.checkpoints import read_checkpoint, weights_file
from ipcir_steps.core.errors import InputError, ModelError
from ipcir_steps.core.manifests import load_manifest
from ipcir_steps.seek.baselines.inputs import Inputs

# Keys that hold the network in published files. Pic2Word's "state_dict" is CLIP, so its own key comes first.
WRAPPERS = ("Phi", "MLP", "state_dict_img2text", "state_dict")
SLOT = "\0"  # stands for the pseudo-word in a template; no caption can hold it


class Phi(nn.Module):
    """SEARLE's and LinCIR's mapping: image feature [n, dim] → word embedding [n, out]. Keys layers.0, .3, .6."""

    def __init__(self, dim: int, hidden: int, out: int, dropout: float = 0.5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, out),
        )  # fmt: skip

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.layers(features)


class IM2TEXT(nn.Module):
    """Pic2Word's mapping: image feature [n, dim] → word embedding [n, out]. Keys layers.{i}.0 and fc_out."""

    def __init__(self, dim: int, middle: int, out: int, layers: int = 2, dropout: float = 0.1):
        super().__init__()
        widths = [dim] + [middle] * layers
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Linear(before, after), nn.Dropout(dropout), nn.ReLU())
                for before, after in itertools.pairwise(widths)
            )
        )
        self.fc_out = nn.Linear(middle, out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.fc_out(self.layers(features))


def load_mapping(path, kind: type[nn.Module]) -> nn.Module:
    """Load a published checkpoint; the sizes are read from its tensors.

    Takes what ``read_checkpoint`` reads, bare or wrapped as published. Raises ModelError when the keys are not this
    network's.
    """
    manifest = load_manifest(path)
    state = read_checkpoint(weights_file(manifest), WRAPPERS)
    try:
        if kind is Phi:
            hidden, dim = state["layers.0.weight"].shape
            network = Phi(dim, hidden, len(state["layers.6.weight"]))
        else:
            middle, dim = state["layers.0.0.weight"].shape
            count = len({key.split(".")[1] for key in state if key.startswith("layers.")})
            network = IM2TEXT(dim, middle, len(state["fc_out.weight"]), count)
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise ModelError(f"{manifest.path} is not a {kind.__name__} checkpoint: {error}") from error
    return network.float().eval().requires_grad_(False)


def tokenize_with_slots(tokenize, texts: Sequence[str], placeholder: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens [n, context] and the position [n] of the pseudo-word of each text.

    Each text holds ``SLOT`` once; it is tokenised as ``placeholder``. The position is found from the text before
    the slot, so a caption that itself contains the placeholder's character keeps it. Raises InputError when the
    slot lies beyond the context length.
    """
    tokens = tokenize([text.replace(SLOT, placeholder, 1) for text in texts])
    # Tokens of "before" plus the placeholder, without start and padding: the last one before the end is the slot.
    before = tokenize([text.partition(SLOT)[0] + placeholder for text in texts])
    positions = before.argmax(-1) - 1
    expected = tokenize([placeholder])[0, 1]
    rows = torch.arange(len(texts))
    # A full context ends in the end token whatever came before it.
    wrong = tokens[rows, positions] != expected
    if wrong.any():
        text = texts[int(wrong.nonzero()[0])].replace(SLOT, placeholder, 1)
        raise InputError(f"the pseudo-word of {text[:80]!r} is not within the text encoder's context")
    return tokens, positions


def encode_with_pseudo_words(
    model: nn.Module, tokens: torch.Tensor, words: torch.Tensor, positions: torch.Tensor
) -> torch.Tensor:
    """Text features [n, D], un-normalised, of sentences in which one token is a given embedding.

    model: any open_clip model; tokens: int64 [n, context]; words: [n, W], or [1, W] for all; positions: int64
    [n], the token of each row to replace, before positional embeddings are added. Differentiable in ``words``.
    """
    embedding = getattr(model, "text", model).token_embedding
    rows = torch.arange(len(tokens), device=tokens.device)

    def insert(module, inputs, output):
        output = output.clone()
        output[rows, positions.to(output.device)] = words.to(output.dtype).expand(len(tokens), -1)
        return output

    handle = embedding.register_forward_hook(insert)
    try:
        return model.encode_text(tokens)
    finally:
        handle.remove()


def sentences(inputs: Inputs, template: str) -> list[list[str]]:
    """The sentences of each query: ``template`` with ``{}`` for the caption; of several (FashionIQ), one per order."""
    both = []
    for query in inputs.queries:
        if len(query.captions) == 1:
            both.append([template.format(query.caption)])
            continue
        captions = [caption.strip(".?, ") for caption in query.captions]
        both.append([template.format(" and ".join(order)) for order in (captions, captions[::-1])])
    return both


def compose(inputs: Inputs, texts: list[list[str]], words: torch.Tensor, placeholder: str, batch_size: int):
    """Normalised [Q, D]: the mean over a query's sentences of the normalised features."""
    encoder = inputs.encoder
    flat = [text for group in texts for text in group]
    repeats = torch.tensor([len(group) for group in texts])
    spread = words.repeat_interleave(repeats, 0)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(flat), batch_size):
            rows = slice(start, start + batch_size)
            tokens, positions = tokenize_with_slots(encoder.tokenize, flat[rows], placeholder)
            device = encoder.device
            encoded = encode_with_pseudo_words(encoder.model, tokens.to(device), spread[rows].to(device), positions)
            parts.append(normalize(encoded.float().cpu(), dim=-1))
    sums = torch.zeros(len(texts), parts[0].shape[1])
    sums.index_add_(0, torch.arange(len(texts)).repeat_interleave(repeats), torch.cat(parts))
    return normalize(sums, dim=-1)


def mapped_words(inputs: Inputs, kind: type[nn.Module]) -> tuple[torch.Tensor, set[str]]:
    """The pseudo-word [Q, W] of each query's reference, from its un-normalised feature."""
    values, missing = inputs.features("references")
    network = load_mapping(inputs.need("weights"), kind)
    width, wanted = values.shape[-1], next(network.parameters()).shape[-1]
    if width != wanted:
        remedy = "Use the checkpoint of the same backbone."
        raise InputError(f"takes features of {wanted}, not {width}", file=inputs.need("weights"), remedy=remedy)
    with torch.inference_mode():
        words = network(torch.from_numpy(np.array(values)))
    token_width = inputs.encoder.token_embedding.embedding_dim
    if words.shape[-1] != token_width:
        raise InputError(
            f"makes words of {words.shape[-1]}, the text encoder takes {token_width}",
            file=inputs.need("weights"), remedy="Use the checkpoint of the same backbone.",
        )  # fmt: skip
    return words, missing
