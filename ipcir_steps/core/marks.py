"""The mark of outputs that must not be taken for results: it is shown wherever their numbers or pictures are."""

import argparse


def add_mark(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mark", metavar="TEXT", help="warning that the output shows, such as TOY MODELS …")


def marked(content: dict, mark: str | None) -> dict:
    """A JSON object with the mark, first; unchanged where there is none."""
    return {"mark": mark, **content} if mark else content


def marks_of(contents) -> str | None:
    """The marks of several JSON objects (of result files, of their stack), each once; None where there are none."""
    found = [content.get("mark") or content.get("stack", {}).get("mark") for content in contents]
    return "; ".join(dict.fromkeys(filter(None, found))) or None
