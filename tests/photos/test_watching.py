"""``ipcir index --watch``: follows its folder until it is interrupted."""

import signal
import subprocess
import sys

import PIL.Image
import pytest


@pytest.mark.slow
def test_watching_follows_the_folder(house, folder, tmp_path):
    command = [sys.executable, "-m", "ipcir_steps", "index", folder, "--index", tmp_path / "index", "--watch"]
    process = subprocess.Popen(
        command, cwd=house, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_interruptible
    )
    try:
        assert "40 photos" in process.stdout.readline()
        PIL.Image.new("RGB", (9, 9), "red").save(folder / "later.png")
        assert process.stdout.readline().startswith("41 photos: 1 read")
        (folder / "later.png").unlink()
        assert process.stdout.readline().startswith("40 photos: 0 read, 0 renamed or copied, 1 removed")
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "Traceback" not in errors


def _interruptible() -> None:
    """A script's background jobs ignore SIGINT, and hand that on to what they start, such as these tests."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
