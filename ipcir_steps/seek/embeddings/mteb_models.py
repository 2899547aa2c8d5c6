"""Models of the package mteb as encoders: its loaders, given a directory here, under this workflow's rules."""

import dataclasses
import importlib.metadata
import logging
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import torch

from ipcir_steps.config.data import MTEB
from ipcir_steps.config.vision import Embeddings, Reading
from ipcir_steps.core.devices import loaded, placement
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import Manifest
from ipcir_steps.seek.embeddings.base import Multimodal, identity_of
from ipcir_steps.seek.embeddings.guarded import guarded

log = logging.getLogger(__name__)
OTHERWISE = (
    "Leave `architecture` out where the directory is a CLIP, SigLIP or Qwen model in transformers' layout, which is"
    " read without it, or give features made elsewhere as a custom baseline."
)
# What other people's loaders and encoders raise where a model does not suit them; each is told again as a ModelError
# with a remedy. Out of memory (a RuntimeError) while encoding stays what it is: a smaller batch may do.
ENCODING_ERRORS = (ValueError, KeyError, TypeError, AttributeError, ImportError, NotImplementedError)
LOADING_ERRORS = (*ENCODING_ERRORS, OSError, RuntimeError, AssertionError)


class Rows(torch.utils.data.Dataset):
    """Inputs as mteb's encoders take them: ``features`` names what each row has, "image" (PIL, RGB), "text" or both."""

    def __init__(self, rows: Sequence[dict]):
        self.rows, self.features = rows, dict.fromkeys(rows[0])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict:
        return self.rows[number]

    def loader(self) -> torch.utils.data.DataLoader:
        """All rows as one batch of lists, in their order."""
        collate = lambda rows: {name: [row[name] for row in rows] for name in self.features}  # noqa: E731
        return torch.utils.data.DataLoader(self, batch_size=len(self), collate_fn=collate)


