"""Where the blocks of a document ended up in its main text."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate

from webdancer_cli.text.words import sentence_spans
from webdancer_cli.web.extract.blocks import Block, unspaced

KEY_CHARS = 30
"""What is not a whole line of the main text is looked for by so many characters around its anchor."""
KEY_LEAD = 12
"""How many of them stand before the anchor."""
MOST_TRIES = 20
"""Places that are looked at for one anchor; a text that repeats itself has more."""
QUICK_STEPS = 20_000_000
"""A few keys in a short text are looked for one by one; many in a long one in one go, which costs no more than it."""
NEAR_CHARS = 2000
"""So far behind the block before it a short block may stand."""
LONGEST_LABEL_CHARS = 40
"""What stands before a colon, and names what stands behind it."""
LONGEST_SENTENCE = 2000
"""What is longer is a list or a table in one line, and no sentence to quote. Else many links would share much text."""


class MainText:
    """The main text, ready to find where the blocks of the document ended up in it; in time linear in its length.

    White space differs between the two, so places are looked up in the squeezed text. ``_cursor`` moves forward with
    the document, so that of several equal passages the right one is found.
    """

    def __init__(self, text: str, blocks: Sequence[Block], *, anchors: bool = True):
        """``anchors``: whether these are looked for, or whole blocks alone."""
        self._text = text
        self._squeezed = unspaced(text)
        self._runs = [match.start() for match in re.finditer(r"\S+", text)]
        self._squeezed_runs = list(accumulate(map(len, text.split()), initial=0))
        self._spans = list(sentence_spans(text)) if anchors else []
        self._starts = [start for start, _ in self._spans]
        self._sentences: dict[int, tuple[str, str]] = {}
        self._lines = self._line_starts()
        self._keys = self._key_places(blocks, anchors)
        self._cursor = 0
        self._block: Block | None = None
        self._block_at: int | None = None

    def _key_places(self, blocks: Sequence[Block], anchors: bool) -> dict[str, list[int]]:
        """Where in the squeezed text the keys of anchors, or of blocks, stand that cannot be found by their lines."""
        places: dict[str, list[int]] = {
            block.squeezed[start : start + KEY_CHARS]: []
            for block in blocks
            if len(block.squeezed) >= KEY_CHARS
            and block.squeezed not in self._lines
            and not (anchors and block.boilerplate)
            for start in ([_key_start(block, anchor.at) for anchor in block.anchors] if anchors else [0])
        }
        if len(places) * len(self._squeezed) <= QUICK_STEPS:
            return {key: _occurrences(key, self._squeezed) for key in places}
        for at in range(len(self._squeezed) - KEY_CHARS + 1):
            found = places.get(self._squeezed[at : at + KEY_CHARS])
            if found is not None:
                found.append(at)
        return places

    def _line_starts(self) -> dict[str, int]:
        """Squeezed lines, cells of tables, and values behind a label, to their places in the squeezed text."""
        places: dict[str, int] = {}
        at = 0
        for line in self._text.splitlines():
            squeezed = unspaced(line)
            body = squeezed.lstrip("-|")
            places.setdefault(body.rstrip("|"), at + len(squeezed) - len(body))
            label, colon, value = body.partition(":")
            if colon and len(label) <= LONGEST_LABEL_CHARS:
                places.setdefault(value, at + len(squeezed) - len(value))
            cell_at = at
            for cell in squeezed.split("|") if squeezed.startswith("|") else ():
                places.setdefault(cell, cell_at)
                cell_at += len(cell) + 1
            at += len(squeezed)
        places.pop("", None)
        return places

    def holds(self, block: Block) -> bool:
        """Whether the text has a block anywhere, as a line or, if it is long enough to be told, as a part of one."""
        cursor = self._cursor
        found = block.squeezed in self._lines or self._find(block, 0, 0, len(block.squeezed)) is not None
        self._cursor = cursor
        return found

    def end_of(self, block: Block) -> int | None:
        """Where the line ends, in the text, in which a block ends; None if the text lacks it.

        What is too short to be told by itself is looked for not far behind the block before it.
        """
        start = self._lines.get(block.squeezed)
        if start is None and len(block.squeezed) >= KEY_CHARS:
            start = self._find(block, 0, 0, len(block.squeezed))
        elif start is None:
            found = self._squeezed.find(block.squeezed, self._cursor, self._cursor + NEAR_CHARS)
            start = found if found >= 0 else None
        if start is None:
            return None
        self._cursor = max(self._cursor, start)
        end = self._text.find("\n", self._position(start + len(block.squeezed) - 1))
        return end if end >= 0 else len(self._text)

    def sentence(self, block: Block, anchor_at: int, label: str) -> str:
        """The sentence of the main text that holds an anchor, or "" if the anchor is not in the main text."""
        place = self._locate(block, anchor_at, len(unspaced(label)))
        if place is None or not label:
            return ""
        sentence, squeezed = self._sentence_at(self._position(place))
        return sentence if unspaced(label) in squeezed else ""

    def _sentence_at(self, position: int) -> tuple[str, str]:
        """The sentence at a place in the text, without the marks of lists and tables; and squeezed."""
        at = max(0, bisect_right(self._starts, position) - 1)
        if at not in self._sentences:
            start, end = self._spans[at]
            fits = end - start <= LONGEST_SENTENCE
            sentence = re.sub(r"^(?:[-|] )+|\s*\|$", "", self._text[start:end]) if fits else ""
            self._sentences[at] = sentence, unspaced(sentence)
        return self._sentences[at]

    def _position(self, place: int) -> int:
        """The place in the text of a place in the squeezed text."""
        place = min(place, len(self._squeezed) - 1)
        run = bisect_right(self._squeezed_runs, place) - 1
        return self._runs[run] + place - self._squeezed_runs[run]

    def _locate(self, block: Block, anchor_at: int, length: int) -> int | None:
        """Where the anchor begins in the squeezed text: by its block as a line, its block, or the text around it."""
        if block.squeezed in self._lines:
            return self._lines[block.squeezed] + anchor_at
        if len(block.squeezed) < max(KEY_CHARS, length + 10):
            return None
        if block is not self._block:
            self._block, self._block_at = block, self._find(block, anchor_at, 0, len(block.squeezed))
        if self._block_at is not None:
            return self._block_at + anchor_at
        for reach in (60, 25):
            start, end = max(0, anchor_at - reach), anchor_at + length + reach
            if min(end, len(block.squeezed)) - start < max(KEY_CHARS, length + 10):
                return None
            found = self._find(block, anchor_at, start, end)
            if found is not None:
                return found + anchor_at - start
        return None

    def _find(self, block: Block, anchor_at: int, start: int, end: int) -> int | None:
        """Where this piece of a block, around an anchor, begins in the squeezed text; after the cursor if it can be."""
        key_start = _key_start(block, anchor_at)
        places = self._keys.get(block.squeezed[key_start : key_start + KEY_CHARS], [])
        ahead = bisect_left(places, self._cursor)
        piece = block.squeezed[start:end]
        for place in (*places[ahead : ahead + MOST_TRIES], *places[: min(ahead, MOST_TRIES)]):
            at = place - (key_start - start)
            if at >= 0 and self._squeezed.startswith(piece, at):
                self._cursor = at
                return at
        return None


def _occurrences(key: str, text: str) -> list[int]:
    """The places of a key in a text, overlapping ones too."""
    places, at = [], text.find(key)
    while at >= 0:
        places.append(at)
        at = text.find(key, at + 1)
    return places


def _key_start(block: Block, anchor_at: int) -> int:
    return max(0, min(anchor_at - KEY_LEAD, len(block.squeezed) - KEY_CHARS))
