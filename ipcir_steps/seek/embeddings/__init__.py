"""CLIP features of images, captions and proxies, read from open_clip models on disk.

``ipcir embeddings images|captions|proxies`` writes feature files (see :mod:`ipcir_steps.core.features`).
"""

import argparse

from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.config.vision import Embeddings
from ipcir_steps.core.arguments import ImageList, InFile, OutFile, Root


def target_pad_transform(size: int = 224, ratio: float = 1.25, mean=None, std=None):
    """The published preprocessing, PIL image → [3, size, size]; see ``ipcir_steps.seek.embeddings.transform``."""
    from ipcir_steps.seek.embeddings import transform

    return transform.target_pad_transform(size, ratio, mean, std)


def arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", metavar="images|captions|proxies", required=True)
    images = kinds.add_parser("images", help="a gallery, or with --queries the reference of each query")
    images.add_argument("--images", required=True, type=ImageList, help="gallery.jsonl or references.jsonl")
    images.add_argument("--root", required=True, type=Root, help="directory the image paths are relative to")
    images.add_argument("--queries", type=InFile, help="queries.jsonl: rows become queries instead of images")
    captions = kinds.add_parser("captions", help="K captions per query")
    captions.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    captions.add_argument(
        "--captions", required=True, type=InFile, help="source_captions.jsonl or target_captions.jsonl"
    )
    proxies = kinds.add_parser("proxies", help="N proxy images per query")
    proxies.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    proxies.add_argument("--index", required=True, type=ImageList, help="index.jsonl of the proxies")
    proxies.add_argument("--images", required=True, type=Root, help="directory the index's paths are relative to")
    for kind in (images, captions, proxies):
        kind.add_argument("--model", required=True, type=InFile, help="manifest, model directory or weights file")
        kind.add_argument("--output", required=True, type=OutFile, help="feature file to write (safetensors)")
        add_settings(kind, Embeddings)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.seek.embeddings import steps

    settings = read_settings(args.settings, Embeddings)
    getattr(steps, args.kind)(args, settings)
