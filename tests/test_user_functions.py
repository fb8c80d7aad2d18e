"""The user's own functions: found by name, and run without holding up the loop."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.user_functions import call_in_thread, load_function


def test_a_function_is_found_in_a_file_and_in_a_module(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def double(x): return 2 * x\n")
    name, function = load_function("--search", f"{tmp_path}/mine.py:double")
    assert (name, function(4)) == ("double", 8)
    assert load_function("--search", "json:dumps")[1]([1]) == "[1]"


@pytest.mark.parametrize("named", ["json", ":dumps", "json:", "json:nothing", "no_such_module_y:f", "missing.py:f"])
def test_what_is_not_there_is_refused_by_option_and_name(named: str) -> None:
    with pytest.raises(UsageError, match=f"--search {named}: "):
        load_function("--search", named)


async def test_any_name_may_be_a_parameter_and_an_error_comes_back() -> None:
    assert await call_in_thread(lambda function, loop: function + loop, function=1, loop=2) == 3
    assert isinstance(await call_in_thread(int, "x"), ValueError)


async def test_the_loop_goes_on_while_a_function_sleeps() -> None:
    gate = threading.Event()
    slept = asyncio.create_task(call_in_thread(gate.wait, 60))
    await asyncio.sleep(0.05)
    assert not slept.done()
    gate.set()
    assert await slept is True


PRINTS = """
import sys
print("on import")

def tool(x):
    print("in a call")
    sys.stdout.write("and written")
    sys.stdout.writelines(["line\\n"])
"""

RUNS = """
import asyncio, sys
from webdancer_cli.user_functions import UserFunction, load_function
from webdancer_cli.data.jsonl import LineWriter
early = LineWriter()
_, tool = load_function("--tool", sys.argv[1] + ":tool")
load_function("--tool", sys.argv[1] + ":tool")
early.write({"number": 1})
asyncio.run(UserFunction(tool)(1))
LineWriter().write({"number": 2})
print("later")
sys.stdout.flush()
"""


def test_what_a_users_function_prints_does_not_stand_between_the_records(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(PRINTS)
    done = subprocess.run(
        [sys.executable, "-c", RUNS, str(tmp_path / "mine.py")], capture_output=True, text=True, check=True
    )
    assert done.stdout == '{"number":1}\n{"number":2}\n'
    assert done.stderr == "on import\nin a call\nand writtenline\nlater\n"
