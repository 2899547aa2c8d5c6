import json

import pytest
import torch
from torch.nn.functional import cosine_similarity

from ipcir_steps.config.baselines import Inversion
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.records import Query
from ipcir_steps.seek.baselines import searle_oti
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.pseudo_words import SLOT, encode_with_pseudo_words, tokenize_with_slots

from .conftest import numbers

IMAGES = dict(zip("abc", numbers("oti images", (3, 24)), strict=True))
PHRASES = {"dog": ["a dog runs", "the dog sleeps"], "car": ["a car drives"], "tree": ["a tree grows"]}


def closeness(encoder, words):
    tokens, positions = tokenize_with_slots(encoder.tokenize, [f"a photo of {SLOT}"] * 3, "$")
    made = encode_with_pseudo_words(encoder.model, tokens, words, positions)
    return cosine_similarity(made, torch.stack(list(IMAGES.values())))


def test_the_word_comes_to_mean_the_image(encoder):
    short = Inversion(steps=1, phrase_weight=0.0, ema_decay=0.0)
    start = closeness(encoder, searle_oti.invert(encoder, IMAGES, short))
    end = closeness(encoder, searle_oti.invert(encoder, IMAGES, short.model_copy(update={"steps": 40})))
    assert (end > start + 0.1).all()


@pytest.mark.parametrize("phrases", [None, PHRASES])
def test_an_image_does_not_depend_on_its_batch(encoder, phrases):
    settings = Inversion(steps=4, concepts=2)
    features = encoder.texts([f"a photo of {c}" for c in phrases]) if phrases else None
    together = searle_oti.invert(encoder, IMAGES, settings, 7, phrases, features)
    alone = searle_oti.invert(encoder, {"b": IMAGES["b"]}, settings, 7, phrases, features)
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-5)
    other = searle_oti.invert(encoder, {"b": IMAGES["b"]}, settings, 8, phrases, features)
    assert not torch.allclose(alone, other, atol=1e-3)


def test_only_phrases_of_similar_concepts_are_used():
    target = torch.tensor([[1.0, 0.0]])
    features = torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.8, 0.5]])
    choices = searle_oti._choices(target, PHRASES, features, Inversion(concepts=2))
    assert [phrase for phrase, _ in choices[0]] == ["a dog runs", "the dog sleeps", "a tree grows"]
    assert choices[0][0][1] == f"a  {SLOT}  runs"


def test_continues_after_a_kill_with_the_same_result(encoder, tmp_path, monkeypatch):
    queries = [Query(str(n), name, ["is red"]) for n, name in enumerate("abca")]
    values = torch.stack([IMAGES[name] for name in "abca"]).numpy()
    references = tmp_path / "r.safetensors"
    save_features(references, Features(values, tuple("0123"), (), encoder.identity))
    (tmp_path / "p.json").write_text(json.dumps(PHRASES))
    settings = Inversion(steps=3, images_per_batch=1, phrases=str(tmp_path / "p.json"))

    def run(name):
        inputs = Inputs(queries, "circo", {"references": references}, tmp_path / name, seed=1)
        inputs.__dict__["encoder"] = encoder
        return searle_oti.text_features(inputs, settings)[0]

    whole = run("whole")
    invert, calls = searle_oti.invert, []

    def killed(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return invert(*args)

    monkeypatch.setattr(searle_oti, "invert", killed)
    with pytest.raises(KeyboardInterrupt):
        run("resumed")
    resumed = run("resumed")
    assert len(calls) == 4  # three unique images, the third one tried twice
    assert (resumed == whole).all()
    assert not list(tmp_path.glob("*.words.jsonl*"))


def test_phrases_file_must_be_an_object_of_lists(tmp_path):
    (tmp_path / "p.json").write_text('["dog"]')
    with pytest.raises(InputError, match="is not an object"):
        searle_oti.read_phrases(tmp_path / "p.json")
