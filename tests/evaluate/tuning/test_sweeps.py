"""Sweeps against one ``rank`` per setting; the choice of lambda on a world where the best one is known to move."""

import argparse
import json

import numpy as np
import pytest
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.evaluate.tuning import sweeps, tune
from ipcir_steps.seek import fusion
from ipcir_steps.seek.ranking import rank


def _world(queries=12, images=700, dims=16, proxies=4, seed=0, **extra):
    draw = torch.Generator().manual_seed(seed)
    shapes = (queries, dims), (images, dims), (queries, proxies, dims), (queries, dims), (queries, dims)
    ids, names = [f"q{n}" for n in range(queries)], [f"image-{n}" for n in range(images)]
    return sweeps.World(*(torch.randn(shape, generator=draw) for shape in shapes), ids, names, **extra)


SETTINGS = [
    *(sweeps.Setting(weight=value) for value in (0.0, 0.3, 1.0)),
    *(sweeps.Setting(proxies=count) for count in (1, 2, 3, 4)),
    *(sweeps.Setting(weights, weight=0.2) for weights in sweeps.COMPONENTS),
    sweeps.Setting((0.3, 2.0, 0.7), 2, 0.6),
]


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_each_setting_is_its_own_ranking(scale):
    world = _world(exclude=torch.arange(12))
    got = sweeps.sweep(world, SETTINGS, lambda rankings: {"lists": rankings}, 9, scale, block=256)
    assert [(tuple(row["weights"]), row["lambda"]) for row in got] == [(s.weights, s.weight) for s in SETTINGS]
    for setting, row in zip(SETTINGS, got, strict=True):
        drawn = world.proxies[:, : setting.proxies]
        fused = fusion.robust_proxy(drawn, world.references, world.perturbation, setting.weights, scale)
        indices, _ = rank(world.text, world.gallery, 9, fused, (setting.weight,), world.exclude)
        expected = {f"q{n}": [f"image-{i}" for i in filled] for n, filled in enumerate(indices[0].tolist())}
        assert row["metrics"]["lists"] == expected


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_a_query_whose_captions_do_not_change(scale):
    """Its perturbation is zero: nothing of eq. 1, and alone it leaves the list of the text."""
    world = _world()
    world.perturbation[3] = 0
    settings = [sweeps.Setting(weight=0.3), sweeps.Setting((0.0, 0.0, 1.0), weight=0.2)]
    both, alone = (row["metrics"] for row in sweeps.sweep(world, settings, dict, 9, scale))
    fused = fusion.robust_proxy(world.proxies, world.references, world.perturbation, scale=scale)
    named = [
        [f"image-{i}" for i in filled] for filled in rank(world.text, world.gallery, 9, fused, (0.3,))[0][0].tolist()
    ]
    assert list(both.values()) == named
    text = rank(world.text, world.gallery, 9)[0][0].tolist()
    assert [query for query, images in alone.items() if images == [f"image-{i}" for i in text[int(query[1:])]]] == [
        "q3"
    ]


def test_seven_components():
    assert len(sweeps.COMPONENTS) == len(set(sweeps.COMPONENTS)) == 7


def test_groups_have_their_own_galleries():
    groups = [([0, 2, 4], list(range(0, 700, 2))), ([1, 3], list(range(1, 700, 2)))]
    world = _world(queries=5, groups=groups)
    for scale in ("dataset", "query"):
        lists = sweeps.sweep(world, SETTINGS[:1], lambda rankings: rankings, 9, scale)[0]["metrics"]
        assert {q: {int(name[6:]) % 2 for name in images} for q, images in lists.items()} == {
            f"q{n}": {n % 2} for n in range(5)
        }


def test_too_many_proxies_are_refused():
    with pytest.raises(InputError, match="proxies"):
        sweeps.sweep(_world(), [sweeps.Setting(proxies=5)], dict)


def test_interval_covers_the_mean():
    values = torch.randn(400, generator=torch.Generator().manual_seed(0)).add(3).tolist()
    low, high = sweeps.interval(values)
    assert low < np.mean(values) < high and high - low == pytest.approx(4 * np.std(values) / 20, rel=0.1)


def test_matched_spread_balances_both_terms():
    world = _world(queries=40, images=3000)
    value = sweeps.matched_spread(world.text, world.references, world.gallery)
    gallery = torch.nn.functional.normalize(world.gallery, dim=1)
    a, b = world.text @ gallery.T, (world.text @ gallery.T) * (world.references @ gallery.T)
    assert float((value * a).std(1).median()) == pytest.approx(float(((1 - value) * b).std(1).median()), rel=1e-3)


