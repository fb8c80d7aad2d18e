"""Facts that stand in no paragraph are in the text, each in its place; what is offered along with a text is not."""

import pytest

from webdancer_cli.web.extract.html_page import extract_page

PARAGRAPHS = [
    "The archive of Velmora keeps letters, maps and ledgers from four centuries of trade, and lends none of them.",
    "Room four holds what the weavers of the town wrote down year by year, in seven shelves of larch and oak.",
    "It was moved twice, once for a flood of the river and once for a quarrel of two abbots about the rent.",
    "Visitors are let in on Mondays, in twos, with clean hands, and are given a chair and a lamp for an hour.",
]
FIRST, LAST = ("".join(f"<p>{text}</p>" for text in half) for half in (PARAGRAPHS[:2], PARAGRAPHS[2:]))
MENU = '<ul><li><a href="/">Home</a></li><li><a href="/buy">Purchase</a></li><li><a href="/s">Support</a></li></ul>'
INFOBOX = (
    '<aside role="region" class="portable-infobox"><h2>Ida Kroll</h2>'
    "<section><h3>Born</h3><div>12 May 1894</div></section><section><h3>Trade</h3><div>Engineer</div></section></aside>"
)
ROWS = "".join(
    f"<tr><td><a href='/t{n}'>Town {n}</a></td><td><a href='/m{n}'>Mayor {n}</a></td></tr>" for n in range(40)
)


def text(body: str) -> str:
    return extract_page(f"<html><head><title>Archive</title></head><body>{body}</body></html>", "http://e.org/a").text


def between(part: str, around: str = "article") -> str:
    return text(f"<{around}><h1>Archive</h1>{FIRST}{part}{LAST}</{around}>")


@pytest.mark.parametrize(
    ("part", "lines"),
    [
        (INFOBOX, "Ida Kroll\nBorn: 12 May 1894\nTrade: Engineer"),
        ("<aside class=note><p>The key is kept by Oll.</p></aside>", "The key is kept by Oll."),
        ("<aside>Opened in 1911 by the mayor.</aside>", "Opened in 1911 by the mayor."),
        ("<div role=note>Closed since 1999.</div>", "Closed since 1999."),
        ("<div role=complementary class=infobox><div>Born</div><div>12 May 1894</div></div>", "Born\n12 May 1894"),
        ("<div class=byline>By <a href=/o>Oll Vane</a>, 3 March 2021</div>", "By Oll Vane, 3 March 2021"),
        (
            "<figure><img src=a.png><figcaption>The weir at Kest in 1905.</figcaption></figure>",
            "The weir at Kest in 1905.",
        ),
        ("<div class=thumb><img><div class=thumbcaption>The weir in 1905.</div></div>", "The weir in 1905."),
        ("<figure><p>Heads in 1905: 4,211</p></figure>", "Heads in 1905: 4,211"),
        ("<blockquote><p>It is fine.</p><footer>— Oll Vane</footer></blockquote>", "— Oll Vane"),
        ("<dl><dt>Born</dt><dd><a href=/1894>1894</a></dd><dt>Died</dt><dd>1951</dd></dl>", "1894"),
        ("<details><summary>When was it built?</summary><div>In 1905.</div></details>", "In 1905."),
        ("<section class=footnotes><ol><li>Oll Vane, Bridges, 1911.</li></ol></section>", "Oll Vane, Bridges, 1911."),
        (f"<table><tr><th>Town</th><th>Mayor</th></tr>{ROWS}</table>", "| Town 39 | Mayor 39 |"),
        ("<table><tr><td><a href=/t>Oll</a></td><td>Vane</td></tr>" * 2 + "</table>", "| Oll | Vane |"),
    ],
)
@pytest.mark.parametrize("around", ["article", "main", "div"])
def test_facts_outside_the_prose_stand_in_their_place(part: str, lines: str, around: str) -> None:
    found = between(part, around)
    assert found.index(PARAGRAPHS[1]) < found.index(lines) < found.index(PARAGRAPHS[2])
    assert all(found.count(paragraph) == 1 for paragraph in PARAGRAPHS)


