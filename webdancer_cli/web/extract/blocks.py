"""The visible text of a document, cut where block elements begin and end."""

from collections.abc import Iterator
from typing import NamedTuple

from selectolax.lexbor import LexborHTMLParser, LexborNode

from webdancer_cli.web.extract.boilerplate import DEEPEST, Boilerplate

LINE_END, BLANK = "⁋", "␠"
"""Stand for what must survive in ``<pre>``, for trafilatura makes one line of a list item. Pages hardly use them."""


def unmarked(text: str) -> str:
    return text.replace(LINE_END, "\n").replace(BLANK, " ")


class Anchor(NamedTuple):
    node: LexborNode
    at: int
    """Where the anchor begins in the squeezed text of its block."""
    label: str


class Block(NamedTuple):
    """A run of text under one block element, in document order. ``squeezed`` is the text without white space."""

    node: LexborNode | None
    """The block element; None for what stands under none."""
    text: str
    squeezed: str
    boilerplate: bool
    """Whether it stands in navigation, a header, a footer or a side bar."""
    anchors: list[Anchor]


_INLINE_TAGS = """
    a abbr acronym b bdi bdo big br cite code data del dfn em font i img ins kbd label mark q rp rt ruby s samp small
    span strike strong sub sup time tt u var wbr
"""
_INLINE = frozenset(_INLINE_TAGS.split())
UNSEEN = frozenset(["script", "style", "noscript", "template", "head", "title", "svg", "math", "select", "button"])


def blocks_of(tree: LexborHTMLParser) -> Iterator[Block]:
    """The visible text of a document, cut where block elements begin and end."""
    owner: LexborNode | None = None
    texts, squeezed, anchors, boilerplate, frame = [""], 0, list[Anchor](), False, Boilerplate()
    for node in tree.root.traverse(include_text=True) if tree.root else ():
        is_text = node.tag == "-text"
        if not is_text and node.tag != "a":
            continue
        block = block_of(node)
        if block is None:
            continue
        if owner is None or block.mem_id != owner.mem_id:
            yield _block(owner, texts, boilerplate, anchors)
            owner, texts, squeezed, anchors, boilerplate = block, [], 0, [], frame.holds(block)
        if is_text:
            texts.append(node.text_content or "")
            squeezed += len(unspaced(texts[-1]))
        else:
            anchors.append(Anchor(node, squeezed, " ".join((node.text() or _alt(node)).split())))
    yield _block(owner, texts, boilerplate, anchors)


def _block(owner: LexborNode | None, texts: list[str], boilerplate: bool, anchors: list[Anchor]) -> Block:
    text = " ".join(unmarked("".join(texts)).split())
    return Block(owner, text, unspaced(text), boilerplate, anchors)


def unspaced(text: str) -> str:
    return "".join(text.split())


def block_of(node: LexborNode) -> LexborNode | None:
    """The nearest block element around a node, or None if the node is not seen."""
    for above in ancestors(node):
        if above.tag in UNSEEN:
            return None
        if above.tag not in _INLINE:
            return above
    return None


def ancestors(node: LexborNode) -> Iterator[LexborNode]:
    """The elements around a node, from the inside; at most ``DEEPEST``, or absurd nesting would cost its square."""
    above = node.parent
    for _ in range(DEEPEST):
        if above is None:
            return
        yield above
        above = above.parent


def _alt(node: LexborNode) -> str:
    image = node.css_first("img[alt]")
    return (image.attributes.get("alt") or "") if image else ""
