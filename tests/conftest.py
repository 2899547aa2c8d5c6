"""Shared fixtures. Tests that need the published data skip when it is not beside the checkout."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _published() -> Path | None:
    root = Path(os.environ.get("IPCIR_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
    return root if root.is_dir() else None


@pytest.fixture(scope="session")
def published() -> Path:
    """Directory of published annotations, layouts, masks and features."""
    root = _published()
    if root is None:
        pytest.skip("published data is absent (../shared/data, or set IPCIR_SHARED)")
    return root
