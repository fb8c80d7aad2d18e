"""``python -m webdancer_cli.cluster.child WORDS…``: ``webdancer WORDS…``, which dies with the process that started it.

Where the kernel cannot see to that (it is Linux's), a child whose parent was killed finishes its part.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1
PARENT = "--parent="


def work_for_parent() -> None:
    parent = int(sys.argv.pop(1).removeprefix(PARENT))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            sys.exit(1)
    runpy.run_module("webdancer_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    work_for_parent()
