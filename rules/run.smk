"""What every job is told of the run, and what must hold before one starts."""

from ipcir_steps.core.files import alone
from ipcir_steps.provenance import environment
from ipcir_steps.runtime import containers
from snakemake import __version__ as snakemake_version
from snakemake.settings.types import DeploymentMethod


def run_description():
    """What the record of a step tells about the run: configuration files and overrides, code revision, Snakemake."""
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


def begin():
    """Keep a second run out of this directory, and stale images out of this run.

    The lock ends with this process, however it ends.
    """
    global RUN_LOCK
    try:
        RUN_LOCK = alone(".snakemake/run.lock")
        if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
            containers.refuse_stale()
    except InputError as error:
        raise WorkflowError(str(error))


onstart:
    begin()
