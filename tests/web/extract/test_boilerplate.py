"""What frames a text is left out, what belongs to it is kept, and code stays as it is laid out."""

import pytest
from selectolax.lexbor import LexborHTMLParser

from webdancer_cli.web.extract.boilerplate import Boilerplate, strip_frame_lines
from webdancer_cli.web.extract.html_page import extract_page

PROSE = "<p>The archive keeps letters, maps and ledgers from four centuries of trade.</p>"


FILLER = "".join(
    f"<p>Room {n} of the archive holds what the {trade} of the town wrote down, year by year, in {shelves} shelves.</p>"
    for n, trade, shelves in [(1, "bakers", 12), (2, "masons", 40), (3, "weavers", 7), (4, "printers", 31)]
)


def text(body: str, title: str = "Archive") -> str:
    return extract_page(
        f"<html><head><title>{title}</title></head><body>{body}</body></html>", "http://e.org/a/b.html"
    ).text


MENU = '<ul><li><a href="/">Home</a></li><li><a href="/buy">Purchase</a></li><li><a href="/s">Support</a></li></ul>'


@pytest.mark.parametrize(
    "frame",
    [
        f'<div class="menu mainmenu">{MENU}</div>',
        f'<div id="nav">{MENU}</div>',
        f'<ul class="docnav">{MENU}</ul>',
        f'<div class="wy-side-nav main-navigation navbar">{MENU}</div>',
        f'<div class="breadcrumbs">{MENU}</div>',
        f'<div class="page-footer">{MENU}</div>',
        f"<div>Small. Fast. Reliable.<br>Choose any three.</div><div>{MENU}</div>",
        "<form><select><option>Purchase</option></select><button>Home</button></form>",
    ],
)
@pytest.mark.parametrize("prose", [PROSE, 5 * PROSE], ids=["short", "long"])
def test_a_frame_is_left_out_whatever_the_length_of_the_page(frame: str, prose: str) -> None:
    found = text(f"{frame}<h1>Archive</h1>{prose}")
    assert "four centuries" in found
    assert not any(word in found for word in ("Home", "Purchase", "Support", "Reliable"))


@pytest.mark.parametrize(
    "body",
    [
        f'<div class="menu"><h2>Menu of the day</h2>{PROSE}<p>Soup of leek, then <a href="/perch">perch</a>.</p></div>',
        f'<body class="has-sidebar nav"><h1>Archive</h1>{PROSE}<p>Soup of leek.</p>',
        f"<p>{'Soup of leek, and what else a cook must know before the guests arrive. ' * 6}</p><h1>Archive</h1>",
        f"<p>Soup of leek is served.</p><h1>Kitchens</h1>{PROSE}<h1>Cellars</h1>{PROSE}",
    ],
    ids=["a menu that is no list of links", "a body with such a name", "a long opening", "no heading of its own"],
)
def test_what_only_looks_like_a_frame_is_kept(body: str) -> None:
    assert "Soup of leek" in text(body)


def test_a_page_that_is_nothing_but_frame_has_no_text() -> None:
    assert text(f"<nav>{MENU}</nav><footer>Made by people.</footer>") == ""


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ("Skip to main content\nHome » Guides » Archive\nThe archive.", "The archive."),
        ("The archive.\nPrev\nNext\nThis page last modified on 2022-01-01", "The archive."),
        ("The archive.\n© 2020-2024 Example Ltd.\nAll rights reserved.\nPowered by Sphinx 4", "The archive."),
        ("The archive.\nBuilt by masons in 1720.", "The archive.\nBuilt by masons in 1720."),
        ("The archive.\nCopyright was unknown there.", "The archive.\nCopyright was unknown there."),
        ("Home rule was granted.\nThe archive.", "Home rule was granted.\nThe archive."),
        ("© 2024 Example", "© 2024 Example"),
    ],
)
def test_first_and_last_lines_that_belong_to_the_frame_go(lines: str, kept: str) -> None:
    assert strip_frame_lines(lines) == kept


CODE = "def area(w, h):\n    if w &lt; 0:\n        raise ValueError\n    return w * h"
LAID_OUT = "def area(w, h):\n    if w < 0:\n        raise ValueError\n    return w * h"


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "<dl><dt>area()</dt><dd><p>Such as:</p>{}<p>It is exact.</p></dd></dl>",
        "<ul><li>First this: {} and then that.</li></ul>",
        "<div><div>{}</div></div>",
    ],
    ids=["alone", "definition", "list", "divs"],
)
def test_code_keeps_its_lines_and_its_indentation(around: str) -> None:
    pre = f'<pre class="a  b"><span></span><span  class="k">{CODE[:3]}</span>{CODE[3:]}\n</pre>'
    assert LAID_OUT in text(f"<main>{FILLER}{around.format(pre)}</main>")


def test_columns_of_a_listing_stay_in_line() -> None:
    assert "a    | 1\nlong | 2" in text(f"{FILLER}<pre>\na    | 1\nlong | 2\n</pre>")


def test_code_in_a_table_does_not_break_its_row() -> None:
    row = "<tr><td>loop</td><td><pre>for x in y:\n    z()</pre></td><td>end</td></tr>"
    found = text(f"<main>{FILLER}<table><tr><th>What</th><th>Code</th><th>Then</th></tr>{row}</table></main>")
    assert "| loop | for x in y: z() | end |" in found


def test_marks_and_permalinks_do_not_show() -> None:
    found = text(f'<h1>Archive<a class="headerlink" href="#a">¶</a></h1>{FILLER}<p>One ⁋ two ␠ three.</p>')
    assert "One two three." in found and not set("¶⁋␠") & set(found)


def test_nested_lists_keep_their_levels() -> None:
    found = text(f"<main>{FILLER}<ul><li>towns<ul><li>Velmora</li></ul></li><li>rivers</li></ul></main>")
    assert "- towns\n  - Velmora\n- rivers" in found


def test_paragraphs_in_odd_elements_are_found_where_the_fast_rules_miss_them() -> None:
    tags = "".join(f'<div class="para"><a class="indexterm"></a>{PROSE[3:-4]} Room {n}.</div>' for n in range(12))
    found = text(f"<div class=section><div><h1>Archive</h1></div>{tags}</div><p>{PROSE[3:-4] * 4}</p>")
    assert all(f"Room {n}." in found for n in range(12))


@pytest.mark.parametrize(
    ("html", "place"),
    [
        ("<nav><p id=x>", True),
        ("<main><nav><p id=x>", True),
        ("<header><p id=x>", True),
        ("<main><header><p id=x>", False),
        ("<article><footer><div><p id=x>", False),
        ("<div role=search><p id=x>", True),
        ("<aside><main><p id=x>", False),
        ("<div><p id=x>", False),
    ],
)
def test_where_an_element_stands(html: str, place: bool) -> None:
    node = LexborHTMLParser(html).css_first("#x")
    assert node is not None and Boilerplate().holds(node) is place
