"""Runs ``ipcir`` commands in processes forked from one that has loaded the heavy packages already.

A workflow of tiny models spends most of its time on importing torch, once per job. Here each job is still a process of
its own, started by Snakemake with the rule's own command, with its own arguments, environment, directory and output;
only third-party packages are there before it begins. Modules of this project are never loaded ahead.

``python forked.py serve SOCKET`` serves; ``python forked.py SOCKET COMMAND …`` has one command run and exits as it did.
"""

import array
import contextlib
import json
import os
import select
import socket
import sys

HEAVY = ("torch", "torchvision", "transformers", "diffusers", "open_clip", "pandas", "pyarrow.parquet", "matplotlib",
         "pydantic", "safetensors.torch")  # fmt: skip
STREAMS = 3


def call(address: str, arguments: list[str]) -> int:
    """Have the server run one command with this process's streams; return its exit code."""
    request = json.dumps({"arguments": arguments, "directory": os.getcwd(), "environment": dict(os.environ)}).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        streams = array.array("i", range(STREAMS))
        connection.sendmsg([len(request).to_bytes(8, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
        connection.sendall(request)
        code = connection.recv(1)
    return code[0] if code else 1  # the server has gone


def serve(address: str) -> None:
    """Load the packages, then fork a process for each request, until standard input is closed.

    It is closed when the tests end, in whatever way.
    """
    import importlib

    for name in HEAVY:
        importlib.import_module(name)
    # Lazy modules of these are what the mini world's models are made of.
    from diffusers import StableDiffusionPipeline  # noqa: F401
    from transformers import (  # noqa: F401
        Blip2ForConditionalGeneration,
        GroundingDinoForObjectDetection,
        Qwen2ForCausalLM,
        SamModel,
    )

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:
            connection, _ = listener.accept()
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Run one command in a child, so that its exit code is known however it ends, and whatever it becomes."""
    header, ancillary, *_ = connection.recvmsg(8, socket.CMSG_SPACE(STREAMS * array.array("i").itemsize))
    streams = array.array("i", ancillary[0][2])
    with connection.makefile("rb") as file:
        request = json.loads(file.read(int.from_bytes(header, "big")))
    child = os.fork()
    if child == 0:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        connection.close()
        _run(**request)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(bytes([code if code >= 0 else 128 - code]))
    os._exit(0)


def _run(arguments: list[str], directory: str, environment: dict[str, str]) -> None:
    """``python -m ipcir_steps ARGUMENTS`` in this process."""
    import runpy

    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = environment.get("PYTHONPATH", "").split(os.pathsep)  # the workspace's own copy of the package
    sys.argv = ["ipcir", *arguments]
    code = 1
    try:
        runpy.run_module("ipcir_steps", run_name="__main__", alter_sys=False)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        raise SystemExit(call(sys.argv[1], sys.argv[2:]))
