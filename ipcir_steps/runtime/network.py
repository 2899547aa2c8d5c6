"""Compute steps run with networking refused: a model library that wants to fetch something fails at once, and says so.

Two layers. The kernel (Linux on x86-64 and arm64: a seccomp filter, which needs no privileges, works in containers and
holds for compiled code and child processes) makes no more internet sockets. Python (an audit hook, everywhere) refuses
connections and look-ups with a message; it alone acts where one server may be reached: that of a chat model.
Sockets within the machine (AF_UNIX) stay allowed.
"""

import ctypes
import fcntl
import logging
import os
import platform
import socket
import struct
import sys
import urllib.parse
import urllib.request
from collections.abc import Collection

from ipcir_steps.core.errors import IPCIRError

log = logging.getLogger("network")
ALLOW = "IPCIR_NETWORK"  # "allow" lifts the refusal, for a generator or baseline of one's own that calls a service
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # audit number, number of socket(2)
_ENETUNREACH = 101
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2


class NetworkRefused(IPCIRError, OSError):
    """A step that must not use the network tried to."""


def servers(url: str | None, direct: bool = False) -> set[tuple[str, int]]:
    """(host, port) of an address such as http://localhost:8000/v1, or of the proxy that leads there unless direct."""
    parts = urllib.parse.urlsplit(url or "")
    if not parts.hostname:
        return set()
    proxy = None if direct else urllib.request.getproxies().get(parts.scheme)
    ways = [parts] if not proxy or urllib.request.proxy_bypass(parts.hostname) else [urllib.parse.urlsplit(proxy)]
    return {(way.hostname, way.port or (443 if way.scheme == "https" else 80)) for way in ways if way.hostname}


def refuse(allowed: Collection[tuple[str, int]] = (), listens: bool = False, enclosed: bool = False) -> None:
    """Refuse the network to this process and its children, for good; allowed: the (host, port) it may reach.

    enclosed: the allowed server is started by this process. Where the kernel lets it, both are moved to a network of
    their own that is loopback and nothing else, so that the server and code below Python reach nothing either.
    listens: it answers on sockets that it has opened before. To Python a connection that comes in is a new socket like
    any other, so only the kernel refuses those; connecting to anywhere is refused by both.
    """
    if os.environ.get(ALLOW) == "allow":
        return
    if not allowed:
        _filter()
    elif enclosed and not _enclose():
        log.info("this machine gives no process its own network: the started server is not restricted to loopback")
    names = {host for host, _ in allowed}
    addresses: dict[tuple[str, int], set[str]] = {}

    def permitted(address) -> bool:
        for host, port in allowed:
            if address[1] == port:
                if (host, port) not in addresses:
                    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                    addresses[host, port] = {host, *(entry[4][0] for entry in found)}
                if address[0] in addresses[host, port]:
                    return True
        return False

    def hook(event: str, args: tuple) -> None:
        if event == "socket.__new__" and not allowed and not listens:
            if args[1] in (socket.AF_INET, socket.AF_INET6):
                raise NetworkRefused(_message("an internet socket"))
        elif event == "socket.getaddrinfo":
            host = args[0].decode() if isinstance(args[0], bytes) else args[0]
            if host not in names:
                raise NetworkRefused(_message(f"looking up {host}"))
        elif event in ("socket.connect", "socket.sendto"):
            internet = args[0].family in (socket.AF_INET, socket.AF_INET6)
            if internet and not permitted(args[1]):
                raise NetworkRefused(_message(f"a connection to {args[1][0]}:{args[1][1]}"))

    sys.addaudithook(hook)


def _message(what: str) -> str:
    return (
        f"{what} is refused: compute steps use no network. Fetch what is missing with `snakemake prefetch`, or set "
        f"{ALLOW}=allow for code of your own that calls a service."
    )


def _enclose() -> bool:
    """Move this process to a network of its own (Linux), with loopback switched on; whether the kernel did it.

    Root needs no more than that; others become themselves in a user namespace, which many systems allow.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWNET):
        if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
            return False
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sH14x", b"lo", 0))
        up = struct.unpack("16sH14x", flags)[1] | 1
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", up))
    return True


def _filter() -> bool:
    """Ask the kernel to make no internet sockets any more; whether it does."""
    numbers = _ARCHITECTURES.get(platform.machine())
    if sys.platform != "linux" or numbers is None:
        return False
    architecture, call = numbers
    load, jump_if, give = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
    rules = [
        (load, 0, 0, 4), (jump_if, 0, 5, architecture),  # another instruction set: allow
        (load, 0, 0, 0), (jump_if, 0, 3, call),  # another call than socket: allow
        (load, 0, 0, 16), (jump_if, 2, 0, socket.AF_INET), (jump_if, 1, 0, socket.AF_INET6),  # its first argument
        (give, 0, 0, 0x7FFF0000), (give, 0, 0, 0x00050000 | _ENETUNREACH),  # allow, fail with this error
    ]  # fmt: skip
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *rule) for rule in rules))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    program = Program(len(rules), ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero):
        return False
    done = libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_FILTER), ctypes.byref(program), zero, zero) == 0
    log.debug("internet sockets are %s by the kernel", "refused" if done else "not refused")
    return done
