"""The step as a user calls it: bytes independent of sharding, resumable, failures recorded."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from ipcir_steps.cli import main
from ipcir_steps.core.files import read_jsonl, sha256, write_jsonl
from ipcir_steps.core.journal import Journal

SMALL = {"width": 64, "height": 64, "steps": 2, "count": 2, "device": "cpu"}


def command(world, model=None, images="proxies", output="index.jsonl", shard="0/1", **settings):
    words = ["proxies", "--queries", world / "queries.jsonl", "--layouts", world / "layouts.jsonl"]
    words += ["--references", world / "references.jsonl", "--root", world, "--seed", "7", "--shard", shard]
    words += ["--images", world / images, "--output", world / output, "--settings", json.dumps({**SMALL, **settings})]
    return [str(word) for word in [*words, *(["--models", f"generator={model}"] if model else [])]]


def files(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*.png"))}


def test_images_and_index(world, stable_diffusion):
    assert main(command(world, stable_diffusion)) == 0
    records = read_jsonl(world / "index.jsonl")
    assert [record["query_id"] for record in records] == ["q0", "q1", "q2"]
    assert records[2] == {"query_id": "q2", "failure": "no layout"}
    assert records[1]["images"] == ["q1/0.png", "q1/1.png"]
    assert records[1]["prompt"] == "a garden, a cat, a dog"
    assert records[1]["sha256"] == [sha256(world / "proxies" / name) for name in records[1]["images"]]
    assert len(set(records[0]["sha256"] + records[1]["sha256"])) == 4
    assert Image.open(world / "proxies/q1/0.png").size == (64, 64)


def test_bytes_do_not_depend_on_shards_or_batches(world, stable_diffusion):
    main(command(world, stable_diffusion))
    for part in range(3):
        main(command(world, stable_diffusion, images="sharded", output=f"{part}.jsonl", shard=f"{part}/3"))
    assert files(world / "proxies") == files(world / "sharded")
    joined = [record for part in range(3) for record in read_jsonl(world / f"{part}.jsonl")]
    assert joined == read_jsonl(world / "index.jsonl")


def test_another_seed_draws_other_images(world, stable_diffusion):
    main(command(world, stable_diffusion))
    first = files(world / "proxies")
    words = command(world, stable_diffusion, output="other.jsonl")
    words[words.index("--seed") + 1] = "8"
    main(words)
    assert all(first[name] != data for name, data in files(world / "proxies").items())


def test_a_kill_is_survived(world, stable_diffusion):
    """What is left after kill -9 and a second run is what one undisturbed run makes, and nothing else."""
    main(command(world, stable_diffusion, images="whole", output="whole.jsonl"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "ipcir_steps", *command(world, stable_diffusion)]
    process = subprocess.Popen(words, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((world / "proxies").glob("q0/*.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(command(world, stable_diffusion)) == 0
    assert files(world / "proxies") == files(world / "whole")
    assert (world / "index.jsonl").read_bytes() == (world / "whole.jsonl").read_bytes()
    assert not list(world.rglob("*.part"))


def die_at(moment):
    """From now on this process kills itself at the ``moment``-th change of a file: before it, or half through it."""
    left = [moment]

    def dying(change, half=lambda *args: None):
        def changed(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                half(*args)
                os.kill(os.getpid(), signal.SIGKILL)
            return change(*args, **kwargs)

        return changed

    def half_a_line(journal, line):
        journal._file.write(b'00000000 {"query_id')
        journal._file.flush()

    Path.replace = dying(Path.replace)
    Path.unlink = dying(Path.unlink)
    os.fsync = dying(os.fsync)
    Image.Image.save = dying(Image.Image.save, lambda image, path, **kwargs: Path(path).write_bytes(b"half an im"))
    Journal._write = dying(Journal._write, half_a_line)


def test_a_kill_at_any_moment_is_survived(world, monkeypatch):
    """Kill -9 at every change of a file in turn; the next run ends with the same files as an undisturbed one."""
    (world / "flat.py").write_text(
        "from PIL import Image\n"
        "class Flat:\n"
        "    def __init__(self, settings, models): self.identity = {'flat': 1}\n"
        "    def draw(self, task): return [Image.new('RGB', (4, 4), s % 255) for s in task.seeds], {}\n"
    )
    monkeypatch.syspath_prepend(str(world))
    assert main(command(world, generator="flat:Flat", images="whole", output="whole.jsonl")) == 0
    killed = 0
    for moment in range(1, 200):
        words = command(world, generator="flat:Flat", images=f"{moment}", output=f"{moment}.jsonl")
        child = os.fork()
        if child == 0:
            die_at(moment)
            os._exit(main(words))
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            break
        killed += 1
        assert main(words) == 0
        assert files(world / f"{moment}") == files(world / "whole")
        assert (world / f"{moment}.jsonl").read_bytes() == (world / "whole.jsonl").read_bytes()
        assert not [path for path in (world / f"{moment}").rglob("*") if path.is_file() and path.suffix != ".png"]
        assert not list((world / f"{moment}").rglob(".*"))
    assert os.WEXITSTATUS(status) == 0 and killed > 20


def test_a_changed_image_is_drawn_again_and_no_other(world, stable_diffusion):
    main(command(world, stable_diffusion))
    (world / "index.jsonl").unlink()
    before = files(world / "proxies")
    untouched = (world / "proxies/q0/0.png").stat().st_mtime_ns
    (world / "proxies/q1/1.png").write_bytes(b"half an ima")
    main(command(world, stable_diffusion))
    assert files(world / "proxies") == before
    assert (world / "proxies/q0/0.png").stat().st_mtime_ns == untouched


def test_directory_of_ready_made_images(world):
    ready = world / "ready"
    for name, colour in {"q0/0.png": "red", "q0/1.jpg": "blue", "q1/0.png": "green"}.items():
        (ready / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), colour).save(ready / name)
    assert main(command(world, generator="directory", directory=str(ready))) == 0
    first, second, _ = read_jsonl(world / "index.jsonl")
    assert first["images"] == ["q0/0.png", "q0/1.png"]
    assert Image.open(world / "proxies/q0/0.png").getpixel((0, 0)) == (255, 0, 0)
    assert "q1/1.png does not exist" in second["failure"]


def test_own_generator_by_python_path(world, monkeypatch):
    (world / "own.py").write_text(
        "from PIL import Image\n"
        "class Flat:\n"
        "    def __init__(self, settings, models): self.identity = {'flat': 1}\n"
        "    def draw(self, task): return [Image.new('RGB', (4, 4), s % 255) for s in task.seeds], {}\n"
    )
    monkeypatch.syspath_prepend(str(world))
    assert main(command(world, generator="own:Flat")) == 0
    assert read_jsonl(world / "index.jsonl")[0]["models"] == {"flat": 1}


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([0.5, 0.1, 0.5, 0.9], "has no area"),
        ([0.9, 0.1, 0.2, 0.9], "has no area"),
        ([1.2, 0.1, 1.5, 0.9], "has no area"),
        ([0.1, 0.2, 0.3], "is not four numbers"),
    ],
)
def test_bad_boxes_are_recorded(world, stable_diffusion, box, message):
    layouts = read_jsonl(world / "layouts.jsonl")
    layouts[0]["instances"][0]["box"] = box
    write_jsonl(world / "layouts.jsonl", layouts)
    assert main(command(world, stable_diffusion, count=1, steps=1)) == 0
    first, second, _ = read_jsonl(world / "index.jsonl")
    assert "instance 0" in first["failure"] and message in first["failure"]
    assert "failure" not in second


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "nothing.here:Class"}, "no module of that name"),
        ({"generator": "directory"}, "is not a folder"),
        ({"width": 63}, "multiple of 8"),
        ({"generator": "text_to_image"}, "generator=MANIFEST"),
    ],
)
def test_bad_settings(world, capsys, settings, message):
    assert main(command(world, **settings)) == 2
    assert message in capsys.readouterr().err


def test_a_model_that_is_not_one(world, capsys, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "file").write_text("x")
    assert main(command(world, tmp_path / "empty")) == 2
    assert "model_index.json is missing" in capsys.readouterr().err


def test_a_query_id_cannot_leave_the_directory(world, stable_diffusion, capsys):
    for name in ("queries", "layouts"):
        records = read_jsonl(world / f"{name}.jsonl")
        records[0]["query_id"] = "../../escaped"
        write_jsonl(world / f"{name}.jsonl", records)
    assert main(command(world, stable_diffusion, count=1, steps=1)) == 2
    assert "leaves the directory" in capsys.readouterr().err
