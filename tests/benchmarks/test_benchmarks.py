"""The cards: complete, and every list derives from them."""

import argparse
from pathlib import Path

import pytest

from ipcir_steps import benchmarks
from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config import data
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.records import Query
from ipcir_steps.evaluate import metrics
from ipcir_steps.evaluate.reporting.tables import TITLES
from ipcir_steps.steps import STEPS


def test_every_module_with_a_card_is_named():
    with_card = {
        path.stem for path in Path(benchmarks.__file__).parent.glob("*.py") if "\nBENCHMARK = " in path.read_text()
    }
    assert with_card == set(BENCHMARKS) == set(data.BENCHMARKS)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_card_shows_only_what_it_scores(name):
    card = BENCHMARKS[name]
    query = Query("1", "r", ["c"], ["t"], group=["t", "u"] if card.image_sets else None, category="dress")
    scored = card.total({"1": ["u", "t"]}, [query])
    assert {*card.headline, *card.columns} <= scored.keys()
    assert card.tuned_by in card.headline  # else the curves would have no interval
    assert card.tuned_by in card.per_query({"1": ["u", "t"]}, [query])["1"]
    assert card.table in TITLES and name.lower() in card.rules.lower()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_list_that_names_an_image_twice_is_refused(name):
    query = Query("12", "r", ["c"], ["5"], group=["5", "6"], category="dress")
    with pytest.raises(InputError, match=r"record 12: field 'ranking': lists 5 twice"):
        metrics.score({"12": [5, 5, 5, 5, 5]}, [query], name)


@pytest.mark.parametrize("command", ["metrics", "baselines", "tune", "sensitivity"])
def test_commands_offer_every_benchmark(command):
    parser = argparse.ArgumentParser()
    STEPS[command].load().arguments(parser)
    choices = next(action.choices for action in parser._actions if "--benchmark" in action.option_strings)
    assert set(choices) == set(BENCHMARKS)
