"""The command line: ``ipcir ROOM …``. A room is imported only when it is called, so light steps start at once.

A room module has ``arguments(parser)`` and ``main(args)``; everything heavy is imported inside ``main``.
"""

import argparse
import importlib
import logging
import os
import select
import sys

from ipcir_steps import __version__, network, provenance
from ipcir_steps.errors import IPCIRError

ROOMS = {
    "datasets": "read a dataset's annotations and images into queries and gallery",
    "captions": "caption reference images with BLIP-2",
    "reasoning": "write target captions with a chat model",
    "layouts": "plan the imagined image: scene and instances with boxes",
    "masks": "segment the reference instances with Grounding DINO and SAM",
    "proxies": "draw proxy images from layouts",
    "embeddings": "encode images and captions with CLIP",
    "baselines": "make the text side of the similarity: LDRE, SEARLE, LinCIR, …",
    "fusion": "fuse proxy, query and perturbation into a robust proxy (eq. 1)",
    "ranking": "balance the similarities and rank the gallery (eq. 2)",
    "balance": "choose each variant's lambda on a labelled split",
    "tune": "choose lambda and weights, with labels or without",
    "metrics": "score rankings under a benchmark's protocol",
    "submission": "write and check files for the benchmark servers",
    "results": "collect metrics, intervals and published numbers in one file",
    "sensitivity": "vary lambda, weights, proxies and parts of eq. 1 around a setting",
    "figures": "draw the paper's figures and ours",
    "tables": "write the paper's tables as Markdown, CSV and LaTeX",
    "gallery": "write a page that shows every query",
    "failures": "collect the failures of all steps",
    "gather": "join the shards of a step in query order",
    "audit": "trace a figure or file to annotations, weights and code, and verify the chain",
    "crate": "export a run as a Workflow Run RO-Crate",
    "models": "fetch models and record their digests",
    "doctor": "verify a results tree; say what is damaged and how to rebuild just that",
    "plan": "what a configuration will cost, before anything runs",
    "containers": "build the steps' images; refuse stale ones",
    "devices": "run a command on a leased GPU; list the devices",
    "mini": "render the mini world and build its models",
    "config": "check a configuration; write its schema and defaults",
}


# Rooms that may use the network: two fetch, the third hands over to a command that decides for itself.
ONLINE = ("models", "containers", "devices")


def main(argv: list[str] | None = None) -> int:
    """Run one room and leave its record. Returns the exit code: 0, what the room returns, or 2 after an expected error,
    told in one message.

    Without ``argv`` this process is the command, and the network is refused to it, except for the servers that the
    room names (``servers(args)``).
    """
    command, argv = argv is None, sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(prog="ipcir", description="IP-CIR: composed image retrieval, step by step.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="room", metavar="ROOM", required=True)
    for name, text in ROOMS.items():
        sub = subparsers.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name in argv[:1]:
            importlib.import_module(f"ipcir_steps.{name}").arguments(sub)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    room = importlib.import_module(f"ipcir_steps.{args.room}")
    try:
        if command and args.room not in ONLINE:
            network.refuse(room.servers(args) if hasattr(room, "servers") else ())
        recording = provenance.start(args.room, argv, args)
        code = room.main(args)
        provenance.finish(recording)
        sys.stdout.flush()
    except BrokenPipeError:
        if not reader_has_gone():
            raise
        return 0
    except Exception as error:
        text = str(error) if isinstance(error, IPCIRError) else out_of_memory(error)
        if text is None:
            raise
        print(f"ipcir {args.room}: error: {text}", file=sys.stderr)
        return 2
    return code or 0


def reader_has_gone() -> bool:
    """Whether nobody reads the output any more, as in ``ipcir audit --all | head``; nothing is written from then on."""
    poll = select.poll()
    poll.register(sys.stdout, 0)  # errors are always reported
    if not poll.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def out_of_memory(error: BaseException) -> str | None:
    """What to do about a device or a machine whose memory ran out; None for any other error."""
    first = (str(error).splitlines() or [""])[0]
    if type(error).__name__ in ("OutOfMemoryError", "AcceleratorError") and "out of memory" in first:
        where = "the device has"
    elif isinstance(error, MemoryError) or "can't allocate memory" in first or "bad allocation" in first:
        where = "the machine has"
    else:
        return None
    return (
        f"more memory is needed than {where} free ({first or type(error).__name__}). Make the batches smaller "
        "(embeddings.batch_size, proxies.proxies_per_batch, captions.count, ranking.block), use a smaller dtype or "
        "a larger device, and run again; finished work is kept."
    )
