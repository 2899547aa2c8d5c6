"""Loading a model through another package's code, under this workflow's rules."""

import contextlib
import functools
import os
from collections.abc import Iterator, Mapping

from ipcir_steps.core.errors import ModelError

# No package is installed while a model loads, and torch unpickles tensors alone.
ENVIRONMENT = {"MTEB_AUTO_INSTALL_EXTRAS": "0", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}


@contextlib.contextmanager
def guarded(who: str, remedy: str) -> Iterator[None]:
    """Within it transformers runs no code of a model's own, whatever it was told, and reads whole models of safetensors
    from this machine. who, remedy: for the message of the ModelError that is raised instead.
    """
    import huggingface_hub.constants
    import transformers.dynamic_module_utils as code
    from transformers import PreTrainedModel

    def refuse(*args, **options):
        raise ModelError(f"{who} runs code of the model's own, which is never done here. {remedy}")

    with contextlib.ExitStack() as stack:
        stack.callback(_set_environment, {name: os.environ.get(name) for name in ENVIRONMENT})
        _set_environment(ENVIRONMENT)
        for owner, name, value in (
            (huggingface_hub.constants, "HF_HUB_OFFLINE", True),
            (code, "get_cached_module_file", refuse),
            (code, "get_class_in_module", refuse),
            (PreTrainedModel, "from_pretrained", _whole(who)),
        ):
            stack.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, value)
        yield


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _whole(who: str) -> classmethod:
    """``PreTrainedModel.from_pretrained`` with no weight left to chance."""
    from transformers import PreTrainedModel

    original = PreTrainedModel.from_pretrained.__func__

    @functools.wraps(original)
    def from_pretrained(cls, path, *args, **options):
        told = options.pop("output_loading_info", False)
        options |= {"use_safetensors": True, "local_files_only": True, "output_loading_info": True}
        model, found = original(cls, path, *args, **options)
        if missing := sorted(found["missing_keys"]):
            raise ModelError(
                f"{path}: {len(missing)} of the weights that {who} wants are not in it ({missing[0]}, …). Fetch the"
                " model again, or take a copy of it in this layout."
            )
        return (model, found) if told else model

    return classmethod(from_pretrained)
