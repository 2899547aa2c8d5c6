"""Before any job starts: one message with everything that is missing for what was asked.

Only what a person has to do something about is a need: files that are fetched or put in place by hand, packages,
disk, memory, a GPU. Models that a rule fetches are named with the download, not as missing.
"""

import dataclasses
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.benchmarks.datasets import load
from ipcir_steps.config import Config
from ipcir_steps.config.data import MINI, Dataset, Model
from ipcir_steps.config.language import LLM
from ipcir_steps.config.stack import Stack
from ipcir_steps.core import paths
from ipcir_steps.core.errors import InputError
from ipcir_steps.runtime import capacity
from ipcir_steps.runtime.needs import Job, Need

# What a model family imports, by the distribution that brings it.
PACKAGES = {
    "analysis": {"torch": "torch", "matplotlib": "matplotlib"},
    "vision": {"open_clip": "open_clip_torch", "transformers": "transformers", "pycocotools": "pycocotools"},
    "language": {"transformers": "transformers", "xgrammar": "xgrammar", "httpx": "httpx"},
    "diffusion": {"diffusers": "diffusers", "transformers": "transformers", "pycocotools": "pycocotools"},
}
QUANTISED = {"gptq": "gptqmodel", "awq": "gptqmodel"}  # with transformers; vLLM reads them itself
ENGINES = {
    "llama_cpp": ("llama_cpp", "llama-cpp-python", "pip install 'ipcir[llama]'."),
    "vllm": ("vllm", "vllm", "pip install vllm in a Python of its own, and name that as server_python (server: true)."),
}
SHOWN = 3  # files of one kind that are named
# Models that are on no hub, by the file that the published stack expects.
PAGES = {
    "MIGC_SD14.ckpt": {"title": "MIGC", "size": "229 MB", "page": "https://github.com/limuloo/MIGC"},
    "MIGC++_SD14.ckpt": {"title": "MIGC++", "size": "200 MB", "page": "https://github.com/limuloo/MIGC"},
    "elite_global_mapper.pt": {
        "title": "ELITE's global_mapper.pt",
        "size": "192 MB",
        "page": "https://github.com/csyxwei/ELITE",
    },
    "elite_local_mapper.pt": {
        "title": "ELITE's local_mapper.pt",
        "size": "192 MB",
        "page": "https://github.com/csyxwei/ELITE",
    },
    "SEARLE_ViT-L14.pt": {"title": "SEARLE", "page": "https://github.com/miccunifi/SEARLE/releases/tag/weights"},
    "SEARLE_ViT-B32.pt": {"title": "SEARLE", "page": "https://github.com/miccunifi/SEARLE/releases/tag/weights"},
}


def of_dataset(name: str, settings: Dataset, split: str) -> Iterator[Need]:
    """Annotations that are missing or damaged; images of the annotations that are not there."""
    try:
        data = load(settings, split)
    except InputError as error:
        place = f"{error.file}: " if error.file else ""
        yield Need(f"dataset {name}: {place}{error.problem}", error.remedy or f"Correct datasets.{name}.")
        return
    root = Path(settings.root)
    paths = list(dict.fromkeys(image.path for image in (*data.gallery, *data.references)))
    absent = [path for path in paths if not (root / path).is_file()]
    if absent:
        remedy = BENCHMARKS[settings.benchmark].absent.format(root=root)
        some = ", ".join(absent[:SHOWN]) + (", …" if len(absent) > SHOWN else "")
        skipped = settings.missing_images == "skip" and len(absent) < len(paths)
        yield Need(
            f"dataset {name}: {len(absent):,} of {len(paths):,} images of {split} are not in {root} ({some})",
            "They are left out and counted." if skipped else f"{remedy}, or correct datasets.{name}.root.",
            stops=not skipped,
        )


def of_model(key: str, model: Model, pages: dict) -> Iterator[Need]:
    """A model that is a local path and is not there; models of a hub are fetched by their rule."""
    path = Path(model.source)
    if not is_local(model.source) or path.exists() or model.source.startswith(f"{MINI}/"):
        return
    page = pages.get(path.name, {})
    about = ", ".join(filter(None, (page.get("title"), page.get("size"))))
    where = f"Get it from {page['page']} and put it there" if "page" in page else "Put it there"
    yield Need(f"model {path}{f' ({about})' if about else ''}", f"{where}, or set {key}.source.")


def is_local(source: str) -> bool:
    """Whether a source is a path, not the id of a hub repository: an id is OWNER/NAME, without a suffix of weights."""
    return source.startswith((".", "/")) or Path(source).suffix in SUFFIXES or source.count("/") != 1


SUFFIXES = {".ckpt", ".pt", ".pth", ".bin", ".safetensors", ".gguf", ".json"}


def of_statistics(name: str, stack: Stack) -> Iterator[Need]:
    """Box statistics, towards which boxes are moved."""
    path = stack.proxies.statistics
    if path and not Path(path).is_file() and not made_of_coco(path):
        yield Need(
            f"stack {name}: {path}, COCO's box statistics",
            f"Put instances_train2017.json of annotations_trainval2017.zip (https://cocodataset.org/#download) at "
            f"{paths.INSTANCES}, from which a rule makes them, or draw boxes as planned with "
            f"stacks.{name}.proxies.statistics: null.",
        )


def made_of_coco(path: str) -> bool:
    """Whether a rule can make this file of statistics of the annotations that are here."""
    return path == paths.STATISTICS and Path(paths.INSTANCES).is_file()


