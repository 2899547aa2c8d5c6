"""The cards of the figures: rules, commands and captions derive from them."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.evaluate.reporting import figures
from ipcir_steps.evaluate.reporting.figures import FIGURES, cards

ROOT = Path(__file__).parents[4]
QUOTED = ("fusion", "proxies", "sensitivity", "backbones", "baselines", "resamples", "seed")


def settings(*names):
    config = load_config({"datasets": {"mini_circo": {"tuned_on": "mini_cirr"}}})
    values = config.model_dump(mode="json")
    stack = config.stack_of("mini_circo")
    values |= {"backbones": stack.backbones, "proxies": stack.proxies.model_dump(mode="json")}
    return {"datasets": {name: values["datasets"][name] for name in names}, **{key: values[key] for key in QUOTED}}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_a_command_and_a_caption(name):
    parser = argparse.ArgumentParser()
    figures.arguments(parser)
    kinds = next(action for action in parser._actions if action.dest == "kind")
    assert set(kinds.choices) == set(FIGURES) and FIGURES[name].help.endswith(".")
    of_dataset = FIGURES[name].of in ("result", "queries")
    text = cards.caption(
        name, settings("mini_circo" if of_dataset else "mini_cirr"), "mini_circo" if of_dataset else None
    )
    assert text[-1] in ".)" and "{" not in text and "[" not in text and "None" not in text and "  " not in text


def test_captions_quote_the_configuration():
    text = cards.caption("fig7", settings("mini_cirr", "mini_circo"))
    assert "over 0.0, 0.1, 0.2" in text and "(mini_cirr: 0.5; mini_circo: chosen on mini_cirr)" in text
    assert text.endswith("Intervals: 95 % bootstrap, 1000 resamples, seed 2025.")
    text = cards.caption("fig3", settings("mini_circo"), "mini_circo")
    assert text.startswith("**mini_circo**, ldre on mini, proxies drawn by ``migc`` (10 steps, 64 x 64 pixels).")
    assert text.endswith("λ: chosen on mini_cirr.")


def test_two_figures_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two figures 'fig7'"):
        cards.figure("fig7", of="sweeps", caption="")(lambda sweeps: None)


def test_rules_can_read_the_cards_without_drawing():
    code = (
        "import sys; from ipcir_steps.evaluate.reporting.figures import FIGURES;"
        "print(sorted({'matplotlib', 'torch', 'PIL', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_on_figures_names_each():
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert all(name in text for name in FIGURES)
