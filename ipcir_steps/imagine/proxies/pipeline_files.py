"""What of a diffusers directory is loaded: its parts, and the precision of their weights."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

HALF = "fp16"


def left_out(index: Mapping) -> set[str]:
    """Parts of a pipeline that are never loaded: the safety checker and what only it reads.

    index: the content of model_index.json.

    >>> sorted(left_out({"safety_checker": ["x", "Checker"], "image_encoder": [None, None], "unet": ["x", "UNet"]}))
    ['feature_extractor', 'safety_checker']
    """
    if "safety_checker" not in index:
        return set()
    sees = (index.get("image_encoder") or [None])[0] is not None
    return {"safety_checker"} if sees else {"safety_checker", "feature_extractor"}


def variant(files: Collection[str], half: bool) -> str | None:
    """Which of the weights to load: those in half precision where they are wanted, or the only ones.

    >>> both = ["unet/model.safetensors", "unet/model.fp16.safetensors"]
    >>> variant(both, True), variant(both, False), variant(both[:1], True), variant(both[1:], False)
    ('fp16', None, None, 'fp16')
    """
    weights = [name for name in files if name.endswith(".safetensors") and "/" in name]
    stored_half = {name for name in weights if re.search(rf"\.{HALF}[.-]", PurePosixPath(name).name)}
    parts = {PurePosixPath(name).parent for name in stored_half}
    whole = {PurePosixPath(name).parent for name in weights if name not in stored_half}
    return HALF if stored_half and (half or not parts <= whole) else None
