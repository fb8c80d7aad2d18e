"""API keys: read from the environment, and cut out of whatever is shown or kept.

Servers quote the key that they refuse, and models repeat what they were sent.
"""

import os
from collections.abc import Iterable

from webdancer_cli.errors import UsageError

SHORTEST_SECRET = 12
"""A shorter value of a key variable is a placeholder such as EMPTY, and may be an ordinary word."""
MASK = "***"


def read_key(variable: str) -> str:
    """The key that an environment variable holds, "" if none. Raises UsageError for one that no header can carry."""
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and (key.isprintable() or not key)):
        raise UsageError(f"{variable} holds characters that no HTTP header can carry; set it anew")
    return key


def required_key(variable: str, *, what: str, needed: bool = True) -> str:
    """The same, for ``what`` cannot do without. Raises UsageError when there is none."""
    key = read_key(variable)
    if needed and not key:
        raise UsageError(f"{what} needs a key: set {variable} in the environment")
    return key


class Redactor:
    """Cuts secrets out of texts and of contents; a secret that holds another goes first."""

    def __init__(self, secrets: Iterable[str]):
        self._secrets = sorted({secret for secret in secrets if secret}, key=lambda secret: (-len(secret), secret))
        self._real = [
            secret.encode("utf-8", "surrogateescape") for secret in self._secrets if len(secret) >= SHORTEST_SECRET
        ]

    def text(self, text: str) -> str:
        """A message of ours: no secret may be in it, however short."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def content(self, content: bytes, *, same_length: bool = False) -> bytes:
        """What somebody else said: there, a short secret may be an ordinary word, and stays.

        ``same_length`` masks byte by byte, for encodings that hold lengths.
        """
        for secret in self._real:
            content = content.replace(secret, b"*" * len(secret) if same_length else MASK.encode())
        return content
