"""The learning curves of the model card."""

import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import write_jsonl
from mini_world.card import curves, parts


def test_every_part_is_drawn_and_the_same_curves_give_the_same_bytes(tmp_path):
    points = [{"part": p, "step": s, "seconds": 60 * s, "loss": 1 / s, "found": 0.5} for p in "ab" for s in (1, 2, 3)]
    write_jsonl(tmp_path / "both.curve.jsonl", points)
    assert {name: len(found) for name, found in parts(tmp_path).items()} == {"a": 3, "b": 3}
    for name in ("one", "two"):
        curves(tmp_path, tmp_path / f"{name}.svg", tmp_path / f"{name}.png")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_no_curves_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="holds no learning curves"):
        parts(tmp_path)
