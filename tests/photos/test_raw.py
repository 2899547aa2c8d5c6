"""Raw photographs, with LibRaw, from files as cameras write them."""

import io
import shutil
import sqlite3

import numpy as np
import PIL.Image
import pytest

from ipcir_steps.core.errors import InputError
from ipcir_steps.photos import index, pictures, raw
from tests.photos import dng

pytest.importorskip("rawpy", reason="rawpy is not installed")


@pytest.mark.parametrize(("orientation", "size"), [(1, (128, 96)), (3, (128, 96)), (6, (96, 128)), (8, (96, 128))])
@pytest.mark.parametrize("preview", ["orange", None], ids=["stored", "developed"])
def test_a_raw_photo_is_upright_and_dated(preview, orientation, size, tmp_path):
    pictures.prepare()
    path = tmp_path / "shot.DNG"
    dng.write(path, (250, 90, 20), orientation=orientation, taken="2019:05:17 18:03:59", preview=preview)
    image = pictures.opened(path)
    assert image.size == size
    red, green, blue = image.convert("RGB").getpixel((40, 30))
    assert red > 240 and 50 < green < 180 and blue < 60
    found = PIL.Image.open(io.BytesIO(raw.picture(path)))
    assert pictures.taken(found) == "2019-05-17T18:03:59"
    small = PIL.Image.open(io.BytesIO(pictures.thumbnail(path, 64)))
    assert max(small.size) == 64 and (small.width > small.height) == (size[0] > size[1])


def test_the_two_turns_are_not_mixed_up(tmp_path):
    """A sensor whose upper half is lighter: turned right, its light half lies right."""
    path = tmp_path / "shot.dng"
    for orientation, bright in ((6, np.s_[:, 48:]), (8, np.s_[:, :48]), (3, np.s_[48:, :]), (1, np.s_[:48, :])):
        dng.write(path, (40, 40, 40), orientation=orientation)
        content = bytearray(path.read_bytes())
        start = content.index(np.full(8, dng.linear(40), "<u2").tobytes())
        half = 256 * 192  # bytes: half of the sensor's values
        content[start : start + half] = np.full(half // 2, 50_000, "<u2").tobytes()
        path.write_bytes(content)
        light = np.asarray(pictures.opened(path).convert("L"))
        assert light[bright].mean() > light.mean() + 30


def test_raw_photos_in_a_folder(tmp_path, models):
    folder = tmp_path / "photos"
    folder.mkdir()
    dng.write(folder / "alone.dng", (250, 90, 20), taken="2020:02:03 04:05:06")
    dng.write(folder / "beside.dng", (10, 200, 30), preview="blue")
    PIL.Image.new("RGB", (60, 40), "blue").save(folder / "beside.jpg")
    shutil.copy(folder / "alone.dng", folder / "cut.nef")
    (folder / "cut.nef").write_bytes((folder / "alone.dng").read_bytes()[:400])
    changes, problems = index.update(folder, tmp_path / "index", models, progress=False)
    assert changes.photos == 2 and problems.keys() == {"cut.nef"}
    with sqlite3.connect(tmp_path / "index/photos.sqlite") as table:
        found = table.execute("SELECT name, width, height, taken FROM photos WHERE width ORDER BY name").fetchall()
    assert found == [("alone.dng", 128, 96, "2020-02-03T04:05:06"), ("beside.jpg", 60, 40, None)]


def test_a_raw_photo_that_claims_to_be_huge_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "shot.dng"
    dng.write(path, (40, 40, 40))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 10_000)
    with pytest.raises(InputError, match="256 x 192 pixels, more than 0.01 megapixels"):
        pictures.opened(path)
    path.write_bytes(b"raw")
    with pytest.raises(InputError, match="the raw file cannot be read"):
        raw.picture(path)
