"""One machinery: a query asked here and the same query in the workflow give the same lists."""

import csv
import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from ipcir_steps.photos.finder import Finder, Limits
from ipcir_steps.photos.imagine import Imagination
from ipcir_steps.photos.index import update
from ipcir_steps.photos.question import Question
from ipcir_steps.photos.sides import both
from ipcir_steps.photos.similar import Proxy, Similarities, collapse, rank
from ipcir_steps.photos.terms import Term

COUNT, LAM = 5, 0.5


@pytest.fixture(scope="module")
def finder(house, indexed, models) -> Finder:
    return Finder(house / "photos", indexed, models)


@pytest.fixture(scope="module")
def questions(house, finder) -> list[Question]:
    annotations = json.loads((house / "world/mini_circo/annotations/val.json").read_text())[:COUNT]
    return [
        Question(
            (finder.reference(house / "photos" / f"{entry['reference_img_id']:012d}.jpg"),),
            (Term(entry["relative_caption"]),),
        )
        for entry in annotations
    ]


@pytest.fixture(scope="module")
def imagined(finder, questions) -> list[Imagination]:
    out = [Imagination(finder, question, 2025) for question in questions]
    for imagination in out:
        stages = [event["stage"] for event in imagination.run()]
        assert stages == ["captions", "reasoning", "captions encoded", "layout", "masks", *["proxy"] * 5, "done"]
    return out


@pytest.fixture(scope="module")
def lists(house, questions, tmp_path_factory) -> dict[str, dict[str, list[tuple[str, float]]]]:
    """{variant: {query id: [(path, score)]}}, by the commands that the workflow runs, on a folder dataset."""
    from ipcir_steps import cli, config

    work = tmp_path_factory.mktemp("workflow")
    with open(work / "queries.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["reference", "caption", "id"])
        for question in questions:
            query = question.query
            writer.writerow([query.reference, query.caption, query.query_id])
    loaded = config.load_config({"fusion": {"scale": "query"}}).with_stack("mini")
    folder = {"benchmark": "folder", "root": str(house / "photos"), "queries": str(work / "queries.csv")}
    made = house / "resources/mini/models"

    def step(words, section=None, values=None):
        given = config.section_json(loaded, section) if section else json.dumps(values) if values else None
        assert cli.main([*shlex.split(words), *(["--settings", given] if given else [])]) == 0, words

    queries, root = f"--queries {work}/queries.jsonl", f"--references {work}/references.jsonl --root {house}/photos"
    captions = f"--captions {work}/source_captions.jsonl"
    built = {"generator": "sd", "migc": "migc", "elite_global": "elite_global", "elite_local": "elite_local"}
    drawing = " ".join(f"{role}={made}/{name}" for role, name in {**built, "vision": "elite_vision"}.items())
    step(f"datasets --split val --output {work}", values=folder)
    for name, words, gathered in (
        ("captions", f"{root} --model {made}/blip2", "source_captions"),
        ("reasoning", f"{queries} {captions} --model {made}/qwen", "target_captions"),
        ("layouts", f"{queries} {captions} --model {made}/qwen", "layouts"),
        ("masks", f"{queries} --layouts {work}/layouts.jsonl {root} --detector {made}/grounding_dino"
                  f" --segmenter {made}/sam", "masks"),
        ("proxies", f"{queries} --layouts {work}/layouts.jsonl --masks {work}/masks.jsonl {root}"
                    f" --models {drawing} --images {work}/proxies", "proxies"),
    ):  # fmt: skip
        step(f"{name} {words} --seed 2025 --output {work}/shard.{name}.jsonl", name)
        key = "reference" if name == "captions" else "query_id"
        step(f"gather {queries} --key {key} --shards {work}/shard.{name}.jsonl --output {work}/{gathered}.jsonl"
             f" --failures {work}/failures.jsonl")  # fmt: skip
        assert not Path(f"{work}/failures.jsonl").read_text()
    for name, words in (
        ("gallery", f"images --images {work}/gallery.jsonl --root {house}/photos"),
        ("references", f"images --images {work}/references.jsonl --root {house}/photos {queries}"),
        ("source", f"captions {captions} {queries}"),
        ("target", f"captions --captions {work}/target_captions.jsonl {queries}"),
        ("proxies", f"proxies --index {work}/proxies.jsonl {queries} --images {work}/proxies"),
    ):
        step(f"embeddings {words} --model {made}/clip --output {work}/{name}.safetensors", "embeddings")
    features = (
        f"--references {work}/references.safetensors --target-captions {work}/target.safetensors"
        f" --source-captions {work}/source.safetensors"
    )
    for baseline in ("ldre", "image_text"):
        step(f"baselines {baseline} {queries} --benchmark folder {features} --gallery {work}/gallery.safetensors"
             f" --model {made}/clip --output {work}/{baseline}.safetensors",
             "ldre" if baseline == "ldre" else None)  # fmt: skip
    step(
        f"fusion {features} --proxies {work}/proxies.safetensors --variant rp --output {work}/rp.safetensors", "fusion"
    )
    found = {}
    for baseline in ("ldre", "image_text"):
        step(f"ranking --text {work}/{baseline}.safetensors --gallery {work}/gallery.safetensors {queries}"
             f" --gallery-images {work}/gallery.jsonl --fusion {work}/rp.safetensors --variants base rp_bm"
             f" --lambda {LAM} --output-dir {work}/{baseline}", "ranking")  # fmt: skip
        for variant in ("base", "rp_bm"):
            rows = parquet.read_table(work / baseline / f"{variant}.rankings.parquet").to_pylist()
            by_query = found[f"{baseline} {variant}"] = {}
            for row in rows:
                by_query.setdefault(row["query_id"], []).append((row["image"], row["score"]))
    return found


def same(finder, hits, wanted) -> None:
    assert [finder.gallery.photo(hit.line).name for hit in hits] == [name for name, _ in wanted]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in wanted], atol=1e-6)


