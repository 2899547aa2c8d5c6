"""Official layouts load exactly; bad ones are told in one message."""

import json

import PIL.Image
import pytest

from ipcir_steps.benchmarks import datasets
from ipcir_steps.config.data import Dataset
from ipcir_steps.core import images
from ipcir_steps.core.errors import InputError


def dataset(kind, root, **more):
    return Dataset(benchmark=kind, root=str(root), exclude_reference=False, **{"lambda": 0.5}, **more)


def test_published_cirr(published):
    data = datasets.load(dataset("cirr", published / "CIRR"), "val")
    assert (len(data.queries), len(data.gallery), len(data.references)) == (4181, 2297, 2165)
    first = data.queries[0]
    assert (first.query_id, first.reference, first.targets) == ("12060", "dev-244-0-img0", ("dev-1028-1-img1",))
    assert len(first.group) == 5 and first.reference not in first.group
    test = datasets.load(dataset("cirr", published / "CIRR"), "test1").queries
    assert len(test) == 4148 and all(query.targets is None for query in test)
    assert [query.query_id for query in test if not query.caption.strip()] == [
        "27098"
    ]  # published so: kept, not refused


def test_published_circo(published):
    val = datasets.load(dataset("circo", published / "CIRCO"), "val")
    assert len(val.queries) == 220 and val.queries[0].targets == ("355099", "528417", "534704")
    assert val.queries[0].aspects[0] == "cardinality"
    test = datasets.load(dataset("circo", published / "CIRCO"), "test")
    assert len(test.queries) == 800 and test.queries[0].targets is None
    shared = len(test.queries) - len(test.references)
    assert shared == 2  # two pairs of queries share a reference: why everything is keyed by query


def test_published_fashioniq(published):
    data = datasets.load(dataset("fashioniq", published / "FashionIQ"), "val")
    assert (len(data.queries), len(data.gallery)) == (2017, 3817)
    assert data.queries[0].captions == ("is shiny and silver with shorter sleeves", "fit and flare")
    assert data.queries[0].category == "dress" and data.gallery[0].categories == ("dress",)


def test_published_photographs_all_decode(published):
    (published / "photos").is_dir() or pytest.skip("no photographs")
    for path in sorted((published / "photos").glob("*.JPEG")):
        assert images.open_rgb(path).mode == "RGB"


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    root.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        PIL.Image.new("RGB", (8, 6), "red").save(root / name)
    return root


def folder(photos, text, **more):
    csv = photos.parent / "queries.csv"
    csv.write_text(text, encoding="utf-8")
    return dataset("folder", photos, queries=str(csv), **more)


def test_folder_reads_awkward_captions(photos):
    text = 'reference,caption,targets\na.png,"a ""quoted"", two\nline café for $5",b.png|c.png\nb.png,x,\n'
    queries = datasets.load(folder(photos, text), "all").queries
    assert queries[0].captions == ('a "quoted", two\nline café for $5',)
    assert queries[0].targets == ("b.png", "c.png") and queries[1].targets is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reference,caption\n../a.png,x\n", r"record 1: field 'reference': path '../a.png' leaves"),
        ("reference,caption\nz.png,x\n", r"'z.png' is not an image below"),
        ("reference,caption\na.png, \n", r"record 1: field 'caption': is empty. Write what"),
        ("reference,caption,id\na.png,x,7\nb.png,x,7\n", r"record 7: field 'query_id': the query id appears twice"),
        ("reference,caption,targets\na.png,x,q.png\n", r"target 'q.png' is not in the gallery"),
        ("ref,caption\na.png,x\n", r"has no column 'reference'"),
        ("reference,caption\n", r"there are no queries"),
    ],
)
def test_bad_query_files(photos, text, message):
    with pytest.raises(InputError, match=message):
        datasets.load(folder(photos, text), "all")


def test_empty_gallery(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="the gallery is empty"):
        datasets.load(folder(tmp_path / "empty", "reference,caption\n"), "all")


def test_missing_dataset_says_where_to_get_it(tmp_path):
    with pytest.raises(
        InputError, match=r"cap.rc2|split.rc2.val.json: the annotation file is missing. Get it from http"
    ):
        datasets.load(dataset("cirr", tmp_path), "val")


def test_wrong_type_names_the_record(tmp_path):
    (tmp_path / "annotations").mkdir()
    record = {"id": 4, "reference_img_id": "x", "relative_caption": "y"}
    (tmp_path / "annotations/val.json").write_text(json.dumps([record]))
    with pytest.raises(InputError, match=r"val.json: record 4: field 'reference_img_id': has the wrong type"):
        datasets.load(dataset("circo", tmp_path), "val")


def damage(photos):
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:50])  # truncated
    (photos / "c.png").write_bytes(b"")
    (photos / "notes.txt").write_text("not an image")


def test_policy_error_stops_at_the_first_unreadable_image(photos):
    damage(photos)
    data = datasets.load(folder(photos, "reference,caption\na.png,x\n"), "all")
    with pytest.raises(InputError, match=r"b.png: the image cannot be read.*missing_images: skip"):
        datasets.inspect(data, photos, "error")


def test_policy_skip_reports_coverage(photos):
    damage(photos)
    data = datasets.load(folder(photos, "reference,caption,targets\na.png,x,b.png\nb.png,y,a.png\na.png,z,\n"), "all")
    split, failures, coverage = datasets.inspect(data, photos, "skip")
    assert [image.name for image in split.gallery] == ["a.png"]
    assert [failure["query_id"] for failure in failures] == ["1", "2"]
    assert coverage["gallery"] == {"annotated": 3, "readable": 1} and coverage["queries"]["complete"] == 1


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "LA", "RGBA", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        PIL.Image.new("I;16", (4, 4), 0x8000).save(path)
    else:
        PIL.Image.new("L", (4, 4), 128).convert(mode).save(path)
    image = images.open_rgb(path)
    assert image.mode == "RGB" and image.size == (4, 4)
    if mode in ("I;16", "L", "CMYK"):
        assert abs(image.getpixel((1, 1))[0] - 128) <= 2


def test_every_step_sees_a_turned_photograph_upright(tmp_path):
    """Masks are cut in the pixels that captions, features and the generator see."""
    from ipcir_steps.core.images import load_image
    from ipcir_steps.core.records import Image
    from ipcir_steps.imagine.proxies.generator import Task

    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.new("RGB", (30, 20), "blue").save(tmp_path / "phone.jpg", exif=exif)
    assert images.decode(tmp_path / "phone.jpg").size == (20, 30)
    assert load_image(tmp_path, Image("phone", "phone.jpg")).size == (20, 30)
    assert Task("q", "", "", (), (0,), tmp_path / "phone.jpg").open_reference().size == (20, 30)
