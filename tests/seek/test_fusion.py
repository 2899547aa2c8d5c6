"""Fusion against the formulas written out in numpy float64, and its command line."""

import argparse
import json

import numpy as np
import pytest
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.seek import fusion
from ipcir_steps.seek.fusion import recipes

Q, N, K, D = 7, 3, 4, 12


def _unit(values):
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


@pytest.fixture
def parts():
    draw = np.random.default_rng(0)
    shapes = {"references": (Q, D), "proxies": (Q, N, D), "target": (Q, K, D), "source": (Q, K, D)}
    return {name: draw.standard_normal(shape).astype(np.float32) * 3 for name, shape in shapes.items()}


def _formula(parts, weights=(1, 1, 1), scale="dataset", drop=()):
    """Eq. 1 in float64; ``drop`` leaves out a part ("proxy")."""
    wide = {name: part.astype(np.float64) for name, part in parts.items()}
    change = (_unit(wide["target"]) - _unit(wide["source"])).mean(1)
    terms = [_unit(wide["proxies"]).mean(1), _unit(wide["references"]), change]
    weights = list(weights)
    if "proxy" in drop:
        terms, weights = terms[1:], weights[1:]
    axis = 1 if scale == "query" else None
    highest = [term.max(axis=axis, keepdims=True) for term in terms]
    return sum(w * highest[0] / high * term for w, high, term in zip(weights, highest, terms, strict=True))


@pytest.mark.parametrize("scale", ["dataset", "query"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (0.5, 2, 0), (0, 0, 1)])
def test_robust_proxy_is_equation_one(parts, weights, scale):
    tensors = {name: torch.from_numpy(part) for name, part in parts.items()}
    change = fusion.semantic_perturbation(tensors["target"].transpose(0, 1), tensors["source"].transpose(0, 1))
    fused = fusion.robust_proxy(tensors["proxies"], tensors["references"], change, weights, scale)
    np.testing.assert_allclose(fused, _formula(parts, weights, scale), atol=1e-6)


def test_query_scale_does_not_depend_on_other_queries(parts):
    def fuse(rows, scale):
        some = {name: torch.from_numpy(part[rows]) for name, part in parts.items()}
        change = fusion.semantic_perturbation(some["target"].transpose(0, 1), some["source"].transpose(0, 1))
        return fusion.robust_proxy(some["proxies"], some["references"], change, scale=scale)

    assert torch.allclose(fuse(slice(None), "query")[2:3], fuse(slice(2, 3), "query"), atol=1e-6)
    assert not torch.allclose(fuse(slice(None), "dataset")[2:3], fuse(slice(2, 3), "dataset"), atol=1e-3)


def test_unchanged_captions_add_nothing(parts):
    same = torch.from_numpy(parts["target"]).transpose(0, 1)
    change = fusion.semantic_perturbation(same, same)
    fused = fusion.robust_proxy(torch.from_numpy(parts["proxies"]), torch.from_numpy(parts["references"]), change)
    without = fusion.robust_proxy(
        torch.from_numpy(parts["proxies"]), torch.from_numpy(parts["references"]), change, (1, 1, 0)
    )
    assert torch.equal(fused, without) and fused.isfinite().all()


def test_other_queries_has_no_fixed_point_and_ignores_row_order():
    ids = [f"query-{n}" for n in range(50)]
    partner = {ids[row]: ids[other] for row, other in enumerate(recipes.other_queries(ids, 3))}
    assert sorted(partner.values()) == sorted(ids) and all(a != b for a, b in partner.items())
    turned = ids[::-1]
    assert partner == {turned[row]: turned[other] for row, other in enumerate(recipes.other_queries(turned, 3))}
    assert recipes.other_queries(ids, 3) != recipes.other_queries(ids, 4)
    with pytest.raises(InputError, match="two queries"):
        recipes.other_queries(["one"], 0)


