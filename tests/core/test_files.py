"""Artefacts are whole or absent, and nothing leaves its root."""

import errno
import os

import pytest

from ipcir_steps.core import files
from ipcir_steps.core.errors import InputError


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.write_json(path, {"old": 1})

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"a.json: could not be written \(No space left on device\). Free disk space"):
        files.write_json(path, {"new": 2})
    assert files.read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a/../../x", "", "x\0y"])
def test_paths_stay_inside(tmp_path, name):
    with pytest.raises((InputError, ValueError)):
        files.inside(tmp_path, name)


def test_links_out_are_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root/out").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leaves the directory"):
        files.inside(tmp_path / "root", "out/secret")
