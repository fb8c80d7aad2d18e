"""An article that only the data for machines hold is read there; where the markup has the text, that is the text."""

import json

import pytest

from webdancer_cli.web.extract.html_page import extract_page

BODY = "The water works of Tamsen were opened in 1894 by Ida Kroll. They serve forty thousand people."
PROSE = "".join(
    f"<p>Room {n} of the archive keeps letters, maps and ledgers from {n} centuries of trade.</p>" for n in range(9)
)


def text(data: object, markup: str = '<div id="root"></div>') -> str:
    script = data if isinstance(data, str) else json.dumps(data)
    html = f'<html><head><title>Works</title><script type="application/ld+json">{script}</script></head><body>{markup}'
    return extract_page(html, "http://e.org/a").text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"@type": "NewsArticle", "headline": "Works", "articleBody": BODY}, BODY),
        ([{"@type": "BreadcrumbList"}, {"@type": "BlogPosting", "articleBody": BODY}], BODY),
        ({"@graph": [{"@type": "WebSite", "name": "x"}, {"@type": ["Article"], "articleBody": BODY}]}, BODY),
        ({"@type": "WebPage", "mainEntity": {"@type": "Article", "articleBody": BODY}}, BODY),
        ({"@type": "Article", "articleBody": f"<p>{BODY}</p><p>Bread &amp; salt.</p>"}, f"{BODY}\nBread & salt."),
        ({"@type": "Article", "articleBody": f"{BODY}\n\nBread &amp; salt."}, f"{BODY}\nBread & salt."),
        (f'{{"@type": "Article", "articleBody": "{BODY}\nIt stands."}}', f"{BODY} It stands."),
        (f"//<![CDATA[\n{json.dumps({'articleBody': BODY})}\n//]]>", BODY),
        (f"<!-- {json.dumps({'articleBody': BODY})} -->", BODY),
        (json.dumps({"articleBody": BODY}).replace('"', "&quot;"), BODY),
        (
            {"mainEntity": [{"@type": "Question", "name": "Who?", "acceptedAnswer": {"text": "Ida."}}]},
            "Who?\nIda.",
        ),
        (
            {"@type": "Recipe", "recipeIngredient": ["2 leeks"], "recipeInstructions": [{"text": "Cut the leeks."}]},
            "2 leeks\nCut the leeks.",
        ),
        ({"@type": "Article", "articleBody": BODY, "comment": [{"text": "First!"}]}, BODY),
        ({"@type": "Article", "articleBody": "half \ud83d"}, "half \ufffd"),
    ],
)  # fmt: skip
def test_an_article_without_markup_is_read(data: object, expected: str) -> None:
    assert text(data) == expected


@pytest.mark.parametrize(
    "data", ["", "{", "[" * 100_000, "7", "null", '{"articleBody": 7}', '{"@type": "WebSite", "name": "x"}']
)
def test_what_holds_no_article_gives_none(data: str) -> None:
    assert text(data) == ""


def test_a_notice_in_its_place_does_not_hide_the_article() -> None:
    assert text({"articleBody": 3 * BODY}, "<h1>Works</h1><p>The article is loading.</p>").endswith(3 * BODY)


def test_where_the_markup_has_the_text_that_is_the_text() -> None:
    found = text({"@type": "Article", "articleBody": 20 * BODY}, f"<main><h1>Works</h1>{PROSE}</main>")
    assert "Ida Kroll" not in found and "Room 8" in found
