"""What rules take from the configuration: found by dotted keys, compared part by part."""

import pytest

from ipcir_steps.config import load_config
from ipcir_steps.config.taken import changes, lookup, taken

MINE = {"benchmark": "circo", "root": "photos", "exclude_reference": False, "lambda": 0.5, "stack": "small"}
STACKS = {"small": {"extends": "mini", "toy": False, "clip": {"ViT-B-16.v2": {"source": "x"}}}}


def _config(dataset=(), stack=(), **more):
    datasets = {"mine.v1": {**MINE, "toy_models": True, **dict(dataset)}}
    return load_config({"datasets": datasets, "stacks": {"small": {**STACKS["small"], **dict(stack)}}, **more})


def test_a_setting_of_the_stack_comes_with_the_choice_of_it():
    found = taken(_config(), ["stack.captions.count", "datasets.{dataset}.root"], dataset="mine.v1")
    assert found == {
        "datasets.mine.v1.stack": "small", "stacks.small.captions.count": 5, "datasets.mine.v1.root": "photos",
    }  # fmt: skip
    found = taken(_config(), ["stack.clip.{backbone}.source"], stack="small", backbone="ViT-B-16.v2")
    assert found == {"stacks.small.clip.ViT-B-16.v2.source": "x"}
    assert taken(_config(), ["stack"], stack="small")["stacks.small"]["captions"]["count"] == 5


def test_lambda_is_called_lambda():
    found = taken(_config({"lambda": {"mini": 0.3, "default": 0.4}}), ["datasets.mine.v1.lambda.mini"])
    assert found == {"datasets.mine.v1.lambda.mini": 0.3}


@pytest.mark.parametrize("key", ["none", "clip.none.source", "seed.more", "datasets.mine.v2.root"])
def test_what_is_not_there_is_none(key):
    assert lookup(_config().model_dump(mode="json"), key) is None


def test_changes_name_the_part_that_changed():
    keys = ["seed", "ranking", "stack.captions", "datasets.{dataset}.root"]
    then = taken(_config(), keys, dataset="mine.v1")
    assert list(changes(then, _config())) == []
    now = _config({"root": "elsewhere"}, {"captions": {"count": 7}}, seed=3, ranking={"k": 9})
    assert list(changes(then, now)) == [
        ("seed", 2025, 3),
        ("ranking.k", 50, 9),
        ("stacks.small.captions.count", 5, 7),
        ("datasets.mine.v1.root", "photos", "elsewhere"),
    ]


def test_another_stack_and_a_dataset_that_is_gone_are_changes():
    then = taken(_config(), ["stack.captions", "datasets.{dataset}.root"], dataset="mine.v1")
    (change,) = changes(then, _config({"stack": "modern"}))
    assert change == ("datasets.mine.v1.stack", "small", "modern")
    gone = {key: value for key, _, value in changes(then, load_config({}))}
    assert gone["datasets.mine.v1.root"] is None and gone["datasets.mine.v1.stack"] is None
