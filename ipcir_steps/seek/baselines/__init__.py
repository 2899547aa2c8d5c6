"""Baselines: the text side S_t of the similarity, one feature per query.

A baseline is one file with one function ``text_features(inputs, settings) -> (values [Q, D], missing query ids)``, and
a card in ``ipcir_steps.config.baselines``. A custom one needs no card: name it as ``package.module:function``, or give
a safetensors file of ready features. Its settings are of the class that the second argument is annotated with.
"""

import argparse
import importlib
import typing
from collections.abc import Callable

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config.base import Section
from ipcir_steps.config.baselines import BASELINES, CAPTIONED, Custom
from ipcir_steps.core import plugins
from ipcir_steps.core.arguments import ImageList, InFile, OutFile, Root
from ipcir_steps.core.errors import InputError


def find(name: str) -> tuple[Callable, type[Section]]:
    """The function and settings class of a baseline. Raises InputError listing the known names."""
    known = {**BASELINES, CAPTIONED.name: CAPTIONED}.get(name.replace("-", "_"))
    if known:
        module, _, function = known.function.partition(":")
        return getattr(importlib.import_module(f"{__name__}.{module}"), function), known.settings
    if not name.partition(":")[2]:
        remedy = f"Use one of {', '.join(BASELINES)}, package.module:function, or a .safetensors file."
        raise InputError(f"there is no baseline {name!r}", field="baseline", remedy=remedy)
    try:
        function = plugins.load(name)
    except (ImportError, AttributeError) as error:
        remedy = "Put the module into the working directory or on PYTHONPATH."
        raise InputError(f"{name!r} cannot be imported ({error})", field="baseline", remedy=remedy) from error
    return function, declared(function)


def declared(function: Callable) -> type[Section]:
    """The Section that a function's second argument is annotated with; one that takes any keys where it is not."""
    try:
        hints = [hint for name, hint in typing.get_type_hints(function).items() if name != "return"]
    except (NameError, TypeError):  # annotations that only a type checker can resolve
        hints = []
    found = [hint for hint in hints if isinstance(hint, type) and issubclass(hint, Section)]
    return found[0] if found else Custom


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        help=f"{', '.join(BASELINES)}; {CAPTIONED.name}; package.module:function; or a safetensors file of features",
    )
    parser.add_argument("--queries", required=True, type=InFile, help="queries.jsonl")
    parser.add_argument(
        "--benchmark", required=True, choices=sorted(BENCHMARKS), help="benchmark whose published form LDRE takes"
    )
    parser.add_argument("--target-captions", type=InFile, help="features [Q, K, D] (ldre, cirevl)")
    parser.add_argument("--source-captions", type=InFile, help="features [Q, K, D] (ldre)")
    parser.add_argument("--references", type=InFile, help="features [Q, D] (image and pseudo-word baselines)")
    parser.add_argument("--gallery", type=InFile, help="features [G, D] (ldre's ensemble)")
    parser.add_argument(
        "--model", type=InFile, help="the CLIP model the features come from (baselines that encode text)"
    )
    parser.add_argument("--images", type=ImageList, help="references.jsonl (joint)")
    parser.add_argument("--root", type=Root, help="directory that the paths in --images are relative to (joint)")
    parser.add_argument("--architecture", help="open_clip name, where --model is one weights file")
    parser.add_argument(
        "--weights", type=InFile, help="manifest or file of the mapping network (searle, lincir, pic2word)"
    )
    parser.add_argument("--text", type=InFile, help="text features [Q, D] that the captions join (captioned)")
    parser.add_argument("--proxy-captions", type=InFile, help="features [Q, C, D] of the proxies' captions (captioned)")
    parser.add_argument("--seed", type=int, default=0, help="run seed (searle_oti, captioned)")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="settings as JSON text or a JSON file")
    parser.add_argument("--output", required=True, type=OutFile, help="text feature file to write")
    parser.epilog = "\n".join(
        f"settings of {name}:\n"
        + "\n".join(f"  {key}: {field.description}" for key, field in card.settings.model_fields.items())
        for name, card in {**BASELINES, CAPTIONED.name: CAPTIONED}.items()
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.config.settings import read_settings
    from ipcir_steps.seek.baselines.inputs import Inputs, ready_features, save
    from ipcir_steps.seek.embeddings.stream import discard

    inputs = Inputs.from_args(args)
    if args.name.endswith(".safetensors"):
        values, missing = ready_features(args.name, inputs)
    else:
        function, section = find(args.name)
        values, missing = function(inputs, read_settings(args.settings, section))
    save(args.output, args.name, args.settings, inputs, values, missing)
    discard(args.output)  # what a baseline has kept to go on from
