"""A process that the system ends with its parent, whatever it is doing then."""

import ctypes
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of ``prctl`` in <sys/prctl.h>."""


def die_with_parent() -> None:
    """From now on, on Linux; elsewhere nothing. Whether the parent had ended before that, the caller finds out."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
