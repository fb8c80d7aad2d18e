"""Strings that end a turn wherever they appear."""

from collections.abc import Sequence
from typing import Any


class StopStrings:
    """Told of each id that was drawn, it says whether one of ``strings`` stands at the end of the text. Text is decoded
    only after an id that can end one."""

    def __init__(self, tokenizer: Any, strings: Sequence[str]):
        lasts = {string[-1] for string in strings}
        self._tokenizer = tokenizer
        self._strings = tuple(strings)
        self._longest = max(map(len, strings), default=0)
        self._enders = {id for token, id in tokenizer.get_vocab().items() if lasts & set(token)}

    def end(self, drawn: list[int], last: int) -> bool:
        """Whether the turn ends with its ``last`` id."""
        if last not in self._enders:
            return False
        tail = self._tokenizer.decode(drawn[-self._longest :])
        return any(string in tail for string in self._strings)
