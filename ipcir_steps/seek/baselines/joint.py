"""A multimodal language model reads the reference image and the request together; its feature is the query."""

import logging

import numpy as np

from ipcir_steps.config.baselines import Joint
from ipcir_steps.core.errors import ModelError, StepFailure
from ipcir_steps.core.files import sha256
from ipcir_steps.core.records import Query
from ipcir_steps.seek.baselines.inputs import Inputs
from ipcir_steps.seek.baselines.simple import _normalize
from ipcir_steps.seek.embeddings.stream import stream, where_readable

log = logging.getLogger(__name__)


def text_features(inputs: Inputs, settings: Joint) -> tuple[np.ndarray, set[str]]:
    """Normalised features; queries whose image is absent or unreadable are missing.

    The instruction is ``embeddings.reading.query_instruction``. Raises ModelError for a backbone with two towers, which
    has no feature of both. Goes on where it was killed.
    """
    encoder, images = reader_of(inputs.encoder), inputs.image_of()

    def prepare(query: Query):
        try:
            return encoder.read(images(query)), query.caption
        except StepFailure as failure:
            log.warning("%s: %s", query.query_id, failure)
            return None

    encode = where_readable(lambda pairs: encoder.joint(*zip(*pairs, strict=True)).numpy(), encoder.dims)
    context = {**encoder.identity, "content": sha256(inputs.need("images"))}
    values = stream(
        inputs.queries, encode, inputs.output, context,
        prepare=prepare, batch_size=settings.batch_size, title="joint",
    )  # fmt: skip
    missing = {query.query_id for query, value in zip(inputs.queries, values, strict=True) if not value.any()}
    return _normalize(values), missing


def reader_of(encoder):
    """The encoder, which reads both together. Raises ModelError for one with two towers."""
    if not hasattr(encoder, "joint"):
        raise ModelError(
            f"baseline joint needs a multimodal language model as backbone, {encoder.identity['model']} has two towers."
            " Take image_text."
        )
    return encoder
