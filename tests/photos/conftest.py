"""A folder of the mini world's pictures, its models, and an index of it."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from ipcir_steps.photos.index import update
from ipcir_steps.photos.models import Models
from ipcir_steps.photos.stack import stack


@pytest.fixture(scope="session")
def house(tmp_path_factory) -> Path:
    """A working directory with the models of the mini world, trained, and its pictures in ``photos``."""
    from mini_world.export import export
    from mini_world.models import build
    from mini_world.shipped import SHIPPED

    root = tmp_path_factory.mktemp("house")
    build(root / "resources/mini/models", 2025, SHIPPED)
    export(root / "world", 2025, 40, 300, ["circo"])
    shutil.copytree(root / "world/mini_circo/COCO2017_unlabeled/unlabeled2017", root / "photos")
    return root


@pytest.fixture
def here(house, monkeypatch) -> Path:
    """The same as the working directory."""
    monkeypatch.chdir(house)
    return house


@pytest.fixture(scope="session")
def models(house) -> Models:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(house)
        chosen = stack("mini")
        loaded = Models(type(chosen)(chosen.name, chosen.config, house))
        loaded.encoder("image")
    return loaded


@pytest.fixture(scope="session")
def indexed(house, models) -> Path:
    """Directory of a finished index of ``photos`` (for reading)."""
    directory = house / "index/mini"
    update(house / "photos", directory, models, progress=False)
    return directory


class Served:
    """``ipcir serve`` as a process of its own, as a person starts it. url: where it answers."""

    def __init__(self, house: Path, folder: Path, index: Path, *more: str, port: int = 0):
        command = [sys.executable, "-m", "ipcir_steps", "serve", folder, "--index", index, "--port", port, *more]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self.process = subprocess.Popen(
            [str(word) for word in command], cwd=house, env=environment, text=True, stdout=subprocess.PIPE,
            stderr=self.log,
        )  # fmt: skip
        line = self.process.stdout.readline()
        assert "http://" in line, self.errors()
        self.address = line.split()[-1]
        self.url = self.address.partition("?")[0].rstrip("/")
        self.port = int(self.url.rpartition(":")[2])

    def errors(self) -> str:
        """What it said on stderr so far, without the libraries' warnings."""
        self.log.seek(0)
        return "".join(line for line in self.log if "deprecat" not in line.lower())

    def stop(self, kind=signal.SIGINT) -> int:
        self.process.send_signal(kind)
        code = self.process.wait(timeout=30)
        self.process.stdout.close()
        return code


@pytest.fixture(scope="session")
def served(house, indexed):
    """A server on the mini world's pictures."""
    server = Served(house, house / "photos", house / "index")
    yield server
    server.stop()


@pytest.fixture
def start(house):
    """Starts servers; those that still run are stopped at the end."""
    servers = []

    def begin(folder: Path, index: Path, *more: str, port: int = 0) -> Served:
        servers.append(Served(house, folder, index, *more, port=port))
        return servers[-1]

    yield begin
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def tab(chromium):
    """Opens pages that note what they tell, ask and warn of."""
    contexts = []

    def open_page(url: str, **more):
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **more})
        contexts.append(context)
        page = context.new_page()
        page.told, page.asked = [], []
        page.on("console", lambda message: page.told.append(message.text))
        page.on("pageerror", lambda error: page.told.append(str(error)))
        page.on("dialog", lambda dialog: (page.told.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(url)
        page.locator("#browse .photos li").first.wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def folder(tmp_path, house) -> Path:
    """Forty pictures in two directories."""
    for number, path in enumerate(sorted((house / "photos").iterdir())[:40]):
        target = tmp_path / "photos" / ("a" if number % 2 else "b") / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "photos"
