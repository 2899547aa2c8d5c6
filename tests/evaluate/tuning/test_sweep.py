"""Sweeps against one ``rank`` per setting, and the reading of their inputs."""

import argparse
import dataclasses

import numpy as np
import pytest
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.evaluate.tuning import sweep as tuning
from ipcir_steps.evaluate.tuning.sweep import COMPONENTS, Components, Setting, sweep
from ipcir_steps.seek import fusion
from ipcir_steps.seek.ranking import inputs, rank
from ipcir_steps.seek.ranking.inputs import RetrievalInputs

SETTINGS = [
    *(Setting(lam=value) for value in (0.0, 0.3, 1.0)),
    *(Setting(proxies=count) for count in (1, 2, 3, 4)),
    *(Setting(weights, lam=0.2) for weights in COMPONENTS),
    Setting((0.3, 2.0, 0.7), 2, 0.6),
]


def _search(queries=12, images=700, dims=16, proxies=4, categories=None, **more):
    """Random inputs and components of a search."""
    draw = torch.Generator().manual_seed(0)
    shapes = (queries, dims), (images, dims), (queries, proxies, dims), (queries, dims), (queries, dims)
    text, gallery, *parts = (torch.randn(shape, generator=draw) for shape in shapes)
    names = sorted(categories or ())
    asked = [Query(f"q{n}", "r", ("c",), category=names[n % 2] if names else None) for n in range(queries)]
    found = RetrievalInputs(
        queries=asked, names=[f"image-{n}" for n in range(images)], text=text, gallery=gallery,
        categories=categories or {}, **more,
    )  # fmt: skip
    return found, Components(proxies=parts[0], references=parts[1], perturbation=parts[2])


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_each_setting_is_its_own_ranking(scale):
    found, parts = _search(exclude=torch.arange(12))
    got = sweep(found, parts, SETTINGS, lambda rankings: {"lists": rankings}, 9, scale, block=256)
    assert [(tuple(row["weights"]), row["lambda"]) for row in got] == [(s.weights, s.lam) for s in SETTINGS]
    for setting, row in zip(SETTINGS, got, strict=True):
        drawn = parts.proxies[:, : setting.proxies]
        fused = fusion.robust_proxy(drawn, parts.references, parts.perturbation, setting.weights, scale)
        indices, _ = rank(found.text, found.gallery, 9, fused, (setting.lam,), found.exclude)
        expected = {f"q{n}": [f"image-{i}" for i in filled] for n, filled in enumerate(indices[0].tolist())}
        assert row["metrics"]["lists"] == expected


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_a_query_whose_captions_do_not_change(scale):
    """Its perturbation is zero: nothing of eq. 1, and alone it leaves the list of the text."""
    found, parts = _search()
    parts.perturbation[3] = 0
    settings = [Setting(lam=0.3), Setting((0.0, 0.0, 1.0), lam=0.2)]
    both, alone = (row["metrics"] for row in sweep(found, parts, settings, dict, 9, scale))
    fused = fusion.robust_proxy(parts.proxies, parts.references, parts.perturbation, scale=scale)
    lists = rank(found.text, found.gallery, 9, fused, (0.3,))[0][0].tolist()
    assert list(both.values()) == [[f"image-{i}" for i in filled] for filled in lists]
    text = rank(found.text, found.gallery, 9)[0][0].tolist()
    same = [query for query, images in alone.items() if images == [f"image-{i}" for i in text[int(query[1:])]]]
    assert same == ["q3"]


def test_seven_components():
    assert len(COMPONENTS) == len(set(COMPONENTS)) == 7


def test_categories_have_their_own_galleries():
    found, parts = _search(queries=5, categories={"dress": range(0, 700, 2), "shirt": range(1, 700, 2)})
    for scale in ("dataset", "query"):
        lists = sweep(found, parts, SETTINGS[:1], dict, 9, scale)[0]["metrics"]
        sides = {query: {int(name[6:]) % 2 for name in images} for query, images in lists.items()}
        assert sides == {f"q{n}": {n % 2} for n in range(5)}


