"""What the benchmark scripts share with one another."""

import importlib.machinery
import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load(name):
    """A script of this directory as a module: they have no extension."""
    loader = importlib.machinery.SourceFileLoader(f"benchmarks_{name}", str(HERE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module
