"""What a rule tells the record that it takes from the configuration is what its command depends on: no more, no less.

Everything that a command line is filled with is computed for a job of every rule, under the default configuration and
under ones in which something is changed.
"""

import json
import re
import shutil
from pathlib import Path

import pytest

from ipcir_steps.config.stack import merged
from ipcir_steps.evaluate.reporting.figures import cards

ROOT = Path(__file__).parents[2]
JOB = {
    "dataset": "mini_circo", "split": "val", "backbone": "mini", "baseline": "ldre", "variant": "rp_bm", "proxy": "rp",
    "device": "0", "role": "llm", "stack": "mini", "world": "world", "training": "clip", "number": "1",
    "generator": "migc", "setting": "configured",
}  # fmt: skip
# Rules whose wildcards have other values.
STOPS = {"dataset": "stops", "round": "2"}
OTHERS = {
    **dict.fromkeys(("stopping", "round_proxies", "gather_round", "round_features", "join_rounds"), STOPS),
    "captioned_baseline": {"baseline": "ldre_captioned"},
    "mapping": {"baseline": "searle"},
    "submission": {"variant": "rp_bm"},
    "queries_figure": {"figure": cards.names("queries")[0]},
    "results_figure": {"figure": cards.names("results")[0]},
    "sensitivity_figure": {"figure": cards.names("sweeps")[0]},
}
# What their jobs need: a text side that captions of the proxies join, and a dataset whose drawing stops.
STOPPING = {
    "benchmark": "circo", "root": "resources/mini/world/mini_circo", "split": "val", "stack": "mini",
    "exclude_reference": False, "lambda": 0.5, "stopping": {"settled": 0.9},
}  # fmt: skip
NEEDED = {
    "proxy_captions": {"joined": {"ldre_captioned": {"baseline": "ldre", "weight": 0.3}}},
    "datasets": {"stops": STOPPING},
}


def load(directory: Path, config: dict) -> dict:
    """{rule: {what fills its command line: value}} under a configuration."""
    from snakemake.api import SnakemakeApi
    from snakemake.iocontainers import Wildcards
    from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

    shutil.copy(ROOT / "config.yaml", directory)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        settings = {"config_settings": ConfigSettings(config=merged(NEEDED, config)), "workdir": directory}
        workflow = api.workflow(ResourceSettings(), snakefile=ROOT / "Snakefile", **settings)
        rules = [rule for rule in workflow._workflow.rules if rule.shellcmd]
        found = {}
        for rule in rules:
            values = JOB | OTHERS.get(rule.name, {})
            wildcards = Wildcards(fromdict={name: values[name] for name in rule.wildcard_names})
            given, output = rule.expand_input(wildcards)[0], rule.expand_output(wildcards)[0]
            params = rule.expand_params(wildcards, given, output, None)[0]
            used = set(re.findall(r"\{params\.(\w+)", rule.shellcmd)) - {"shards"}  # results never depend on them
            found[rule.name] = {name: str(params[name]) for name in sorted(used)}
    return found


@pytest.fixture(scope="module")
def default(tmp_path_factory) -> dict:
    return load(tmp_path_factory.mktemp("default"), {})


STACK = {
    "captions": {"count": 7}, "reasoning": {"top_p": 0.5}, "layouts": {"top_p": 0.5}, "masks": {"box_threshold": 0.5},
    "proxies": {"steps": 9}, "embeddings": {"ratio": 1.5}, "ldre": {"k": 5},
}  # fmt: skip
CHANGES = {
    "seed": {"seed": 3},
    "sections": {"ranking": {"k": 9}, "tuning": {"k": 9}, "sensitivity": {"k": 9}, "figures": {"top": 2}},
    "fusion": {"fusion": {"scale": "query"}},
    "resamples": {"resamples": 77},
    "weights": {"mini_weights": "resources/mini/elsewhere"},
    "root": {"datasets": {"mini_circo": {"root": "resources/mini/world/other"}}},
    "benchmark": {"datasets": {"mini_circo": {"benchmark": "cirr"}}},
    "whole lists": {"datasets": {"mini_circo": {"benchmark": "icir"}}},
    "subsets": {"datasets": {"mini_circo": {"subsets": {"audited": "audited.txt"}}}},
    "missing images": {"datasets": {"mini_circo": {"missing_images": "skip"}}},
    "lambda": {"datasets": {"mini_circo": {"lambda": 0.9}}},
    "lambdas": {"datasets": {"mini_circo": {"lambda": {"default": 0.9}}}},
    "exclude": {"datasets": {"mini_circo": {"exclude_reference": True}}},
    "tuned": {"datasets": {"mini_circo": {"tuned_on": "mini_cirr"}}},
    "stopping": {"datasets": {"stops": {"stopping": {"settled": 0.5}, "lambda": 0.3}}},
    "stack": {"stacks": {"mini": STACK}},
    "models": {"stacks": {"mini": {"models": {"llm": {"source": "resources/mini/models/other"}}}}},
    "clip": {"stacks": {"mini": {"clip": {"mini": {"source": "resources/mini/models/other"}}}}},
    "architecture": {"stacks": {"mini": {"clip": {"mini": {"architecture": "ViT-B-16"}}}}},
    "captions per proxy": {"proxy_captions": {"count": 2}},
    "joined": {"proxy_captions": {"joined": {"ldre_captioned": {"weight": 0.4}}}},
    "judge": {"verify": {"judge": "captioner", "k": 9}},
    "mix": {"verify": {"combine": {"weight": 0.9}}},
    "frontier": {"frontier": {"counts": [1]}},
    "mapping": {"stacks": {"mini": {"mappings": {"searle": {"mini": {"source": "resources/mini/models/other"}}}}}},
}  # fmt: skip
# The result file carries the identity of the whole stack; a manifest, whatever its entry says.
BROADER = {"results", "model", "clip_model", "mapping"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_rule_tells_what_its_command_depends_on(default, tmp_path, name):
    changed, seen = load(tmp_path, CHANGES[name]), []
    for rule, now in changed.items():
        then = default[rule]
        command = [key for key in now if key != "taken" and now[key] != then[key]]
        told = now.get("taken") != then.get("taken")
        assert told or not command, f"{rule}: {command} differ, and the record is told nothing else"
        assert command or not told or rule in BROADER, f"{rule}: {now['taken']} differs, and nothing else does"
        seen += [rule] if told else []
    assert seen, "nothing depends on it"


def test_the_change_is_named(default, tmp_path):
    """The keys are those of the configuration, so that a person finds them."""
    now = load(tmp_path, merged(CHANGES["stack"], CHANGES["lambda"]))
    told = {rule: json.loads(params["taken"]) for rule, params in now.items() if "taken" in params}
    assert told["captions"]["stacks.mini.captions"]["count"] == 7
    assert told["ranking"]["datasets.mini_circo.lambda"] == 0.9
    assert "datasets.mini_circo.lambda" not in told["dataset"]
    assert default["dataset"] == now["dataset"], "another lambda must not make a run read the images again"


def test_a_prompt_that_shows_pictures_reads_them_and_no_other_does(default, tmp_path):
    now = load(tmp_path, {"stacks": {"mini": {"reasoning": {"prompt": "seeing_reasoning"}}}})
    assert " --references results/mini_circo/val/references.jsonl " in now["reasoning"]["options"]
    assert "--root resources/mini/world/mini_circo" in now["reasoning"]["options"]
    assert "datasets.mini_circo.root" in now["reasoning"]["taken"]
    assert now["layouts"] == default["layouts"] and "--references" not in default["reasoning"]["options"]
