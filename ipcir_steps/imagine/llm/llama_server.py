"""The server of llama-cpp-python, run as a file by whichever Python has that package: it imports nothing else."""

from pathlib import Path


def spare_amx() -> None:
    """Keep llama.cpp from rearranging weights for AMX where the processor has it: llama-cpp-python 0.3.36 ends there
    with a segmentation fault (ggml_backend_amx_mul_mat, seen with Q4_1 weights)."""
    processor = Path("/proc/cpuinfo")
    if not processor.is_file() or "amx_tile" not in processor.read_text(encoding="utf-8"):
        return
    import llama_cpp.llama_cpp as native

    defaults = native.llama_model_default_params

    def plain():
        parameters = defaults()
        parameters.use_extra_bufts = False
        return parameters

    native.llama_model_default_params = plain


if __name__ == "__main__":
    from llama_cpp.server.__main__ import main

    spare_amx()
    main()
