"""The three kinds of features. Every image and every caption is encoded once, however many queries share it."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.errors import InputError, StepFailure
from ipcir_steps.core.features import Features, save_features
from ipcir_steps.core.files import inside, read_jsonl, sha256
from ipcir_steps.core.records import read_images, read_queries
from ipcir_steps.seek.embeddings.clip import Encoder, load_encoder
from ipcir_steps.seek.embeddings.stream import discard, stream, where_readable

log = logging.getLogger(__name__)


def images(args: argparse.Namespace, settings: Embeddings) -> None:
    """Gallery [G, D], rows = images; or with queries [Q, D], rows = queries.

    A gallery must be complete; queries whose reference is absent or damaged are listed as missing.
    """
    paths = {
        image.name: None
        if image.width is None
        else inside(args.root, image.path, file=args.images, record=image.name, field="path")
        for image in read_images(args.images)
    }
    rows = {name: [name] for name in paths}
    if args.queries:
        queries = read_queries(args.queries)
        for query in queries:
            if query.reference not in paths:
                raise InputError(
                    f"reference {query.reference!r} is not in {args.images}", file=args.queries, record=query.query_id
                )
        rows = {query.query_id: [query.reference] for query in queries}
        paths = {query.reference: paths[query.reference] for query in queries}
    encoder = load_encoder(args.model, settings, ("image",))
    vectors = encode_images(paths, encoder, settings, args.output, sha256(args.images))
    absent = [name for name, vector in vectors.items() if vector is None]
    if absent and not args.queries:
        remedy = "Replace it, or run ipcir datasets again with missing_images: skip."
        raise InputError("the image is absent or cannot be decoded", file=args.images, record=absent[0], remedy=remedy)
    _save(args.output, rows, vectors, encoder, squeeze=True)


def captions(args: argparse.Namespace, settings: Embeddings) -> None:
    """Captions [Q, K, D]; queries without captions are listed as missing."""
    queries = read_queries(args.queries)
    records = _by_query(args.captions, "captions")
    texts = list(dict.fromkeys(text for values in records.values() for text in values))
    encoder = load_encoder(args.model, settings, ("text",))
    values = stream(
        texts, lambda batch: encoder.texts(batch).numpy(), args.output, encoder.identity,
        batch_size=settings.batch_size, title="captions",
    )  # fmt: skip
    vectors = dict(zip(texts, values, strict=True))
    _save(args.output, {query.query_id: records.get(query.query_id, []) for query in queries}, vectors, encoder)


def proxies(args: argparse.Namespace, settings: Embeddings) -> None:
    """Proxies [Q, N, D]; queries without proxies, or with an unreadable one, are listed as missing.

    Where the index says why drawing stopped, queries may have fewer. Without queries no model is loaded.
    """
    queries = read_queries(args.queries)
    if not queries:
        save_features(args.output, Features(np.zeros((0, 1, 0), np.float32), ()))
        return
    records = _by_query(args.index, "images")
    wanted = {query.query_id: records.get(query.query_id, []) for query in queries}
    paths = {
        name: inside(args.images, name, file=args.index, record=query_id, field="images")
        for query_id, names in wanted.items()
        for name in names
    }
    encoder = load_encoder(args.model, settings, ("image",))
    vectors = encode_images(paths, encoder, settings, args.output, sha256(args.index))
    stopped = {record["query_id"] for record in read_jsonl(args.index) if "stopped" in record}
    _save(args.output, wanted, vectors, encoder, stopped=stopped)


def encode_images(
    paths: dict[str, Path | None], encoder: Encoder, settings: Embeddings, output: Path, content: str
) -> dict[str, np.ndarray | None]:
    """Feature [D] of each named image; None where it is absent or cannot be decoded (told in the log).

    content: a digest of the list the paths come from; ``output`` names the part file to continue in.
    """

    def prepare(name: str) -> torch.Tensor | None:
        try:
            return encoder.read(paths[name])
        except StepFailure as failure:
            log.warning("%s: %s", name, failure)
            return None

    encode = where_readable(lambda images: encoder.images(images).numpy(), encoder.dims)
    names = [name for name, path in paths.items() if path is not None]
    context = {**encoder.identity, "content": content}
    values = stream(
        names, encode, output, context,
        prepare=prepare, batch_size=settings.batch_size, workers=settings.workers, title="images",
    )  # fmt: skip
    found = dict(zip(names, values, strict=True))
    return {name: found[name] if name in found and found[name].any() else None for name in paths}


def _by_query(path: Path, field: str) -> dict[str, Sequence[str]]:
    """{query_id: list}; every list of the same length, but of queries for which drawing stopped."""
    values = {}
    for number, record in enumerate(read_jsonl(path), 1):
        if "failure" in record:
            continue
        names, stopped = record.get(field), "stopped" in record
        if not (names or (stopped and names == [])) or not all(isinstance(name, str) for name in names):
            raise InputError("is not a list of texts", file=path, record=number, field=field)
        if record.get("query_id") in values:
            raise InputError(f"{record['query_id']!r} appears twice", file=path, record=number, field="query_id")
        first = next(iter(values.values()), names)
        if len(names) != len(first) and not stopped:
            remedy = "Every query needs the same number: delete the file and run again."
            problem = f"has {len(names)} entries, the records before it {len(first)}"
            raise InputError(problem, file=path, record=number, field=field, remedy=remedy)
        values[record["query_id"]] = names
    return values


def _save(
    output: Path, rows: dict[str, Sequence[str]], vectors: dict, encoder: Encoder, squeeze: bool = False, stopped=()
) -> None:
    """Lay out the vectors, write the file, and drop the part file. stopped: rows that may have fewer, or none."""
    count = max(map(len, rows.values()), default=0) or 1
    values = np.zeros((len(rows), count, encoder.dims), np.float32)
    missing = []
    for row, (name, parts) in enumerate(rows.items()):
        found = [vectors[part] for part in parts]
        if (not found and name not in stopped) or any(vector is None for vector in found):
            missing.append(name)
        else:
            values[row, : len(found)] = found if found else 0
    if missing:
        log.warning("%s: no feature for %d of %d rows", output.name, len(missing), len(rows))
    if not np.isfinite(values).all():
        # float16 ends at 65,504; the sum of a row would be infinite in every similarity.
        remedy = "Set embeddings.dtype to float32 or bfloat16."
        raise InputError(f"a feature is not finite in {encoder.identity['dtype']}", file=output, remedy=remedy)
    values = values[:, 0] if squeeze else values
    gone = set(missing)
    counts = tuple(0 if name in gone else len(parts) for name, parts in rows.items()) if stopped else None
    save_features(output, Features(values, tuple(rows), tuple(missing), encoder.identity, counts))
    discard(output)
