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
def test_five_images_cost_five_times_one_with_as_many_captions():
    """And one caption each far less than fifteen: the texts are most of the work of BLIP-2 with OPT 6.7b."""
    many = configured("published", proxy_captions={"count": 15, "joined": JOINED})
    estimates = Estimates(many)
    references = estimates.step("captions").operations
    assert estimates.step("proxy_captions").operations == 5 * references
    few = configured("published")
    assert references / 2 < Estimates(few).step("proxy_captions").operations < 5 / 3 * references
    asked = [megabytes(config, "proxy_captions", device="cuda") for config in (few, many)]
    assert asked[0] <= asked[1] == megabytes(many, "captions", device="cuda")
