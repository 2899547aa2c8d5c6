"""Samplers by the field's names: diffusers' own schedulers with the options that make them what the name says."""

from collections.abc import Mapping, Sequence
from typing import Any

from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)

from ipcir_steps.config.generation import Proxies
from ipcir_steps.core.errors import InputError

# Of Stable Diffusion 1.x, whatever scheduler its directory names.
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
# What every name means. DDIM ends at the clean image (set_alpha_to_one), because few trailing steps end far from it.
KINDS = {
    "euler": (EulerDiscreteScheduler, {"timestep_spacing": "linspace", "use_karras_sigmas": False}),
    "dpm++_2m_karras": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": True},
    ),
    "unipc": (UniPCMultistepScheduler, {"timestep_spacing": "trailing", "use_karras_sigmas": False}),
    "ddim": (DDIMScheduler, {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": True}),
    "lcm": (LCMScheduler, {"clip_sample": False}),
    "tcd": (TCDScheduler, {"clip_sample": False}),
}
SPACED = ("euler", "unipc", "ddim")  # the others have noise levels of their own


def sampler(name: str, config: Mapping[str, Any], spacing: str = "default"):
    """A scheduler of diffusers. name: one of ``SAMPLERS``; config: noise levels and prediction type of the network;
    spacing: in diffusers' words."""
    kind, own = KINDS[name]
    own = own if spacing == "default" or name not in SPACED else {**own, "timestep_spacing": spacing}
    known = {key: value for key, value in config.items() if not key.startswith("_") and key not in ("thresholding",)}
    return kind.from_config({**known, **own})


def of_layouts(settings: Proxies) -> str:
    """The name of generator migc's sampler: Euler, as published, unless another one is set."""
    return "euler" if settings.scheduler == "default" else settings.scheduler


def check(settings: Proxies, name: str) -> None:
    """Raises InputError for settings that a sampler cannot follow, or that would make it start from no noise.

    name: the sampler that ``settings`` comes to, ``default`` for a pipeline's own.
    """
    wrong = None
    if settings.spacing != "default" and name not in SPACED:
        wrong = ("spacing", f"scheduler {name} has noise levels of its own", f"Leave it out, or take {_list(SPACED)}.")
    elif name in SPACED and settings.steps == 1 and starts_clean(name, settings.spacing):
        wrong = ("spacing", "one step would start where hardly any noise is left", "Set it to trailing.")
    if wrong:
        field, problem, remedy = wrong
        raise InputError(problem, file="--settings", field=field, remedy=remedy)


def starts_clean(name: str, spacing: str) -> bool:
    """Whether a single step lies at the end of the run, as Euler's and DDIM's do unless they are trailing."""
    spacing = KINDS[name][1]["timestep_spacing"] if spacing == "default" else spacing
    return spacing != "trailing" and name != "unipc"


def step_options(scheduler, sources: Sequence, eta: float = 0.3) -> dict:
    """What ``scheduler.step`` is given beside prediction and latents.

    sources: a torch.Generator for each image, so that fresh noise does not depend on who shares the batch.
    """
    if isinstance(scheduler, TCDScheduler):
        return {"generator": list(sources), "eta": eta}
    return {"generator": list(sources)} if isinstance(scheduler, LCMScheduler) else {}


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