def of_packages(families: Iterable[str]) -> Iterator[Need]:
    """Packages of model families that cannot be imported here; not for runs in containers or conda."""
    for family in sorted(set(families)):
        absent = [name for module, name in PACKAGES[family].items() if importlib.util.find_spec(module) is None]
        if absent:
            yield Need(f"packages of the {family} steps: {', '.join(absent)}", f"pip install 'ipcir[{family}]'.")


def of_engine(name: str, stack: Stack, llm: LLM, role: str = "llm") -> Iterator[Need]:
    """What runs or reads the chat model of a step, where this Python does: its backend, its kind of quantisation."""
    if llm.server_python or role not in stack.models:
        return
    source = stack.models[role].source
    if llm.backend in ENGINES:
        module, package, remedy = ENGINES[llm.backend]
        if importlib.util.find_spec(module) is None:
            yield Need(f"package {package}, which runs the chat model of stack {name}", remedy)
    for kind, module in QUANTISED.items():
        if llm.backend != "transformers" or kind not in source.lower() or importlib.util.find_spec(module):
            continue
        yield Need(
            f"package {module}, which reads the {kind.upper()} weights of {source}",
            f"pip install 'ipcir[quantised]', or set stacks.{name}.models.llm.source to weights of another kind.",
        )


def of_backbones(name: str, stack: Stack) -> Iterator[Need]:
    """The package that reads backbones of the kind mteb:ORG/NAME."""
    read = [backbone for backbone in stack.backbones if stack.clip[backbone].reader == "mteb"]
    if read and importlib.util.find_spec("mteb") is None:
        yield Need(f"package mteb, which reads {', '.join(read)} of stack {name}", "pip install 'ipcir[mteb]'.")


def of_environment(jobs: Iterable[Job], config: Config) -> Iterator[Need]:
    """What the steps of jobs import from this environment. A model that is only fetched needs no reader."""
    for name in _stacks(jobs, config, "reasoning", "layouts"):
        stack = config.stacks[name]
        found = [need for llm in (stack.reasoning, stack.layouts) for need in of_engine(name, stack, llm)]
        yield from dict.fromkeys(found)
    for name in _stacks(jobs, config, "verify") if config.verify.chats else ():
        yield from of_engine(name, config.stacks[name], config.verify.chat, config.verify.role)
    for name in _stacks(jobs, config, "gallery_features"):
        yield from of_backbones(name, config.stacks[name])
    yield from of_packages(job.family for job in jobs if job.family)


def of_jobs(jobs: Iterable[Job], config: Config, *, installed_here: bool = True, here: bool = True) -> list[Need]:
    """Everything that is missing for jobs, in the order in which a person would see to it.

    installed_here: the steps run with the packages of this environment, not in containers or conda environments.
    here: the jobs run on this machine, so that its memory and GPU count.
    """
    needs: list[Need] = []
    jobs = list(jobs)
    for name, split in dict.fromkeys(
        (j.wildcards["dataset"], j.wildcards["split"]) for j in jobs if j.rule == "dataset"
    ):
        if not config.datasets[name].root.startswith(f"{MINI}/"):  # rendered by a rule
            needs += of_dataset(name, config.datasets[name], split)
    for job in jobs:
        stack = config.stacks.get(job.wildcards.get("stack", ""))
        if stack and job.rule in ("model", "clip_model", "mapping"):
            needs += of_model(*_model(job, stack), PAGES)
    for name in _stacks(jobs, config, "proxies", "round_proxies"):
        needs += of_statistics(name, config.stacks[name])
    if installed_here:
        needs += of_environment(jobs, config)
    on_gpu = {job.wildcards["dataset"] for job in jobs if job.gpu and "dataset" in job.wildcards}
    real = any(not config.stack_of(name).has_toys for name in on_gpu)
    asked = capacity.demand(jobs, config)
    if not here:
        asked, real = dataclasses.replace(asked, host=(0, ""), device=(0, "")), False
    return needs + list(capacity.missing(asked, needs_gpu=real))


def _stacks(jobs: Iterable[Job], config: Config, *rules: str) -> list[str]:
    """Names of the stacks that jobs of these rules work with."""
    return sorted({config.datasets[job.wildcards["dataset"]].stack for job in jobs if job.rule in rules})


def _model(job: Job, stack: Stack) -> tuple[str, Model]:
    """(configuration key, model) of a job that fetches or describes a model."""
    given = job.wildcards
    if job.rule == "mapping":
        key = f"mappings.{given['baseline']}.{given['backbone']}"
        model = stack.mappings[given["baseline"]][given["backbone"]]
    elif job.rule == "clip_model":
        key, model = f"clip.{given['backbone']}", stack.clip[given["backbone"]]
    else:
        key, model = f"models.{given['role']}", stack.models[given["role"]]
    return f"stacks.{given['stack']}.{key}", model


def report(needs: Iterable[Need]) -> str:
    """Everything in one message, what stops the run first; empty where nothing is missing."""
    needs = list(dict.fromkeys(needs))
    stopping, others = ([n for n in needs if n.stops == stops] for stops in (True, False))
    lines = []
    if stopping:
        lines += [f"{len(stopping)} thing{'s are' if len(stopping) > 1 else ' is'} missing for this run:"]
        lines += [f"  {number}. {need.what}\n     {need.remedy}" for number, need in enumerate(stopping, 1)]
    if others:
        lines += ["Good to know:", *(f"  - {need.what}. {need.remedy}" for need in others)]
    return "\n".join(lines)