@pytest.mark.parametrize(
    "name, value, message",
    [
        ("proxies", np.nan, r"record \[2, 1\].*proxies.*NaN or infinite"),
        ("proxies", 0.0, r"record \[2, 1\].*proxies.*zero vector"),
        ("references", np.inf, "record 2.*references.*NaN or infinite"),
    ],
)
def test_bad_rows_are_named(parts, name, value, message):
    parts[name][(2, 1) if parts[name].ndim == 3 else 2] = value
    tensors = {key: torch.from_numpy(part) for key, part in parts.items()}
    with pytest.raises(InputError, match=message):
        fusion.robust_proxy(tensors["proxies"], tensors["references"], torch.ones(Q, D))


def test_other_dimensions_are_refused(parts):
    with pytest.raises(InputError, match=r"part 2.*has shape"):
        fusion.robust_proxy(
            torch.from_numpy(parts["proxies"]), torch.from_numpy(parts["references"]), torch.ones(Q, D + 1)
        )


def _files(parts, directory, missing=None):
    paths, names = {}, tuple(f"q{n}" for n in range(Q))
    for name, part in parts.items():
        gone = (missing or {}).get(name, ())
        values = part.copy()
        values[[names.index(g) for g in gone]] = 0
        paths[name] = directory / f"{name}.safetensors"
        save_features(paths[name], Features(values, names, tuple(gone), {"backbone": "tiny"}))
    return paths


def _run(paths, variant, output, settings="{}", skip=()):
    parser = argparse.ArgumentParser()
    fusion.arguments(parser)
    flags = {"references": "--references", "proxies": "--proxies"}
    flags |= {"target": "--target-captions", "source": "--source-captions"}
    given = [part for name in paths if name not in skip for part in (flags[name], str(paths[name]))]
    fusion.main(parser.parse_args([*given, "--variant", variant, "--settings", settings, "--output", str(output)]))
    return load_features(output)


def test_variants_with_missing_rows(parts, tmp_path):
    paths = _files(parts, tmp_path, {"proxies": ["q1"], "source": ["q4"]})

    def kept(*gone):
        rows = [n for n in range(Q) if n not in gone]
        return rows, {name: part[rows] for name, part in parts.items()}

    pi = _run(paths, "pi", tmp_path / "pi.safetensors", skip=("target", "source"))
    rows, _ = kept(1)
    assert pi.missing == ("q1",) and pi.model == {"backbone": "tiny"}
    np.testing.assert_allclose(pi.values[rows], _unit(parts["proxies"])[rows].mean(1), atol=1e-6)

    # The rows that are missing have no part in the dataset maximum.
    rp = _run(paths, "rp", tmp_path / "rp.safetensors", json.dumps({"weights": [1, 0.5, 2]}))
    rows, some = kept(1, 4)
    assert rp.missing == ("q1", "q4") and not rp.values[[1, 4]].any()
    np.testing.assert_allclose(rp.values[rows], _formula(some, (1, 0.5, 2)), atol=1e-6)

    alone = _run(paths, "no_proxy", tmp_path / "no.safetensors", skip=("proxies",))
    rows, some = kept(4)
    assert alone.missing == ("q4",)
    np.testing.assert_allclose(alone.values[rows], _formula(some, drop=("proxy",)), atol=1e-6)

    other = _run(paths, "other_proxy", tmp_path / "other.safetensors")
    rows, some = kept(1, 4)
    some["proxies"] = some["proxies"][recipes.other_queries([f"q{n}" for n in rows], 0)]
    np.testing.assert_allclose(other.values[rows], _formula(some), atol=1e-6)


