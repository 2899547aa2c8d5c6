"""Baselines: the text side S_t of the similarity, one feature per query.

A baseline is one file with one function ``text_features(inputs, settings) -> (values [Q, D], missing query ids)``,
registered below by name. Your own needs no registration: name it as ``package.module:function``, or give a
safetensors file of ready features.
"""

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path

from ipcir_steps.benchmarks import BENCHMARKS
from ipcir_steps.config import baselines as config
from ipcir_steps.config.base import Section
from ipcir_steps.core import plugins as own
from ipcir_steps.core.errors import InputError

# name: (module, settings)
REGISTRY: dict[str, tuple[str, type[Section]]] = {
    "ldre": ("ldre", config.LDRE),
    "cirevl": ("cirevl", config.Plain),
    "searle": ("searle", config.PseudoWord),
    "searle_oti": ("searle_oti", config.Inversion),
    "lincir": ("lincir", config.PseudoWord),
    "pic2word": ("pic2word", config.PseudoWord),
    "image_only": ("simple", config.Plain),
    "text_only": ("simple", config.Plain),
    "image_text": ("simple", config.Plain),
}
FUNCTIONS = {"image_only": "image_only", "text_only": "text_only", "image_text": "image_text"}


def find(name: str) -> tuple[Callable, type[Section]]:
    """The function and settings class of a baseline. Raises InputError listing the known names."""
    known = name.replace("-", "_")
    if known in REGISTRY:
        module, section = REGISTRY[known]
        module = importlib.import_module(f"ipcir_steps.seek.baselines.{module}")
        return getattr(module, FUNCTIONS.get(known, "text_features")), section
    if not name.partition(":")[2]:
        remedy = f"Use one of {', '.join(REGISTRY)}, package.module:function, or a .safetensors file."
        raise InputError(f"there is no baseline {name!r}", field="baseline", remedy=remedy)
    try:
        return own.load(name), config.Custom
    except (ImportError, AttributeError) as error:
        remedy = "Put the module into the working directory or on PYTHONPATH."
        raise InputError(f"{name!r} cannot be imported ({error})", field="baseline", remedy=remedy) from error


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", help=f"{', '.join(REGISTRY)}; package.module:function; or a safetensors file of ready features"
    )
    parser.add_argument("--queries", required=True, type=Path, help="queries.jsonl")
    parser.add_argument("--benchmark", required=True, choices=sorted(BENCHMARKS), help="whose published form (ldre)")
    parser.add_argument("--target-captions", type=Path, help="features [Q, K, D] (ldre, cirevl)")
    parser.add_argument("--source-captions", type=Path, help="features [Q, K, D] (ldre)")
    parser.add_argument("--references", type=Path, help="features [Q, D] (image and pseudo-word baselines)")
    parser.add_argument("--gallery", type=Path, help="features [G, D] (ldre's ensemble)")
    parser.add_argument("--model", type=Path, help="the CLIP model the features come from (baselines that encode text)")
    parser.add_argument("--architecture", help="open_clip name, where --model is one weights file")
    parser.add_argument(
        "--weights", type=Path, help="manifest or file of the mapping network (searle, lincir, pic2word)"
    )
    parser.add_argument("--seed", type=int, default=0, help="run seed (searle_oti)")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="settings as JSON text or a JSON file")
    parser.add_argument("--output", required=True, type=Path, help="text feature file to write")
    parser.epilog = "\n".join(
        f"settings of {name}:\n"
        + "\n".join(f"  {key}: {field.description}" for key, field in section.model_fields.items())
        for name, (_, section) in REGISTRY.items()
    )
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.config.settings import read_settings
    from ipcir_steps.seek.baselines.inputs import Inputs, ready_features, save

    inputs = Inputs.from_args(args)
    if args.name.endswith(".safetensors"):
        values, missing = ready_features(args.name, inputs)
    else:
        function, section = find(args.name)
        values, missing = function(inputs, read_settings(args.settings, section))
    save(args.output, args.name, args.settings, inputs, values, missing)