def test_agreed_follows_the_clearer_side():
    draw = torch.Generator().manual_seed(0)
    # All images share a direction, as CLIP's do, so similarities are positive.
    gallery = torch.randn(3000, 32, generator=draw) + 2
    right = torch.nn.functional.normalize(gallery[:80], dim=1)
    noise = [torch.randn(80, 32, generator=draw) / 32**0.5 for _ in range(2)]
    clear_text = sweeps.agreed(right + 0.2 * noise[0], right + 3 * noise[1], gallery)
    clear_proxy = sweeps.agreed(right + 3 * noise[0], right + 0.2 * noise[1], gallery)
    assert 0 <= clear_proxy < clear_text <= 1
    # The length of the proxy, which is arbitrary, only moves lambda; the order of the images stays as good.
    other = sweeps.agreed(right + 0.2 * noise[0], 4 * (right + 3 * noise[1]), gallery)
    assert other > clear_text


def _noisy_world(directory, text_noise, proxy_noise, queries=60):
    draw = np.random.default_rng(0)
    names, ids = [f"image-{n}" for n in range(400)], [f"q{n}" for n in range(queries)]
    gallery = draw.standard_normal((400, 24)).astype(np.float32)
    right = gallery[:queries]

    def near(noise, *middle):
        shape = (queries, *middle, 24)
        return (right.reshape(queries, *(1 for _ in middle), 24) + noise * draw.standard_normal(shape)).astype(
            np.float32
        )

    values = {"text": near(text_noise), "references": near(3), "proxies": near(proxy_noise, 3)}
    values |= {"target_captions": near(3, 4), "source_captions": near(6, 4), "gallery": gallery}
    for name, rows in values.items():
        save_features(directory / f"{name}.safetensors", Features(rows, tuple(names if name == "gallery" else ids)))
    write_records(directory / "gallery.jsonl", [Image(name, name) for name in names])
    records = [Query(q, names[-1 - n], ("x",), targets=(names[n],)) for n, q in enumerate(ids)]
    write_records(directory / "queries.jsonl", records)


def _tune(directory, *extra):
    parser = argparse.ArgumentParser()
    tune.arguments(parser)
    flags = [
        part for name in tune.FILES for part in (f"--{name.replace('_', '-')}", str(directory / f"{name}.safetensors"))
    ]
    flags += ["--queries", str(directory / "queries.jsonl"), "--gallery-images", str(directory / "gallery.jsonl")]
    tune.main(parser.parse_args([*flags, "--output", str(directory / "tune.json"), *extra]))
    return json.loads((directory / "tune.json").read_text())


def test_tune_follows_the_better_side(tmp_path):
    chosen = {}
    for side, noise in {"text": (0.3, 4.0), "proxy": (3.0, 0.3)}.items():
        _noisy_world(tmp_path, *noise)
        settings = json.dumps({"weights": [[1, 1, 1], [1, 0, 0]], "proxies": [1, 3]})
        result = _tune(tmp_path, "--benchmark", "circo", "--key", "recall@5", "--settings", settings)
        assert len(result["labelled"]["settings"]) == 2 * 2 * 11
        best = result["labelled"]["chosen"]
        assert best["metrics"]["recall@5"] == max(row["metrics"]["recall@5"] for row in result["labelled"]["settings"])
        assert best["interval"][0] <= best["metrics"]["recall@5"] <= best["interval"][1] and best["tied"] >= 1
        chosen[side] = result
    lambdas = {side: result["labelled"]["chosen"]["lambda"] for side, result in chosen.items()}
    assert lambdas["text"] > lambdas["proxy"]
    assert all(0 <= value <= 1 for result in chosen.values() for value in result["label_free"].values())


def test_tune_without_labels_needs_no_metrics(tmp_path):
    _noisy_world(tmp_path, 1.0, 1.0)
    assert set(_tune(tmp_path)) == {"queries", "label_free"}


def test_tune_names_an_unknown_metric(tmp_path):
    _noisy_world(tmp_path, 1.0, 1.0)
    with pytest.raises(InputError, match="field '--key': is 'recall@7', not one of mAP@5"):
        _tune(tmp_path, "--benchmark", "circo", "--key", "recall@7")