@pytest.mark.slow
def test_imagined_lists_are_the_workflows(finder, questions, imagined, lists):
    for question, imagination in zip(questions, imagined, strict=True):
        text, proxy = both(imagination)
        query_id = question.query.query_id
        same(finder, finder.list(text, proxy, LAM, Limits(50)), lists["ldre rp_bm"][query_id])
        same(finder, finder.list(text, None, LAM, Limits(50)), lists["ldre base"][query_id])


def test_the_text_side_is_the_workflows_baseline(finder, questions, lists):
    for question in questions:
        same(finder, finder.find(question, Limits(50)), lists["image_text base"][question.query.query_id])


def test_the_terminal_gives_them_too(house, here, questions, lists, capsys):
    from ipcir_steps.cli import main

    question = questions[0]
    reference, term = question.main
    words = ["search", "photos", "--index", "index", "--image", reference.name, "--text", term.text, "--json"]
    for more, name in (((), "image_text base"), (("--imagine",), "ldre rp_bm")):
        assert main([*words, "--k", "50", "--lambda", str(LAM), *more]) == 0
        found = json.loads(capsys.readouterr().out)["results"]
        wanted = lists[name][question.query.query_id]
        assert [row["path"] for row in found] == [path for path, _ in wanted]
        assert found[0].keys() >= {"path", "score", "text_score", "proxy_score"}
        for row, (_, score) in zip(found, wanted, strict=True):
            assert row["score"] == pytest.approx(score, abs=1e-6)
            if more:
                mixed = LAM * row["text_score"] + (1 - LAM) * row["text_score"] * row["proxy_score"]
                assert row["score"] == pytest.approx(mixed, abs=1e-5)
            else:
                assert (row["text_score"], row["proxy_score"]) == (pytest.approx(row["score"], abs=1e-5), None)


def test_an_imagination_goes_on_where_it_was(finder, questions, imagined):
    """What was done is not done again, even with the models gone."""
    count = 0

    def stop():
        nonlocal count
        count += 1
        return count > 3

    from ipcir_steps.photos.imagine import Cancelled

    stopped = Imagination(finder, questions[0], 2025, stop)
    with pytest.raises(Cancelled):
        list(stopped.run())
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_captions", "_reasoning", "_plan", "_llm"):
            patch.setattr(Imagination, name, lambda *_: pytest.fail("made again"))
        patch.setattr("ipcir_steps.imagine.proxies.generator.load_generator", lambda *_: pytest.fail("drawn again"))
        again = Imagination(finder, questions[0], 2025)
        list(again.run())
    assert torch.equal(both(again)[1].vector, both(imagined[0])[1].vector)


def test_an_edited_layout_is_drawn(finder, questions, imagined):
    layout = {**imagined[0].layout, "scene": "a blue background"}
    again = Imagination(finder, questions[0], 2025)
    events = [event for event in again.run(layout) if event["stage"] == "layout"]
    assert events[0]["layout"]["scene"] == "a blue background"
    assert not torch.equal(again.proxies[0].feature, imagined[0].proxies[0].feature)