def test_too_many_proxies_are_refused():
    with pytest.raises(InputError, match="field 'proxies': is 5, there are 4"):
        sweep(*_search(), [Setting(proxies=5)], dict)


@pytest.fixture
def files(tmp_path):
    """Four queries, of which two lack a part of the robust proxy."""
    draw, ids = np.random.default_rng(0), [f"q{n}" for n in range(4)]
    write_records(tmp_path / "queries.jsonl", [Query(q, "i0", ("c",)) for q in ids])
    write_records(tmp_path / "gallery.jsonl", [Image(f"i{n}", f"{n}.png") for n in range(9)])
    shapes = {"text": (4, 6), "references": (4, 6), "proxies": (4, 2, 6)}
    shapes |= {"target_captions": (4, 3, 6), "source_captions": (4, 3, 6), "gallery": (9, 6)}
    for name, shape in shapes.items():
        gone = {"proxies": ("q1",), "target_captions": ("q3",)}.get(name, ())
        names = [f"i{n}" for n in range(9)] if name == "gallery" else ids
        values = draw.standard_normal(shape).astype(np.float32)
        save_features(tmp_path / f"{name}.safetensors", Features(values, tuple(names), gone))
    return tmp_path


def _read(directory):
    parser = argparse.ArgumentParser()
    inputs.add_arguments(parser)
    tuning.add_parts(parser, required=True)
    names = ("text", "gallery", *tuning.PARTS)
    words = [w for n in names for w in (f"--{n.replace('_', '-')}", str(directory / f"{n}.safetensors"))]
    words += ["--queries", str(directory / "queries.jsonl"), "--gallery-images", str(directory / "gallery.jsonl")]
    return tuning.read_parts(parser.parse_args(words))


def test_queries_that_lack_a_part_are_left_out(files):
    found, parts = _read(files)
    assert [query.query_id for query in found.queries] == ["q0", "q2"]
    assert parts.proxies.shape == (2, 2, 6) and parts.perturbation.shape == parts.references.shape == (2, 6)


def test_no_query_with_every_part_is_an_error(files):
    ids = tuple(f"q{n}" for n in range(4))
    save_features(files / "references.safetensors", Features(np.zeros((4, 6), np.float32), ids, ids))
    with pytest.raises(InputError, match=r"queries\.jsonl: has no query that is in every input"):
        _read(files)
    save_features(files / "references.safetensors", Features(np.ones((4, 2, 6), np.float32), ids))
    with pytest.raises(InputError, match=r"references\.safetensors: field 'features': has shape \[4, 2, 6\]"):
        _read(files)


def test_whole_lists_tell_the_place_of_every_target():
    found, parts = _search(images=60)
    found = dataclasses.replace(
        found, queries=[dataclasses.replace(query, targets=("image-7", "image-30")) for query in found.queries]
    )
    settings = SETTINGS[:5]
    full, whole = (
        [row["metrics"] for row in sweep(found, parts, settings, dict, *more)] for more in ((60,), (4, "dataset", True))
    )
    for every, some in zip(full, whole, strict=True):
        for query in found.queries:
            expected, got = every[query.query_id], list(some[query.query_id])
            assert got[:4] == expected[:4]
            for target in query.targets:
                assert got.index(target) == expected.index(target)
            assert {name for name in got[4:] if name} <= set(query.targets)


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_a_query_with_fewer_proxies_is_swept_with_those(scale):
    found, parts = _search()
    counts = torch.arange(12) % 4 + 1
    drawn = parts.proxies * (torch.arange(4) < counts[:, None])[..., None]
    parts = dataclasses.replace(parts, proxies=drawn)
    for most, row in zip(
        (2, 4), sweep(found, parts, [Setting(proxies=n) for n in (2, 4)], dict, 9, scale), strict=True
    ):
        few = counts.clamp(max=most)
        fused = fusion.robust_proxy(drawn[:, :most], parts.references, parts.perturbation, scale=scale, counts=few)
        lists = rank(found.text, found.gallery, 9, fused, (0.3,))[0][0].tolist()
        assert list(row["metrics"].values()) == [[f"image-{i}" for i in filled] for filled in lists]
