"""The profiles: the same in all that matters, accepted by Snakemake, with a GPU for each rule that asks for one."""

import importlib.util
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))
SCHEDULED = ["slurm", "slurm-gres", "lsf", "kubernetes"]
PLUGINS = {"slurm": "slurm", "slurm-gres": "slurm", "lsf": "lsf", "kubernetes": "cluster_generic"}


def profile(name):
    return yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text())


def asked(rule):
    """The resources of a rule as it spells or inherits them."""
    return rule.ruleinfo.resources[1]


def test_there_is_a_profile_for_each_way_of_running():
    assert sorted(["default", "apptainer", *SCHEDULED]) == PROFILES


@pytest.mark.parametrize("name", SCHEDULED)
def test_schedulers_share_everything_but_their_own_options(name, workflow_rules):
    content, default = profile(name), profile("default")
    for key in ("rerun-incomplete", "keep-going", "show-failed-logs", "rerun-triggers", "nolock"):
        assert content[key] == default[key]
    assert content["retries"] >= 1 and content["groups"] == profile("slurm")["groups"]
    assert set(content["groups"]) <= set(workflow_rules)


@pytest.mark.parametrize("name", ["slurm", "slurm-gres", "lsf"])
def test_every_gpu_rule_and_no_other_is_sent_to_a_gpu(name, workflow_rules):
    wanted = {name for name, rule in workflow_rules.items() if "gpu" in asked(rule)}
    assert wanted == set(profile(name)["set-resources"]) and "layouts" in wanted  # which inherits its GPU


@pytest.mark.parametrize(("name", "asked"), [("slurm", {"gpu": 2}), ("slurm-gres", {"gres": "gpu:2"})])
def test_slurm_is_asked_for_several_gpus_and_one_task(name, asked):
    """With the pinned plugin, which asks for one task per GPU where `tasks` or `tasks_per_gpu` is set."""
    plugin = pytest.importorskip("snakemake_executor_plugin_slurm.submit_string")
    utils = pytest.importorskip("snakemake_executor_plugin_slurm.utils")
    content = profile(name)
    resources = {"gpu": 1, "mem_mb": 1000, "runtime": 30, **content["default-resources"]}
    resources |= content["set-resources"]["layouts"] | asked
    job = types.SimpleNamespace(name="layouts", threads=1, resources=Resources(resources))
    fields = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    given = dict.fromkeys(fields, "x")
    command = plugin.get_submit_command(job, given) + utils.set_gres_string(job)
    assert ("--gpus=2" if "gpu" in asked else "--gres=gpu:2") in command and "ntasks" not in command
    with_tasks = types.SimpleNamespace(**vars(job) | {"resources": Resources(resources | {"tasks": 1})})
    assert "--ntasks-per-gpu=1" in plugin.get_submit_command(with_tasks, given)


class Resources(dict):
    """As a job has them: by key and by name."""

    __getattr__ = dict.__getitem__


MINI = types.SimpleNamespace(dataset="mini_cirr", backbone="mini")  # a job's wildcards


def test_gpu_rules_lease_a_device_and_memory_grows_with_the_attempt(workflow_rules):
    for name, rule in workflow_rules.items():
        assert ("ipcir devices --count {resources.gpu} --" in rule.shellcmd) == (asked(rule).get("gpu") == 1), name
        first, second = (asked(rule)["mem_mb"](MINI, attempt=attempt) for attempt in (1, 2))
        assert 2 * first - 200 <= second <= 2 * first and first >= 300, name  # a model's need is rounded up


@pytest.mark.parametrize("name", SCHEDULED)
def test_snakemake_accepts_the_options(name, tmp_path):
    if importlib.util.find_spec(f"snakemake_executor_plugin_{PLUGINS[name]}") is None:
        pytest.skip(f"snakemake-executor-plugin-{PLUGINS[name].replace('_', '-')} is not installed")
    (tmp_path / "Snakefile").write_text("rule one:\n    output: 'a'\n    shell: 'true'\n")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--workflow-profile", str(ROOT / "profiles" / name)]
    content = profile(name)
    known = {"set-resources", "groups", "group-components"}  # they name rules of the real workflow
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if k not in known}))
    command[-1] = str(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_kubernetes_job_is_what_the_rule_asks_for(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("job", ROOT / "profiles/kubernetes/job.py")
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    monkeypatch.chdir(tmp_path)
    properties = {"type": "single", "threads": 2, "resources": {"mem_mb": 8000, "runtime": 30, "gpu": 1}}
    (tmp_path / "job.sh").write_text(f"#!/bin/sh\n# properties = {json.dumps(properties)}\necho hello > made\n")
    made = job.manifest("job.sh", "registry/ipcir:1", "claim:/work")
    [container] = made["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "8000M", "nvidia.com/gpu": "1"}
    assert container["workingDir"] == str(tmp_path) and container["image"] == "registry/ipcir:1"
    assert made["spec"]["activeDeadlineSeconds"] == 1800 and made["spec"]["backoffLimit"] == 0


KUBECTL = """#!{python}
import json, pathlib, subprocess, sys
state = pathlib.Path(__file__).parent / "jobs"
state.mkdir(exist_ok=True)
action = sys.argv[1]
if action == "create":
    job = json.load(sys.stdin)
    [pod] = job["spec"]["template"]["spec"]["containers"]
    name = f"job.batch/ipcir-{{len(list(state.iterdir()))}}"
    code = subprocess.run(pod["command"], cwd=pod["workingDir"], stdout=2).returncode
    reached = "Failed" if code else "Complete"
    text = json.dumps({{"status": {{"conditions": [{{"type": reached, "status": "True"}}]}}}})
    (state / name.replace("/", "_")).write_text(text)
    print(name)
elif action == "get":
    print((state / sys.argv[2].replace("/", "_")).read_text())
"""


def test_kubernetes_jobs_are_submitted_and_followed(tmp_path):
    """A kubectl that runs the pod's command as a local process, at once."""
    pytest.importorskip("snakemake_executor_plugin_cluster_generic")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/kubectl").write_text(KUBECTL.format(python=sys.executable))
    (tmp_path / "bin/kubectl").chmod(0o755)
    (tmp_path / "Snakefile").write_text(
        "rule all:\n    input: 'b'\n"
        "rule one:\n    output: 'a'\n    resources: gpu=1\n    shell: 'echo made > {output}'\n"
        "rule two:\n    input: 'a'\n    output: 'b'\n    shell: 'cat {input} > {output}'\n"
        "rule bad:\n    output: 'c'\n    shell: 'exit 3'\n"
    )
    content = profile("kubernetes")
    options = {key: value for key, value in content.items() if key not in ("groups", "group-components", "retries")}
    options |= {"latency-wait": 2, "seconds-between-status-checks": 1}
    for key in ("submit", "status", "cancel"):
        command = options[f"cluster-generic-{key}-cmd"].replace("profiles/", f"{ROOT}/profiles/")
        options[f"cluster-generic-{key}-cmd"] = command.replace("python ", f"{sys.executable} ", 1)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(options))
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}

    def run(target):
        command = [sys.executable, "-m", "snakemake", target, "--workflow-profile", str(tmp_path)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)

    done = run("all")
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "b").read_text() == "made\n"
    assert run("c").returncode != 0
