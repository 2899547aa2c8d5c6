"""The cards of the generators: what drawing needs, known before anything is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps.config.generation import GENERATORS, Generator, Proxies, generator_of, generator_roles
from ipcir_steps.core import plugins
from ipcir_steps.core.errors import InputError

MODELS = ("captioner", "generator", "migc", "elite_global", "vision", "detector")


@pytest.mark.parametrize("name", GENERATORS)
def test_shipped_generators_are_where_their_cards_say(name):
    assert generator_of(Proxies(generator=name)) is GENERATORS[name]
    assert isinstance(plugins.declared(GENERATORS[name].name), dict)


def test_roles_are_those_of_the_generator_that_are_configured():
    assert generator_roles(Proxies(generator="migc"), MODELS) == ["generator", "migc", "elite_global", "vision"]
    assert generator_roles(Proxies(generator="gligen", redraws=1), MODELS) == ["generator", "detector"]
    assert generator_roles(Proxies(generator="directory"), ()) == []
    with pytest.raises(
        InputError, match="needs a model for the role 'migc', which is not set. Set migc beside generator"
    ):
        generator_roles(Proxies(generator="migc"), ("generator",))


def test_steps_whose_work_is_not_read():
    unused = {name: card.unused for name, card in GENERATORS.items()}
    assert unused["migc"] == set() and unused["gligen"] == {"masks"}
    assert unused["directory"] == unused["image_editing"] == {"layouts", "masks"}
    assert Generator("x", needs_layouts=False).unused == set()  # masks are of the instances of layouts


def test_target_captions_as_prompts_leave_layouts_and_masks_out():
    """What is needed depends on a setting; of other generators it changes nothing, nor does it stand in old digests."""
    drawn = generator_of(Proxies(generator="text_to_image", prompt="target_captions"))
    assert drawn.unused == {"layouts", "masks"} and drawn.needs_captions and drawn.roles == ("generator",)
    planned = generator_of(Proxies(generator="text_to_image"))
    assert planned.unused == {"masks"} and not planned.needs_captions
    assert generator_of(Proxies(generator="migc", prompt="target_captions")) is GENERATORS["migc"]
    assert "prompt" not in Proxies().model_dump()


def test_a_custom_generator_declares_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "drawing.py").write_text(
        "import torch_of_another_machine\n\n\n"
        "class Mine:\n"
        '    roles = ["generator", "depth"]\n'
        "    needs_layouts = needs_masks = False\n\n\n"
        "class Plain:\n    pass\n"
    )
    assert generator_of(Proxies(generator="drawing:Plain")) == Generator("drawing:Plain")
    card = generator_of(Proxies(generator="drawing:Mine"))
    assert card.roles == ("generator", "depth") and not card.needs_layouts and not card.needs_masks
    with pytest.raises(InputError, match="needs a model for the role 'depth'"):
        generator_roles(Proxies(generator="drawing:Mine"), MODELS)
    with pytest.raises(InputError, match="'drawing:Other' cannot be read .*has no class Other"):
        generator_of(Proxies(generator="drawing:Other"))


def test_cards_are_read_without_torch():
    code = (
        "import sys; from ipcir_steps.config.generation import GENERATORS\n"
        "assert not {'torch', 'diffusers', 'PIL', 'ipcir_steps.imagine'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
