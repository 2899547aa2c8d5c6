"""What a baseline is given, and how its result is stored."""

import argparse
import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.features import Features, load_features, save_features
from ipcir_steps.core.files import digest, inside
from ipcir_steps.core.records import Query, read_images, read_queries

FILES = (
    "target_captions", "source_captions", "references", "gallery", "model", "weights", "images", "root", "text",
    "proxy_captions",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Inputs:
    """Queries, their dataset's format, and files read on demand; what a baseline does not ask for is not opened.

    ``files`` maps "target_captions", "source_captions", "references", "gallery", "model", "weights", "images", "root",
    "text" and "proxy_captions" to paths or None.
    """

    queries: list[Query]
    benchmark: str
    files: dict[str, Path | None]
    output: Path
    seed: int = 0
    architecture: str | None = None

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> "Inputs":
        files = {name: getattr(args, name) for name in FILES}
        queries = read_queries(args.queries)
        return cls(queries, args.benchmark, files, args.output, args.seed, args.architecture)

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(query.query_id for query in self.queries)

    def need(self, name: str) -> Path:
        """The path of an input. Raises InputError naming the option when it was not given."""
        path = self.files.get(name)
        if path is None:
            raise InputError("is needed by this baseline", field=f"--{name.replace('_', '-')}")
        return path

    def features(self, name: str) -> tuple[np.ndarray, set[str]]:
        """(values with one row per query in query order, ids of queries without a feature).

        Rows of missing queries are zeros. Raises InputError naming a query that the file does not know.
        """
        return by_query(load_features(self.need(name)), self.ids, self.need(name))

    def gallery(self) -> np.ndarray:
        """Memory-mapped gallery features [G, D]."""
        return load_features(self.need("gallery")).values

    @functools.cached_property
    def encoder(self):
        """The CLIP model the features come from (see ipcir_steps.seek.embeddings.clip.Encoder)."""
        from ipcir_steps.config.vision import Embeddings
        from ipcir_steps.seek.embeddings.clip import load_encoder

        features = self.files.get("references")
        made_by = load_features(features).model if features else {}
        # Words are optimised through it, and it reads one text per query: float32 everywhere.
        settings = Embeddings(architecture=self.architecture, dtype="float32")
        if "reading" in made_by:  # a language model, which must read as it did for the features
            settings = Embeddings(architecture=self.architecture, dtype=made_by["dtype"], reading=made_by["reading"])
        encoder = load_encoder(self.need("model"), settings, ("text",))
        if made_by.get("digest") not in (None, encoder.identity["digest"]):
            remedy = "Give the model that made the features."
            raise InputError("was made by another model", file=features, field="model", remedy=remedy)
        same_encoder(made_by, features)
        return encoder

    def image_of(self) -> Callable[[Query], Path]:
        """The file of a query's reference. Raises InputError when --images or --root was not given; the function
        raises StepFailure for an image that is absent."""
        root = self.need("root")
        images = {image.name: image for image in read_images(self.need("images"))}

        def file(query: Query) -> Path:
            image = images.get(query.reference)
            if image is None or image.width is None:
                raise StepFailure(f"image {query.reference} is absent")
            return inside(root, image.path, file=self.files["images"], record=image.name, field="path")

        return file

    def model_of(self) -> dict:
        """The identity of the backbone, from the first feature file or the model that was given."""
        for name in ("target_captions", "references", "gallery", "proxy_captions"):
            if self.files.get(name):
                return load_features(self.files[name]).model
        return self.encoder.identity if self.files.get("model") else {}


def by_query(features: Features, ids: tuple[str, ...], path) -> tuple[np.ndarray, set[str]]:
    """Rows in the order of ``ids`` (a view where they already are) and which of them are missing."""
    missing = set(features.missing) & set(ids)
    if features.names == ids:
        return features.values, missing
    rows = {name: row for row, name in enumerate(features.names)}
    for name in ids:
        if name not in rows:
            remedy = "Rebuild the features from the same queries."
            raise InputError("has no row for this query", file=path, record=name, remedy=remedy)
    return features.values[[rows[name] for name in ids]], missing


def ready_features(path: str | Path, inputs: Inputs) -> tuple[np.ndarray, set[str]]:
    """Features [Q, D] made elsewhere, in query order. Raises InputError on a wrong shape or an unknown query."""
    features = load_features(path)
    if features.values.ndim != 2:
        shape = "x".join(map(str, features.values.shape))
        raise InputError(f"features are {shape}, not [queries, D]", file=path, field="features")
    return by_query(features, inputs.ids, path)


def save(output: Path, name: str, settings: str, inputs: Inputs, values, missing: Iterable[str]) -> None:
    """Write the text features; rows of missing queries become zeros. Raises InputError on a wrong shape."""
    values = np.array(values, dtype=np.float32)
    if values.ndim != 2 or len(values) != len(inputs.queries):
        raise InputError(f"returned shape {values.shape}, not [{len(inputs.queries)}, D]", field=f"baseline {name}")
    missing = set(missing)
    values[[row for row, query_id in enumerate(inputs.ids) if query_id in missing]] = 0
    model = {**inputs.model_of(), "baseline": name, "settings": digest(settings)}
    ordered = tuple(query_id for query_id in inputs.ids if query_id in missing)
    save_features(output, Features(values, inputs.ids, ordered, model))


def same_encoder(model: dict, file: Path | None = None) -> None:
    """Raises InputError for features that the encoder of pseudo-words, which runs in torch, may not be mixed with."""
    if model.get("encoder", "torch") != "torch":
        raise InputError(
            f"was made with embeddings.encoder: {model['encoder']}, in which no pseudo-word can be read", file=file,
            field="embeddings.encoder", remedy="Set it to torch for this baseline.",
        )  # fmt: skip
