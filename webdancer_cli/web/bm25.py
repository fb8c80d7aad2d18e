"""bm25s, imported without JAX.

Where JAX is installed, importing bm25s computes something with it, and that takes three quarters of a GPU's memory for
the life of the process: from the model that is trained beside the corpus. Our searches run in numpy anyway.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING


def import_without(absent: str, name: str) -> ModuleType:
    """The module ``name``, which meanwhile gets an ImportError for ``import absent``."""
    found = sys.modules.get(absent)
    sys.modules[absent] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(name)
    finally:
        if found is None:
            del sys.modules[absent]
        else:
            sys.modules[absent] = found


if TYPE_CHECKING:
    import bm25s
    from bm25s.tokenization import Tokenized
else:
    bm25s = import_without("jax", "bm25s")
    Tokenized = bm25s.tokenization.Tokenized

__all__ = ["Tokenized", "bm25s"]
