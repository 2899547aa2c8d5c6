"""open_clip models from disk."""

import dataclasses
import json
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError

from ipcir_steps.config.data import MTEB
from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.devices import loaded, placement
from ipcir_steps.core.errors import ModelError
from ipcir_steps.core.manifests import Manifest, load_manifest
from ipcir_steps.seek.embeddings.base import Readable, identity_of
from ipcir_steps.seek.embeddings.dual import kind_of, load_dual
from ipcir_steps.seek.embeddings.reader import KINDS, Reader, load_reader
from ipcir_steps.seek.embeddings.towers import TOWERS, config_of, load
from ipcir_steps.seek.embeddings.transform import target_pad_transform


@dataclasses.dataclass(frozen=True)
class Encoder(Readable):
    """A CLIP model in evaluation mode, with its tokenizer and preprocessing.

    tokenize: list of texts → int64 [n, context]. identity: what feature files say about their maker. dims: D, length of
    a feature. It may hold one tower alone, see ``load_encoder``.
    """

    model: torch.nn.Module
    tokenize: Callable[[Sequence[str]], torch.Tensor]
    transform: Callable
    identity: dict
    dims: int

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters(), torch.empty(0)).device

    @property
    def dtype(self) -> torch.dtype:
        """What the towers compute in. Norms and embeddings stay float32."""
        return getattr(torch, self.identity["dtype"])

    @property
    def token_embedding(self) -> torch.nn.Embedding:
        """The text tower's word embeddings, wherever the architecture keeps them."""
        tower = getattr(self.model, "text", self.model)
        if not hasattr(tower, "token_embedding"):
            raise ModelError(f"pseudo-words need a model in open_clip's layout, {self.identity['model']} is another.")
        return tower.token_embedding

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """float32 [n, D] on the CPU, un-normalised. Texts beyond the context length are cut, as by CLIP."""
        return self.model.encode_text(self.tokenize(list(texts)).to(self.device)).float().cpu()

    @torch.inference_mode()
    def pixels(self, pixels: torch.Tensor) -> torch.Tensor:
        """Preprocessed images [n, 3, size, size] → float32 [n, D] on the CPU, un-normalised."""
        return self.model.encode_image(pixels.to(self.device, self.dtype)).float().cpu()

    def images(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Images as ``read`` gives them → float32 [n, D] on the CPU, un-normalised."""
        return self.pixels(torch.stack(list(images)))


def load_encoder(
    path: str | Path, settings: Embeddings | None = None, towers: Collection[str] = TOWERS
) -> Encoder | Reader:
    """Load a backbone without network access.

    path: a manifest, or a directory in open_clip's own layout (``open_clip_config.json`` beside
    ``open_clip_model.safetensors`` or ``open_clip_pytorch_model.bin``, as on the hub) or in transformers' (CLIP,
    SigLIP, Qwen's vision-language models), or one weights file, whose architecture ``settings`` names; or a directory
    that mteb's loader reads, where the architecture says so (mteb:ORG/NAME). towers: "image" and "text", those that
    will be asked. Raises ModelError telling what is wrong and what to do.
    """
    import open_clip

    settings = settings or Embeddings()
    manifest = load_manifest(path)
    where = Path(manifest.path)
    if (settings.architecture or "").startswith(MTEB):
        from ipcir_steps.seek.embeddings.mteb_models import load_mteb

        return load_mteb(manifest, where, settings)
    if where.is_dir():
        kind = None if (where / "open_clip_config.json").is_file() else kind_of(where)
        if kind in KINDS:
            return load_reader(manifest, where, kind, settings)
        if kind is not None:
            return _of_transformers(manifest, where, settings, towers)
        if not (where / "open_clip_config.json").is_file():
            raise ModelError(
                f"{where} holds no open_clip_config.json. Give an open_clip snapshot from the hub, or a weights "
                "file together with embeddings.architecture."
            )
        config = json.loads((where / "open_clip_config.json").read_text())
        # Without weights the library would go on with random ones.
        if not any(where.glob("open_clip_*.safetensors")) and not any(where.glob("open_clip_*.bin")):
            raise ModelError(f"{where} holds no open_clip_model.safetensors. Fetch the model again.")
        name, pretrained, architecture = f"local-dir:{where.resolve()}", None, config.get("model_name")
    else:
        name = architecture = settings.architecture
        pretrained = str(where)
        if name not in open_clip.list_models():
            raise ModelError(f"{where} is a weights file: set embeddings.architecture to one of open_clip's names.")
    small = settings.encoder == "int8"
    device, dtype = (torch.device("cpu"), torch.float32) if small else placement(settings.device, settings.dtype)
    precision = {torch.float16: "fp16", torch.bfloat16: "bf16"}.get(dtype, "fp32")  # half: OpenAI's own mixed precision
    try:
        if small:
            from ipcir_steps.seek.embeddings.int8 import Sessions

            model = Sessions(name, pretrained, manifest.digest, towers)
        else:
            model = load(name, pretrained, precision, towers)
        tokenize = open_clip.get_tokenizer(name)
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError, UnpicklingError) as error:
        raise ModelError(f"model '{manifest.name}' at {where} cannot be loaded: {error}") from error
    loaded("CLIP model", where)
    preprocess = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    size = max(preprocess.input_size[1:])
    transform = target_pad_transform(size, settings.ratio, preprocess.mean, preprocess.std)
    prepared = {"ratio": settings.ratio}
    if settings.preprocessing == "model":
        own = open_clip.transform.image_transform_v2(preprocess, is_train=False)
        transform, prepared = lambda image: own(image.convert("RGB")), {"preprocessing": "model"}
    identity = identity_of(manifest, architecture, settings, prepared, dtype)
    dims = config_of(name)["embed_dim"]
    model = model.float() if dtype is torch.float32 else model
    return Encoder(model.eval().requires_grad_(False).to(device), tokenize, transform, identity, dims)


def _of_transformers(manifest: Manifest, where: Path, settings: Embeddings, towers: Collection[str]) -> Encoder:
    """A model in transformers' layout; its own processor prepares images, unless the settings say target_pad."""
    if settings.encoder == "int8":
        raise ModelError(
            f"{where}: encoder int8 takes models in open_clip's layout alone. Set embeddings.encoder: torch."
        )
    device, dtype = placement(settings.device, settings.dtype)
    model, prepare = load_dual(where, dtype, towers)
    transform, prepared = prepare.image, {"preprocessing": "processor"}
    if settings.preprocessing == "target_pad":
        transform = target_pad_transform(prepare.size, settings.ratio, *prepare.statistics)
        prepared = {"preprocessing": "target_pad", "ratio": settings.ratio}
    identity = identity_of(manifest, model.architecture, settings, prepared, dtype)
    model = model.eval().requires_grad_(False).to(device)
    return Encoder(model, prepare.texts, transform, identity, model.dims)
