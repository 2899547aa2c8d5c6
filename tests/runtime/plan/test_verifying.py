"""What verification is planned to cost."""

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.runtime.plan.estimates import Estimates
from ipcir_steps.runtime.plan.memory import need
from ipcir_steps.runtime.plan.steps import Counts, steps


def configured(stack: str, **verify):
    return load_config({"verify": verify, "datasets": {"circo": {"stack": stack, "toy_models": True}}}).resolved(
        "circo"
    )


def estimate(stack: str, **verify):
    return Estimates(configured(stack, **verify)).step("verify")


def test_it_is_planned_only_where_it_is_set(tmp_path):
    for verify, last in (({}, "mini: fusion and ranking"), ({"judge": "captioner"}, "verify")):
        assert [s.name for s in steps(configured("mini", **verify), Counts(2, 2, 4), tmp_path)][-1] == last


@pytest.mark.slow
def test_the_captioner_reads_every_caption_behind_each_candidate():
    """BLIP-2 with OPT 6.7b: 15 captions of 51 tokens each take 2 operations a weight and token, and 20 candidates."""
    found, least = estimate("published", judge="captioner").operations, 20 * 15 * 51 * 2 * 6.4e9
    assert least < found < 1.35 * least
    assert need(configured("published", judge="captioner"), "verify", "cuda").device > 15e9


@pytest.mark.slow
def test_a_chat_model_is_asked():
    single, grid = estimate("modern", judge="yes_no").operations, estimate("modern", judge="grid").operations
    assert single > 20 * 2 * 7e9 * 300 and 0 < grid < single / 5


def test_what_is_not_counted_is_said():
    assert "not counted" in estimate("laptop", judge="captioner").how
    chat = {"backend": "openai", "base_url": "http://localhost:1/v1", "served_model": "m"}
    served = configured("modern", judge="yes_no", chat=chat)
    assert Estimates(served).step("verify").operations == 0 and need(served, "verify", "cuda").device < 1e9
