"""The published implementations, run on random weights: their outputs are in tests/data (see docs/baselines.md)."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from ipcir_steps.benchmarks import cirr
from ipcir_steps.core.records import Query
from ipcir_steps.seek.baselines import ldre, pseudo_words
from ipcir_steps.seek.baselines.pseudo_words import SLOT, encode_with_pseudo_words, tokenize_with_slots
from ipcir_steps.seek.baselines.simple import _normalize
from ipcir_steps.seek.embeddings import target_pad_transform

from .conftest import fill, numbers, picture

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def published_numbers():
    return load_file(DATA / "baselines.safetensors")


@pytest.fixture(scope="module")
def published_lists():
    return json.loads((DATA / "baselines.json").read_text())


@pytest.fixture(scope="module")
def model(clip_config):
    """open_clip's text tower with the weights that the published one had."""
    from open_clip.model import CLIP

    model = CLIP(**clip_config, quick_gelu=True)
    state = {
        key: value if key.startswith(("visual", "logit", "attn_mask")) else numbers(f"text.{key}", value.shape, 0.2)
        for key, value in model.state_dict().items()
    }
    model.load_state_dict(state)
    return model.eval()


def test_networks(published_numbers):
    features = numbers("image features", (5, 24))
    phi = fill(pseudo_words.Phi(24, 96, 32), "phi")
    im2text = fill(pseudo_words.IM2TEXT(24, 48, 32, 3), "im2text")
    torch.testing.assert_close(phi(features), published_numbers["phi"], rtol=0, atol=1e-5)
    torch.testing.assert_close(im2text(features), published_numbers["im2text"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(101, 50), (50, 101), (60, 61), (75, 60), (200, 31)])
def test_preprocessing(size, published_numbers):
    found = target_pad_transform(24)(picture(size))
    assert torch.equal(found, published_numbers["transform_{}x{}".format(*size)])


@torch.no_grad()
@pytest.mark.parametrize(("method", "sign", "join"), [("searle", "$", "that"), ("pic2word", "*", ",")])
def test_text_features(method, sign, join, model, encoder, published_numbers, published_lists):
    texts = [f"a photo of {SLOT} {join} {caption}" for caption in published_lists["captions"]]
    tokens, positions = tokenize_with_slots(encoder.tokenize, texts, sign)
    found = encode_with_pseudo_words(model, tokens, numbers("words", (5, 32), 0.2), positions)
    torch.testing.assert_close(found, published_numbers[method], rtol=0, atol=1e-5)


@torch.no_grad()
def test_fashioniq_composition(model, encoder, published_numbers, published_lists):
    import dataclasses

    from ipcir_steps.seek.baselines.inputs import Inputs
    from ipcir_steps.seek.baselines.searle import PLACEHOLDER, TEMPLATE

    queries = [Query(str(i), "r", [f"{c}. ", "longer"]) for i, c in enumerate(published_lists["captions"])]
    inputs = Inputs(queries, "fashioniq", {}, Path("unused"))
    inputs.__dict__["encoder"] = dataclasses.replace(encoder, model=model)
    texts = pseudo_words.sentences(inputs, TEMPLATE)
    found = pseudo_words.compose(inputs, texts, numbers("words", (5, 32), 0.2), PLACEHOLDER, 3)
    torch.testing.assert_close(found, published_numbers["fashioniq"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("k", "temperature"), [(5, 0.04), (50, 0.01)])
def test_ldre(k, temperature, published_numbers, published_lists):
    target, source = numbers("target captions", (6, 12, 24)), numbers("source captions", (6, 12, 24))
    gallery = numbers("gallery", (300, 24))
    text, weights = ldre.ensemble(target, source, gallery, k, temperature)
    torch.testing.assert_close(weights, published_numbers[f"ldre_weights_k{k}"], rtol=1e-3, atol=0)
    torch.testing.assert_close(text, published_numbers[f"ldre_text_k{k}"], rtol=0, atol=1e-5)
    lists = (text @ normalize(gallery, dim=-1).T).topk(50).indices
    for query, names in published_lists[f"ldre_k{k}"].items():
        assert [str(i) for i in lists[int(query)].tolist()] == names


def test_cirr_reference_removal_and_subset_order(published_lists):
    content = published_lists["cirr"]
    queries_features, gallery = numbers("cirr queries", (9, 24)), numbers("cirr gallery", (60, 24))
    names = [f"dev-{i}-0-img0" for i in range(60)]
    order = torch.from_numpy(_normalize(queries_features) @ _normalize(gallery).T).argsort(descending=True)
    rankings = {str(i): [names[j] for j in row] for i, row in enumerate(order.tolist())}
    queries = [
        Query(str(i), reference, ["c"], group=[name for name in group if name != reference])
        for i, (reference, group) in enumerate(zip(content["references"], content["groups"], strict=True))
    ]
    recall = cirr.RECALL.content(rankings, queries)
    subset = cirr.RECALL_SUBSET.content(rankings, queries)
    for query in content["recall"]:
        assert recall[query] == content["recall"][query]
        assert subset[query] == content["subset"][query]
