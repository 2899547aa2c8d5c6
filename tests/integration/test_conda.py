"""The conda environments can be made as they are pinned."""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(3 * 3600)
def test_environments_are_created(make_workspace, tmp_path):
    if shutil.which("conda") is None:
        pytest.skip("conda is not installed")
    workspace = make_workspace(tmp_path / "work")
    for name in ("pyproject.toml", "constraints.txt", "README.md", "ipcir_steps"):
        (workspace.directory / name).symlink_to(ROOT / name)
    workspace.snakemake("--sdm", "conda", "--conda-create-envs-only")
