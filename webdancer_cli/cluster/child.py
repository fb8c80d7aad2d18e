"""``python -m webdancer_cli.cluster.child WORDS…``: ``webdancer WORDS…``, which dies with the process that started it.

Where the kernel cannot see to that (it is Linux's), a child whose parent was killed finishes its part.
"""

import os
import runpy
import sys

from webdancer_cli.parent_death import die_with_parent

PARENT = "--parent="


def work_for_parent() -> None:
    parent = int(sys.argv.pop(1).removeprefix(PARENT))
    die_with_parent()
    if sys.platform == "linux" and os.getppid() != parent:  # it died before that
        sys.exit(1)
    runpy.run_module("webdancer_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    work_for_parent()
