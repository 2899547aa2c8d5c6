"""Code, software, container and machine of a step."""

import functools
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import ipcir_steps
from ipcir_steps.provenance import run
from ipcir_steps.provenance.digests import Digests, shown
from ipcir_steps.steps import STEPS

PACKAGE = Path(ipcir_steps.__file__).parent
ROOT = PACKAGE.parent  # what ``package:…`` in a record is relative to
SHIPPED = {".py", ".json", ".yaml", ".csv", ".txt", ".md", ".jinja", ".html", ".css", ".js"}
# Module and distribution of what can change a result.
SOFTWARE = {
    "numpy": "numpy", "torch": "torch", "torchvision": "torchvision", "transformers": "transformers",
    "tokenizers": "tokenizers", "accelerate": "accelerate", "diffusers": "diffusers", "open_clip": "open_clip_torch",
    "safetensors": "safetensors", "PIL": "pillow", "pyarrow": "pyarrow", "pandas": "pandas", "pydantic": "pydantic",
    "matplotlib": "matplotlib", "xgrammar": "xgrammar", "httpx": "httpx", "pycocotools": "pycocotools",
    "gguf": "gguf", "peft": "peft",
}  # fmt: skip


@functools.cache
def code_digest(step: str) -> str:
    """sha256 of the files of the package that a step is in, by relative path.

    It is the same in a checkout, an installation and an image. The mini world is a package of its own, so that a change
    of its training changes no figure's record.
    """
    sums = hashlib.sha256()
    for package in _packages(step):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in SHIPPED and "__pycache__" not in path.parts:
                sums.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
                sums.update(hashlib.sha256(path.read_bytes()).digest())
    return sums.hexdigest()


def _packages(step: str) -> list[str]:
    module = STEPS[step].module if step in STEPS else "ipcir_steps"  # records may be of commands that are gone
    return sorted({"ipcir_steps", module.partition(".")[0]})


def covered(path: Path, step: str) -> bool:
    """Whether ``code_digest`` of a step already stands for a file."""
    inside = any(path.absolute().is_relative_to(ROOT / package) for package in _packages(step))
    return inside and path.suffix in SHIPPED


def named(path: Path) -> str:
    """A path as records name it: ``package:…`` for what is installed with the code, so that a run inside an image can
    be audited outside it."""
    for package in {module.module.partition(".")[0] for module in STEPS.values()}:
        if path.absolute().is_relative_to(ROOT / package):
            return f"package:{path.absolute().relative_to(ROOT).as_posix()}"
    return shown(path)


@functools.cache
def revision(directory: Path = PACKAGE) -> tuple[str | None, bool | None]:
    """(commit, whether tracked files were changed since) of the checkout around ``directory``; None without one."""
    git = shutil.which("git")

    def ask(*words):
        done = subprocess.run([git, "-C", str(directory), *words], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = ask("rev-parse", "HEAD") if git and directory.is_dir() else None
    if commit is None:
        return None, None
    return commit, bool(ask("status", "--porcelain", "--untracked-files=no"))


def code(step: str) -> dict:
    told = run()
    commit, dirty = (told["revision"], told["dirty"]) if told.get("revision") else revision()
    return {"version": ipcir_steps.__version__, "digest": code_digest(step), "revision": commit, "dirty": dirty}


def software() -> dict:
    """Versions of Python, Snakemake (where it started the step) and of every listed package that was imported."""
    versions = {"python": platform.python_version()}
    if told := run().get("snakemake"):
        versions["snakemake"] = told
    for module, name in SOFTWARE.items():
        if module in sys.modules:
            found = getattr(sys.modules[module], "__version__", None)
            versions[name] = str(found) if found else importlib.metadata.version(name)
    return versions


def container(digests: Digests) -> dict | None:
    """The image file that the step ran in, with its digest; None outside an Apptainer or Singularity container."""
    name = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    if not name:
        return None
    return digests.file(name) if os.path.isfile(name) else {"path": name, "sha256": None}


def host() -> dict:
    """The class of machine, without its name."""
    values = {"system": platform.system(), "machine": platform.machine(), "processor": _processor()}
    values["cores"] = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        values["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available()
    values["gpus"] = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if used else []
    if job := os.environ.get("SLURM_JOB_ID"):
        values["slurm_job"] = job
    return values


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
