"""The text side of a search is the configured baseline, also where it is one's own."""

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.core.errors import InputError
from ipcir_steps.photos.sides import configured
from ipcir_steps.seek.baselines import cirevl, ldre


def own(entry) -> dict:
    return {"baselines": ["mine"], "custom_baselines": {"mine": entry}}


@pytest.mark.parametrize(
    ("given", "function", "settings"),
    [
        ({"baselines": ["cirevl"]}, cirevl.text_features, {}),
        (own("ipcir_steps.seek.baselines.cirevl:text_features"), cirevl.text_features, {}),
        (own({"function": "ipcir_steps.seek.baselines.ldre:text_features", "settings": {"k": 5}}),
         ldre.text_features, {"k": 5}),
    ],
)  # fmt: skip
def test_a_baseline_is_found_with_its_settings(given, function, settings):
    config = load_config(given).with_stack("mini")
    found, its = configured(config, config.baselines[0])
    assert found is function and {name: getattr(its, name) for name in settings} == settings


def test_ones_own_that_cannot_be_used_is_told():
    config = load_config(own({"function": "ipcir_steps.seek.baselines.ldre:text_features", "settings": {"k": "many"}}))
    with pytest.raises(InputError, match="'k'.*many"):
        configured(config.with_stack("mini"), "mine")
    with pytest.raises(InputError, match="there is no baseline 'features.safetensors'"):
        configured(load_config(own("features.safetensors")).with_stack("mini"), "mine")
