"""Stacks: named, complete sets of models and settings; toy models never run on real images unnoticed."""

import pytest
import yaml

from ipcir_steps.config import load_config, stack
from ipcir_steps.core.errors import InputError

PHOTOS = {"benchmark": "folder", "root": "photos", "queries": "q.csv", "exclude_reference": True, "lambda": 0.5}


def test_every_dataset_names_its_stack():
    """The headline command runs the published models on real photographs, the toy ones on their world alone."""
    loaded = load_config({"datasets": {"photos": PHOTOS}})
    stacks = {name: dataset.stack for name, dataset in loaded.datasets.items()}
    toys = {"mini_cirr", "mini_circo", "mini_fashioniq", "mini_twins"}
    assert {name for name, used in stacks.items() if used == "mini"} == toys
    assert {stacks[name] for name in ("cirr", "circo", "fashioniq", "photos")} == {"published"}
    assert loaded.stack_of("cirr").models["captioner"].source == "Salesforce/blip2-opt-6.7b-coco"


@pytest.mark.parametrize("name", stack.builtin())
def test_built_in_stacks_are_whole(name):
    found = load_config({}).stacks[name]
    assert found.description and found.models.keys() >= {"captioner", "llm", "generator"}
    assert found.has_toys == name.startswith("mini")
    for model in (*found.models.values(), *found.clip.values()):
        assert model.revision or "/models/" in model.source  # a hub id is pinned, a path is local


@pytest.mark.parametrize("section", ["captions", "reasoning"])
def test_the_published_settings_are_the_defaults_of_their_sections(section):
    """But for the size of a batch, which is what fits the memory of one GPU."""
    found = getattr(load_config({}).stacks["published"], section)
    told = found.model_dump(exclude={"batch_size"})
    assert told == type(found)().model_dump(exclude={"batch_size"})


def test_the_released_values_are_in_published():
    """Each was read from the released code; docs/published.md has the table."""
    loaded = load_config({})
    published, circo = loaded.stacks["published"], loaded.datasets["circo"]
    assert [circo.lambda_of(name) for name in ("ViT-L-14", "ViT-g-14")] == [0.65, 0.3]
    assert published.models["detector"].source == "IDEA-Research/grounding-dino-tiny"
    assert (published.masks.box_threshold, published.masks.text_threshold) == (0.25, 0.25)
    assert published.masks.best_of_three and published.proxies.unmasked == "text"
    assert published.layouts.reading == "released" and published.proxies.published_gate


def test_a_lambda_that_is_not_given_is_named():
    loaded = load_config({"datasets": {"photos": {**PHOTOS, "lambda": {"ViT-L-14": 0.2}}}})
    assert loaded.datasets["photos"].lambda_of("ViT-L-14") == 0.2
    with pytest.raises(InputError, match="field 'lambda': has no value for backbone 'ViT-B-32'"):
        loaded.datasets["photos"].lambda_of("ViT-B-32")


def test_a_rule_stands_beside_the_numbers_of_the_built_in_dataset():
    assert load_config({}).datasets["circo"].rule is None
    circo = load_config({"datasets": {"circo": {"lambda": {"rule": "captions"}}}}).datasets["circo"]
    assert circo.rule == "captions" and circo.lambda_of("ViT-L-14") == 0.65
    with pytest.raises(InputError, match="has no value for backbone"):
        load_config({"datasets": {"cirr": {"lambda": {"rule": "captions"}}}}).datasets["cirr"].lambda_of("ViT-L-14")


def test_a_stack_is_changed_key_by_key_and_may_extend_another():
    loaded = load_config(
        {
            "stacks": {
                "published": {"proxies": {"steps": 30}},
                "quick": {"extends": "published", "proxies": {"count": 2}},
                "quicker": {"extends": "quick", "proxies": {"steps": 5}},
            },
            "datasets": {"cirr": {"stack": "quicker"}},
        }
    )
    steps = {name: (found.proxies.steps, found.proxies.count) for name, found in loaded.stacks.items()}
    assert (steps["published"], steps["quick"], steps["quicker"]) == ((30, 5), (30, 2), (5, 2))
    assert loaded.stack_of("cirr").models == loaded.stacks["published"].models
    assert loaded.identity("circo")["changed"] == ["proxies.steps"] and "changed" not in loaded.identity("cirr")