@dataclasses.dataclass(frozen=True)
class MTEBModel(Multimodal):
    """Answers like ``reader.Reader``; features have unit length.

    model: of mteb's EncoderProtocol. task: metadata of a task of mteb, whose prompts are ``reading``'s.
    """

    model: object
    task: object
    reading: Reading
    identity: dict
    dims: int

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, D] on the CPU, of unit length."""
        return encode(self.model, self.task, [{"text": text} for text in texts])

    def images(self, images: Sequence[PIL.Image.Image]) -> torch.Tensor:
        """Prepared images → float32 [n, D] on the CPU, of unit length."""
        return encode(self.model, self.task, [{"image": image} for image in images])

    def joint(self, images: Sequence[PIL.Image.Image], texts: Sequence[str]) -> torch.Tensor:
        """Composed queries → float32 [n, D] on the CPU, of unit length: what the model makes of an image and a text."""
        rows = [{"image": image, "text": text} for image, text in zip(images, texts, strict=True)]
        return encode(self.model, self.task, rows, query=True)


@torch.inference_mode()
def encode(model, task, rows: Sequence[dict], query: bool = False) -> torch.Tensor:
    """float32 [n, D], of unit length. query: the rows ask, where an encoder treats queries and documents differently.

    Raises ModelError where the encoder cannot read them, or gives no row of numbers for each input.
    """
    from mteb.types import PromptType

    kind = PromptType.query if query else PromptType.document
    how = {"hf_split": "test", "hf_subset": "default", "batch_size": len(rows), "show_progress_bar": False}
    try:
        found = model.encode(Rows(rows).loader(), task_metadata=task, prompt_type=kind, **how)
    except ENCODING_ERRORS as error:
        what = " and ".join(rows[0])
        raise ModelError(f"{type(model).__name__} of mteb could not encode {what} ({error}). {OTHERWISE}") from error
    values = torch.as_tensor(found).float().cpu()
    if values.ndim != 2 or len(values) != len(rows):
        raise ModelError(f"{type(model).__name__} of mteb gave {tuple(values.shape)} for {len(rows)} inputs.")
    return torch.nn.functional.normalize(values, dim=1)


def load_mteb(manifest: Manifest, where: Path, settings: Embeddings) -> MTEBModel:
    """The model that mteb calls ``settings.architecture`` (mteb:ORG/NAME), from the directory ``where``.

    Raises ModelError where mteb is not installed or does not know the name, for a model that does not encode images and
    texts as one vector each, and for one whose loader runs code of the model's own, reads other weights than
    safetensors, or needs what is not in the directory.
    """
    meta = meta_of(settings.architecture.removeprefix(MTEB))
    if settings.encoder == "int8" or settings.preprocessing == "target_pad":
        raise ModelError(f"{where}: a model of mteb takes neither encoder int8 nor preprocessing target_pad.")
    if not where.is_dir():
        raise ModelError(f"{where}: a model of mteb is a directory as its hub repository is.")
    if manifest.revision and meta.revision and manifest.revision != meta.revision:
        log.warning("mteb describes revision %s of %s, this is %s", meta.revision, meta.name, manifest.revision)
    device, dtype = placement(settings.device, settings.dtype)
    here = meta.model_copy(update={"name": str(where.resolve()), "revision": None})
    try:
        with guarded(f"mteb's loader of {meta.name}", OTHERWISE):
            model = here.load_model(device=str(device))
            inner = getattr(model, "model", None)
            if isinstance(inner, torch.nn.Module):
                keep = settings.dtype == "auto" and device.type != "cpu"  # on a GPU as the loader made it
                inner.eval().requires_grad_(False).to(**({} if keep else {"dtype": dtype}))
            _has_its_parts(inner, where, meta.name)
            task = task_of(settings.reading)
            encode(model, task, [{"image": PIL.Image.new("RGB", (224, 224))}])
            dims = encode(model, task, [{"text": "a"}]).shape[1]
    except LOADING_ERRORS as error:
        why, *more = str(error).split("\n")
        # mteb says what to install; another version than the one that is here would break other steps.
        remedy = more[0] if more and isinstance(error, ImportError) and "(installed:" not in why else OTHERWISE
        raise ModelError(f"{where}: mteb's loader of {meta.name} could not read it ({why}). {remedy}") from error
    loaded("model of mteb", where)
    weights = next(inner.parameters(), None) if isinstance(inner, torch.nn.Module) else None
    prepared = {"preprocessing": "mteb", "mteb": importlib.metadata.version("mteb")}
    prepared["reading"] = settings.reading.model_dump(mode="json")
    made = torch.float32 if weights is None else weights.dtype
    identity = identity_of(manifest, settings.architecture, settings, prepared, made)
    return MTEBModel(model, task, settings.reading, identity, dims)


def _has_its_parts(model, where: Path, name: str) -> None:
    """Raises ModelError for a model of sentence-transformers whose directory does not say what follows the network: the
    mean of all tokens would be taken in its place, without a word."""
    if type(model).__module__.startswith("sentence_transformers") and not (where / "modules.json").is_file():
        raise ModelError(
            f"{where}: it holds no modules.json, which tells mteb's loader of {name} how states are pooled."
        )


def meta_of(name: str):
    """mteb's description of a model. Raises ModelError as ``load_mteb`` does."""
    try:
        from mteb.models.get_model_meta import get_model_meta
    except ImportError as error:
        raise ModelError(
            f"backbone {MTEB}{name} needs the package mteb: pip install 'ipcir[mteb]' ({error})."
        ) from error
    try:
        meta = get_model_meta(name)
    except KeyError as error:
        raise ModelError(f"mteb knows no model {name!r}: {error.args[0]}") from error
    reasons = {
        "mteb has no loader for it": meta.loader is None,
        "it is a service on the network": not meta.open_weights or "API" in meta.framework,
        f"it encodes {', '.join(sorted(meta.modalities))}": not {"image", "text"} <= set(meta.modalities),
        f"it gives no single vector ({', '.join(meta.model_type)})": "dense" not in meta.model_type,
        "its loader runs code of the model's own": bool(meta.loader_kwargs.get("trust_remote_code")),
    }
    if wrong := [reason for reason, holds in reasons.items() if holds]:
        raise ModelError(f"{name} of mteb is no encoder of images and texts here: {wrong[0]}. {OTHERWISE}")
    return meta


def task_of(reading: Reading):
    """A task of mteb whose prompts are the instructions; of its own name, so that no prompt that a model has for one of
    mteb's tasks takes their place."""
    import mteb

    prompts = {"document": reading.instruction, "query": reading.query_instruction}
    update = {"name": "ipcir", "prompt": {kind: prompt for kind, prompt in prompts.items() if prompt}}
    return mteb.get_task("CIRRIT2IRetrieval").metadata.model_copy(update=update)
