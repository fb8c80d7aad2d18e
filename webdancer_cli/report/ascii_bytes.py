"""Bytes as ASCII that may stand in a script element of HTML: seven bits a character, a sixth more than the bytes.

Base64 makes a third more. Control characters stand as they are, since a parser of HTML keeps all of them but NUL and
CR; these two, what opens a tag, and the mark itself are a mark and the character with its seventh bit turned.
"""

import numpy as np

MARK = b"\\"
NO_TEXT = b"\x00\r<"
"""What a parser of HTML would change, or take for markup."""
_TURNED = 0x40


def to_ascii(data: bytes) -> bytes:
    """The bits of the data from the highest on, seven a character, the last filled up with zeros."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8))
    sevens = np.pad(bits, (0, -len(bits) % 7)).reshape(-1, 7)
    text = np.packbits(np.pad(sevens, ((0, 0), (1, 0))), axis=1).tobytes()
    for char in MARK + NO_TEXT:
        text = text.replace(bytes([char]), MARK + bytes([char ^ _TURNED]))
    return text
