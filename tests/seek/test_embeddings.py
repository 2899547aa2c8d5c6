import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from ipcir_steps.cli import main
from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.features import load_features
from ipcir_steps.core.files import write_jsonl
from ipcir_steps.core.records import Image, Query, write_records
from ipcir_steps.seek.embeddings import stream, target_pad_transform
from ipcir_steps.seek.embeddings.clip import load_encoder


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Four images, one absent and one damaged; three queries, two with the same reference."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for number in range(4):
        pixels = generator.integers(0, 256, (40, 30 + 20 * number, 3), dtype=np.uint8)
        Picture.fromarray(pixels).save(f"i{number}.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "i0.png").read_bytes()[:200])
    images = [Image(f"i{n}", f"i{n}.png", 30 + 20 * n, 40) for n in range(4)]
    write_records("gallery.jsonl", images)
    write_records("references.jsonl", [*images, Image("gone", "gone.png"), Image("bad", "bad.png", 30, 40)])
    queries = [Query("1", "i2", ["a"]), Query("2", "i0", ["b"]), Query("3", "i2", ["c"]), Query("4", "gone", ["d"])]
    queries.append(Query("5", "bad", ["e"]))
    write_records("queries.jsonl", queries)
    return tmp_path


def run(clip_directory, kind, *options):
    command = ["embeddings", kind, "--model", str(clip_directory), "--output", "out.safetensors", *options]
    assert main(command) == 0
    return load_features("out.safetensors")


def test_gallery(world, clip_directory, encoder):
    found = run(clip_directory, "images", "--images", "gallery.jsonl", "--root", ".", "--settings", '{"batch_size": 3}')
    assert found.names == ("i0", "i1", "i2", "i3") and found.missing == ()
    assert found.values.shape == (4, 24) and found.values.dtype == np.float32
    for number in range(4):
        pixels = encoder.transform(Picture.open(f"i{number}.png"))[None]
        with torch.no_grad():
            expected = encoder.model.encode_image(pixels)[0].numpy()
        np.testing.assert_allclose(found.values[number], expected, rtol=0, atol=1e-6)
    assert found.model["digest"] == encoder.identity["digest"] and len(found.model["digest"]) == 64
    assert not (world / "out.safetensors.part").exists()


def test_references_are_rows_of_queries_and_encoded_once(world, clip_directory, monkeypatch):
    from ipcir_steps.seek.embeddings.clip import Encoder

    seen = []
    pixels = Encoder.pixels
    monkeypatch.setattr(Encoder, "pixels", lambda self, batch: seen.append(len(batch)) or pixels(self, batch))
    found = run(clip_directory, "images", "--images", "references.jsonl", "--root", ".", "--queries", "queries.jsonl")
    assert found.names == ("1", "2", "3", "4", "5") and found.missing == ("4", "5")
    assert not found.values[3:].any()
    assert sum(seen) == 2
    assert np.array_equal(found.values[0], found.values[2]) and not np.array_equal(found.values[0], found.values[1])


def test_a_gallery_must_be_complete(world, clip_directory, capsys):
    command = ["embeddings", "images", "--images", "references.jsonl", "--root", ".", "--model", str(clip_directory)]
    assert main([*command, "--output", "o.safetensors"]) == 2
    assert "references.jsonl: record gone: the image is absent" in capsys.readouterr().err


def test_captions(world, clip_directory, encoder):
    write_jsonl("c.jsonl", [{"query_id": "2", "captions": ["x", "y"]}, {"query_id": "1", "captions": ["y", "z"]}])
    found = run(clip_directory, "captions", "--queries", "queries.jsonl", "--captions", "c.jsonl")
    assert found.values.shape == (5, 2, 24) and found.missing == ("3", "4", "5")
    assert np.array_equal(found.values[0, 0], found.values[1, 1])
    np.testing.assert_allclose(found.values[0, 1], encoder.texts(["z"])[0].numpy(), rtol=0, atol=1e-6)


def test_captions_of_unequal_number(world, clip_directory, capsys):
    write_jsonl("c.jsonl", [{"query_id": "2", "captions": ["x", "y"]}, {"query_id": "1", "captions": ["y"]}])
    command = ["embeddings", "captions", "--queries", "queries.jsonl", "--captions", "c.jsonl"]
    assert main([*command, "--model", str(clip_directory), "--output", "o.safetensors"]) == 2
    assert "c.jsonl: record 2: field 'captions': has 1 entries" in capsys.readouterr().err


def test_proxies(world, clip_directory):
    os.makedirs("drawn/1")
    for number in range(2):
        shutil.copy(f"i{number}.png", f"drawn/1/{number}.png")
    rows = [{"query_id": "1", "images": ["1/0.png", "1/1.png"]}, {"query_id": "2", "images": ["1/0.png", "2/1.png"]}]
    write_jsonl("index.jsonl", rows)
    proxies = run(
        clip_directory, "proxies", "--queries", "queries.jsonl", "--index", "index.jsonl", "--images", "drawn"
    )
    gallery = run(clip_directory, "images", "--images", "gallery.jsonl", "--root", ".")
    assert proxies.values.shape == (5, 2, 24) and proxies.missing == ("2", "3", "4", "5")
    np.testing.assert_allclose(proxies.values[0], gallery.values[:2], rtol=0, atol=1e-6)


def test_proxy_paths_may_not_leave_their_directory(world, clip_directory, capsys):
    write_jsonl("index.jsonl", [{"query_id": "1", "images": ["../i0.png"]}])
    command = ["embeddings", "proxies", "--queries", "queries.jsonl", "--index", "index.jsonl", "--images", "drawn"]
    assert main([*command, "--model", str(clip_directory), "--output", "o.safetensors"]) == 2
    assert "leaves the directory" in capsys.readouterr().err


def test_a_weights_file_with_a_named_architecture(world, clip_directory):
    with pytest.raises(ModelError, match=r"set embeddings\.architecture"):
        load_encoder(clip_directory / "open_clip_model.safetensors")


def test_directories_without_a_model_never_get_random_weights(tmp_path, clip_directory):
    (tmp_path / "m").mkdir()
    (tmp_path / "m/readme").write_text("x")
    with pytest.raises(ModelError, match=r"no open_clip_config\.json"):
        load_encoder(tmp_path / "m")
    shutil.copy(clip_directory / "open_clip_config.json", tmp_path / "m")
    with pytest.raises(ModelError, match="Fetch the model again"):
        load_encoder(tmp_path / "m")
    (tmp_path / "m/open_clip_model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_encoder(tmp_path / "m")


def test_preprocessing_follows_the_model(encoder):
    black = encoder.transform(Picture.new("L", (64, 40)))
    assert black.shape == (3, 32, 32)
    expected = torch.tensor([-0.5 / 0.3, -0.4 / 0.2, -0.3 / 0.1])
    torch.testing.assert_close(black[:, 5, 5], expected)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK", "1", "LA", "I;16"])
def test_every_mode_gives_three_channels(mode):
    picture = Picture.new("RGB", (90, 40), (10, 200, 30))
    picture = Picture.new(mode, (90, 40)) if mode == "I;16" else picture.convert(mode)
    assert target_pad_transform(16)(picture).shape == (3, 16, 16)


def test_padding_is_by_whole_pixels():
    """100 x 41: the short side must reach 100 / 1.25 = 80, so int(19.5) = 19 rows above and below."""
    from ipcir_steps.seek.embeddings.transform import TargetPad

    assert TargetPad(1.25)(Picture.new("RGB", (100, 41))).size == (100, 79)
    assert TargetPad(1.25)(Picture.new("RGB", (41, 100))).size == (79, 100)
    assert TargetPad(1.25)(Picture.new("RGB", (100, 81))).size == (100, 81)


def test_results_do_not_depend_on_the_batch(world, clip_directory):
    options = ("--images", "gallery.jsonl", "--root", ".", "--settings")
    one, all_ = (run(clip_directory, "images", *options, f'{{"batch_size": {n}}}').values.copy() for n in (1, 6))
    np.testing.assert_allclose(one, all_, rtol=0, atol=1e-6)
    again = run(clip_directory, "images", *options, '{"batch_size": 6}').values
    assert np.array_equal(all_, again)


class TestStream:
    """Continuing after a kill."""

    def test_takes_over_intact_batches_only(self, tmp_path):
        output, calls = tmp_path / "o", []

        def encode(batch):
            calls.extend(batch)
            if 7 in batch and not self.mended:
                raise RuntimeError("killed")
            return np.array(batch, np.float32)[:, None] * [1, 2]

        self.mended = False
        kwargs = {"batch_size": 2, "title": "t"}
        with pytest.raises(RuntimeError):
            stream.stream(range(9), encode, output, {"a": 1}, **kwargs)
        part = stream.part_of(output)
        data = bytearray(part.read_bytes())
        data[-1] ^= 1  # the last finished batch (4, 5) is damaged
        part.write_bytes(data)
        self.mended = True
        calls.clear()
        values = stream.stream(range(9), encode, output, {"a": 1}, **kwargs)
        assert calls == [4, 5, 6, 7, 8]
        assert values.tolist() == [[n, 2 * n] for n in range(9)]
        calls.clear()
        stream.stream(range(9), encode, output, {"a": 2}, **kwargs)
        assert calls == list(range(9))  # another context: nothing is taken over

    def test_of_nothing(self, tmp_path):
        assert stream.stream([], None, tmp_path / "o", {}, batch_size=2, title="t").shape == (0, 0)

    def test_features_are_held_once(self, tmp_path):
        def encode(batch):
            return np.full((len(batch), 1000), batch[0], np.float32)

        def peak(**kwargs):
            tracemalloc.start()
            values = stream.stream(range(5000), encode, tmp_path / "o", {}, batch_size=50, title="t", **kwargs)
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert values[4999, 0] == 4950
            return most / values.nbytes

        assert peak() < 1.3
        assert peak() < 1.3  # all of it from the part file


@pytest.mark.slow
def test_killed_process_continues_with_the_same_bytes(world, clip_directory, tmp_path):
    """kill -9 after the first batch, then again: the file equals that of an undisturbed run."""
    code = """
import os, signal, sys
from ipcir_steps.cli import main
from ipcir_steps.seek.embeddings.clip import Encoder
pixels, calls = Encoder.pixels, []
def counted(self, batch):
    calls.append(1)
    if len(calls) == 2 and os.environ.get("KILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    return pixels(self, batch)
Encoder.pixels = counted
code = main(sys.argv[1:])
print(len(calls))
sys.exit(code)
"""
    command = [sys.executable, "-c", code, "embeddings", "images", "--images", "gallery.jsonl", "--root", "."]
    command += ["--model", str(clip_directory), "--settings", json.dumps({"batch_size": 2}), "--output"]
    import ipcir_steps

    env = os.environ | {"PYTHONPATH": os.path.dirname(os.path.dirname(ipcir_steps.__file__))}
    killed = subprocess.run([*command, "a.safetensors"], env=env | {"KILL": "1"}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL and not os.path.exists("a.safetensors")
    resumed = subprocess.run([*command, "a.safetensors"], env=env, capture_output=True, text=True)
    whole = subprocess.run([*command, "b.safetensors"], env=env, capture_output=True, text=True)
    assert (resumed.returncode, whole.returncode) == (0, 0)
    assert int(resumed.stdout) == int(whole.stdout) - 1
    assert (world / "a.safetensors").read_bytes() == (world / "b.safetensors").read_bytes()


def test_unknown_reference_is_named(world, clip_directory, capsys):
    write_records("queries.jsonl", [Query("1", "nowhere", ["a"])])
    command = ["embeddings", "images", "--images", "gallery.jsonl", "--root", ".", "--queries", "queries.jsonl"]
    assert main([*command, "--model", str(clip_directory), "--output", "o.safetensors"]) == 2
    assert "record 1: reference 'nowhere' is not in gallery.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_features_are_stored_as_float32(world, clip_directory, encoder, dtype):
    settings = json.dumps({"dtype": dtype, "batch_size": 3})
    found = run(clip_directory, "images", "--images", "gallery.jsonl", "--root", ".", "--settings", settings)
    assert found.values.dtype == np.float32 and found.model["dtype"] == dtype
    half = load_encoder(clip_directory, Embeddings(dtype=dtype))
    assert half.dtype is getattr(torch, dtype) and encoder.dtype is torch.float32
    whole = encoder.pixels(torch.stack([encoder.transform(Picture.open(f"i{n}.png")) for n in range(4)]))
    texts = ["a red circle", "x" * 300]
    for one, other in ((torch.tensor(found.values), whole), (half.texts(texts), encoder.texts(texts))):
        assert not torch.equal(one, other)
        assert torch.nn.functional.cosine_similarity(one, other).min() > 0.999


def test_a_feature_that_is_no_number_stops_the_step(world, clip_directory, monkeypatch, capsys):
    from ipcir_steps.seek.embeddings.clip import Encoder

    monkeypatch.setattr(Encoder, "texts", lambda self, texts: torch.full((len(texts), 24), torch.inf))
    write_jsonl("c.jsonl", [{"query_id": "2", "captions": ["x"]}])
    command = ["embeddings", "captions", "--queries", "queries.jsonl", "--captions", "c.jsonl"]
    assert main([*command, "--model", str(clip_directory), "--output", "o.safetensors"]) == 2
    assert "embeddings.dtype" in capsys.readouterr().err
