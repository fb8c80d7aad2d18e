"""Text to token ids, with the say over which added tokens may come out of which part of it.

A tokenizer looks for its added tokens first, everywhere, and encodes what lies between them. ``SegmentEncoder`` does
the same in two steps, so that every part of a text can have its own set of added tokens: the frame of a turn may hold
control tokens, a prompt the grammar's tags, a web page neither. Text between two tokens is encoded in one piece even
where parts meet inside it, so the ids are those that the whole tokenizer gives to the joined text, wherever it finds
the same tokens.

Ids of added tokens are read from the tokenizer as it is loaded. A tokenizer rebuilt from JSON with some of its added
tokens left out would number the others anew (tokenizers, ``added_vocabulary``), so the one that encodes the text
between them knows no added tokens at all: its ids are the vocabulary's own.
"""

import json
import re
import secrets
from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Tokenizer

from webdancer_cli.text.surrogates import mend_surrogates

Part = tuple[str, "TokenSet"]
"""Some text, and the added tokens that may come out of it, besides those that may stand in any text."""


class TokenSet:
    """Some of a tokenizer's added tokens, to be found in text: the leftmost, and of those the longest."""

    def __init__(self, tokens: Iterable[AddedToken]):
        self.tokens = {token.content: token for token in tokens if token.content}
        longest_first = sorted(self.tokens.values(), key=lambda token: (-len(token.content), token.content))
        alternatives = "|".join(map(_pattern, longest_first))
        self._found = re.compile(alternatives) if alternatives else None

    def split(self, text: str) -> Iterable[tuple[str, AddedToken | None]]:
        """Text and the token that ends it, in order; the last text has None."""
        at = 0
        for match in self._found.finditer(text) if self._found else ():
            yield text[at : match.start()], self.tokens[match.group()]
            at = match.end()
        yield text[at:], None


def _pattern(token: AddedToken) -> str:
    escaped = re.escape(token.content)
    return rf"(?<!\w){escaped}(?!\w)" if token.single_word else escaped


class SegmentEncoder:
    """Encodes parts of text; ``ids`` and ``tokens`` tell of the added tokens of ``tokenizer``, as it is loaded.

    ``in_any_text`` tells which of them are ordinary pieces of text (some families keep runs of line breaks there):
    these are found everywhere, also where parts meet.
    """

    def __init__(self, tokenizer: Tokenizer, in_any_text: Callable[[AddedToken], bool]):
        decoder = tokenizer.get_added_tokens_decoder()
        self.tokens: list[AddedToken] = list(decoder.values())
        self.ids: dict[str, int] = {token.content: id for id, token in decoder.items()}
        self._ordinary = TokenSet(filter(in_any_text, self.tokens))
        spec = json.loads(tokenizer.to_str()) | {"added_tokens": [], "truncation": None, "padding": None}
        self._plain = Tokenizer.from_str(json.dumps(spec))
        self._start = _unguessable()
        self._plain.add_special_tokens([AddedToken(self._start, normalized=False)])

    def encode(self, parts: Iterable[Part]) -> list[int]:
        """The ids of the joined parts. Tokens that take the spaces beside them do so here, too."""
        ids: list[int] = []
        stretch, last = "", None
        for text, allowed in parts:
            for before, token in allowed.split(mend_surrogates(text)):
                stretch += before
                if token is not None:
                    ids += [*self._ordinary_text(stretch, last, token), self.ids[token.content]]
                    stretch, last = "", token
        return ids + self._ordinary_text(stretch, last, None)

    def _ordinary_text(self, text: str, last: AddedToken | None, following: AddedToken | None) -> list[int]:
        """The ids of what stands between two added tokens."""
        ids: list[int] = []
        for before, token in self._ordinary.split(text):
            ids += self._between(before, last, token or following)
            if token is not None:
                ids.append(self.ids[token.content])
                last = token
        return ids

    def _between(self, text: str, last: AddedToken | None, following: AddedToken | None) -> list[int]:
        text = text.lstrip() if last and last.rstrip else text
        text = text.rstrip() if following and following.lstrip else text
        if not text:
            return []
        ids: list[int] = self._plain.encode(self._start + text, add_special_tokens=False).ids
        return ids[1:]


def _unguessable() -> str:
    """Stands before every stretch of text and is cut off again: some tokenizers treat the beginning of a text in a way
    of its own (Metaspace's ``prepend_scheme: first``), and a stretch never is the beginning.

    A token that no page can hold, since it would be taken for that token: 16 private-use characters drawn at random.
    """
    return "".join(chr(0xE000 + byte) for byte in secrets.token_bytes(16))
