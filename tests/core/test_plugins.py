"""Code of the user's own: found, loaded, and read without being imported."""

import sys
from pathlib import Path

import pytest

from ipcir_steps.core import plugins

SOURCE = """
import a_package_that_is_not_installed


class Mine(a_package_that_is_not_installed.Base):
    roles = ("generator", "depth")
    needs_masks: bool = False
    table = {"a": [1, 2]}
    made = tuple(range(3))
    undecided: int

    def draw(self):
        roles = ("other",)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "of_mine").mkdir()
    (tmp_path / "of_mine/drawing.py").write_text(SOURCE)
    (tmp_path / "lonely.py").write_text("def f():\n    return 7\n")
    return tmp_path


def test_a_class_tells_its_literals_without_being_imported(here):
    told = plugins.declared("of_mine.drawing:Mine")
    assert told == {"roles": ("generator", "depth"), "needs_masks": False, "table": {"a": [1, 2]}}
    assert "of_mine.drawing" not in sys.modules


def test_what_is_not_there_is_said(here):
    with pytest.raises(ImportError, match="no module of that name"):
        plugins.declared("nothing.here:Class")
    with pytest.raises(AttributeError, match=r"drawing\.py has no class Other"):
        plugins.declared("of_mine.drawing:Other")


def test_sources_below_the_working_directory_are_named_from_there(here):
    assert plugins.source("of_mine.drawing:Mine") == Path("of_mine/drawing.py")
    assert plugins.source("lonely:f") == Path("lonely.py") and plugins.source("nothing:f") is None
    assert plugins.source("json:loads").is_absolute()


def test_a_module_of_the_working_directory_is_loaded(here):
    assert plugins.load("lonely:f")() == 7
    with pytest.raises(AttributeError):
        plugins.load("lonely:g")
    sys.modules.pop("lonely")
