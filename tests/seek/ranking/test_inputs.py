"""One loader: rows in query order, names checked once, queries that cannot be searched left out."""

import numpy as np
import pytest
import torch

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.seek.ranking.inputs import load_retrieval

IDS, NAMES = [f"q{n}" for n in range(4)], [f"i{n}" for n in range(6)]


@pytest.fixture
def files(tmp_path):
    """Paths by keyword of ``load_retrieval``: q3 has no text, q1 no robust proxy."""
    draw = np.random.default_rng(0)
    queries = [Query(q, NAMES[n], ("c",), category=("dress", "shirt")[n % 2]) for n, q in enumerate(IDS)]
    write_records(tmp_path / "queries.jsonl", queries)
    images = [Image(name, name, categories=("dress",) if n < 4 else ("shirt", "dress")) for n, name in enumerate(NAMES)]
    write_records(tmp_path / "gallery.jsonl", images)
    for name, shape, gone in (("text", (4, 3), ("q3",)), ("rp", (4, 3), ("q1",)), ("proxies", (4, 2, 3), ("q0",))):
        values = draw.standard_normal(shape).astype(np.float32)
        # Rows in another order than the queries.
        save_features(tmp_path / f"{name}.safetensors", Features(values[::-1], tuple(IDS[::-1]), gone))
    # The gallery's rows in another order than the images.
    save_features(tmp_path / "gallery.safetensors", Features(draw.standard_normal((6, 3)), tuple(NAMES[::-1])))
    lists = {"queries": tmp_path / "queries.jsonl", "gallery_images": tmp_path / "gallery.jsonl"}
    return {"text": tmp_path / "text.safetensors", "gallery": tmp_path / "gallery.safetensors", **lists}


def _features(files, name):
    from ipcir_steps.core.features import load_features

    features = load_features(files["text"].with_name(f"{name}.safetensors"))
    return {query: features.values[row] for row, query in enumerate(features.names)}


def test_rows_stand_in_query_order_and_missing_text_leaves_a_query_out(files):
    rp = files["text"].with_name("rp.safetensors")
    found = load_retrieval(**files, proxies={"rp": rp})
    assert [query.query_id for query in found.queries] == ["q0", "q1", "q2"]
    assert list(found.names) == NAMES[::-1] and found.exclude is None
    assert torch.equal(found.text, torch.tensor(np.stack([_features(files, "text")[q] for q in IDS[:3]])))
    assert found.without == {"rp": {"q1"}}
    assert torch.equal(found.proxies["rp"][1], torch.ones(3))
    assert torch.equal(found.proxies["rp"][2], torch.tensor(_features(files, "rp")["q2"]))


def test_a_query_without_a_part_is_left_out(files):
    found = load_retrieval(**files, parts={"proxies": files["text"].with_name("proxies.safetensors")})
    assert [query.query_id for query in found.queries] == ["q1", "q2"]
    assert found.parts["proxies"].shape == (2, 2, 3) and found.proxies == {}


def test_categories_and_references_are_gallery_rows(files):
    found = load_retrieval(**files, exclude_reference=True)
    assert found.exclude.tolist() == [5, 4, 3]
    assert list(found.by_category()) == [([0, 2], [0, 1, 2, 3, 4, 5]), ([1], [0, 1])]
    assert found.excluded([1]).tolist() == [4]
    write_records(files["queries"], [Query(q, "elsewhere", ("c",)) for q in IDS])
    found = load_retrieval(**files, exclude_reference=True)
    assert found.exclude.tolist() == [-1, -1, -1] and list(found.by_category()) == [([0, 1, 2], None)]


def test_an_image_that_lists_a_category_twice_is_found_once(files):
    write_records(
        files["gallery_images"], [Image(name, name, categories=("shirt", "dress", "dress")) for name in NAMES]
    )
    assert load_retrieval(**files).categories == {"dress": [0, 1, 2, 3, 4, 5], "shirt": [0, 1, 2, 3, 4, 5]}


def test_a_category_without_images_is_named(files):
    write_records(files["queries"], [Query(q, "i0", ("c",), category="toptee") for q in IDS])
    with pytest.raises(InputError, match=r"gallery\.jsonl: field 'categories': has no image of category 'toptee'"):
        load_retrieval(**files)


@pytest.mark.parametrize(
    ("name", "shape", "ids", "message"),
    [
        ("text", (4, 2, 3), IDS, r"text\.safetensors: field 'features': has shape \[4, 2, 3\], not \[queries, D\]"),
        ("text", (4, 5), IDS, r"text\.safetensors: has 5 dimensions, .*gallery\.safetensors has 3"),
        ("text", (3, 3), IDS[:3], r"text\.safetensors: record q3: has no row for it, .*queries\.jsonl has"),
        ("text", (5, 3), [*IDS, "q9"], r"text\.safetensors: record q9: is not in .*queries\.jsonl"),
        ("gallery", (6, 3), [*NAMES[:5], "x"], r"gallery\.safetensors: record i5: has no row for it"),
        ("gallery", (7, 3), [*NAMES, "x"], r"gallery\.safetensors: record x: is not in .*gallery\.jsonl"),
        ("proxies", (4, 3), IDS, r"proxies\.safetensors: .*has shape \[4, 3\], not \[queries, n, D\]"),
    ],
)
def test_what_does_not_match_is_named(files, name, shape, ids, message):
    path = files["text"].with_name(f"{name}.safetensors")
    save_features(path, Features(np.ones(shape, np.float32), tuple(ids)))
    with pytest.raises(InputError, match=message):
        load_retrieval(**files, parts={"proxies": files["text"].with_name("proxies.safetensors")})
