import pytest
from processor_time import processor_seconds

from webdancer_cli.data.records import Link, Page
from webdancer_cli.web.extract.html_page import extract_page

FILLER = "<p>" + "The archive keeps letters, maps and ledgers from four centuries. " * 5 + "</p>"


def document(main: str, title: str = "Vane", head: str = "") -> str:
    return f"""<!doctype html><html><head><title>{title}</title>{head}</head><body>
    <header><nav><a href="/">Home</a> <a href="/oll.html">Oll</a></nav></header>
    <main><h1>{title}</h1>{main}</main>
    <footer><p>Made by <a href="/about">people</a>.</p></footer></body></html>"""


def page(main: str, **more: str) -> Page:
    return extract_page(document(main, **more), "http://e.org/vane.html")


def quoted(found: Page) -> dict[str, str]:
    return {link.text: link.sentence for link in found.links if link.sentence}


def test_a_link_of_the_main_text_carries_its_sentence_and_one_of_the_navigation_does_not() -> None:
    found = page(f'<p>Ada Vane paints. She was born in <a href="oll.html">Oll</a>, near Kest. She left.</p>{FILLER}')
    assert quoted(found) == {"Oll": "She was born in Oll, near Kest."}
    assert Link(url="http://e.org/", text="Home") in found.links
    assert Link(url="http://e.org/about", text="people") in found.links
    assert "Home" not in found.text and "Made by" not in found.text


def test_every_sentence_is_a_verbatim_quote() -> None:
    found = page(
        f"""<p>First
          line with <a href="/a">a <b>bold</b>
          anchor</a>  and more.</p>{FILLER}
        <ul><li>Item about <a href="/b">Kest</a></li><li>Other item</li></ul>
        <table><tr><th>Town</th><td><a href="/c">Oll</a></td></tr><tr><th>Year</th><td>1815</td></tr></table>
        <dl><dt>Term</dt><dd>Explained by <a href="/d">Zeno</a>. Well.</dd></dl>"""
    )
    assert quoted(found) == {
        "a bold anchor": "First line with a bold anchor and more.",
        "Kest": "Item about Kest",
        "Oll": "Town | Oll",
        "Zeno": "Explained by Zeno.",
    }
    assert all(sentence in found.text for sentence in quoted(found).values())


def test_tables_and_lists_are_kept() -> None:
    found = page(f"{FILLER}<ul><li>one</li><li>two</li></ul><table><tr><td>Height</td><td>31</td></tr></table>")
    assert "- one\n- two" in found.text and "| Height | 31 |" in found.text


def test_of_equal_passages_the_right_one_is_found() -> None:
    found = page(
        f'<p>The mayor is <a href="/x">Yevliro</a>. He reads.</p>{FILLER}<p>In spring the guest is '
        f'<a href="/x">Yevliro</a>, who sings.</p>'
    )
    sentences = [link.sentence for link in found.links if link.url == "http://e.org/x"]
    assert sentences == ["The mayor is Yevliro.", "In spring the guest is Yevliro, who sings."]


def test_links_are_absolute_without_fragment_and_never_to_the_page_itself() -> None:
    found = page(
        f'{FILLER}<p>Before you go, read the <a href="#top">top</a> of this page, send <a href="mailto:a@b.c">mail</a> '
        f'to the editor of the paper, or turn to the long chapter on <a href="../x/#y">rivers</a> and their names.</p>'
    )
    assert [link.url for link in found.links if link.sentence] == ["http://e.org/x/"]


def test_the_base_element_counts() -> None:
    found = page(f'{FILLER}<p>Go <a href="a.html">there</a>.</p>', head='<base href="/deep/er/">')
    assert "http://e.org/deep/er/a.html" in [link.url for link in found.links]


def test_line_ends_inside_a_paragraph_are_spaces_and_stay_in_code() -> None:
    found = page(f"{FILLER}<p>one\n  two\nthree</p><pre>x = 1\ny = 2</pre>")
    assert "one two three" in found.text and "x = 1\ny = 2" in found.text


def test_a_short_page_is_read_without_its_navigation() -> None:
    found = page("<p>Pimrelu is a town.</p>")
    assert found.text.splitlines()[-1] == "Pimrelu is a town." and "Home" not in found.text


def test_a_page_that_is_all_links_is_read_without_a_large_navigation() -> None:
    names = ["Anna", "Berta", "Carla", "Dora"]
    side = "".join(f'<li><a href="/side{n}">Chapter {n} of the whole book</a></li>' for n in range(40))
    body = "".join(f'<li><a href="/{name}">{name}</a></li>' for name in names)
    found = extract_page(f'<body><div role="navigation"><ul>{side}</ul></div><ul>{body}</ul></body>', "http://e.org/")
    assert list(quoted(found)) == names and "Chapter" not in found.text
    assert len(found.links) == 44


