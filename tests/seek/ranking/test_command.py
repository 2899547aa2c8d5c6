"""``ipcir ranking``: five queries, one without a proxy, one without text."""

import argparse
import json

import numpy as np
import pytest
import torch
from pyarrow import parquet

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.files import write_json
from ipcir_steps.core.rankings import read_rankings
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.seek import ranking


def _scores(text, proxy, gallery, lam, combine):
    s_t, s_p = (rows.double() @ torch.nn.functional.normalize(gallery.double(), dim=1).T for rows in (text, proxy))
    return lam * s_t + (1 - lam) * (s_t * s_p if combine == "product" else s_p)


@pytest.fixture
def world(tmp_path):
    draw = np.random.default_rng(0)
    names, ids = [f"image-{n}.png" for n in range(30)], [f"q{n}" for n in range(5)]
    images = [Image(name, name, categories=("dress",) if n % 2 else ("shirt",)) for n, name in enumerate(names)]
    write_records(tmp_path / "gallery.jsonl", images)
    write_records(tmp_path / "queries.jsonl", [Query(q, names[n], ("redder",)) for n, q in enumerate(ids)])
    values = {name: draw.standard_normal((5, 6)).astype(np.float32) for name in ("text", "pi", "rp")}
    values["text"][4], values["rp"][1] = 0, 0
    values["gallery"] = draw.standard_normal((30, 6)).astype(np.float32)
    for name, rows in values.items():
        gone = {"text": ("q4",), "rp": ("q1",)}.get(name, ())
        save_features(
            tmp_path / f"{name}.safetensors", Features(rows, tuple(names if name == "gallery" else ids), gone)
        )
    return tmp_path, values, names


def _run(directory, *extra, variants=("base", "pi", "rp", "rp_bm"), output="out"):
    parser = argparse.ArgumentParser()
    ranking.arguments(parser)
    given_args = []
    for flag, file in {
        "text": "text.safetensors",
        "gallery": "gallery.safetensors",
        "queries": "queries.jsonl",
    }.items():
        given_args += [f"--{flag}", str(directory / file)]
    given_args += ["--gallery-images", str(directory / "gallery.jsonl"), "--output-dir", str(directory / output)]
    given_args += ["--fusion", str(directory / "pi.safetensors"), str(directory / "rp.safetensors")]
    ranking.main(parser.parse_args([*given_args, "--variants", *variants, *extra]))
    return {v: read_rankings(directory / output / f"{v}.rankings.parquet") for v in variants}


def test_command_writes_every_variant(world):
    directory, values, names = world
    lists = _run(directory, "--lambda", "0.4", "--settings", '{"k": 8}')
    tensors = {name: torch.from_numpy(rows) for name, rows in values.items()}
    for variant, (part, combine) in {"pi": ("pi", "sum"), "rp": ("rp", "sum"), "rp_bm": ("rp", "product")}.items():
        scores = _scores(tensors["text"], tensors[part], tensors["gallery"], 0.4, combine)
        expected = [[names[i] for i in row] for row in scores.topk(8).indices.tolist()]
        assert list(lists[variant]) == ["q0", "q1", "q2", "q3"]  # q4 has no text feature
        for n, query in enumerate(lists[variant]):
            fallback = part == "rp" and query == "q1"
            assert lists[variant][query] == (lists["base"][query] if fallback else expected[n])
    table = parquet.read_table(directory / "out" / "rp_bm.rankings.parquet")
    assert table.column_names == ["query_id", "rank", "image", "score"] and table["rank"].to_pylist()[:8] == list(
        range(1, 9)
    )
    assert json.loads(table.schema.metadata[b"ipcir"])["lambda"] == 0.4


def test_command_is_deterministic_and_order_free(world):
    directory, values, _ = world
    _run(directory, output="one")
    save_features(directory / "pi.safetensors", Features(values["pi"][::-1], tuple(f"q{n}" for n in range(5))[::-1]))
    _run(directory, output="two")
    for path in sorted((directory / "one").iterdir()):
        assert path.read_bytes() == (directory / "two" / path.name).read_bytes()


def test_command_excludes_the_reference(world):
    directory, _, names = world
    kept = _run(directory, variants=("base",), output="kept")["base"]
    without = _run(directory, "--exclude-reference", variants=("base",), output="without")["base"]
    for n, query in enumerate(without):
        assert without[query] == [name for name in kept[query] if name != names[n]] and len(without[query]) == 29


