"""Fusion: imagined proxies, the reference image and the change of captions become one robust proxy (eq. 1)."""

import argparse

from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import align, load_features, save_features


def semantic_perturbation(target, source):
    """f_s: the mean over captions of normalised target minus normalised source captions (section 3.3).

    target, source: [C, Q, D] un-normalised float tensors. Returns [Q, D], not normalised.
    Raises InputError on different shapes, values that are not finite and zero vectors, naming caption and query.
    """
    target, source = _checked(target, "target", 3), _checked(source, "source", 3)
    _same("source", source.shape, "target", target.shape)
    return (unit(target) - unit(source)).mean(0)


def proxy_mean(proxies, counts=None):
    """f_p: the mean of the normalised proxies, not normalised again. proxies: [Q, N, D]. Returns [Q, D].

    counts: int64 [Q], the mean is that of the first so many of a query, whose others are zeros; None: of all.
    """
    if counts is None or bool((counts == proxies.shape[1]).all()):
        return unit(_checked(proxies, "proxies", 3)).mean(1)
    return unit(_checked(proxies, "proxies", 3, zeros=True)).sum(1) / counts[:, None]


def robust_proxy(proxies, references, perturbation, weights=(1, 1, 1), scale="dataset", counts=None):
    """f_RP = w_p f_p + w_q (max f_p / max f_q) f_q + w_s (max f_p / max f_s) f_s (eq. 1), not normalised.

    proxies [Q, N, D] and references [Q, D]: un-normalised float tensors; perturbation [Q, D]: f_s;
    weights: of proxy, query and perturbation. scale: "dataset" takes the signed maximum over the whole [Q, D] tensor
    (published: the value of a query then depends on the others), "query" over each query's own row. counts: as in
    ``proxy_mean``.
    Returns [Q, D]. Raises InputError on wrong shapes, values that are not finite and zero vectors, naming the row.
    """
    references = _checked(references, "references", 2)
    return scaled_sum((proxy_mean(proxies, counts), unit(references), perturbation), weights, scale)


def scaled_sum(parts, weights, scale="dataset"):
    """Weighted sum of ``parts``, each scaled to the maximum of the first. parts: tensors [Q, D]; returns [Q, D].

    >>> import torch
    >>> scaled_sum([torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 0.0]])], (1, 0.5))
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


def unit(values):
    """Rows divided by their L2 norm."""
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
    from ipcir_steps.seek.fusion.recipes import FUSIONS

    parser.add_argument("--references", required=True, type=InFile, help="reference features, one row per query")
    parser.add_argument("--proxies", type=InFile, help="proxy features [Q, N, D] (not needed by no_proxy)")
    parser.add_argument("--target-captions", type=InFile, help="target caption features [Q, K, D] (not needed by pi)")
    parser.add_argument("--source-captions", type=InFile, help="source caption features [Q, K, D] (not needed by pi)")
    names = "; ".join(f"{name}: {fusion.help}" for name, fusion in FUSIONS.items())
    parser.add_argument("--variant", required=True, choices=FUSIONS, help=names)
    parser.add_argument("--seed", type=int, default=0, help="run seed (other_proxy: whose proxies a query gets)")
    parser.add_argument("--output", required=True, type=OutFile, help="feature file to write")
    add_settings(parser, Fusion)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.seek.fusion.recipes import FUSIONS, fuse

    settings = read_settings(args.settings, Fusion)
    given = {
        "references": args.references, "proxies": args.proxies, "target": args.target_captions,
        "source": args.source_captions,
    }  # fmt: skip
    paths = {name: given[name] for name in ("references", *FUSIONS[args.variant].needs)}
    for name, path in paths.items():
        if path is None:
            flag = f"--{name}" if name in ("references", "proxies") else f"--{name}-captions"
            raise InputError(f"{args.variant} needs it", field=flag)
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
    save_features(args.output, fuse(args.variant, inputs, settings.weights, settings.scale, args.seed))
