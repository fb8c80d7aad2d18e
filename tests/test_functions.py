"""The user's own functions: found by name, and run without holding up the loop."""

import asyncio
import time
from pathlib import Path

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.functions import find, in_thread


def test_a_function_is_found_in_a_file_and_in_a_module(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def double(x): return 2 * x\n")
    name, function = find("--search", f"{tmp_path}/mine.py:double")
    assert (name, function(4)) == ("double", 8)
    assert find("--search", "json:dumps")[1]([1]) == "[1]"


@pytest.mark.parametrize("named", ["json", ":dumps", "json:", "json:nothing", "no_such_module_y:f", "missing.py:f"])
def test_what_is_not_there_is_refused_by_option_and_name(named: str) -> None:
    with pytest.raises(UsageError, match=f"--search {named}: "):
        find("--search", named)


async def test_any_name_may_be_a_parameter_and_an_error_comes_back() -> None:
    assert await in_thread(lambda function, loop: function + loop, function=1, loop=2) == 3
    assert isinstance(await in_thread(int, "x"), ValueError)


async def test_the_loop_goes_on_while_a_function_sleeps() -> None:
    slept = asyncio.create_task(in_thread(time.sleep, 0.3))
    await asyncio.sleep(0.05)
    assert not slept.done()
    assert await slept is None
