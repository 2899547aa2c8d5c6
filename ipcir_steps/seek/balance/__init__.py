"""``ipcir balance``: each query's own lambda, and what each of its proxies counts, by a rule that reads no label."""

import argparse
from pathlib import Path

from ipcir_steps.config.data import JUDGED, RULES
from ipcir_steps.config.retrieval import Fusion
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import Directory, InFile, OutFile
from ipcir_steps.core.errors import InputError
from ipcir_steps.core.features import load_features, save_features
from ipcir_steps.core.files import read_jsonl, write_json
from ipcir_steps.core.marks import add_mark, marked
from ipcir_steps.seek.ranking import inputs
from ipcir_steps.variants import BASE, RANKED, VARIANTS

DIGITS = 4  # of lambda: fewer than float32 has, so that the last bit of a sum does not show
FEATURES = {
    "references": "reference features, one row per query",
    "proxies": "proxy features [Q, N, D]",
    "target_captions": "target caption features [Q, K, D]",
    "source_captions": "source caption features [Q, K, D]",
}


def arguments(parser: argparse.ArgumentParser) -> None:
    inputs.add_arguments(parser)
    for name, text in FEATURES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", required=True, type=InFile, help=text)
    parser.add_argument(
        "--judgements",
        type=InFile,
        help=f"{', '.join(JUDGED)}: what ipcir verify wrote of the first images of each side",
    )
    parser.add_argument("--rule", required=True, choices=RULES, help=", ".join(RULES))
    usual, others = ([name for name in names if name != BASE] for names in (VARIANTS, RANKED))
    parser.add_argument("--variants", nargs="+", default=usual, choices=others, metavar="V", help=", ".join(others))
    parser.add_argument("--seed", type=int, default=0, help="run seed (which other queries a proxy is held against)")
    add_mark(parser)
    parser.add_argument("--output", required=True, type=OutFile, help="JSON file of the lambdas, for ranking")
    parser.add_argument("--output-dir", required=True, type=Directory, help="gets PROXY.safetensors, fused by trust")
    add_settings(parser, Fusion)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.seek.balance.apply import balance
    from ipcir_steps.seek.balance.rules import RULES as CARDS

    settings, found = read_settings(args.settings, Fusion), inputs.from_args(args)
    features = {name.removesuffix("_captions"): load_features(getattr(args, name)) for name in FEATURES}
    believed = _believed(args.judgements) if args.rule in JUDGED else None
    done = balance(CARDS[args.rule], found, features, args.variants, settings, args.seed, believed)
    for name, fused in done.fused.items():
        save_features(args.output_dir / f"{name}.safetensors", fused)
    write_json(args.output, marked(told(args.rule, found, done), args.mark))


def _believed(path: Path | None) -> dict[str, dict[str, float]]:
    """{query id: {image: log-odds}}. Raises InputError without a file, or where images were judged beside others."""
    if path is None:
        raise InputError("is needed by this rule", field="--judgements", remedy="Make it with ipcir verify.")
    found = {}
    for record in read_jsonl(path):
        if len(record["judged"]) > 1:
            remedy = "Use a judge that judges each image by itself: captioner or yes_no."
            raise InputError("was judged list by list", file=path, record=record["query_id"], remedy=remedy)
        pairs = [pair for entry in record["judged"] for pair in zip(entry["images"], entry["values"], strict=True)]
        found[record["query_id"]] = {image: value for image, value in pairs if value is not None}
    return found


def told(rule: str, found: inputs.RetrievalInputs, done) -> dict:
    """What the file says: of each variant the mean lambda (``chosen``) and that of each query (``queries``), the mean
    trust, and medians of what both sides show."""
    ids = [query.query_id for query in found.queries]
    return {
        "rule": rule,
        "chosen": {BASE: {"lambda": 1.0}}
        | {variant: {"lambda": round(float(lam.mean()), DIGITS)} for variant, lam in done.lams.items()},
        "trust": {name: round(float(values.mean()), DIGITS) for name, values in done.trust.items()},
        "sides": {name: _medians(sides) for name, sides in done.sides.items()},
        "queries": {
            variant: {query_id: round(value, DIGITS) for query_id, value in zip(ids, lam.tolist(), strict=True)}
            for variant, lam in done.lams.items()
        },
    }


def _medians(sides) -> dict[str, float]:
    text, proxy = sides.text_sd / sides.text_mean, sides.proxy_sd / sides.proxy_mean
    shown = {"text_dispersion": text, "proxy_dispersion": proxy, "correlation": sides.correlation}
    return {name: round(float(values.median()), DIGITS) for name, values in shown.items() if len(values)}
