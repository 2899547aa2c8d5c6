"""Configuration files laid over each other."""

import pytest

from ipcir_steps.config.read import read_config
from ipcir_steps.core.errors import InputError


def test_later_files_and_overrides_win_key_by_key(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\nranking: {k: 5, block: 64}\n")
    (tmp_path / "b.yaml").write_text("ranking: {k: 6}\n")
    (tmp_path / "empty.yaml").write_text("")
    files = [tmp_path / name for name in ("a.yaml", "b.yaml", "empty.yaml")]
    config = read_config(files, {"ranking": {"memory_mb": 900}})
    assert (config.seed, config.ranking.k, config.ranking.block, config.ranking.memory_mb) == (1, 6, 64, 900)
    assert read_config(files[::-1]).ranking.k == 5


def test_mistakes_are_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: does not exist"):
        read_config([tmp_path / "none.yaml"])
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(InputError, match=r"list\.yaml: is not a mapping"):
        read_config([tmp_path / "list.yaml"])
    (tmp_path / "wrong.yaml").write_text("sed: 1")
    with pytest.raises(InputError, match=r"wrong\.yaml: unknown key 'sed'"):
        read_config([tmp_path / "wrong.yaml"])