def test_image_sets_are_ranked_in_the_order_of_the_full_list(world):
    directory, _, names = world
    groups = [[names[n], *names[3 * n + 5 : 3 * n + 10]] for n in range(5)]
    queries = [Query(f"q{n}", names[n], ("redder",), group=[*groups[n], "absent.png"]) for n in range(4)]
    write_records(directory / "queries.jsonl", [*queries, Query("q4", names[4], ("redder",))])
    for variant, full in _run(directory, "--settings", '{"k": 30}').items():
        inner = read_rankings(directory / "out" / f"{variant}.subset.parquet")
        assert list(inner) == ["q0", "q1", "q2", "q3"]
        for n, query in enumerate(inner):
            assert inner[query] == [name for name in full[query] if name in groups[n][1:]]


def test_categories_have_their_own_gallery(world):
    directory, _, names = world
    queries = [Query(f"q{n}", names[n], ("redder",), category=("dress", "shirt")[n % 2]) for n in range(5)]
    write_records(directory / "queries.jsonl", queries)
    for query, images in _run(directory)["rp_bm"].items():
        own = names[1::2] if int(query[1]) % 2 == 0 else names[::2]
        assert sorted(images) == sorted(own)


def test_names_that_do_not_match_are_named(world):
    directory, values, names = world
    ids = ("q0", "q1", "q2", "x", "q4")
    save_features(directory / "pi.safetensors", Features(values["pi"], ids))
    with pytest.raises(InputError, match=r"pi\.safetensors: record q3: has no row"):
        _run(directory)
    save_features(
        directory / "pi.safetensors", Features(np.ones((6, 6), np.float32), ("q0", "q1", "q2", "q3", "q4", "x"))
    )
    with pytest.raises(InputError, match=r"pi\.safetensors: record x: is not in .*queries\.jsonl"):
        _run(directory)
    save_features(directory / "pi.safetensors", Features(np.ones((5, 7), np.float32), tuple(f"q{n}" for n in range(5))))
    with pytest.raises(InputError, match=r"pi\.safetensors: .*7 dimensions.*has 6"):
        _run(directory)
    save_features(directory / "gallery.safetensors", Features(values["gallery"], ("other.png", *names[1:])))
    with pytest.raises(InputError, match=r"gallery\.safetensors: record image-0\.png"):
        _run(directory)
    with pytest.raises(InputError, match=r"lacks no_proxy\.safetensors"):
        _run(directory, variants=("base", "no_proxy"))
    assert not (directory / "out").exists()


def test_each_variant_may_have_its_own_lambda(world):
    directory, values, names = world
    write_json(directory / "lambda.json", {"chosen": {"rp_bm": {"lambda": 0.9}, "pi": {"lambda": 0.2}}})
    lists = _run(directory, "--lambda-file", str(directory / "lambda.json"), variants=("base", "pi", "rp_bm"))
    tensors = {name: torch.from_numpy(rows) for name, rows in values.items()}
    for variant, part, lam, combine in (("pi", "pi", 0.2, "sum"), ("rp_bm", "rp", 0.9, "product")):
        scores = _scores(tensors["text"], tensors[part], tensors["gallery"], lam, combine)
        assert lists[variant]["q0"] == [names[i] for i in scores[0].argsort(descending=True).tolist()]
        table = parquet.read_table(directory / "out" / f"{variant}.rankings.parquet")
        about = {"variant": variant, "lambda": lam, "combine": combine, "excluded_reference": False}
        assert json.loads(table.schema.metadata[b"ipcir"]) == about


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"lambda": 0.3}, r"lambda\.json: field 'chosen': is not {variant: lambda}"),
        ([1], r"lambda\.json: field 'chosen'"),
        ({"chosen": {"pi": {"lambda": 0.2}}}, r"lambda\.json: record rp_bm: is missing"),
        ({"chosen": {"rp_bm": {"lambda": 2}}}, r"lambda\.json: record rp_bm: is 2\.0, not within \[0, 1\]"),
    ],
)
def test_a_wrong_file_of_lambdas_is_named(world, content, message):
    directory, _, _ = world
    write_json(directory / "lambda.json", content)
    with pytest.raises(InputError, match=message):
        _run(directory, "--lambda-file", str(directory / "lambda.json"), variants=("base", "rp_bm"))
    with pytest.raises(InputError, match=r"record rp_bm: field '--lambda': is 1\.5, not within"):
        _run(directory, "--lambda", "1.5", variants=("base", "rp_bm"))
