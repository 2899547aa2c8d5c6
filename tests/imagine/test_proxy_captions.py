"""Captions of the drawn proxies, from a tiny untrained BLIP-2."""

import json

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Captions
from ipcir_steps.core.files import read_jsonl, seed, write_jsonl
from ipcir_steps.core.images import load_image
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.imagine.captions import captioner, clean

SETTINGS = {"count": 2, "max_new_tokens": 6}
IDS = ("a", "b", "c", "d")


@pytest.fixture
def drawn(tmp_path):
    """Two images for each of four queries but the third, which has none; an image of the fourth is cut off."""
    generator = np.random.default_rng(0)
    write_records(tmp_path / "queries.jsonl", [Query(name, "r.png", ("is red",)) for name in IDS])
    records = []
    for name in IDS:
        (tmp_path / name).mkdir()
        images = [f"{name}/{n}.png" for n in range(2)]
        for image in images:
            PIL.Image.fromarray(generator.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(tmp_path / image)
        records.append({"query_id": name, "images": images, "sha256": ["0", name]})
    (tmp_path / "d/1.png").write_bytes((tmp_path / "d/1.png").read_bytes()[:60])
    write_jsonl(tmp_path / "index.jsonl", [record for record in records if record["query_id"] != "c"])
    return tmp_path


def run(drawn, model, name, *extra):
    words = ["proxy_captions", "--queries", drawn / "queries.jsonl", "--index", drawn / "index.jsonl"]
    words += ["--images", drawn, "--model", model, "--seed", 3, "--settings", json.dumps(SETTINGS)]
    assert main([*map(str, words), "--output", str(drawn / name), *extra]) == 0
    return read_jsonl(drawn / name)


def test_each_image_is_captioned_by_itself(drawn, blip2):
    a, b, c, d = run(drawn, blip2, "captions.jsonl")
    caption = captioner(blip2, Captions(**SETTINGS))
    for record in (a, b):
        names = [f"{record['query_id']}/{n}.png" for n in range(2)]
        alone = [caption(load_image(drawn, Image(name, name)), seed(3, "proxy_captions", name)) for name in names]
        assert record["captions"] == clean(alone[0]) + clean(alone[1]) and len(record["captions"]) == 4
    assert a["captions"] != b["captions"]
    assert c == {"query_id": "c", "failure": "no proxy was drawn"}
    assert "1.png cannot be read" in d["failure"]


def test_shards_and_a_restart_give_the_same_bytes(drawn, blip2):
    run(drawn, blip2, "whole.jsonl")
    whole = (drawn / "whole.jsonl").read_bytes()
    parts = [run(drawn, blip2, f"{n}.jsonl", "--shard", f"{n}/3") for n in range(3)]
    assert sum(map(len, parts)) == 4
    assert b"".join((drawn / f"{n}.jsonl").read_bytes() for n in range(3)) == whole
    (drawn / "whole.jsonl").unlink()
    for name in "ab":
        (drawn / name / "0.png").unlink()  # nothing is captioned twice
    run(drawn, blip2, "whole.jsonl")
    assert (drawn / "whole.jsonl").read_bytes() == whole


def test_another_image_is_captioned_again(drawn, blip2):
    before = run(drawn, blip2, "captions.jsonl")
    records = read_jsonl(drawn / "index.jsonl")
    records[0]["sha256"] = ["1", "1"]
    write_jsonl(drawn / "index.jsonl", records)
    for name in "ab":
        (drawn / name / "0.png").unlink()
    after = run(drawn, blip2, "captions.jsonl")
    assert "0.png cannot be read" in after[0]["failure"] and after[1] == before[1]


def test_an_index_without_images_is_an_error(drawn, blip2, capsys):
    write_jsonl(drawn / "index.jsonl", [{"query_id": "a", "images": []}])
    words = ["--queries", drawn / "queries.jsonl", "--index", drawn / "index.jsonl", "--images", drawn]
    words += ["--model", blip2, "--output", drawn / "captions.jsonl"]
    assert main(["proxy_captions", *map(str, words)]) != 0
    assert "index.jsonl" in (told := capsys.readouterr().err) and "names no images" in told
