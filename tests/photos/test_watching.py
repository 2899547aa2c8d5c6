"""``ipcir index --watch``: follows its folder until it is interrupted."""

import contextlib
import signal
import subprocess
import sys

import PIL.Image
import pytest


@pytest.mark.slow
def test_watching_follows_the_folder(house, folder, tmp_path):
    command = [sys.executable, "-m", "ipcir_steps", "index", folder, "--index", tmp_path / "index", "--watch"]
    process = subprocess.Popen(command, cwd=house, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert "40 photos" in process.stdout.readline()
        PIL.Image.new("RGB", (9, 9), "red").save(folder / "later.png")
        assert process.stdout.readline().startswith("41 photos: 1 read")
        (folder / "later.png").unlink()
        assert process.stdout.readline().startswith("40 photos: 0 read, 0 renamed or copied, 1 removed")
    finally:
        errors = _interrupted(process)
    assert process.returncode == 0 and "Traceback" not in errors


def _interrupted(process, times: int = 3) -> str:
    """What a program says that is interrupted as one does it: again, when the first press was lost in a library."""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=30)[1]
    process.kill()
    raise AssertionError("does not end when it is interrupted")
