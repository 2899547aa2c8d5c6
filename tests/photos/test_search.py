"""``ipcir search`` on the command line, and what a person may type."""

import json
import sys
from pathlib import Path

import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipcir_steps.cli import main
from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.terms import Term, parse, weighted


def found(capsys, *words) -> list[dict]:
    assert main(["search", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["results"]


@pytest.fixture
def names(indexed, here) -> list[str]:
    return sorted(path.name for path in (here / "photos").iterdir())


def test_a_picture_alone_finds_itself_first_without_a_model(names, here, capsys, monkeypatch):
    monkeypatch.setattr("ipcir_steps.seek.embeddings.clip.load_encoder", lambda *_: pytest.fail("loaded"))
    rows = found(capsys, "photos", "--index", "index", "--image", names[7], "--k", "3")
    assert len(rows) == 3 and rows[0]["path"] == names[7] and rows[0]["score"] == pytest.approx(1, abs=1e-6)
    assert rows[0]["text_score"] == rows[0]["score"] and rows[0]["proxy_score"] is None
    rows = found(capsys, "photos", "--index", "index", "--image", f"photos/{names[7]}", "--exclude-reference")
    assert len(rows) == 20 and names[7] not in {row["path"] for row in rows}


def test_a_picture_from_elsewhere(names, here, capsys, tmp_path):
    PIL.Image.open(here / "photos" / names[9]).save(tmp_path / "2:copy.png")
    rows = found(capsys, "photos", "--index", "index", "--image", str(tmp_path / "2:copy.png"), "--k", "1")
    assert rows[0]["path"] == names[9]


def test_results_open_as_a_page(tmp_path, here, models, monkeypatch, capsys):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    folder = tmp_path / "photos"
    folder.mkdir()
    PIL.Image.new("RGB", (20, 20), "red").save(folder / "<img src=x onerror=alert(1)>.png")
    assert main(["index", str(folder), "--index", str(tmp_path / "index")]) == 0
    assert main(["search", str(folder), "--index", str(tmp_path / "index"), "--text", "<b>red", "--open"]) == 0
    assert "TOY MODELS" in capsys.readouterr().err
    page = Path(opened[0].removeprefix("file://"))
    text = page.read_text()
    assert text.count("<img ") == 1 and "&lt;b&gt;red" in text and "TOY MODELS" in text
    assert page.stat().st_mode & 0o077 == 0


def test_text_alone_with_weights_and_negative_terms(names, capsys):
    def paths(*words):
        return [row["path"] for row in found(capsys, "photos", "--index", "index", "--k", "10", *words)]

    plain = paths("--text", "a red circle")
    assert len(plain) == 10
    assert paths("--text", "a red circle", "--text", "a blue background") == paths(
        "--text", "a red circle; a blue background"
    )
    without = paths("--text", "a red circle", "--without", "a blue background")
    assert without == paths("--text", "a red circle -a blue background") != plain
    assert paths("--text", "2:red; green") == paths("--text", "green", "--text", "2:red")
    assert paths("--image", f"2:{names[0]}", f"--image=-1:{names[1]}")[0] == names[0]


def test_a_text_finds_what_it_says(names, here, capsys):
    """On the mini world its CLIP knows the words: the first photos show what is asked for."""
    from ipcir_steps.core.files import read_jsonl

    shown = {
        f"{int(record['image']):012d}.jpg": record["caption"]
        for record in read_jsonl(here / "world/scenes/mini_circo.images.jsonl")
    }
    for text, words in (
        ("a large red triangle", "large red"),
        ("a red cross on a green background", "green background"),
    ):
        rows = found(capsys, "photos", "--index", "index", "--text", text, "--k", "5")
        assert sum(words in shown[row["path"]] for row in rows) >= 4


def test_the_table_cannot_be_forged_by_a_file_name(tmp_path, here, capsys, models):
    folder = tmp_path / "photos"
    folder.mkdir()
    PIL.Image.new("RGB", (20, 20), "red").save(folder / "a\x1b[2J\n.png")
    assert main(["index", str(folder), "--index", str(tmp_path / "index")]) == 0
    assert main(["search", str(folder), "--index", str(tmp_path / "index"), "--text", "red"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}.png" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["photos", "--index", "index"], "nothing to search by"),
        (["photos", "--index", "index", "--text", " ; "], "nothing to search by"),
        (["photos", "--index", "nowhere", "--text", "x"], "there is no index"),
        (["nowhere", "--text", "x"], "is not a folder"),
        (["photos", "--index", "index", "--image", "nothing.jpg"], "no such picture"),
        (["photos", "--index", "index", "--text", "x", "--k", "0"], "field '--k'"),
        (["photos", "--index", "index", "--text", "x", "--lambda", "2"], "field '--lambda'"),
        (["photos", "--index", "index", "--text", "x", "--after", "soon"], "'soon' is not a date"),
        (["photos", "--index", "index", "--text", "x", "--stack", "other"], "no stack 'other'"),
        (["photos", "--index", "index", "--text", "x", "--imagine"], "a picture and a text"),
        (["world", "--index", "index", "--text", "x"], "is the index of"),
    ],
)
def test_errors_are_one_message(words, message, names, capsys):
    assert main(["search", *words]) == 2
    err = capsys.readouterr().err
    assert message in err and "Traceback" not in err


def test_a_model_that_is_not_there_is_named_with_the_command_that_fetches_it(names, tmp_path, capsys):
    stack = tmp_path / "mine.yaml"
    clip = "{B: {source: someone/clip, revision: abc}}"
    stack.write_text(f"stacks: {{mine: {{extends: mini, backbones: [B], clip: {clip}}}}}\nbaselines: [cirevl]\n")
    assert main(["index", "photos", "--index", str(tmp_path / "i"), "--stack", str(stack)]) == 2
    err = capsys.readouterr().err
    assert "ipcir models --name B --source someone/clip --revision abc --role clip" in err


@pytest.mark.slow
def test_the_mini_stack_builds_its_models_once(tmp_path, house, monkeypatch):
    """Where there are none, in the user's cache; nothing has to be known of the workflow."""
    import subprocess

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    command = [sys.executable, "-m", "ipcir_steps", "index", house / "photos"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "300 photos" in done.stdout, done.stderr
    assert (tmp_path / "cache/ipcir/resources/mini/models/clip/open_clip_config.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "data"]


@given(st.text(max_size=200))
def test_any_text_is_read(text):
    try:
        terms = parse(text)
    except InputError:
        return
    assert all(term.text.strip() and term.text.isprintable() for term in terms)


def test_weights():
    assert weighted("2:a.jpg") == ("a.jpg", 2.0) and weighted("-.5:b") == ("b", -0.5)
    assert weighted("C:a.jpg") == ("C:a.jpg", 1.0) and weighted("2:") == ("2:", 1.0)
    assert parse("-2:dark sky; cat") == (Term("dark sky", -2.0), Term("cat"))
    assert parse("photo - of a x-ray +cat") == (Term("photo - of a x-ray"), Term("cat"))
    with pytest.raises(InputError, match="characters"):
        parse("x" * 3000)
    with pytest.raises(InputError, match="terms"):
        parse(";".join(["x"] * 40))
