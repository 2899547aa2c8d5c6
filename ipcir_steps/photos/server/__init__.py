"""``ipcir serve``: the photos of a folder on a page of this machine."""

import argparse
import contextlib
import logging
import os
import socket
from ipaddress import ip_address
from urllib.parse import quote

from ipcir_steps.core.errors import InputError

log = logging.getLogger("photos")
SHORTEST = 12  # characters of a token
IDLE = 600.0  # seconds after which a model that nobody asked for is unloaded


def arguments(parser: argparse.ArgumentParser) -> None:
    from ipcir_steps.photos.index import folder_arguments

    folder_arguments(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to answer on (%(default)s); others need --token")
    parser.add_argument("--port", type=int, default=8765, help="port, 0 for any that is free (%(default)s)")
    parser.add_argument("--token", help=f"a secret of {SHORTEST} characters or more that a visitor has to know")
    parser.add_argument("--idle", type=float, default=IDLE, metavar="S", help="seconds before a model is unloaded")
    parser.add_argument("--seed", type=int, help="run seed of what is imagined; default: the stack's")


def listen(args: argparse.Namespace) -> list[socket.socket]:
    """The socket that is answered on, opened while the network is still allowed.

    Raises InputError for an address that anybody could reach without a token, and for one that is taken.
    """
    if args.token is not None and len(args.token) < SHORTEST:
        raise InputError(f"has {len(args.token)} characters; at least {SHORTEST}", field="--token")
    if not 0 <= args.port <= 65535:
        raise InputError(f"{args.port} is no port; 0 to 65535", field="--port")
    if not args.token and not loopback(args.host):
        raise InputError(
            f"{args.host} can be reached from other machines", field="--host",
            remedy="Give --token, which visitors then need, or leave --host out.",
        )  # fmt: skip
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(args.host, args.port, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(128)
    except (OSError, OverflowError) as error:
        remedy = "Choose another --port, or 0 for any that is free."
        raise InputError(f"{args.host}:{args.port} cannot be listened on ({error})", remedy=remedy) from error
    return [opened]


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def servers(args: argparse.Namespace) -> list[str]:
    """Addresses of language models that the stack asks."""
    from ipcir_steps.photos.stack import asked_for

    return asked_for(args).servers()


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not keep other programs waiting
    import uvicorn

    from ipcir_steps.photos.finder import Finder
    from ipcir_steps.photos.index import directory_of
    from ipcir_steps.photos.models import opened
    from ipcir_steps.photos.server.app import application
    from ipcir_steps.photos.server.state import State
    from ipcir_steps.photos.store import owner_only

    models = opened(args)
    with owner_only():
        directory = directory_of(args.folder, args.index, models.stack.name)
        finder = Finder(args.folder, directory, models)
        seed = models.stack.config.seed if args.seed is None else args.seed
        port = args.sockets[0].getsockname()[1]
        state = State(finder, seed, args.idle)
        app = application(state, args.host, port, args.token)
        settings = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, proxy_headers=False, ws="none",
            limit_concurrency=500, timeout_keep_alive=20, timeout_graceful_shutdown=3,
        )  # fmt: skip
        host = f"[{args.host}]" if ":" in args.host else args.host
        key = f"?token={quote(args.token, safe='')}" if args.token else ""
        print(f"{len(finder.gallery)} photos: http://{host}:{port}/{key}", flush=True)
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(state):
            uvicorn.Server(settings).run(sockets=args.sockets)
