"""What captions of the proxies are planned to cost."""

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.runtime.plan.estimates import Estimates
from ipcir_steps.runtime.plan.memory import megabytes
from ipcir_steps.runtime.plan.steps import Counts, steps

JOINED = {"ldre_captioned": {"baseline": "ldre", "weight": 0.3}}


def configured(stack="mini", **more):
    values = {"proxy_captions": {"joined": JOINED}, "datasets": {"circo": {"stack": stack, "toy_models": True}}, **more}
    return load_config(values).resolved("circo")


def test_they_are_planned_only_where_they_join_a_text_side(tmp_path):
    plain = {step.name for step in steps(configured(), Counts(2, 2, 4), tmp_path)}
    with_them = {step.name: step for step in steps(configured(baselines=["ldre_captioned"]), Counts(2, 2, 4), tmp_path)}
    added = {"proxy_captions", "mini: proxy_captions", "mini: ldre_captioned"}
    assert set(with_them) - plain == added and plain - set(with_them) == {"mini: ldre"}
    assert with_them["proxy_captions"].items == 2 and with_them["mini: proxy_captions"].items == 2 * 5
    assert with_them["mini: ldre_captioned"].needs.how == "features alone"


@pytest.mark.slow
def test_five_images_with_a_caption_each_cost_less_than_five_times_fifteen_captions():
    """The same captioner: vision tower and prompt for each image, and fewer texts."""
    config = configured("published")
    estimates = Estimates(config)
    own, references = estimates.step("proxy_captions").operations, estimates.step("captions").operations
    assert references < own < 5 * references
    assert megabytes(config, "proxy_captions", device="cuda") <= megabytes(config, "captions", device="cuda")
