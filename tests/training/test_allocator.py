import ctypes

import pytest

from webdancer_cli.training.allocator import keep_freed_memory


def test_glibc_takes_what_it_is_told() -> None:
    """It refuses a threshold above its own bound, and says so by its answer alone."""
    if not hasattr(ctypes.CDLL(None), "mallopt"):
        pytest.skip("no glibc")
    assert keep_freed_memory()
