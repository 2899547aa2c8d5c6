"""The command line: ``ipcir COMMAND …``. A command is imported only when it is called, so light steps start at once.

Its module has ``arguments(parser)`` and ``main(args)``; everything heavy is imported inside ``main``.
"""

import argparse
import logging
import os
import select
import sys
from collections.abc import Collection

from ipcir_steps import __version__, provenance
from ipcir_steps.core.errors import IPCIRError
from ipcir_steps.runtime import network
from ipcir_steps.steps import GROUPS, STEPS


def main(argv: list[str] | None = None) -> int:
    """Run one command and leave its record. Returns the exit code: 0, what the command returns, or 2 after an expected
    error, printed as one message.

    Without ``argv`` this process is the command, and the network is refused to it, except for the servers whose
    addresses the command names (``servers(args)``). A command that answers requests opens its sockets before that.
    """
    command, argv = argv is None, sys.argv[1:] if argv is None else argv
    args = command_line(argv[:1]).parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    step = STEPS[args.step]
    module = step.load()
    try:
        if step.listens:
            args.sockets = module.listen(args)
        if command and not step.network:
            addresses = module.servers(args) if hasattr(module, "servers") else ()
            own = hasattr(module, "encloses") and module.encloses(args)
            allowed = {server for address in addresses for server in network.servers(address, own)}
            network.refuse(allowed, step.listens, enclosed=own)
        recording = provenance.start(step, argv, args)
        code = module.main(args)
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
        print(f"ipcir {args.step}: error: {text}", file=sys.stderr)
        return 2
    return code or 0


def command_line(loaded: Collection[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands. Only those in ``loaded`` know their arguments, because that takes an import."""
    parser = argparse.ArgumentParser(
        prog="ipcir",
        description="IP-CIR: composed image retrieval, step by step.",
        epilog=commands(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="step", metavar="COMMAND", required=True)
    for name, step in STEPS.items():
        sub = subparsers.add_parser(name, description=step.help[0].upper() + step.help[1:] + ".")
        if name in loaded:
            step.load().arguments(sub)
    return parser


def commands() -> str:
    """The list of commands for ``ipcir --help``, in groups, everyday ones first."""
    wide = max(map(len, STEPS))
    groups = {group: [step for step in STEPS.values() if step.group == group] for group in GROUPS}
    lines = [
        f"{group}:\n" + "\n".join(f"  {step.name:{wide}}  {step.help}" for step in steps)
        for group, steps in groups.items()
    ]
    return "\n\n".join([*lines, "ipcir COMMAND --help explains a command."])


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
