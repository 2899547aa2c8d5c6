"""Every baseline through the command line, on a tiny real CLIP."""

import json

import numpy as np
import pytest
import torch

from ipcir_steps.cli import main
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.records import Query, write_records
from ipcir_steps.seek.baselines import ldre
from ipcir_steps.seek.baselines.pseudo_words import IM2TEXT, Phi

from .conftest import fill, numbers

IDS = ("1", "2", "3", "4")


@pytest.fixture
def world(tmp_path, monkeypatch, encoder):
    """Features of four queries; the fourth has neither reference nor captions."""
    from safetensors.torch import save_file

    monkeypatch.chdir(tmp_path)
    captions = (["has a $5 tag", "is red"], ["is blue", "longer"], ["is green.", "short"], ["is new", "old"])
    queries = [Query(i, f"r{i if i != '2' else '1'}", c, category="dress") for i, c in zip(IDS, captions, strict=True)]
    write_records("queries.jsonl", queries)
    shapes = {"target": (4, 3, 24), "source": (4, 3, 24), "references": (4, 24), "gallery": (40, 24)}
    for name, shape in shapes.items():
        values = numbers(name, shape).numpy()
        rows = tuple(str(row + 1) for row in range(shape[0]))
        missing = ()
        if name != "gallery":
            values[3], missing = 0, ("4",)
        if name == "references":
            values[1] = values[0]
        save_features(f"{name}.safetensors", Features(values, rows, missing, encoder.identity))
    save_file(fill(Phi(24, 96, 32), "phi").state_dict(), "phi.safetensors")
    save_file(fill(IM2TEXT(24, 48, 32, 2), "im2text").state_dict(), "im2text.safetensors")
    return queries


def run(name, model, *options, benchmark="circo"):
    command = ["baselines", name, "--queries", "queries.jsonl", "--benchmark", benchmark]
    command += ["--target-captions", "target.safetensors", "--source-captions", "source.safetensors"]
    command += ["--references", "references.safetensors", "--gallery", "gallery.safetensors", "--model", str(model)]
    code = main([*command, "--output", "text.safetensors", *options])
    return load_features("text.safetensors") if code == 0 else code


SETTINGS = {"searle_oti": '{"steps": 3, "phrase_weight": 0.0}'}
WEIGHTS = {"searle": "phi", "lincir": "phi", "pic2word": "im2text"}


@pytest.mark.parametrize("benchmark", ["cirr", "circo", "fashioniq"])
@pytest.mark.parametrize("name", [name for name, card in BASELINES.items() if not card.sees])
def test_every_baseline_on_every_format(name, benchmark, world, clip_directory):
    options = ["--weights", f"{WEIGHTS[name]}.safetensors"] if name in WEIGHTS else []
    options += ["--settings", SETTINGS.get(name, "{}")]
    found = run(name, clip_directory, *options, benchmark=benchmark)
    assert found.names == IDS and found.values.shape == (4, 24)
    assert found.missing == (() if name == "text_only" else ("4",))
    assert found.model["baseline"] == name
    again = np.array(found.values)
    assert np.array_equal(run(name, clip_directory, *options, benchmark=benchmark).values, again)


def test_pseudo_word_features_depend_on_image_and_caption(world, clip_directory):
    found = run("searle", clip_directory, "--weights", "phi.safetensors")
    rows = torch.nn.functional.normalize(torch.from_numpy(np.array(found.values[:3])), dim=-1)
    similar = rows @ rows.T
    assert similar[0, 1] < 0.9999 and similar[0, 2] < 0.9999  # queries 1 and 2 share the image, not the caption


def test_ldre_follows_the_published_choice_per_dataset(world, clip_directory):
    found = {
        (data, method): np.array(
            run("ldre", clip_directory, "--settings", json.dumps({"method": method, "k": 5}), benchmark=data).values
        )
        for data in ("cirr", "circo")
        for method in ("published", "ensemble", "mean")
    }
    assert np.array_equal(found["circo", "published"], found["circo", "ensemble"])
    assert np.array_equal(found["cirr", "published"], found["cirr", "mean"])
    assert not np.allclose(found["circo", "ensemble"], found["circo", "mean"], atol=1e-3)


