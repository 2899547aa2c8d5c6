"""A page that shows every query: reference, caption, captions and layout, proxies, and both lists with hits marked.

It opens from a file, needs no server and asks for nothing outside its directory.
"""

import argparse

from ipcir_steps.config.figures import Figures
from ipcir_steps.config.settings import add_settings, read_settings
from ipcir_steps.core.arguments import OutTree


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.evaluate.reporting import examples

    parser.add_argument("--dataset", required=True, help="its name, for the title")
    examples.add_arguments(parser)
    parser.add_argument("--output", type=OutTree, required=True, help="directory to write: index.html and pictures")
    add_settings(parser, Figures)


def main(args: argparse.Namespace) -> None:
    from ipcir_steps.evaluate.reporting import examples
    from ipcir_steps.evaluate.reporting.browser.page import write_page

    settings = read_settings(args.settings, Figures)
    write_page(args.output, examples.read(args), args.dataset, settings.page_queries, settings.page_pixels, args.mark)
