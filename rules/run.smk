"""What every job knows about the run, and what is checked before the first job."""

import atexit
import sys

from ipcir_steps.config.taken import taken
from ipcir_steps.core.files import alone
from ipcir_steps.provenance import environment
from ipcir_steps.runtime import containers, preflight, terminal
from snakemake import __version__ as snakemake_version
from snakemake.settings.types import DeploymentMethod


def from_config(*keys):
    """Parameter: what a rule takes from the configuration, for the record of its step; ``ipcir audit`` compares it.

    keys: as ``taken`` has them, or functions of the wildcards that give several.
    """

    def values(wildcards):
        several = [key(wildcards) if callable(key) else [key] for key in keys]
        return canonical(taken(CONFIG, sum(several, []), **wildcards))

    return values


def run_description():
    """What the record of a step says about the run: configuration files and overrides, code revision, Snakemake."""
    commit, dirty = environment.revision(Path(workflow.basedir))
    commit, dirty = (commit, dirty) if commit else environment.revision()
    given = workflow.config_settings
    files = ["config.yaml", *(os.path.relpath(path) for path in given.configfiles)]
    return json.dumps(
        {
            "configfiles": files,
            "overrides": dict(given.config),
            "revision": commit,
            "dirty": dirty,
            "snakemake": snakemake_version,
        },
        default=str,
    )


def braced(text):
    """Text for a place where Snakemake fills in fields."""
    return text.replace("{", "{{").replace("}", "}}")


# Compute steps never use the network; only the rules in models.smk switch it on again. IPCIR_RUN goes into the
# record that each step leaves.
shell.prefix(
    "set -euo pipefail; export HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false"
    f" IPCIR_RUN={braced(shlex.quote(run_description()))}; "
)


def about_to_run():
    """The jobs of this run, as the preflight takes them."""
    for job in workflow.dag.needrun_jobs(exclude_finished=False):
        yield preflight.Job(
            job.rule.name,
            dict(job.wildcards.items()) if job.rule.wildcard_names else {},
            Path(str(job.rule.container_img or "")).stem,
            bool(job.rule.resources.get("gpu")),
        )


def missing():
    """(What is missing for this run, in one message; whether it cannot start without it)."""
    methods = workflow.deployment_settings.deployment_method
    here = not {DeploymentMethod.APPTAINER, DeploymentMethod.CONDA} & set(methods)
    local = workflow.local_exec
    needs = preflight.of_jobs(
        about_to_run(), CONFIG, installed_here=here and local, here=local
    )
    return preflight.report(needs), any(need.stops for need in needs)


def begin():
    """Keep a second run out of this directory, stale images out of this run, and a run that cannot end from starting.

    The lock ends with this process, however it ends.
    """
    global RUN_LOCK
    try:
        RUN_LOCK = alone(".snakemake/run.lock")
        if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
            containers.refuse_stale()
    except InputError as error:
        raise WorkflowError(str(error))
    text, stops = missing()
    if stops:
        raise WorkflowError(text)
    if text:
        print(text, file=sys.stderr)


def tell_when_dry():
    """A dry run, which starts no job, ends with what is missing."""
    if workflow.is_main_process and workflow.dryrun and workflow.dag is not None:
        print(missing()[0], file=sys.stderr)


atexit.register(tell_when_dry)


if workflow.is_main_process:
    terminal.install()


onstart:
    begin()
