"""Fusion: imagined proxies, the reference image and the change of captions become one robust proxy (eq. 1)."""

import argparse
from pathlib import Path

import numpy as np

from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import Features, align, load_features, save_features
from ipcir_steps.core.files import seed

VARIANTS = {
    "pi": "mean of the normalised proxies, f_p",
    "rp": "robust proxy, eq. 1",
    "no_proxy": "control: query and perturbation only",
    "other_proxy": "control: eq. 1 with the proxies of another query",
}


def semantic_perturbation(target, source):
    """f_s: the mean over captions of normalised target minus normalised source captions (section 3.3).

    target, source: [C, Q, D] un-normalised float tensors. Returns [Q, D], not normalised.
    Raises InputError on different shapes, values that are not finite and zero vectors, naming caption and query.
    """
    target, source = _checked(target, "target", 3), _checked(source, "source", 3)
    _same("source", source.shape, "target", target.shape)
    return (_unit(target) - _unit(source)).mean(0)


def proxy_mean(proxies):
    """f_p: the mean of the normalised proxies, not normalised again. proxies: [Q, N, D]. Returns [Q, D]."""
    return _unit(_checked(proxies, "proxies", 3)).mean(1)


def robust_proxy(proxies, references, perturbation, weights=(1, 1, 1), scale="dataset"):
    """f_RP = w_p f_p + w_q (max f_p / max f_q) f_q + w_s (max f_p / max f_s) f_s (eq. 1), not normalised.

    proxies [Q, N, D] and references [Q, D]: un-normalised float tensors; perturbation [Q, D]: f_s;
    weights: of proxy, query and perturbation. scale: "dataset" takes the signed maximum over the whole [Q, D] tensor
    (published: the value of a query then depends on the others), "query" over each query's own row.
    Returns [Q, D]. Raises InputError on wrong shapes, values that are not finite and zero vectors, naming the row.
    """
    references = _checked(references, "references", 2)
    return combine((proxy_mean(proxies), _unit(references), perturbation), weights, scale)


def combine(parts, weights, scale="dataset"):
    """Weighted sum of ``parts``, each scaled to the maximum of the first. parts: tensors [Q, D]; returns [Q, D].

    >>> import torch
    >>> combine([torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 0.0]])], (1, 0.5))
    tensor([[2., 2.]])
    """
    return sum(factor * part for factor, part in zip(factors(parts, weights, scale), parts, strict=True))


def factors(parts, weights, scale="dataset"):
    """What each part is multiplied by in eq. 1: one [Q, 1] (scale "query") or [1, 1] tensor per part."""
    if scale not in ("dataset", "query"):
        raise InputError(f"is {scale!r}, not 'dataset' or 'query'", field="scale")
    for number, part in enumerate(parts):
        part = _checked(part, f"part {number}", 2, zeros=True)
        _same(f"part {number}", part.shape, "part 0", parts[0].shape)
    highest = [p.amax(1, keepdim=True) if scale == "query" else p.amax().reshape(1, 1) for p in parts]
    out = []
    for number, (part, high, weight) in enumerate(zip(parts, highest, weights, strict=True)):
        zero = high == 0
        # An all-zero perturbation (the target captions are the source captions) adds nothing, whatever its scale.
        if zero.any() and bool((part.abs().amax(1, keepdim=True) > 0)[zero.expand(len(part), 1)].any()):
            raise InputError("has maximum 0, so eq. 1 cannot scale it", field=f"part {number}")
        out.append(weight * (highest[0] / high).masked_fill(zero, 0))
    return out


def other_queries(query_ids, run_seed: int) -> list[int]:
    """A fixed-point-free permutation: whose proxies each query gets in the control ``other_proxy``.

    All queries form one cycle in the order of a hash of their ids, so the row order does not matter.

    >>> other_queries(["a", "b", "c"], 0)
    [2, 0, 1]
    """
    if len(query_ids) < 2:
        raise InputError("other_proxy needs two queries with proxies", remedy="Leave this control out.")
    cycle = sorted(range(len(query_ids)), key=lambda row: seed(run_seed, "other_proxy", query_ids[row]))
    partner = dict(zip(cycle, cycle[1:] + cycle[:1], strict=True))
    return [partner[row] for row in range(len(query_ids))]


