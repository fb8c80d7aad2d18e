"""How much a chat call costs the client: 1,000 calls of 100 ms, 100 at a time, against a server in another process.

    python tests/bench/llm.py [CALLS] [JOBS]

Ideal is CALLS / JOBS * 0.1 s of wall-clock time; the processor time of the client is what a busy machine changes least.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from webdancer_cli.data.records import Message
from webdancer_cli.llm.client import ChatClient
from webdancer_cli.tape import Tape

SECONDS = 0.1
BODY = (
    b'{"id":"x","choices":[{"message":{"role":"assistant","content":"<think>\\nhi\\n</think>"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":1000,"completion_tokens":50}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line.lower())
            await reader.readexactly(length)
            await asyncio.sleep(SECONDS)
            writer.write(ANSWER)
    except asyncio.IncompleteReadError:
        writer.close()


def serve(pipe: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(forever())


async def measure(url: str, calls: int, jobs: int, tape: Tape | None = None) -> tuple[float, float]:
    """Wall-clock seconds of all calls, and milliseconds of this process's processor time for each."""
    chat = ChatClient(url, "a-model", jobs=jobs, tape=tape)
    messages = [Message("user", "What is the capital of the fictional country? " * 100)]
    wall, processor = time.perf_counter(), time.process_time()
    await asyncio.gather(*(chat.complete(messages, rollout=rollout, seed=rollout) for rollout in range(calls)))
    result = time.perf_counter() - wall, 1000 * (time.process_time() - processor) / calls
    await chat.aclose()
    return result


def main(calls: int = 1000, jobs: int = 100) -> None:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    with tempfile.TemporaryDirectory() as folder, Tape(str(Path(folder) / "bench.tape")) as tape:
        for name, used in (("no tape", None), ("recording", tape), ("replaying", tape)):
            wall, processor = asyncio.run(measure(url, calls, jobs, used))
            print(f"{name}: {calls} calls, -j {jobs}: {wall:.2f} s, {processor:.2f} ms of client CPU a call")
    server.terminate()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
