"""``ipcir search``: a picture, a few words, and the photos that answer them."""

import argparse
import json
import sys
import time
from pathlib import Path

from ipcir_steps.core.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.photos.index import folder_arguments

    folder_arguments(parser)
    parser.add_argument(
        "--image", action="append", default=[], metavar="FILE",
        help="a picture to begin from, also one from elsewhere; may be repeated, with a weight as in 2:beach.jpg",
    )  # fmt: skip
    parser.add_argument(
        "--text", action="append", default=[], metavar="TEXT",
        help='what should be different, or what to look for; "2:snow" weighs more, "dog -people" pushes people away',
    )  # fmt: skip
    parser.add_argument("--without", action="append", default=[], metavar="TEXT", help="what should not be in it")
    parser.add_argument("--imagine", action="store_true", help="draw what is looked for, and search with it (slow)")
    parser.add_argument("--lambda", dest="lam", type=float, metavar="X", help="with --imagine: weight of S_t in [0, 1]")
    parser.add_argument(
        "--weights", type=float, nargs=3, default=(1, 1, 1), metavar=("P", "Q", "S"),
        help="with --imagine: weights of proxy, query and perturbation in eq. 1",
    )  # fmt: skip
    parser.add_argument("--k", type=int, default=20, help="length of the list (%(default)s)")
    parser.add_argument("--min-score", type=float, metavar="X", help="leave out what scores less")
    parser.add_argument("--after", metavar="DATE", help="only photos taken on or after this day, YYYY-MM-DD")
    parser.add_argument("--before", metavar="DATE", help="only photos taken before this day")
    parser.add_argument(
        "--sort", choices=("score", "date"), default="score", help="order of the list; dates newest first"
    )
    parser.add_argument("--collapse", action="store_true", help="show near-duplicates once")
    parser.add_argument(
        "--exclude-reference", action="store_true", help="leave the pictures of --image out of the list"
    )
    parser.add_argument("--seed", type=int, help="run seed of --imagine; default: the stack's")
    parser.add_argument("--open", action="store_true", help="open the results in the browser, as a page with pictures")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def servers(args: argparse.Namespace) -> list[str]:
    """Addresses of language models that the stack asks."""
    from ipcir_steps.photos.stack import asked_for

    return asked_for(args).servers() if args.imagine else []


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.photos.finder import Finder, Limits
    from ipcir_steps.photos.index import directory_of
    from ipcir_steps.photos.models import opened
    from ipcir_steps.photos.store import owner_only

    _check(args)
    models = opened(args)
    with owner_only():
        started = time.monotonic()
        directory = directory_of(args.folder, args.index, models.stack.name)
        finder = Finder(args.folder, directory, models)
        question = asked(args, finder)
        limits = Limits(
            args.k, args.min_score, args.after, args.before, args.sort, args.collapse, args.exclude_reference
        )
        hits = imagined(args, finder, question, limits) if args.imagine else finder.find(question, limits)
        rows = [finder.row(hit) for hit in hits]
        if args.open:
            from ipcir_steps.photos import page

            path = directory / "cache/results.html"
            page.write(path, " ".join([*args.image, *args.text]), finder.mark, finder.folder, rows)
            page.show(path)
    if finder.mark:
        print(finder.mark, file=sys.stderr)
    if args.json:
        print(
            json.dumps({"folder": str(finder.folder), "seconds": round(time.monotonic() - started, 3), "results": rows})
        )
    else:
        print(table(rows))


def _check(args: argparse.Namespace) -> None:
    if args.k < 1:
        raise InputError(f"is {args.k}; at least 1", field="--k")
    if args.lam is not None and not 0 <= args.lam <= 1:
        raise InputError(f"is {args.lam}, not within [0, 1]", field="--lambda")


def asked(args: argparse.Namespace, finder):
    """The question of the command line. Raises InputError for a picture that is not there."""
    from ipcir_steps.photos.question import Question
    from ipcir_steps.photos.terms import Term, parse, weighted

    references = []
    for given in args.image:
        name, weight = (given, 1.0) if Path(given).exists() else weighted(given)
        references.append(finder.reference(Path(name), weight))
    terms = [term for text in args.text for term in parse(text)]
    terms += [Term(text, -1.0) for text in args.without if text.strip()]
    return Question(tuple(references), tuple(terms))


def imagined(args: argparse.Namespace, finder, question, limits):
    """The list with proxies; what is being done is told on stderr."""
    from ipcir_steps.photos.imagine import Imagination, told
    from ipcir_steps.photos.sides import both

    seed = finder.models.stack.config.seed if args.seed is None else args.seed
    imagination = Imagination(finder, question, seed)
    for event in imagination.run():
        told(event)
    return finder.find(question, limits, both(imagination, tuple(args.weights)), args.lam)


def table(rows: list[dict]) -> str:
    """One line per photo: rank, score, S_t, S_p, path.

    >>> print(table([{"path": "a.jpg", "score": 0.5, "text_score": 0.25, "proxy_score": None}]))
    rank   score     S_t     S_p  path
       1  0.5000  0.2500       –  a.jpg
    """
    lines = [f"rank  {'score':>6}  {'S_t':>6}  {'S_p':>6}  path"]
    for number, row in enumerate(rows, 1):
        scores = ("–" if row[name] is None else f"{row[name]:.4f}" for name in ("score", "text_score", "proxy_score"))
        same = f"  (and {', '.join(row['same'])})" if row.get("same") else ""
        path = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in row["path"] + same)
        lines.append(f"{number:4}  {'  '.join(f'{score:>6}' for score in scores)}  {path}")
    return "\n".join(lines) if rows else "no photo answers this"
