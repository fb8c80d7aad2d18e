"""Lists that are announced in prose, and lists of links under headings."""

from webdancer_cli.data.records import Link, Page
from webdancer_cli.synthesis.builtin.read.bullet_lists import read_bullet_lists
from webdancer_cli.synthesis.builtin.read.link_lists import read_link_lists


def page(text: str, links: list[Link] | None = None) -> Page:
    return Page(url="http://127.0.0.1/page", title="page", text=text, links=links or [])


def test_an_announced_list_is_counted() -> None:
    (bullet_list,) = read_bullet_lists(
        page("The module defines the following constants:\n- RED\n- GREEN\n- BLUE\nMore text.")
    )
    assert bullet_list.items == ("RED", "GREEN", "BLUE")
    assert bullet_list.question == "how many constants are listed under “The module defines the following constants”"


def test_lists_that_cannot_be_counted_honestly() -> None:
    items = "\n- RED\n- GREEN\n- BLUE\n"
    assert not read_bullet_lists(page(f"The module defines the following three constants:{items}"))  # says how many
    assert not read_bullet_lists(page(f"This defines the following wonderful constants:{items}"))  # what does?
    assert not read_bullet_lists(page("The module defines the following constants:\n- RED\n- GREEN\n"))  # too few
    several = "\n- RED\n- GREEN, BLUE and GREY are shades\n- PINK\n"
    assert not read_bullet_lists(page(f"The module defines the following constants:{several}"))
    assert not read_bullet_lists(page(f"The module has various constants, for example the following constants:{items}"))
    broken = "\n- RED\n- GREEN\n- BLUE\nas on the flag\n- PINK\n"
    assert not read_bullet_lists(page(f"The module defines the following constants:{broken}"))  # it goes on
    terms = "\n- RED\n- The colour of fire.\n- GREEN\n- The colour of grass.\n"
    assert not read_bullet_lists(page(f"The module defines the following constants:{terms}"))  # terms and definitions


def test_items_of_lists_within_a_list_are_not_counted() -> None:
    nested = "The module defines the following constants:\n- RED\n  - as fire\n  - as blood\n- GREEN\n- BLUE\n"
    (bullet_list,) = read_bullet_lists(page(nested))
    assert bullet_list.items == ("RED", "GREEN", "BLUE")


def entry(name: str, sentence: str) -> Link:
    return Link(url=f"http://127.0.0.1/{name}", text=name, sentence=sentence)


def test_a_roster_has_a_link_at_the_head_of_every_line() -> None:
    links = [entry("Ada", "Ada (1813–1881), painter"), entry("Bo", "Bo (born 1990), poet")]
    text = "Velmora is a town.\nNotable people\n- Ada (1813–1881), painter\n- Bo (born 1990), poet\n"
    (link_list,) = read_link_lists(page(text, links))
    assert link_list.heading == "notable people"
    assert [(entry.target, entry.quote) for entry in link_list.entries] == [
        ("127.0.0.1/Ada", "Ada (1813–1881), painter"),
        ("127.0.0.1/Bo", "Bo (born 1990), poet"),
    ]
    assert (
        read_link_lists(page(text + "- Cy, smith\n", links)) == []
    )  # a line without a link: the list is not understood


def test_a_heading_becomes_a_noun_phrase() -> None:
    links = [entry("Mills", "Mills"), entry("Works", "Works")]
    (link_list,) = read_link_lists(page("Companies founded\n- Mills\n- Works\n", links))
    assert link_list.heading == "founded companies"
    assert link_list.question("Ada") == "How many companies are listed under “Companies founded” for Ada?"


def test_what_is_listed_is_the_first_plural() -> None:
    text = "The debugger knows the following commands for steps of a program:\n- one()\n- two()\n- three()\n"
    (bullet_list,) = read_bullet_lists(page(text))
    assert bullet_list.what == "commands"
