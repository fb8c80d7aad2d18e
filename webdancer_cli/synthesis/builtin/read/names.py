"""Which words of a page are names: "the nosuid option" has one, "the first option" has none."""

import re

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.standalone import word_set
from webdancer_cli.text.spacing import squeeze

_TELLING_SORTS = word_set(
    "command package program utility daemon tool library directive system option flag setting module keyword pragma"
    " header service"
)
"""Before these nouns a word that the page has nowhere else is a name."""
_ORDINARY = word_set(
    "first second third fourth last next same new old other main also only whole entire final source target base user"
    " server client host default current custom standard special simple single graphics text email mail web shell"
    " file data print printer build test install upgrade backup update setup core kernel boot init control"
    " software hardware network security support help search mouse display window following above below"
    " previous correct desired right wrong latter former relevant appropriate recent stable free"
    " command configuration debug compiler compile mount menu general common necessary required optional various"
    " particular certain different similar second-level command-line third-party built-in open-source external internal"
    " option flag parameter variable function method field column table page section key value name list type"
    " local remote global small large big good best better more most usual full long short"
)
_LOWER_CASE = word_set("package command file daemon program")
"""What these are called begins with a small letter."""
_ENDS_LIKE_WORDS = re.compile(r"(?:ing|ed|al|ive|able|ible|ary|ous|ful|ern|ent|ant|ic|less|tion)$")


class PageNames:
    """The names that a page uses: those it links to or lists, and what its spelling tells."""

    def __init__(self, page: Page):
        self._text = page.text
        anchors = (squeeze(link.text) for link in page.links)
        terms = (line[2:] for line in page.text.splitlines() if line.startswith("- "))
        self._names = frozenset(name for name in (*anchors, *terms) if " " not in name)
        self._capitals = set(re.findall(r"(?<=[a-z,(] )[A-Z][\w+#-]*", page.text))
        self._lower = set(re.findall(r"\b[a-z][\w+#-]*", page.text))

    def is_capital(self, word: str) -> bool:
        """Whether a capital is more than that of a sentence's first word: the page writes it in the middle of one."""
        return word in self._capitals and word.lower() not in self._lower

    def has_capital(self, word: str) -> bool:
        """Whether the page writes a word with its capital in the middle of a sentence, too."""
        return word in self._capitals

    def is_used_as_name(self, name: str) -> bool:
        """Whether words with which a sentence begins are a name."""
        first = name.split()[0]
        if re.search(r"[A-Z\d_]", first[1:]) or (first == "The" and " " in name):
            return True
        return self.is_capital(first)

    def is_distinctive(self, name: str, sort: str) -> bool:
        """Whether a name is none of plain English: it is spelled so, the page has it elsewhere as a name, or has the
        word only with its noun, and that never in the plural ("access methods")."""
        if sort in _LOWER_CASE and re.fullmatch(r"[A-Z][a-z]+", name):
            return False  # "the Debian package": whose it is
        if re.search(r"[A-Z\d_./()]|^-|\w-\w+-", name) is not None or name in self._names:
            return True
        if sort not in _TELLING_SORTS or name in _ORDINARY or _ENDS_LIKE_WORDS.search(name):
            return False
        word = re.escape(name)
        return re.search(rf"\b{word}\b(?! {sort}\b)(?=[ ,.;])|\b{word} {sort}s\b", self._text) is None
