"""The conda environments can be made as they are pinned."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(3 * 3600)
def test_environments_are_created(make_workspace, tmp_path):
    if shutil.which("conda") is None:
        pytest.skip("conda is not installed")
    if os.environ.get("IPCIR_SLOW") != "1":
        pytest.skip("environments take minutes and gigabytes: set IPCIR_SLOW=1")
    workspace = make_workspace(tmp_path / "work")
    for name in ("pyproject.toml", "constraints.txt", "README.md", "ipcir_steps"):
        (workspace.directory / name).symlink_to(ROOT / name)
    workspace.snakemake("--sdm", "conda", "--conda-create-envs-only")
