"""Starts commands from a process that has imported what they need: a real process each, without its second of imports.

``WarmStarter`` is the tests' side; run as a script, this file is the process. It forks for every command, gives the
child its arguments, environment, folder and streams, and lets it end as any interpreter does.
"""

import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TextIO

AT_START = ("PYTHON", "LC_", "LANG", "LD_", "OMP_")
"""Beginnings of variables that are read when an interpreter starts, or a library is loaded."""
PRELOADED = ("commands", "wiring", "web.corpus", "web.extract.page_extractor", "llm.client", "agent.chat_policy")
COLD = ("sft", "rl")
"""They import torch, each in its own process: elsewhere it would hide who imports it and should not."""
LONGEST_SECONDS = 300


class WarmStarter:
    """Runs ``python -m webdancer_cli ARGUMENTS`` to its end; one for all tests of a process."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self._address = str(folder / "starter")
        self._at_start = at_start(environment)
        command = [sys.executable, __file__, self._address]
        self._process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout and self._process.stdout.readline() == b"ready\n"

    def suits(self, environment: dict[str, str]) -> bool:
        """Whether a new interpreter would start in the same way."""
        return at_start(environment) == self._at_start

    def run(
        self, arguments: Sequence[str], stdin: str, folder: Path, environment: dict[str, str]
    ) -> "subprocess.CompletedProcess[str]":
        """As ``subprocess.run`` with pipes and text."""
        (read_in, write_in), (read_out, write_out), (read_err, write_err) = os.pipe(), os.pipe(), os.pipe()
        answers = self._ask([list(arguments), str(folder), environment], [read_in, write_out, write_err])
        with ThreadPoolExecutor(2) as threads, answers, open(read_err) as err:
            threads.submit(_feed, write_in, stdin)
            out = threads.submit(_read, read_out)
            said = err.read()
            return subprocess.CompletedProcess(["webdancer", *arguments], int(answers.readline()), out.result(), said)

    def _ask(self, command: list[object], streams: list[int]) -> TextIO:
        """Where the exit code will be told."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._address)
            asked = json.dumps(command).encode()
            socket.send_fds(connection, [len(asked).to_bytes(4, "big")], streams)
            connection.sendall(asked)
            for stream in streams:
                os.close(stream)
            return connection.makefile()

    def close(self) -> None:
        with self._process:
            self._process.terminate()


def at_start(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_START)}


def _feed(stream: int, text: str) -> None:
    with suppress(BrokenPipeError), open(stream, "w") as pipe:
        pipe.write(text)


def _read(stream: int) -> str:
    with open(stream) as pipe:
        return pipe.read()


# ---- the process ----------------------------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Each command has a parent of its own that waits for it, so many can run side by side."""
    stages = [command for command in import_module("webdancer_cli.options.settings").COMMANDS if command not in COLD]
    for name in (*PRELOADED, *(f"stages.{stage}" for stage in stages)):
        import_module(f"webdancer_cli.{name}")
    gc.collect()
    gc.freeze()  # a child's collections leave what all share alone
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while 0 not in select.select([listener, 0], [], [])[0]:  # which is closed when the tests end, however they do
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                start(connection)
                return
            connection.close()


def start(connection: socket.socket) -> None:
    """Receive one command, and run it in a child; only the child returns, to end as the interpreter does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, streams, _, _ = socket.recv_fds(connection, 4, 3)
    with connection.makefile("rb") as asked:
        arguments, folder, environment = json.loads(asked.read(int.from_bytes(size, "big")))
    child = os.fork()
    if child:
        for stream in streams:
            os.close(stream)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        os._exit(0)
    connection.close()
    become(arguments, folder, environment, streams)


def become(arguments: list[str], folder: str, environment: dict[str, str], streams: list[int]) -> None:
    """What ``python -m webdancer_cli`` is when it starts."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    signal.alarm(LONGEST_SECONDS)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = ["webdancer", *arguments]
    sys.path[0] = folder
    runpy.run_module("webdancer_cli", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    serve(sys.argv[1])
