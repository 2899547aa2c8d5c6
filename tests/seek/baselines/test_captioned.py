"""The captions of the proxies in the text side, against the formula written out."""

import json
import math

import numpy as np
import pytest

from ipcir_steps.cli import main
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.records import Query, write_records

from .conftest import numbers

IDS = ("a", "b", "c", "d", "e")
D, C = 4, 3


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Five queries; d has no text, e no captions of its proxies."""
    monkeypatch.chdir(tmp_path)
    write_records("queries.jsonl", [Query(name, "r", ("x",)) for name in IDS])
    text, captions = numbers("text", (5, D)).numpy(), numbers("captions", (5, C, D), 3.0).numpy()
    text[3], captions[4] = 0, 0
    save_features("plain.safetensors", Features(text, IDS, ("d",), {"digest": "1"}))
    save_features("captions.safetensors", Features(captions, IDS, ("e",), {"digest": "1"}))
    return text, captions


def run(expected=0, **settings):
    words = ["baselines", "captioned", "--queries", "queries.jsonl", "--benchmark", "circo", "--seed", "3"]
    words += ["--text", "plain.safetensors", "--proxy-captions", "captions.safetensors", "--output", "out.safetensors"]
    assert main([*words, "--settings", json.dumps(settings)]) == expected
    return load_features("out.safetensors") if expected == 0 else None


def written_out(text, captions, weight):
    """|t| nrm((1 - w) nrm(t) + w mean nrm(c)) of one query, with nothing but floats."""
    length = math.sqrt(sum(float(x) ** 2 for x in text))
    mixed = []
    for d in range(D):
        mean = 0.0
        for caption in captions:
            mean += float(caption[d]) / math.sqrt(sum(float(x) ** 2 for x in caption)) / C
        mixed.append((1 - weight) * float(text[d]) / length + weight * mean)
    whole = math.sqrt(sum(x * x for x in mixed))
    return [length * x / whole for x in mixed]


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_the_formula(world, weight):
    text, captions = world
    found = run(weight=weight)
    for row in range(3):
        np.testing.assert_allclose(found.values[row], written_out(text[row], captions[row], weight), rtol=1e-6)
        assert not np.allclose(found.values[row], text[row], rtol=1e-2)
    assert found.names == IDS and found.missing == ("d",) and not found.values[3].any()
    assert np.array_equal(found.values[4], text[4]), "without captions the text stays"
    assert found.model["baseline"] == "captioned" and found.model["digest"] == "1"


def test_no_weight_leaves_the_text_as_it_was(world):
    assert np.array_equal(run(weight=0.0).values, world[0])


def test_the_control_takes_another_querys_captions(world):
    text, captions = world
    found = run(weight=0.5, others=True).values
    for row in range(3):
        rivals = [written_out(text[row], captions[other], 0.5) for other in range(3)]
        close = [other for other in range(3) if np.allclose(found[row], rivals[other], rtol=1e-5)]
        assert len(close) == 1 and close[0] != row
    assert np.array_equal(found[4], text[4])


def test_a_weight_is_needed_and_is_a_share(world, capsys):
    for settings, told in (({}, "weight"), ({"weight": 1.5}, "weight"), ({"weight": 0.5, "wait": 1}, "wait")):
        run(expected=2, **settings)
        assert told in capsys.readouterr().err
