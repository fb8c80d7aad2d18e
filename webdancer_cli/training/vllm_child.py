"""``python -m webdancer_cli.training.vllm_child PID MODULE WORDS…``: a server that ends with who started it.

A run that is killed cannot end its servers. The kernel's own signal for that (Linux's PR_SET_PDEATHSIG) is lost where
the parent dies before it was asked for, or while the server does not heed it, as in the minutes of its start: so the
server looks for its parent itself.
"""

import os
import runpy
import signal
import sys
import threading
import time

POLL_SECONDS = 1.0
END_SECONDS = 20.0
"""The server ends its own processes in so much time, or they are ended with it."""


def serve() -> None:
    parent = int(sys.argv.pop(1))
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=False)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    if os.getpgrp() == os.getpid():  # its own group, with the processes that it has started
        os.killpg(os.getpid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    serve()