def test_a_page_that_is_all_links_still_has_text() -> None:
    found = page('<ul><li><a href="/a">Anna</a></li><li><a href="/b">Berta</a></li></ul>')
    assert quoted(found) == {"Anna": "Anna", "Berta": "Berta"}


def test_an_empty_document_has_no_text() -> None:
    for html in ("", "<html></html>", "<body><script>var x = 'words';</script></body>", "\x00"):
        found = extract_page(html, "http://e.org/x.html")
        assert found.text == "" and found.links == []


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<title>zlib — Python 3.11 documentation</title><h1>zlib<a href='#z'>¶</a></h1>", "zlib"),
        ("<title>1. Appetite — The manual</title><h1><span class='section-number'>1. </span>Appetite</h1>", "Appetite"),
        ("<title>2. Bundesliga - Wikipedia</title><h1>2. Bundesliga</h1>", "2. Bundesliga"),
        ("<title>Ada Vane | Example</title>", "Ada Vane"),
        ("<title>zlib — Tools 3 documentation</title><h1><a>Tools 3 documentation</a></h1><h1>zlib</h1>", "zlib"),
        ("<title>Tools 3 documentation</title><h1><a>Tools 3 documentation</a></h1>", "Tools 3 documentation"),
        ("<title>Tea - a short history</title>", "Tea - a short history"),
        ("<title>Oll</title><h1>Welcome to our site</h1>", "Oll"),
        ("<h1>Only a heading</h1>", "Only a heading"),
        ("<p>nothing</p>", "Some Page"),
        ("<meta property='og:title' content='Shown'><title>x</title>", "Shown"),
    ],
)
def test_the_title_is_what_a_person_would_call_the_page(html: str, expected: str) -> None:
    assert extract_page(f"<html>{html}<p>text</p></html>", "http://www.example.org/Some_Page.html").title == expected


def test_the_date_is_the_pages_own() -> None:
    assert page(FILLER, head='<meta property="article:published_time" content="2021-03-04T10:00Z">').extra == {
        "date": "2021-03-04"
    }
    assert page(FILLER).extra == {}


def test_the_digest_is_that_of_the_text() -> None:
    # sha256 of "Pimrelu is a town."
    assert extract_page("<p>Pimrelu is a town.</p>", "http://e.org/").sha256 == (
        "d8c654cf35c8b266236883cca6fd7cbb43b9558131b0bdebe5a337a73109f13e"
    )


def test_absurd_markup_costs_no_more_than_its_length() -> None:
    absurd = ("<a " * 50_000, "<pre>" * 5_000, "<b>" * 5_000 + "deep", " " * 500_000 + "x", "." * 500_000)
    assert processor_seconds(lambda: [extract_page(html, "http://e.org/x") for html in absurd], tries=1) < 20


LINK = "<a href='/t/{0}'>Town {0}</a>"


@pytest.mark.parametrize(
    "html",
    [
        "".join(f"{LINK.format(n)} " for n in range(10_000)),
        "<p>" + "".join(f"see {LINK.format(n)}, and " for n in range(10_000)),
        "<p>" + "".join(f"See {LINK.format(n)} on the left. " for n in range(10_000)),
        "<ul>" + "".join(f"<li>see {LINK.format(n)}, in the land of rivers" for n in range(10_000)),
        "<table>" + "".join(f"<tr><td>{LINK.format(n)}<td>of {n} people, by the river" for n in range(5_000)),
        "<main>" + "".join(f"<div>{LINK.format(n)} <i>x</i><div>and more</div></div>" for n in range(5_000)),
    ],
    ids=["bare", "one sentence", "sentences", "items", "rows", "divs"],
)
def test_many_links_cost_no_more_than_their_number(html: str) -> None:
    assert processor_seconds(lambda: extract_page(f"<h1>Towns</h1>{html}", "http://e.org/x")) < 3


def test_what_is_too_long_for_a_sentence_is_quoted_by_no_link() -> None:
    links = "".join(f"see {LINK.format(n)}, and " for n in range(200))
    found = page(f"<p>{links}</p><p>The largest is {LINK.format('Oll')}, by the sea.</p>")
    assert quoted(found) == {"Town Oll": "The largest is Town Oll, by the sea."} and len(found.links) > 200


def test_a_link_is_found_by_the_text_around_it_where_its_block_is_cut() -> None:
    item = "The oldest of all the bridges over the river stands near <a href='/oll'>Oll</a>, and is made of larch. "
    found = page(f"<div>{item}<button>Buy a postcard</button>It was built by monks.</div>{FILLER}")
    assert "Oll" in quoted(found)