def test_every_built_in_stack_is_the_one_of_its_name():
    datasets = {name: {**PHOTOS, "toy_models": True, "stack": name} for name in stack.builtin()}
    loaded = load_config({"datasets": datasets})
    for name in stack.builtin():
        told = loaded.identity(name)
        assert told["name"] == name and not told.get("changed")


def test_the_fast_toy_stack_differs_in_what_draws_its_proxies():
    loaded = load_config({}).stacks
    mini, fast = (loaded[name].model_dump(exclude={"description", "extends"}) for name in ("mini", "mini_fast"))
    changed = {key.split(".")[0] for key in stack.changes(mini, fast)}
    assert changed == {"models", "proxies"} and set(fast["models"]) - set(mini["models"]) == {"lora"}


def test_the_digest_is_that_of_the_settings_not_of_the_name():
    plain = load_config({"stacks": {"copy": {"extends": "published", "description": "the same"}}}).stacks
    other = load_config({"stacks": {"published": {"masks": {"box_threshold": 0.3}}}}).stacks
    assert plain["copy"].digest == plain["published"].digest != other["published"].digest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mine": {"extends": "publisht"}}, "stacks.mine.*there is no stack 'publisht'. Known are"),
        ({"a": {"extends": "b"}, "b": {"extends": "a"}}, "stack 'a' extends itself"),
        ({"mine": {"captions": {"count": 3}}}, "key 'stacks.mine.backbones' is missing"),
        ({"mini": {"captions": {"cuont": 3}}}, r"unknown key 'stacks.mini.captions.cuont' .*did you mean 'count'"),
        ({"mini": {"captions": {"count": 0}}}, "key 'stacks.mini.captions.count': .*the value is 0"),
        ({"mini": {"backbones": ["minni"]}}, "unknown name 'minni'"),
        ({"mini": {"models": {"captioner": {"source": "x", "revison": "y"}}}}, "did you mean 'revision'"),
        ({"mini": 3}, "key 'stacks' is not a mapping"),
    ],
)
def test_mistakes_in_stacks_are_named(values, message):
    with pytest.raises(InputError, match=message):
        load_config({"stacks": values})


@pytest.mark.parametrize(
    "stacks",
    [{}, {"mini": {"toy": False}}, {"own": {"extends": "mini"}}, {"own": {"extends": "mini", "toy": False}}],
)
def test_toy_models_on_real_images_need_a_word_and_are_marked(stacks):
    name = next((name for name in stacks if name == "own"), "mini")
    values = {"stacks": stacks, "datasets": {"cirr": {"stack": name}}}
    with pytest.raises(InputError, match=r"datasets.cirr: stack .* has toy models.*toy_models: true"):
        load_config(values)
    values["datasets"]["cirr"]["toy_models"] = True
    told = load_config(values).identity("cirr")
    assert told["toy"] and told["mark"] == f"TOY MODELS (stack {name}) on cirr: these numbers mean nothing"
    assert load_config(values).identity("mini_cirr")["mark"] == ""


def test_the_shared_concept_is_circos_and_changes_nothing_where_it_is_off():
    plain, read = (
        load_config({"datasets": {"circo": {"shared_concept": on}}}).datasets["circo"] for on in (False, True)
    )
    assert "shared_concept" not in plain.model_dump() and "shared_concept" not in plain.source.model_dump()
    assert read.source.model_dump()["shared_concept"] is True
    with pytest.raises(InputError, match="only circo has it, this is cirr"):
        load_config({"datasets": {"cirr": {"shared_concept": True}}})


def test_a_stack_prints_as_a_configuration(capsys):
    from ipcir_steps.cli import main

    assert main(["config", "--stack", "laptop"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert stack.Stack.model_validate(printed, strict=False) == load_config({}).stacks["laptop"]
    assert main(["config", "--stack", "laptopp"]) == 2
    assert "there is no stack 'laptopp' (did you mean 'laptop'?)" in capsys.readouterr().err
