"""Text that UTF-8 can hold: an escape in JSON, or a careless program, can leave half a surrogate pair in a string."""

import re

_SURROGATE = re.compile("[\ud800-\udfff]")


def mend_surrogates(text: str) -> str:
    """The text with pairs of surrogates joined and each half of one replaced by U+FFFD."""
    if _SURROGATE.search(text):
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
