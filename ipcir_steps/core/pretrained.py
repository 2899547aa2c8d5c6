"""Models of transformers from disk: whole, or not at all."""

from pathlib import Path

from ipcir_steps.core.devices import loaded, quiet
from ipcir_steps.core.errors import ModelError


def load_pretrained(kind: type, path: str | Path, what: str, **options):
    """``kind.from_pretrained`` of a local directory, with every weight of the model read from it.

    transformers fills missing weights by chance and only logs it; weights that the model does not have, such as the
    text half of a CLIP whose vision half is wanted, do no harm. what: the model's name in messages.
    Raises ModelError when the directory holds no such model or not all of its weights.
    """
    from transformers.utils import logging

    quiet()
    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        model, found = kind.from_pretrained(path, local_files_only=True, output_loading_info=True, **options)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{path}: no {what} could be loaded ({error})") from error
    finally:
        logging.set_verbosity(level)
    if missing := sorted(found["missing_keys"]):
        raise ModelError(
            f"{path}: {len(missing)} of the weights of a {what} are not in it ({missing[0]}, …). Fetch the model again,"
            " or take a copy of it in this layout."
        )
    loaded(what, path)
    return model


def load_processor(kind: type, path: str | Path, what: str):
    """The tokenizer or processor of a model. Raises ModelError when the directory holds none."""
    try:
        return kind.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: no processor of a {what} could be loaded ({error})") from error
