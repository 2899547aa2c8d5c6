"""The index of a folder: what is read, what is kept, what a killed run leaves."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos import index, pictures
from ipcir_steps.photos.files import photos
from ipcir_steps.photos.store import Store


@pytest.fixture
def opened_files(monkeypatch):
    """Paths below a folder whose bytes are read by Python, as an audit hook sees them."""
    seen: list[str] = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: seen.append(str(path)) or original(path))
    return seen


def rows(directory: Path) -> dict[str, tuple]:
    with sqlite3.connect(directory / "photos.sqlite") as table:
        return {row[0]: row[1:] for row in table.execute("SELECT name, line, problem FROM photos")}


def features(directory: Path, folder: Path) -> dict[str, np.ndarray]:
    with Store(directory, folder.resolve()) as store:
        values = np.fromfile(store.path("f32"), np.float32).reshape(-1, store.dims)
    return {name: values[line] for name, (line, _) in rows(directory).items() if line is not None}


def test_only_new_and_changed_files_are_read_again(folder, tmp_path, models, opened_files):
    directory = tmp_path / "index/mini"
    changes, problems = index.update(folder, directory, models, progress=False)
    assert (changes.photos, changes.read, problems) == (40, 40, {}) and len(opened_files) == 40
    opened_files.clear()
    changes, _ = index.update(folder, directory, models, progress=False)
    assert (changes.photos, changes.read, opened_files) == (40, 0, [])
    PIL.Image.new("RGB", (90, 50), "red").save(folder / "new.png")
    changes, _ = index.update(folder, directory, models, progress=False)
    assert (changes.photos, changes.read) == (41, 1) and opened_files == [str(folder / "new.png")]
    PIL.Image.new("RGB", (90, 50), "blue").save(folder / "new.png")
    before = features(directory, folder)["new.png"]
    assert index.update(folder, directory, models, progress=False)[0].read == 1
    assert not np.array_equal(features(directory, folder)["new.png"], before)
    (folder / "new.png").unlink()
    changes, _ = index.update(folder, directory, models, progress=False)
    assert (changes.photos, changes.removed) == (40, 1) and "new.png" not in rows(directory)


def test_features_are_those_of_the_workflow(folder, tmp_path, models):
    from ipcir_steps.seek.embeddings.steps import encode_images

    index.update(folder, tmp_path / "index", models, progress=False)
    paths = {name: folder / name for name in photos(folder)[0]}
    settings = models.stack.config.embeddings
    wanted = encode_images(paths, models.encoder("image"), settings, tmp_path / "part", "content")
    for name, vector in features(tmp_path / "index", folder).items():
        np.testing.assert_allclose(vector, wanted[name], atol=1e-5)


def test_renamed_and_copied_files_keep_their_features(folder, tmp_path, models, monkeypatch):
    directory = tmp_path / "index"
    index.update(folder, directory, models, progress=False)
    first = sorted((folder / "a").iterdir())[0]
    vector = features(directory, folder)[f"a/{first.name}"]
    first.rename(folder / "moved.jpg")
    shutil.copy(folder / "moved.jpg", folder / "copy.jpg")
    monkeypatch.setattr(pictures, "opened", lambda *_: pytest.fail("decoded again"))
    changes, _ = index.update(folder, directory, models, progress=False)
    assert (changes.photos, changes.moved, changes.read, changes.removed, changes.copies) == (40, 2, 0, 1, 1)
    found = features(directory, folder)
    np.testing.assert_array_equal(found["moved.jpg"], vector)
    assert rows(directory)["copy.jpg"] == rows(directory)["moved.jpg"]


def test_same_bytes_in_one_run_are_encoded_once(folder, tmp_path, models):
    first = sorted((folder / "a").iterdir())[0]
    for number in range(70):  # more than a batch
        shutil.copy(first, folder / f"copy{number}.jpg")
    changes, _ = index.update(folder, tmp_path / "index", models, progress=False)
    assert (changes.photos, changes.copies) == (40, 70)
    assert len({line for name, (line, _) in rows(tmp_path / "index").items() if "copy" in name}) == 1


def test_what_is_no_photo_is_left_out_and_what_is_damaged_is_listed(folder, tmp_path, models):
    picture = PIL.Image.new("RGB", (40, 30), "green")
    for name in (".hidden.png", "._b.png", ".thumbnails/t.png", "@eaDir/x.png", "a/@eaDir/y.png", "#recycle/z.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        picture.save(folder / name)
    (folder / "notes.txt").write_text("text")
    (folder / "empty.jpg").touch()
    (folder / "text.png").write_text("no picture")
    whole = next((folder / "a").iterdir()).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "shot.cr2").write_bytes(b"raw")
    picture.save(folder / "shot.jpg")  # the raw file beside it is left out
    (folder / "alone.nef").write_bytes(b"raw")
    (folder / "out.jpg").symlink_to("/etc/hostname")
    (folder / "round").symlink_to(folder)
    (tmp_path / "secret.png").write_bytes(whole)
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "dangling.png").symlink_to(folder / "nothing.png")
    (folder / os.fsdecode(b"\xff\xfe.png")).write_bytes(whole)
    os.mkfifo(folder / "pipe.jpg")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10_000)
        PIL.Image.new("1", (101, 100)).save(folder / "huge.png")
        changes, problems = index.update(folder, tmp_path / "index", models, progress=False)
    assert changes.photos == 41  # and shot.jpg
    assert problems.keys() == {"\\udcff\\udcfe.png", "alone.nef", "cut.jpg", "empty.jpg", "huge.png", "text.png"}
    again, _ = index.update(folder, tmp_path / "index", models, progress=False)
    assert again.read == 0  # what is damaged is not read again until it changes


@pytest.mark.parametrize("name", ["p.png", "p.webp", "p.gif", "p.tiff", "p.bmp", "p.JPG", "p.jpe", "p.heic", "p.avif"])
def test_kinds_of_pictures(name, tmp_path, models):
    if name.endswith("heic"):
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed")
    pictures.prepare()
    if name.endswith("avif") and ".avif" not in PIL.Image.registered_extensions():
        pytest.skip("this Pillow reads no AVIF")
    folder = tmp_path / "photos"
    folder.mkdir()
    frames = [PIL.Image.new("RGB", (64, 48), colour) for colour in ("orange", "black")]
    more = {"save_all": True, "append_images": frames[1:]} if name.endswith(("gif", "tiff")) else {}
    frames[0].save(folder / name, **more)
    changes, problems = index.update(folder, tmp_path / "index", models, progress=False)
    assert (changes.photos, problems) == (1, {})
    image = pictures.opened(folder / name).convert("RGB")
    assert image.size == (64, 48)
    np.testing.assert_allclose(image.getpixel((30, 20)), (255, 165, 0), atol=12)
    small = PIL.Image.open(__import__("io").BytesIO(pictures.thumbnail(folder / name, 32)))
    assert small.size == (32, 24)


def test_exif_turns_and_dates(tmp_path, models):
    folder = tmp_path / "photos"
    folder.mkdir()
    picture, exif = PIL.Image.new("RGB", (60, 40), "white"), PIL.Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[36867] = "2019:05:17 18:03:59"
    picture.save(folder / "turned.jpg", exif=exif)
    exif.get_ifd(0x8769)[36867] = "0000:00:00 00:00:00"
    picture.save(folder / "undated.jpg", exif=exif)
    index.update(folder, tmp_path / "index", models, progress=False)
    with sqlite3.connect(tmp_path / "index/photos.sqlite") as table:
        found = table.execute("SELECT name, width, height, taken FROM photos ORDER BY name").fetchall()
    assert found == [("turned.jpg", 40, 60, "2019-05-17T18:03:59"), ("undated.jpg", 40, 60, None)]
    assert PIL.Image.open(__import__("io").BytesIO(pictures.thumbnail(folder / "turned.jpg", 30))).size == (20, 30)


def test_an_index_is_private_and_of_one_folder(folder, tmp_path, here, models, capsys):
    from ipcir_steps.cli import main

    assert main(["index", str(folder), "--index", str(tmp_path / "index")]) == 0
    assert "40 photos: 40 read" in capsys.readouterr().out
    for path in [tmp_path / "index", *(tmp_path / "index").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    (tmp_path / "other").mkdir()
    shutil.copy(next((folder / "a").iterdir()), tmp_path / "other")
    assert main(["index", str(tmp_path / "other"), "--index", str(tmp_path / "index")]) == 2
    assert "is the index of" in capsys.readouterr().err
    folder.rename(tmp_path / "elsewhere")  # an index follows its folder
    assert index.update(tmp_path / "elsewhere", tmp_path / "index/mini", models, progress=False)[0].read == 0
    shutil.rmtree(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    assert main(["index", str(tmp_path / "elsewhere"), "--index", str(tmp_path / "index")]) == 2
    assert "Nothing was removed" in capsys.readouterr().err
    assert len(rows(tmp_path / "index/mini")) == 40
    assert main(["index", str(tmp_path / "nowhere")]) == 2


def test_an_index_inside_its_folder_is_not_indexed(folder, models):
    (folder / "index").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(folder / "index/thumb.jpg")
    assert index.update(folder, folder / "index", models, progress=False)[0].photos == 40


def test_the_default_index_is_outside_the_folder(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    directory = index.directory_of(folder, None, "mini")
    assert directory.is_relative_to(tmp_path / "data") and directory.name == "mini"
    assert directory == index.directory_of(folder / "a/..", None, "mini")


def test_features_of_another_model_are_dropped(folder, tmp_path, models):
    index.update(folder, tmp_path / "index", models, progress=False)
    with Store(tmp_path / "index", folder.resolve()) as store:
        store.begin({"digest": "another"}, 3)
    changes, _ = index.update(folder, tmp_path / "index", models, progress=False)
    assert changes.read == 40 and features(tmp_path / "index", folder)


def test_files_of_features_shrink_when_photos_go(folder, tmp_path, models, monkeypatch):
    from ipcir_steps.photos import store

    monkeypatch.setattr(store, "_SPARE", 5)
    index.update(folder, tmp_path / "index", models, progress=False)
    before = features(tmp_path / "index", folder)
    shutil.rmtree(folder / "a")
    index.update(folder, tmp_path / "index", models, progress=False)
    after = features(tmp_path / "index", folder)
    assert len(after) == 20 and (tmp_path / "index/features.2.f32").stat().st_size == 20 * 64 * 4
    assert not list((tmp_path / "index").glob("features.1.*"))
    for name, vector in after.items():
        np.testing.assert_array_equal(vector, before[name])


def test_a_damaged_index_is_refused_in_one_message(folder, tmp_path, models):
    index.update(folder, tmp_path / "index", models, progress=False)
    os.truncate(tmp_path / "index/features.1.f32", 100)
    with pytest.raises(InputError, match="cut short"):
        index.update(folder, tmp_path / "index", models, progress=False)
    (tmp_path / "index/photos.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(InputError, match="cannot be opened"):
        index.update(folder, tmp_path / "index", models, progress=False)


def _start(house, folder, directory, *more):
    command = [sys.executable, "-m", "ipcir_steps", "index", folder, "--index", directory, *more]
    return subprocess.Popen(command, cwd=house, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(house, tmp_path, models):
    folder, directory, rng = house / "photos", tmp_path / "index", random.Random(0)
    known: dict[str, tuple] = {}
    for _ in range(8):
        process = _start(house, folder, directory, "--batch", "4", "--workers", "1")
        while process.poll() is None and len(_lines(directory)) < len(known) + 40 * rng.random():
            time.sleep(0.005)
        time.sleep(rng.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        now = _lines(directory)
        assert known.items() <= now.items()  # what was there is there, on the same lines
        known = now
        if len(known) == 300:
            break
    process = _start(house, folder, directory)
    out, _ = process.communicate()
    assert process.returncode == 0 and "300 photos" in out
    index.update(folder, tmp_path / "whole", models, progress=False)
    found, wanted = features(directory / "mini", folder), features(tmp_path / "whole", folder)
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)


def _lines(directory: Path) -> dict[str, tuple]:
    try:
        return rows(directory / "mini")
    except sqlite3.OperationalError:
        return {}


def test_two_runs_at_once_are_refused(folder, tmp_path, models):
    index.update(folder, tmp_path / "index", models, progress=False)
    with (
        Store(tmp_path / "index", folder.resolve()),
        pytest.raises(InputError, match="another run works in this directory"),
    ):
        index.update(folder, tmp_path / "index", models, progress=False)
