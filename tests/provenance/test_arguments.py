"""What a command's arguments tell its record."""

import argparse
import json

from ipcir_steps.core.arguments import ImageList, InFile, OutFile, PathArgument, Root, Scratch
from ipcir_steps.core.files import write_json, write_jsonl
from ipcir_steps.provenance import arguments

ARGS = argparse.Namespace(
    step="masks", queries=InFile("q"), files=[InFile("a"), InFile("b")], references=ImageList("r"), root=Root("photos"),
    cache=Scratch("c"), output=OutFile("o"), seed=3, weights=[1.0, 2.0], settings=json.dumps({"k": 5}), model=None,
)  # fmt: skip


def test_paths_are_found_by_type_in_order():
    inputs = [("queries", "q"), ("files", "a"), ("files", "b"), ("references", "r")]
    assert [(name, str(path)) for name, path in arguments.paths(ARGS, InFile)] == inputs
    assert arguments.paths(ARGS, OutFile, Scratch) == [("cache", Scratch("c")), ("output", OutFile("o"))]
    assert len(arguments.paths(ARGS, PathArgument)) == 7


def test_parameters_are_what_is_neither_read_nor_written():
    expected = {"root": "photos", "seed": 3, "weights": [1.0, 2.0], "settings": {"k": 5}}
    assert arguments.parameters(ARGS) == expected


def test_settings_may_lie_in_a_file(tmp_path):
    write_json(tmp_path / "s.json", {"k": 6})
    for text, expected in ((tmp_path / "s.json", {"k": 6}), (tmp_path / "none.json", str(tmp_path / "none.json"))):
        assert arguments.parameters(argparse.Namespace(settings=str(text))) == {"settings": expected}


def test_images_are_those_that_the_lists_name(tmp_path):
    write_jsonl(tmp_path / "gallery.jsonl", [{"name": "a", "path": "a.png"}, {"name": "b", "path": "b/c.png"}])
    write_jsonl(tmp_path / "index.jsonl", [{"query_id": "1", "images": ["1/0.png", "1/1.png"]}, {"query_id": "2"}])
    lists = [ImageList(tmp_path / "gallery.jsonl"), ImageList(tmp_path / "index.jsonl")]
    root, names = arguments.images(argparse.Namespace(images=lists, root=Root("photos")))
    assert str(root) == "photos" and names == ["a.png", "b/c.png", "1/0.png", "1/1.png"]
    assert arguments.images(argparse.Namespace(images=lists)) is None
    assert arguments.images(argparse.Namespace(images=ImageList("none"), root=Root("photos"))) is None
