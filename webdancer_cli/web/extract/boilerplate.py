"""The frame around a document's text: navigation, headers, footers, side bars, the site's name and its search box.

Told by elements and roles; by class names, if what bears them is mostly links; and by the page's own heading: the
little that stands before it is the site's.
"""

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.web.extract.titles import own_heading

DEEPEST = 100
"""How many elements around a text are looked at."""

BEFORE_HEADING_CHARS = 300
"""With more text than this before its heading, a page may have begun already."""

_TAGS = frozenset(["nav", "aside", "menu"])
_PAGE_ENDS = frozenset(["header", "footer"])
"""Chrome only outside ``main`` and ``article``: inside, they open and close the text."""
_TEXT = frozenset(["main", "article"])
_ROLES = frozenset(["navigation", "banner", "contentinfo", "search", "complementary", "menu"])
_BY_MARKUP = ", ".join(
    [*sorted(_TAGS), "body > header", "body > footer", *(f"[role={role}]" for role in sorted(_ROLES))]
)
_SILENT = "script, style, noscript, template, select, button"
_WORDING = """
    abbr acronym b big cite code dfn em font i kbd mark q s samp small span strike strong tt u var
"""
"""Elements inside a sentence. In lists and definitions trafilatura loses and doubles text around them."""
_NAMED = ", ".join(
    f"[{kind}*={name} i]" for kind in ("class", "id") for name in ("nav", "menu", "crumb", "footer", "sidebar")
)
_NAME = re.compile(
    r"(?:[a-z]+[-_])?(?:nav|menu|bread-?crumb|footer|sidebar)s?(?:[-_](?:bar|list|links|items?|menu|top|bottom))?|"
    r"(?:top|sub|main|site|side|page|bottom|foot|doc)(?:nav|menu)(?:bar)?|nav(?:bar|header|footer|igation|links)",
    re.IGNORECASE,
)


def strip_boilerplate(html: str) -> str:
    """The document without its frame, scripts and styles, its sentences without elements other than links."""
    tree = LexborHTMLParser(html)
    for node in tree.css(f"{_SILENT}, {_BY_MARKUP}"):
        node.decompose()
    for node in [node for node in tree.css(_NAMED) if _is_named_chrome(node)]:
        node.decompose()
    _drop_before_heading(tree)
    for anchor in tree.css("a"):
        if anchor.first_child is None:  # a place to jump to, which trafilatura would count as a link
            anchor.decompose()
    tree.unwrap_tags(_WORDING.split())
    return tree.html or ""


def _is_named_chrome(node: LexborNode) -> bool:
    names = f"{node.attributes.get('class') or ''} {node.attributes.get('id') or ''}".split()
    return (
        node.tag not in ("html", "body", "main", "article") and any(map(_NAME.fullmatch, names)) and is_link_list(node)
    )


def is_link_list(node: LexborNode) -> bool:
    """Whether at least half of the text of an element, its white space aside, is links."""
    links = sum(_size(link) for link in node.css("a"))
    return 2 * links >= _size(node)


def _size(node: LexborNode) -> int:
    return len("".join(node.text().split()))


def _drop_before_heading(tree: LexborHTMLParser) -> None:
    before = list(_before(_heading(tree)))
    if sum(_size(node) for node in before) <= BEFORE_HEADING_CHARS:
        for node in before:
            node.decompose()


def _heading(tree: LexborHTMLParser) -> LexborNode | None:
    """The heading that the title confirms, or the only one there is; of the second level if there is none above."""
    first = tree.css("h1")
    return own_heading(tree, "h1" if first else "h2") or (first[0] if len(first) == 1 else None)


def _before(heading: LexborNode | None) -> Iterator[LexborNode]:
    """All that stands before a heading in the body, as the elements and texts beside the elements around it."""
    node = heading
    while node is not None and node.tag not in ("body", "html", *_TEXT):
        beside = node.prev
        while beside is not None:
            yield beside
            beside = beside.prev
        node = node.parent


_WAYS = r"(?:home|prev(?:ious)?|next|up|top|contents?|index|search|menu|[|\s«»‹›<>←→-])+"
_HEAD_LINE = re.compile(
    r"(?:skip|jump) to (?:the )?(?:main |page )?(?:content|navigation|search)|"
    rf"(?:home|start|index)\s*[»›>/→|].*|{_WAYS}",
    re.IGNORECASE,
)
_FOOT_LINE = re.compile(
    r"(?:this |the )?(?:page |document |article )?(?:was )?last (?:modified|updated|edited|changed)\b.*|"
    r"(?:©|\(c\)|copyright\W*(?:©|\(c\)|\d{4})).*|.*\ball rights reserved\b.*|"
    r"(?:created|generated|built|made|powered) (?:with|using|by) (?:sphinx|mkdocs|jekyll|hugo|doxygen|javadoc|hexo|"
    rf"docusaurus|gitbook|wordpress|mediawiki|drupal|asciidoc\w*|docbook)\b.*|(?:back to |to |↑ ?)?top|{_WAYS}",
    re.IGNORECASE,
)
LONGEST_FRAME_LINE = 200


def strip_frame_lines(text: str) -> str:
    """A main text without what of a frame slipped into its first and last lines; one line is always left."""
    lines = text.split("\n")
    while len(lines) > 1 and _is_frame(_HEAD_LINE, lines[0]):
        del lines[0]
    while len(lines) > 1 and _is_frame(_FOOT_LINE, lines[-1]):
        del lines[-1]
    return "\n".join(lines)


def _is_frame(pattern: re.Pattern[str], line: str) -> bool:
    return len(line) <= LONGEST_FRAME_LINE and pattern.fullmatch(line.strip()) is not None


class Boilerplate:
    """Whether an element stands in the frame of its document."""

    def __init__(self) -> None:
        self._places: dict[int, str] = {}

    def holds(self, node: LexborNode) -> bool:
        return self._place(node, 0) == "frame"

    def _place(self, node: LexborNode | None, above: int) -> str:
        """ "text" inside ``main`` or ``article``, "frame" in chrome, else "". Deep nesting counts as neither."""
        if node is None or above > DEEPEST:
            return ""
        if node.mem_id not in self._places:
            self._places[node.mem_id] = self._own_place(node) or self._place_from_parent(node, above)
        return self._places[node.mem_id]

    def _own_place(self, node: LexborNode) -> str:
        if node.tag in _TEXT:
            return "text"
        return "frame" if node.tag in _TAGS or (node.attributes.get("role") or "") in _ROLES else ""

    def _place_from_parent(self, node: LexborNode, above: int) -> str:
        place = self._place(node.parent, above + 1)
        return "frame" if node.tag in _PAGE_ENDS and place != "text" else place