def test_sliders_are_linear_in_the_parts(finder, imagined):
    """Weights, lambda and what counts, against eq. 1 and eq. 2 on all features."""
    from ipcir_steps.seek.fusion import proxy_mean, scaled_sum, semantic_perturbation, unit
    from ipcir_steps.seek.ranking import rank as ranked

    imagination = imagined[1]
    gallery = finder.gallery
    lines = gallery.order.argsort()
    values = gallery.exact(lines)
    drawn = torch.stack([drawn.feature for drawn in imagination.proxies])
    for weights, captions, proxies, lam in (
        ((1, 1, 1), None, None, 0.3),
        ((0, 2, 0.5), [0, 2], [1], 0.0),
        ((3, 0, 0), [1], [0, 4], 1.0),
        ((0.2, 1.5, 4), None, [2, 3], 0.9),
    ):
        text, proxy = both(imagination, weights, captions, proxies)
        rows = captions or range(len(imagination.target))
        change = semantic_perturbation(
            imagination.target_features[list(rows)][:, None], imagination.source_features[list(rows)][:, None]
        )
        mean = proxy_mean(drawn[list(proxies or range(5))][None])
        reference = unit(finder.asker.image(imagination.reference)[None])
        fused = scaled_sum((mean, reference, change), weights, "query")
        torch.testing.assert_close(proxy.vector, fused[0], atol=1e-5, rtol=1e-5)
        indices, scores = ranked(text[None], values, 20, fused, (lam,))
        hits = finder.list(text, proxy, lam, Limits(20))
        assert [hit.line for hit in hits] == lines[indices[0, 0]].tolist()
        np.testing.assert_allclose([hit.score for hit in hits], scores[0, 0], atol=2e-6)


class Fixed:
    """A gallery of given features, with copies among them."""

    def __init__(self, values: torch.Tensor):
        from ipcir_steps.photos.gallery import Gallery

        self.values, self.order = values.numpy(), torch.arange(len(values)).flip(0)
        self.gone = torch.zeros(0, dtype=torch.int64)
        self._half = torch.nn.functional.normalize(values).half().numpy()
        self.similarities = Gallery.similarities.__get__(self)
        self.exact = Gallery.exact.__get__(self)


@given(st.integers(0, 1 << 30), st.integers(1, 400), st.floats(0, 1), st.floats(1e-3, 1e3), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_lists_are_exact_whatever_the_scale(seed, count, lam, scale, k):
    from ipcir_steps.seek.ranking import rank as ranked

    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(count, 16, generator=generator) * scale
    half = count // 2
    values[half:] = values[: count - half] + 1e-4 * torch.randn(count - half, 16, generator=generator)
    gallery = Fixed(values)
    text = torch.randn(16, generator=generator) / scale
    proxy = Proxy(torch.randn(3, 16, generator=generator) * scale, torch.randn(3, generator=generator))
    lines = gallery.order.argsort()
    _, scores = ranked(text[None], values[lines], k, proxy.vector[None], (lam,))
    hits = rank(Similarities(gallery), text, proxy, lam, k)
    np.testing.assert_allclose([hit.score for hit in hits], scores[0, 0], rtol=1e-4, atol=1e-5)
    assert len({hit.line for hit in hits}) == min(k, count)


def test_a_product_worse_than_its_bound_is_noticed(finder, questions, monkeypatch):
    question = questions[0]
    wanted = [hit.line for hit in finder.find(question, Limits(10))]
    worse = Similarities(finder.gallery)
    noise = 0.1 * torch.rand(len(finder.gallery.order))
    found = finder.gallery.similarities(finder.asker.text_side(question)[None])
    monkeypatch.setattr(worse, "of", lambda vectors: dataclasses.replace(found, values=found.values + noise))
    assert [hit.line for hit in rank(worse, finder.asker.text_side(question), None, 1.0, 10)] == wanted


def test_filters_sorting_and_near_duplicates(tmp_path, house, models):
    import os

    import PIL.Image

    folder = tmp_path / "photos"
    folder.mkdir()
    names = sorted((house / "photos").iterdir())[:6]
    for day, path in enumerate(names, 1):
        picture = PIL.Image.open(path)
        picture.save(folder / path.name, quality=95)
        picture.resize((60, 60)).save(folder / f"small-{path.name}", quality=80)
        for name in (path.name, f"small-{path.name}"):
            os.utime(folder / name, (86400 * day, 86400 * day))
    update(folder, tmp_path / "index", models, progress=False)
    finder = Finder(folder, tmp_path / "index", models)
    question = Question((finder.reference(folder / names[0].name),))
    assert len(finder.find(question, Limits(50))) == 12
    hits = finder.find(question, Limits(50, collapse=True))
    assert len(hits) < 12 and finder.row(hits[0])["near"] == [f"small-{names[0].name}"]
    assert sum(1 + len(hit.near) for hit in hits) == 12
    hits = finder.find(question, Limits(50, after="1970-01-03", before="1970-01-05", sort="date"))
    assert [finder.row(hit)["taken"][:10] for hit in hits] == ["1970-01-04"] * 2 + ["1970-01-03"] * 2
    hits = finder.find(question, Limits(50, min_score=0.9, exclude_reference=True))
    assert hits and all(hit.score >= 0.9 for hit in hits) and question.references[0].line not in [h.line for h in hits]
    assert collapse(finder.gallery, [], 3) == []
