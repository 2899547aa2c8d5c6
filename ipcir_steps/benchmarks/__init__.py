"""The benchmarks by name, one card each; a new one is a module here and its name in ``config.data.BENCHMARKS``."""

import importlib

from ipcir_steps.benchmarks.base import Benchmark
from ipcir_steps.config import data

BENCHMARKS: dict[str, Benchmark] = {
    name: importlib.import_module(f"ipcir_steps.benchmarks.{name}").BENCHMARK for name in data.BENCHMARKS
}
