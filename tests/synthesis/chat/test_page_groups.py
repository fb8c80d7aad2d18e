"""Pages that belong together, in a budget; long pages are cut where a person would cut them."""

from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.data.records import Link, Page
from webdancer_cli.synthesis.chat.page_groups import (
    GAP,
    LOOKAHEAD,
    MOST_PAGES,
    PageGroups,
    approximate_tokens,
    excerpt,
    fit_group,
)


def page(name: str, *links: str, text: str = "") -> Page:
    found = [Link(url=f"http://a.test/{link}", text=link, sentence=f"It leads to {link}.") for link in links]
    said = " ".join(link.sentence for link in found)
    return Page(url=f"http://a.test/{name}", title=name, text=text or f"{name} is a place. {said}", links=found)


async def stream(pages: Sequence[Page]) -> AsyncIterator[Page]:
    for each in pages:
        yield each


async def groups(*pages: Page, min_chars: int = 0) -> list[list[str]]:
    return [[each.title for each in group] async for group in PageGroups(min_chars).of(stream(pages))]


async def test_a_page_comes_with_its_children_then_its_parents_then_its_nearest_siblings() -> None:
    found = await groups(page("hub", "a", "b", "c", "d"), *map(page, "ab"), page("c", "d", "e"), *map(page, "de"))
    assert found == [
        ["hub", "a", "b", "c", "d"],
        ["a", "hub", "b", "c", "d"],
        ["b", "hub", "a", "c", "d"],
        ["c", "d", "e", "hub", "b", "a"],
        ["d", "hub", "c", "b", "a", "e"],
        ["e", "c", "d"],
    ]


async def test_a_group_has_a_bounded_number_of_pages() -> None:
    names = [f"p{number}" for number in range(20)]
    found = await groups(page("hub", *names), *map(page, names))
    assert max(map(len, found)) == len(found[0]) == MOST_PAGES


async def test_a_page_waits_for_its_children_but_not_for_ever() -> None:
    read = 0

    async def counted() -> AsyncIterator[Page]:
        nonlocal read
        for number in range(2 * LOOKAHEAD):
            read += 1
            yield page(f"p{number}", "nowhere") if number == 0 else page(f"p{number}")

    found = PageGroups(0).of(counted())
    assert [each.title for each in await anext(found)] == ["p0"] and read == LOOKAHEAD + 1
    await found.aclose()


async def test_short_and_repeated_pages_are_shown_beside_others_or_not_at_all() -> None:
    long = page("long", "short", "twin", text="It is a place. " * 9)
    twin = page("twin", text=long.text)
    assert await groups(long, page("short"), twin, min_chars=100) == [["long", "short"], ["twin", "short"]]


def test_a_group_that_fits_is_shown_whole() -> None:
    group = [page("a", "b"), page("b")]
    assert fit_group(group, 1000) == [each.text for each in group]


def test_what_one_page_does_not_need_another_may_take() -> None:
    paragraph = "Twenty-four characters.\n"
    first, short, long = (page(name, text=paragraph * count) for name, count in (("a", 100), ("b", 2), ("c", 100)))
    # 100 paragraphs of 24 characters are 600 tokens: of 400 the first gets half, b its 12, c the rest of 188.
    sizes = [approximate_tokens(text) for text in fit_group([first, short, long], 400)]
    assert 150 < sizes[0] <= 200 and sizes[1] == 12 and 150 < sizes[2] <= 188
    # Alone it may take all.
    assert approximate_tokens(fit_group([first, short], 620)[0]) == 600


def test_an_excerpt_begins_with_the_page_and_prefers_what_leads_to_the_group() -> None:
    filler = [f"Paragraph {number} speaks of the weather and of fairs." for number in range(20)]
    text = "\n".join(["The head.", *filler[:10], "It leads to b.", *filler[10:]])
    cut = excerpt(page("a", "b", text=text), [page("b")], 60)
    assert cut.startswith("The head.\nParagraph 0") and f"\n{GAP}\nIt leads to b.\n" in cut and cut.endswith(GAP)
    assert all(line in [*text.split("\n"), GAP] for line in cut.split("\n"))


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = " ".join(f"Sentence {number} of the only paragraph is here." for number in range(50))
    cut = excerpt(page("a", text=text), [], 100)
    assert cut.endswith(f"is here.\n{GAP}") and 200 < len(cut) <= 400 and cut[: -len(GAP) - 1] in text


@given(st.lists(st.text(alphabet="ab. \n", max_size=200), min_size=1, max_size=4), st.integers(20, 200))
def test_no_group_exceeds_its_budget(texts: list[str], budget: int) -> None:
    group = [page(str(number), text=text or "x") for number, text in enumerate(texts)]
    assert sum(approximate_tokens(text) for text in fit_group(group, budget)) <= budget + len(group)
