"""An image that is not the recorded one, or was made from other files, is refused; definitions are alike and pinned."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from ipcir_steps.cli import main
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.files import digest, sha256, write_json
from ipcir_steps.runtime import containers

ROOT = Path(__file__).parents[2]
FAMILIES = ["analysis", "diffusion", "language", "vision"]
EXTRAS = {"language": "language,llama,quantised"}  # what is installed for a family, where it is more than its own


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A definition, its files, and an image with its record, as ``build`` leaves them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "containers").mkdir()
    (tmp_path / "package").mkdir()
    (tmp_path / "package/step.py").write_text("step = 1\n")
    (tmp_path / "pins.txt").write_text("numpy==1\n")
    definition, image = Path("containers/tiny.def"), Path("containers/tiny.sif")
    definition.write_text("Bootstrap: docker\n\n%files\n    pins.txt /pins.txt\n    package /package\n\n%post\n")
    image.write_bytes(b"image")
    inputs = containers.sources(definition)
    record = {"image_sha256": sha256(image), "definition_sha256": sha256(definition), "inputs": inputs}
    write_json("containers/tiny.sif.json", record | {"inputs_sha256": digest(inputs)})
    return image


def test_what_is_up_to_date_passes(built, capsys):
    assert containers.sources(Path("containers/tiny.def")).keys() == {"pins.txt", "package/step.py"}
    assert main(["containers", "check"]) == 0
    assert capsys.readouterr().out == "containers/tiny.sif: is up to date\n"
    containers.refuse_stale()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: Path("containers/tiny.sif").write_bytes(b"imagE"), "the image has changed since it was built"),
        (lambda: Path("containers/tiny.sif").unlink(), "there is no image"),
        (lambda: Path("containers/tiny.sif.json").unlink(), "does not say what it was built from"),
        (lambda: Path("containers/tiny.sif.json").write_text("{"), "does not say what it was built from"),
        (lambda: Path("pins.txt").write_text("numpy==2\n"), "pins.txt changed since it was built"),
        (lambda: Path("package/step.py").write_text("step = 2\n"), "package/step.py changed since it was built"),
        (lambda: Path("package/new.py").write_text(""), "package/new.py changed since it was built"),
        (lambda: Path("package/step.py").unlink(), "package/step.py changed since it was built"),
    ],
)
def test_what_changed_is_named_and_refused(built, capsys, change, reason):
    containers.refuse_stale()  # remembers the verified image: a change must be seen nevertheless
    change()
    assert main(["containers", "check", "tiny"]) == 1
    told = capsys.readouterr().out
    assert reason in told and "Run `ipcir containers build tiny`" in told
    with pytest.raises(InputError, match="ipcir containers build tiny"):
        containers.refuse_stale()


def test_a_changed_definition_is_refused(built, capsys):
    with open("containers/tiny.def", "a") as file:
        file.write("# other\n")
    assert main(["containers", "check"]) == 1
    assert "containers/tiny.def has changed since it was built" in capsys.readouterr().out


def test_an_unknown_family_and_a_missing_file_are_named(built, capsys):
    assert main(["containers", "check", "huge"]) == 2
    assert "Choose one of tiny" in capsys.readouterr().err
    shutil.rmtree("package")
    assert main(["containers", "check"]) == 2
    assert "containers/tiny.def: field '%files': package does not exist" in capsys.readouterr().err


def test_definitions_differ_only_in_their_family():
    assert containers.families(ROOT / "containers") == FAMILIES
    common = set()
    for family in FAMILIES:
        text = (ROOT / f"containers/{family}.def").read_text()
        for section in ("%arguments", "%files", "%post", "%environment", "%test", "%labels", "%help"):
            assert f"\n{section}\n" in text
        assert "BASE=python:3.11.13-slim-bookworm" in text and "--constraint constraints.txt" in text
        test, rest = text.partition("%test")[2].partition("%labels")[0], text.partition("%test")[0]
        assert "import" in test and "ipcir" in test
        world = "    mini_world /opt/ipcir/mini_world\n"  # its rules run in one image; a change makes no other stale
        assert (world in rest) == (family == "diffusion")
        rest = rest.replace(f".[{EXTRAS.get(family, family)}]", ".[FAMILY]").replace(world, "")
        start, end = rest.find("    # gptqmodel needs"), rest.find("    pip install")  # what compiling needs
        assert (start >= 0) == (family == "language")
        common.add(rest[:start] + rest[end:] if start >= 0 else rest)
        assert containers.sources(ROOT / f"containers/{family}.def", ROOT).keys() >= {"constraints.txt"}
    assert len(common) == 1


def test_conda_environments_are_pinned():
    for family in FAMILIES:
        content = yaml.safe_load((ROOT / f"envs/{family}.yaml").read_text())
        assert all(re.fullmatch(r"[\w-]+ =\d+(\.\d+)+", entry) for entry in content["dependencies"])
        script = (ROOT / f"envs/{family}.post-deploy.sh").read_text()
        where = '"$constraints"' if family == "language" else "constraints.txt"
        assert f'--constraint {where} --editable ".[{EXTRAS.get(family, family)}]"' in script