@pytest.mark.parametrize("method", ["ensemble", "mean"])
def test_seize_increment_is_the_published_similarity(method, world, clip_directory):
    """S = S_after + m (S_after - S_before): with m = 0.5 the feature is 1.5 t - 0.5 o."""
    t, both = (
        np.array(run("ldre", clip_directory, "--settings", json.dumps({"method": method, "increment": m})).values)
        for m in (0.0, 0.5)
    )
    before = 3 * t - 2 * both  # t - o = 2 (both - t), so o = 3 t - 2 both
    target, source = (numbers(name, (4, 3, 24)).transpose(0, 1).clone() for name in ("target", "source"))
    target[:, 3] = source[:, 3] = 0
    if method == "mean":
        expected = ldre.mean_caption(source)
    else:
        _, weights = ldre.ensemble(target, source, load_features("gallery.safetensors").values)
        expected = torch.einsum("c,cqd->qd", weights, torch.nn.functional.normalize(source, dim=-1))
    np.testing.assert_allclose(before[:3], expected[:3].numpy(), atol=1e-5)
    assert np.abs(both - t)[:3].max() > 0.01


def test_a_baseline_of_ones_own_is_one_function(world, clip_directory, tmp_path, monkeypatch):
    (tmp_path / "toy_baseline.py").write_text(
        "def text_features(inputs, settings):\n"
        '    values, missing = inputs.features("references")\n'
        "    return values * settings.factor + 1, missing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = run("toy_baseline:text_features", clip_directory, "--settings", '{"factor": 2}')
    np.testing.assert_array_equal(found.values[:3], load_features("references.safetensors").values[:3] * 2 + 1)
    assert found.missing == ("4",) and not found.values[3].any()


def test_settings_are_of_the_class_that_the_function_names(world, clip_directory, tmp_path, monkeypatch, capsys):
    (tmp_path / "typed_baseline.py").write_text(
        "from ipcir_steps.config.base import Section\n\n\n"
        "class Turned(Section):\n    factor: float = 3.0\n\n\n"
        "def text_features(inputs, settings: Turned):\n"
        '    values, missing = inputs.features("references")\n'
        "    return values * settings.factor, missing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = run("typed_baseline:text_features", clip_directory)
    np.testing.assert_array_equal(found.values[:3], load_features("references.safetensors").values[:3] * 3)
    assert run("typed_baseline:text_features", clip_directory, "--settings", '{"facter": 2}') == 2
    assert "field 'facter'" in capsys.readouterr().err


def test_ready_features_are_put_in_query_order(world, clip_directory):
    values = numbers("ready", (4, 24)).numpy()
    save_features("ready.safetensors", Features(values, IDS[::-1]))
    np.testing.assert_array_equal(run("ready.safetensors", clip_directory).values, values[::-1])


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nonsense", (), "there is no baseline 'nonsense'. Use one of ldre"),
        ("no_module:f", (), "cannot be imported"),
        ("searle", (), "field '--weights': is needed by this baseline"),
        ("searle", ("--weights", "im2text.safetensors"), "is not a Phi checkpoint"),
        ("ldre", ("--settings", '{"kk": 5}'), "field 'kk'"),
        ("target.safetensors", (), "features are 4x3x24, not [queries, D]"),
    ],
)
def test_mistakes_are_explained(name, options, message, world, clip_directory, capsys):
    assert run(name, clip_directory, *options) == 2
    assert message in capsys.readouterr().err


def test_features_of_another_model_are_refused(world, clip_directory, capsys):
    stored = load_features("references.safetensors")
    values = np.array(stored.values)
    save_features("references.safetensors", Features(values, stored.names, stored.missing, {"digest": "other"}))
    assert run("searle", clip_directory, "--weights", "phi.safetensors") == 2
    assert "was made by another model" in capsys.readouterr().err


def test_image_and_text_are_added_as_they_are_or_normalised(world, clip_directory, encoder):
    """As they are, the longer one counts more."""
    image = torch.from_numpy(np.array(load_features("references.safetensors").values[:3]))
    text = encoder.texts([query.caption for query in world[:3]])
    alike = np.array(run("image_text", clip_directory).values)
    raw = np.array(run("image_text", clip_directory, "--settings", '{"parts": "raw"}').values)
    normal = torch.nn.functional.normalize
    assert np.allclose(raw[:3], normal(image + text, dim=1), atol=1e-5)
    assert np.allclose(alike[:3], normal(normal(image, dim=1) + normal(text, dim=1), dim=1), atol=1e-5)
    assert not np.allclose(raw[:3], alike[:3], atol=1e-2)