def test_what_stands_before_the_first_and_behind_the_last_paragraph_of_an_article_belongs_to_it() -> None:
    found = text(
        f"<article><header><h1>Archive</h1><p class=byline>By Oll Vane <time>3 March 2021</time></p></header>{INFOBOX}"
        f"{FIRST}{LAST}<footer><p>Corrected on 5 May 2021: the year was 1894.</p></footer></article>"
    )
    assert found.index("Oll Vane") < found.index("12 May 1894") < found.index(PARAGRAPHS[0])
    assert found.index(PARAGRAPHS[3]) < found.index("Corrected on 5 May 2021")


def test_links_in_what_is_put_in_carry_their_sentence() -> None:
    aside = "<aside><h3>Trade</h3><div><a href=/e>Engineer</a> in Oll</div></aside>"
    body = f"<main><h1>Archive</h1>{FIRST}{aside}{LAST}</main>"
    found = extract_page(f"<title>Archive</title>{body}", "http://e.org/a")
    assert [link.sentence for link in found.links if link.text == "Engineer"] == ["Trade: Engineer in Oll"]


@pytest.mark.parametrize(
    "part",
    [
        f"<aside><h3>More of us</h3>{MENU}</aside>",
        "<aside class='cookie-notice'><p>Purchase with cookies.</p></aside>",
        "<aside><p>We use cookies to improve Purchase.</p></aside>",
        "<aside><h3>Newsletter</h3><p>Purchase by mail.</p></aside>",
        "<aside><p>Purchase by mail.</p><form><input type=email></form></aside>",
        "<aside><h3>Related</h3><p>Purchase of the archive, in short</p></aside>",
        "<aside><h2>On this page</h2><ul><li>Purchase</li><li>Rent</li></ul></aside>",
        "<figure class='ad-slot'><figcaption>Purchase now</figcaption></figure>",
        "<div class='adBanner'><figure><figcaption>Purchase now</figcaption></figure></div>",
        "<div class='share-bar'><figure><figcaption>Purchase</figcaption></figure></div>",
        "<aside hidden><p>Purchase it</p></aside>",
        "<aside style='display: none'><p>Purchase it</p></aside>",
        "<figure aria-hidden=true><figcaption>Purchase</figcaption></figure>",
        "<div class=breadcrumbs><dl><dt>You are here</dt><dd>Purchase</dd></dl></div>",
        "<div class=related_articles><table><tr><td>Purchase<td>1<tr><td>Rent<td>2</table></div>",
        "<nav><details><summary>Purchase</summary></details></nav>",
        "<section id=comments><article><footer><p>Purchase said</p></footer></article></section>",
    ],
)
@pytest.mark.parametrize("around", ["article", "main", "div"])
def test_what_is_offered_along_with_a_text_stays_out(part: str, around: str) -> None:
    assert "Purchase" not in between(part, around)


@pytest.mark.parametrize(
    "body",
    [
        "<aside><p>About Purchase and us.</p></aside><div><h1>Archive</h1>{}</div>",
        "<div><h1>Archive</h1>{}</div><aside><p>About Purchase and us.</p></aside>",
        "<header><div class=note>Purchase is new</div></header><main><h1>Archive</h1>{}</main>",
        "<main><h1>Archive</h1>{}</main><footer><address>Purchase street 4</address></footer>",
        "<article><h1>Archive</h1>{}<footer><a href=/f>Purchase</a> <a href=/t>Rent</a></footer></article>",
        "<table><tr><td><a href=/1>Purchase</a><td><h1>Archive</h1>{}<tr><td>x<td>y</table>",
    ],
)
def test_what_stands_around_a_text_stays_out(body: str) -> None:
    assert "Purchase" not in text(body.format(FIRST + LAST))


def test_what_the_text_has_already_is_not_said_twice() -> None:
    found = between(f"<aside class=pullquote>{PARAGRAPHS[0]}</aside>")
    assert found.count(PARAGRAPHS[0]) == 1


def test_marks_of_notes_are_no_part_of_the_number_before_them() -> None:
    note = "<sup><a href='#fn1'>2</a></sup>"
    assert "It fell in 1894.[2] She left at 10[2] metres." in between(
        f"<p>It fell in 1894.{note} She left at 10{note} metres.</p>"
    )
    assert "10 m2 of land" in between("<p>He had 10 m<sup>2</sup> of land and <a href=/o>more</a>, on the river.</p>")
