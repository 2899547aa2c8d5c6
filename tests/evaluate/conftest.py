"""Worlds in which text and proxy are views of the target, with the given noise."""

import numpy as np
import pytest

from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.variants import PROXIES


@pytest.fixture
def noisy(tmp_path):
    """A function that writes 60 queries over 300 images, and gives the directory; the controls' proxies are noise."""

    def make(text=1.5, proxy=0.8, queries=60, dims=16, **query):
        draw, directory = np.random.default_rng(3), tmp_path
        gallery = draw.standard_normal((300, dims)).astype(np.float32) + 1
        names, ids = [f"im{n}" for n in range(300)], [f"q{n}" for n in range(queries)]

        def near(noise, *middle):
            right = gallery[:queries].reshape(queries, *(1 for _ in middle), dims)
            return (right + noise * draw.standard_normal((queries, *middle, dims))).astype(np.float32)

        values = {"gallery": gallery, "text": near(text), "references": near(3), "proxies": near(proxy, 3)}
        values |= {"target_captions": near(3, 4), "source_captions": near(6, 4)}
        values |= {name: near({"no_proxy": 3.0, "other_proxy": 100.0}.get(name, proxy)) for name in PROXIES}
        for name, rows in values.items():
            owners = tuple(names if name == "gallery" else ids)
            save_features(directory / f"{name}.safetensors", Features(rows, owners))
        write_records(directory / "gallery.jsonl", [Image(name, f"{name}.png") for name in names])
        records = [Query(q, names[100 + n], ("c",), **{"targets": (names[n],), **query}) for n, q in enumerate(ids)]
        write_records(directory / "queries.jsonl", records)
        return directory

    return make


@pytest.fixture
def options():
    """The options of a command for the files of such a directory."""

    def give(directory, *features):
        words = ["--queries", directory / "queries.jsonl", "--gallery-images", directory / "gallery.jsonl"]
        for name in ("text", "gallery", *features):
            words += [f"--{name.replace('_', '-')}", directory / f"{name}.safetensors"]
        return list(map(str, words))

    return give


@pytest.fixture
def watched(chromium):
    """A function that opens a page file in a browser; in the end no page may have complained, nor asked a network."""
    tabs, told, asked = [], [], []

    def open_page(path):
        tab = chromium.new_page(viewport={"width": 1280, "height": 900})
        tab.on("console", lambda message: told.append(message.text))
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.on("dialog", lambda dialog: told.append(dialog.message))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(path.as_uri())
        tabs.append(tab)
        return tab

    yield open_page
    for tab in tabs:
        tab.close()
    assert told == [] and all(url.startswith(("file:", "data:")) for url in asked)