def fuse(variant, references, proxies=None, target=None, source=None, weights=(1, 1, 1), scale="dataset", run_seed=0):
    """One variant as Features [Q, D]; inputs as stored ([Q, D], [Q, N, D], [Q, K, D], [Q, K, D]).

    Queries missing in an input that the variant needs are zero rows, listed in ``missing``, and have no part in the
    dataset maximum.
    """
    import torch

    needs = {"pi": (proxies,), "no_proxy": (target, source)}.get(variant, (proxies, target, source))
    if any(part is None for part in needs):
        raise InputError(f"{variant} needs {'target and source captions' if variant == 'no_proxy' else 'more inputs'}")
    absent = {name for part in (references, *needs) for name in part.missing}
    rows = [row for row, name in enumerate(references.names) if name not in absent]
    kept = [references.names[row] for row in rows]

    def read(features):
        return torch.from_numpy(np.array(features.values[align(features, kept)]))

    out = np.zeros((len(references.names), references.values.shape[-1]), np.float32)
    if rows:
        drawn = None if variant == "no_proxy" else read(proxies)
        if variant == "other_proxy":
            drawn = drawn[other_queries(kept, run_seed)]
        if variant == "pi":
            fused = proxy_mean(drawn)
        else:
            change = semantic_perturbation(read(target).transpose(0, 1), read(source).transpose(0, 1))
            if variant == "no_proxy":
                fused = combine((_unit(read(references)), change), weights[1:], scale)
            else:
                fused = robust_proxy(drawn, read(references), change, weights, scale)
        out[rows] = fused.numpy()
    missing = tuple(name for name in references.names if name in absent)
    return Features(out, references.names, missing, references.model)


def _unit(values):
    import torch.nn.functional

    return torch.nn.functional.normalize(values, dim=-1)


def _checked(values, name, dims, zeros=False):
    import torch

    values = torch.as_tensor(values)
    if values.dim() != dims or not values.is_floating_point():
        raise InputError(f"has shape {tuple(values.shape)} ({values.dtype}), not {dims} float axes", field=name)
    largest = values.abs().amax(-1) if values.numel() else values.new_ones(values.shape[:-1])
    for problem, bad in (("NaN or infinite", ~largest.isfinite()), ("a zero vector", (largest == 0) & (not zeros))):
        if bad.any():
            row = bad.nonzero()[0].tolist()
            raise InputError(f"is {problem}", field=name, record=row[0] if len(row) == 1 else row)
    return values


def _same(name, shape, other, expected):
    if tuple(shape) != tuple(expected):
        raise InputError(f"has shape {tuple(shape)}, {other} has {tuple(expected)}", field=name)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--references", required=True, type=Path, help="reference features, one row per query")
    parser.add_argument("--proxies", type=Path, help="proxy features [Q, N, D] (not needed by no_proxy)")
    parser.add_argument("--target-captions", type=Path, help="target caption features [Q, K, D] (not needed by pi)")
    parser.add_argument("--source-captions", type=Path, help="source caption features [Q, K, D] (not needed by pi)")
    variants = "; ".join(f"{name}: {text}" for name, text in VARIANTS.items())
    parser.add_argument("--variant", required=True, choices=VARIANTS, help=variants)
    parser.add_argument("--seed", type=int, default=0, help="run seed (other_proxy: whose proxies a query gets)")
    parser.add_argument("--output", required=True, type=Path, help="feature file to write")
    add_settings(parser, Fusion)


def main(args: argparse.Namespace) -> None:
    settings = read_settings(args.settings, Fusion)
    paths = {"references": args.references}
    if args.variant != "no_proxy":
        paths["proxies"] = args.proxies
    if args.variant != "pi":
        paths |= {"target": args.target_captions, "source": args.source_captions}
    for name, path in paths.items():
        if path is None:
            raise InputError(f"{args.variant} needs it", field={"target": "--target-captions"}.get(name, f"--{name}"))
    inputs = {name: load_features(path) for name, path in paths.items()}
    first = inputs["references"]
    for name, features in inputs.items():
        align(features, first.names, file=paths[name], other=args.references)
        if features.values.shape[-1] != first.values.shape[-1]:
            wrong, right = features.values.shape[-1], first.values.shape[-1]
            raise InputError(f"has {wrong} dimensions, {args.references} has {right}", file=paths[name])
        axes = 2 if name == "references" else 3
        if features.values.ndim != axes:
            raise InputError(f"has shape {features.values.shape}, not {axes} axes", file=paths[name])
    fused = fuse(args.variant, **inputs, weights=settings.weights, scale=settings.scale, run_seed=args.seed)
    save_features(args.output, fused)
