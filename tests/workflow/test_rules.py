"""The rules as Snakemake reads them, inherited ones included."""

import subprocess
import sys
from pathlib import Path

from ipcir_steps.steps import SHARDED

ROOT = Path(__file__).parents[2]


def test_every_rule_is_complete(workflow_rules):
    """Log, benchmark, threads, resources, environment, image and a docstring of its own on each rule."""
    everything = workflow_rules["captions"].workflow.rules  # those that only name targets too
    assert len(workflow_rules) > 35 and all(rule.docstring for rule in everything)
    for name, rule in workflow_rules.items():
        assert rule.log and rule.ruleinfo.threads, name
        # A benchmark counts as a result: a rule that has no other would not run twice.
        assert bool(rule.benchmark) == bool(rule.output), name
        assert rule.conda_env and rule.container_img and {"mem_mb", "runtime"} <= set(rule.resources), name
        family = Path(rule.container_img).stem
        assert (ROOT / f"envs/{family}.yaml").is_file() and Path(rule.conda_env).stem == family, name


def test_snakemake_finds_nothing_to_improve():
    command = [sys.executable, "-m", "snakemake", "--lint"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_options_are_spelled_once(workflow_rules):
    options = workflow_rules["captions"].workflow.globals["options"]
    files = {"gallery_images": "a b.jsonl", "fusion": ["pi", "rp"], "balance": []}
    given = options(files, lambda_=0.0, strict=True, exclude_reference=False, weights=(1, 0.5), architecture=None)
    assert given == "--gallery-images 'a b.jsonl' --fusion pi rp --lambda 0.0 --strict --weights 1 0.5"


def test_each_step_with_shards_is_drawn_from_one_rule_and_gathered_by_another(workflow_rules):
    for name in SHARDED:
        sharded, gathered = workflow_rules[name], workflow_rules[f"gather_{name}"]
        assert sharded.shellcmd == workflow_rules["captions"].shellcmd and sharded.params["rule"] == name
        assert gathered.shellcmd == workflow_rules["gather_captions"].shellcmd
        assert any(f"/{name}.failures.jsonl" in path for path in gathered.output)
