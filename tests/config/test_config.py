"""The configuration is checked before any job starts; its generated files never drift from the models."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ipcir_steps import config
from ipcir_steps.config import command
from ipcir_steps.config.baselines import BASELINES
from ipcir_steps.core.errors import InputError

ROOT = Path(__file__).parents[2]
MINE = {"benchmark": "folder", "root": "photos", "exclude_reference": True, "lambda": 0.5, "queries": "q.csv"}


def test_generated_files_do_not_drift():
    assert (ROOT / "config.yaml").read_text() == command.default_yaml(), "run: ipcir config --defaults config.yaml"
    written = json.loads((ROOT / "schemas/config.json").read_text())
    assert written == command.schema(), "run: ipcir config --schema schemas/config.json"


def test_default_yaml_is_the_default():
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    assert config.load_config(values) == config.Config() == config.load_config({})


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_example_configurations_are_valid(path):
    config.load_config(yaml.safe_load(path.read_text()), str(path))


def test_catalogues_are_changed_not_replaced():
    loaded = config.load_config({"datasets": {"mine": MINE, "circo": {"split": "test"}}, "run": ["mine", "cirr"]})
    assert loaded.datasets["mine"].root == "photos" and "cirr" in loaded.datasets
    assert loaded.datasets["circo"].split == "test" and loaded.datasets["circo"].root == "data/CIRCO"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"sede": 1}, r"unknown key 'sede' \(value 1\) \(did you mean 'seed'\?\)"),
        (
            {"datasets": {"mini_circo": {"stopping": {"settld": 0.9}}}},  # a section that may be null
            r"unknown key 'datasets.mini_circo.stopping.settld' .*did you mean 'settled'",
        ),
        ({"captions": {"count": 3}}, r"key 'captions' belongs to a stack.*stacks: {published: {captions: …}}"),
        ({"shards": "4"}, r"key 'shards': .*valid integer, but the value is '4'"),
        ({"baselines": ["LDREE"]}, r"baselines: unknown name 'LDREE'"),
        (
            {"custom_baselines": {"mine": {"function": "a:b", "setings": {}}}},
            r"unknown key 'custom_baselines.mine.setings' .*did you mean 'settings'",
        ),
        ({"custom_baselines": {"ldre": "a:b"}}, r"custom_baselines: 'ldre' is the name of a shipped baseline"),
        ({"run": ["cirr"], "baselines": ["searle"]}, r"stacks.published.mappings: searle needs .* 'ViT-L-14'"),
        ({"run": ["mini_cir"]}, r"did you mean 'mini_cirr'\?"),
        ({"fusion": {"scale": "datset"}}, r"key 'fusion.scale': 'datset' is not allowed \(did you mean 'dataset'\?\)"),
        ({"datasets": {"x": {**MINE, "lambda": 1.1}}}, r"datasets.x.lambda.*1\.1"),
        ({"datasets": {"circo": {"lambda": {"rule": "capt"}}}}, r"lambda.rule: unknown rule 'capt' .*captions"),
        ({"datasets": {"x": {**MINE, "lambda": {"ViT-L-14": "captions"}}}}, r"lambda.ViT-L-14: 'captions' is not"),
        ({"datasets": {"cirr": {"lambda": {"rule": "agreed"}, "tuned_on": "circo"}}}, r"leave one of them out"),
        (
            {"run": ["mini_circo"], "frontier": {"settings": {"fast": {"proxies": {"stepz": 3}}}}},
            r"frontier.settings.fast: unknown key 'proxies.stepz' \(value 3\) \(did you mean 'steps'\?\)",
        ),
        (
            {"stacks": {"published": {"proxies": {"scheduler": "lcm", "steps": 60}}}},
            r"proxies.steps: 60 is more than the 50 noise levels of scheduler lcm",
        ),
        (
            {"frontier": {"settings": {"fast": {"proxies": {"scheduler": "tcd", "steps": 51}}}}},
            r"frontier.settings.fast: proxies.steps: 51 is more than the 50 noise levels of scheduler tcd",
        ),
        ({"datasets": {"x": {"root": "x"}}}, r"key 'datasets.x.benchmark' is missing"),
        ({"datasets": {"x": {**MINE, "stack": "publsihed"}}}, r"datasets.x.stack: .*did you mean 'published'"),
        ({"datasets": {"x": {**MINE, "format": "folder"}}}, r"key 'datasets.x.format' is now called 'benchmark'"),
    ],
)  # fmt: skip
def test_mistakes_are_named(values, message):
    with pytest.raises(InputError, match=message):
        config.load_config(values)


def test_all_baselines_are_in_the_overlay():
    overlay = yaml.safe_load((ROOT / "configs/all_baselines.yaml").read_text())
    assert set(overlay["baselines"]) == {name for name, card in BASELINES.items() if not card.sees}, "of two towers"


def test_light_commands_start_quickly():
    """A step that needs no model must not import one."""
    for step in ("datasets", "gather", "metrics", "results", "failures", "models", "submission", "config"):
        code = (
            "import sys; from ipcir_steps.cli import main\n"
            f"try: main(['{step}', '--help'])\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'transformers', 'diffusers', 'open_clip', 'matplotlib'} & set(sys.modules)\n"
            "assert not heavy, heavy"
        )
        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


def test_the_guide_to_the_configuration_names_settings_that_exist():
    """config/README.md is what the Snakemake workflow catalogue shows."""
    rows = [line for line in (ROOT / "config/README.md").read_text().splitlines() if line.startswith("| ")]
    named = {part for row in rows for key in re.findall(r"`([a-zA-Z_.]+)`", row) for part in key.split(".")}
    settings = set(re.findall(r'"(\w+)": \{', json.dumps(command.schema())))
    words = {"NAME", "snakemake", "folder", "CSV"}  # what stands for a name, a command, a value
    assert len(named) > 15 and named - words <= settings