def test_same_inputs_give_the_same_bytes(parts, tmp_path):
    paths = _files(parts, tmp_path)
    _run(paths, "rp", tmp_path / "a.safetensors")
    _run(paths, "rp", tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_row_order_of_the_files_does_not_matter(parts, tmp_path):
    paths = _files(parts, tmp_path)
    straight = _run(paths, "rp", tmp_path / "a.safetensors").values
    names = tuple(f"q{n}" for n in range(Q))[::-1]
    save_features(paths["proxies"], Features(parts["proxies"][::-1], names))
    np.testing.assert_array_equal(_run(paths, "rp", tmp_path / "b.safetensors").values, straight)


def test_files_that_do_not_match_are_named(parts, tmp_path):
    paths = _files(parts, tmp_path)
    save_features(paths["source"], Features(parts["source"], tuple(f"x{n}" for n in range(Q))))
    with pytest.raises(InputError, match=r"source\.safetensors: record q0"):
        _run(paths, "rp", tmp_path / "out.safetensors")
    save_features(paths["source"], Features(parts["source"][..., :5], tuple(f"q{n}" for n in range(Q))))
    with pytest.raises(InputError, match=r"source\.safetensors: has 5 dimensions"):
        _run(paths, "rp", tmp_path / "out.safetensors")
    with pytest.raises(InputError, match="--target-captions"):
        _run(paths, "rp", tmp_path / "out.safetensors", skip=("target",))
    assert not (tmp_path / "out.safetensors").exists()


def test_feature_files_are_safetensors(parts, tmp_path):
    from safetensors import safe_open

    path = _files(parts, tmp_path)["proxies"]
    with safe_open(path, "np") as file:
        np.testing.assert_array_equal(file.get_tensor("features"), parts["proxies"])
        assert json.loads(file.metadata()["names"])[0] == "q0"


COUNTS = (3, 1, 0, 2, 3, 0, 1)


def counted(parts, counts=COUNTS):
    """The features of ``parts``, of which each query has so many proxies; query 5 has failed."""
    drawn = np.where(np.arange(N)[None, :, None] < np.array(counts)[:, None, None], parts["proxies"], 0)
    ids = tuple(f"q{n}" for n in range(Q))
    features = {name: Features(values, ids) for name, values in parts.items()}
    return features | {"proxies": Features(drawn, ids, ("q5",), counts=tuple(counts))}


@pytest.mark.parametrize("scale", ["dataset", "query"])
def test_fewer_proxies_of_some_queries(parts, scale):
    """Means over those that there are; without any the fusion without proxies; failed ones are missing."""
    some = [0, 1, 3, 4, 6]
    wide = {name: part[some].astype(np.float64) for name, part in parts.items()}
    mean = np.stack([_unit(p[:n]).mean(0) for p, n in zip(wide["proxies"], np.array(COUNTS)[some], strict=True)])
    terms = [mean, _unit(wide["references"]), (_unit(wide["target"]) - _unit(wide["source"])).mean(1)]
    highest = [term.max(axis=1 if scale == "query" else None, keepdims=True) for term in terms]
    expected = sum(highest[0] / high * term for high, term in zip(highest, terms, strict=True))
    fused = recipes.fuse("rp", counted(parts), scale=scale)
    np.testing.assert_allclose(fused.values[some], expected, atol=1e-6)
    without = recipes.fuse("no_proxy", counted(parts), scale=scale).values
    assert fused.missing == ("q5",) and np.array_equal(fused.values[2], without[2])
    plain = recipes.fuse("pi", counted(parts))
    assert plain.missing == ("q2", "q5")
    np.testing.assert_allclose(plain.values[some], mean, atol=1e-6)
    half = recipes.fuse("pi", counted(parts), trust=lambda given: torch.full((5, N), 0.5))
    np.testing.assert_allclose(half.values[some], mean / 2, atol=1e-6)
    others = recipes.fuse("other_proxy", counted(parts), scale=scale)
    assert others.missing == ("q5",) and np.array_equal(others.values[2], without[2])
    assert not np.allclose(others.values[some], fused.values[some])


def test_the_only_query_with_proxies_gets_no_others(parts):
    alone = counted(parts, (0, 0, 0, 2, 0, 0, 0))
    without = recipes.fuse("no_proxy", alone).values
    assert np.array_equal(recipes.fuse("other_proxy", alone).values[3], without[3])
    assert not np.allclose(recipes.fuse("rp", alone).values[3], without[3])
