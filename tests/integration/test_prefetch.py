"""`snakemake prefetch` of the published models from a hub on loopback, killed at ten moments."""

import os
import signal
import subprocess

import pytest
import yaml

from ipcir_steps.core.files import read_json
from tests.hub.published import CAPTIONER, CLIP, DETECTOR, GENERATOR, LLM, SEGMENTER, VISION, published
from tests.hub.server import serve

pytestmark = pytest.mark.timeout(3600)
HUB = {
    "captioner": CAPTIONER, "llm": LLM, "detector": DETECTOR, "segmenter": SEGMENTER, "generator": GENERATOR,
    "vision": VISION,
}  # fmt: skip


@pytest.fixture
def hub(tmp_path):
    with serve(published(tmp_path / "published")) as running:
        yield running


# The repositories on loopback are small, and the preflight knows the sizes of the published ones by their names.
ROOM = """
import shutil
from types import SimpleNamespace
shutil.disk_usage = lambda path: SimpleNamespace(total=10**13, used=0, free=10**13)
"""


def prefetch(workspace, hub, at=None) -> bool:
    """Whether it ran to its end; at: bytes after which all its processes are killed."""
    if at is not None:
        hub.hold_at(at)
    environment = workspace.environment | {k: v for k, v in hub.environment(workspace.directory / "home").items()
                                           if k.startswith("HF_")}  # fmt: skip
    room = workspace.directory / "room"
    room.mkdir(exist_ok=True)
    (room / "sitecustomize.py").write_text(ROOM)
    environment["PYTHONPATH"] = os.pathsep.join([str(room), *filter(None, [environment.get("PYTHONPATH")])])
    command = workspace.command(target="prefetch")
    with open(workspace.directory / "log", "a") as log:
        run = subprocess.Popen(
            command, cwd=workspace.directory, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        while run.poll() is None:
            if hub.reached.wait(0.05):
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
                hub.release()
                hub.reached.clear()
                return False
    assert run.returncode == 0, (workspace.directory / "log").read_text()[-5000:]
    return True


def manifests(workspace) -> dict:
    root = workspace.directory / "resources/manifests"
    return {str(path.relative_to(root)): read_json(path) for path in sorted(root.rglob("[!.]*.json"))}


def configure(workspace):
    """A stack of the published repositories, and of the mini world's files where the published ones are on no hub."""
    models = {role: {"source": source, "revision": "main"} for role, source in HUB.items()}
    clip = {name: {"source": source, "revision": "main"} for name, source in CLIP.items()}
    stack = {"extends": "mini", "models": models, "clip": clip, "backbones": ["ViT-L-14"]}
    workspace.configure(stacks={"loopback": stack}, run=["photos"])
    config = yaml.safe_load((workspace.directory / "mine.yaml").read_text())
    config["datasets"]["photos"]["stack"] = "loopback"
    (workspace.directory / "mine.yaml").write_text(yaml.safe_dump(config))


def test_killed_at_ten_moments_prefetch_continues(make_workspace, hub, tmp_path):
    whole, killed = (make_workspace(tmp_path / name) for name in ("whole", "killed"))
    for workspace in (whole, killed):
        configure(workspace)
    assert prefetch(whole, hub)
    told = (whole.directory / "log").read_text()
    assert f"files of {CAPTIONER} at commit" in told and "of them to fetch into" in told, "the size, on the terminal"
    expected, total = manifests(whole), sum(hub.sent.values())
    fetched = [entry for entry in expected.values() if entry["revision"]]
    assert len(fetched) == 7
    sizes = [(whole.directory / e["path"] / name).stat().st_size for e in fetched for name in e["files"]]
    assert total == sum(sizes), "no byte was sent that is not in a manifest"
    hub.sent.clear()
    kills = sum(not prefetch(killed, hub, at=total // 11) for _ in range(10))
    assert kills == 10 and manifests(killed) != expected
    assert prefetch(killed, hub)
    assert manifests(killed) == expected
    print(f"{total:,} bytes in all; {sum(hub.sent.values()) - total:,} sent again after {kills} kills")
    assert sum(hub.sent.values()) < 2 * total
    # A second prefetch fetches nothing, and says what has moved meanwhile.
    hub.sent.clear()
    hub.repositories[SEGMENTER]["README.md"] = b"a new card"
    assert prefetch(killed, hub)
    assert not hub.sent and manifests(killed) == expected
    assert "segmenter: 'main' of facebook/sam-vit-huge has moved from commit" in (killed.directory / "log").read_text()
