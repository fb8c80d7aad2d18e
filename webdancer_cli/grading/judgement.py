"""A word and a reason: what a model says that is asked for a verdict."""

import msgspec

REASON_CHARS = 300
"""Characters of what the model says that a record keeps."""


class WordAndReason(msgspec.Struct):
    """The model's reply. The reason comes first, so that the verdict follows from it.

    Who asks narrows ``verdict`` to the words of the question.
    """

    reason: str
    verdict: str

    @property
    def word(self) -> str:
        """The verdict without the case and the marks that models put around a word."""
        return self.verdict.strip(" \n.!*\"'").casefold()

    @property
    def short_reason(self) -> str:
        return self.reason.strip()[:REASON_CHARS]

    @property
    def said(self) -> str:
        """The verdict as it was given, for a message about one that is none."""
        return repr(self.verdict[:REASON_CHARS])
