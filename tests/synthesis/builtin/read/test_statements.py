"""Sentences of any site to questions and descriptions."""

import pytest

from webdancer_cli.data.records import Link, Page
from webdancer_cli.synthesis.builtin.read.statements import Statement, read_statements, statement_about
from webdancer_cli.synthesis.standalone import is_name, stands_alone

SHUTIL = "The shutil module offers a number of high-level operations on files and collections of files."


def test_a_sentence_about_its_link_asks_and_describes() -> None:
    assert statement_about(SHUTIL, "shutil", "site/shutil") == Statement(
        "site/shutil",
        "shutil",
        SHUTIL,
        "which module offers a number of high-level operations on files and collections of files",
        "the module that offers a number of high-level operations on files and collections of files",
    )


def test_a_function_is_known_by_its_parentheses() -> None:
    said = statement_about("sorted() returns a list of the items of any iterable in ascending order.", "sorted()", "t")
    assert said and said.question.startswith("which function returns a list of the items")


def test_news_asks_but_does_not_describe() -> None:
    said = statement_about(
        "The shutil module has been updated to preserve extended attributes on Linux.", "shutil", "t"
    )
    assert said and said.question and said.description == ""


@pytest.mark.parametrize(
    "line",
    ["Bug reporting — View and sort all of the known faults", "shutil — Reference documentation of the operations"],
)
def test_what_a_menu_says_of_pages_is_no_gloss(line: str) -> None:
    page = Page(url="http://127.0.0.1/a", title=line.partition(" —")[0], text=f"{line}\nMore of it.")
    assert read_statements(page, page.title) == []


def test_a_sentence_that_only_mentions_its_link_is_not_asked_about() -> None:
    sentence = "Script tracebacks reach the browser of a visitor most easily through the cgitb module."
    assert statement_about(sentence, "cgitb", "t") is None


@pytest.mark.parametrize(
    ("sentence", "anchor"),
    [
        ("The logging module writes logging records to files, sockets and consoles.", "logging"),  # twice
        ("The LoggerAdapter class adapts every logger of an application quickly.", "LoggerAdapter"),  # given away
        ("The os module is good.", "os"),  # says nothing
        ("Servers listen with asyncio, trio, or the curio library underneath everything.", "trio"),  # one of a series
        ("Returns the running instance that the asyncio module created earlier today.", "asyncio"),  # leans on context
    ],
)
def test_what_cannot_be_asked_honestly_is_not_asked(sentence: str, anchor: str) -> None:
    assert statement_about(sentence, anchor, "t") is None


@pytest.mark.parametrize(
    "sentence",
    [
        "It offers a number of high-level operations on files and collections of files.",
        "See the shutil module for a number of high-level operations on files.",
        "The operations on files that this module offers are faster than the shell.",
        "The shutil module offers operations on files: copying, moving, and",
        "The copy(src, dst, *, follow=True) call == shutil.copy(src, dst) in { braces }.",
        "The integer n is the number of bytes that are read from the file at once.",
        "Short and good.",
        "The call is written in C. It is therefore much faster than the loop before it.",
    ],
)
def test_sentences_that_need_their_paragraph(sentence: str) -> None:
    assert not stands_alone(sentence)


@pytest.mark.parametrize(
    "anchor", ["here", "this page", "Read More", "the", "https://a.example/b", "PEP 8", "a, b", "x" * 60]
)
def test_anchors_that_name_nothing(anchor: str) -> None:
    assert not is_name(anchor)


def test_a_page_is_read_once_per_answer_and_its_gloss_apart() -> None:
    text = (
        f"shutil — High-level file operations\n{SHUTIL}\nFiles can be copied by way of the shutil module in programs."
    )
    link = Link(
        url="http://127.0.0.1/shutil",
        text="shutil",
        sentence="Files can be copied by way of the shutil module in programs.",
    )
    page = Page(url="http://127.0.0.1/shutil", title="shutil — High-level file operations", text=text, links=[link])
    gloss, about = read_statements(page, "shutil")
    assert (gloss.form, gloss.description) == ("gloss", "“High-level file operations”")
    assert (about.form, about.quote) == ("about", SHUTIL)
    assert read_statements(page, "shutil", about="127.0.0.1/elsewhere") == []


@pytest.mark.parametrize(
    "sentence",
    [
        "The cgitb module is another new use of abstract base classes in programs.",
        "The cgitb module can do both, depending on the arguments that are given.",
        "The cgitb module has a wonderful a general-purpose tool for evaluating strings safely.",
        "The cgitb module has received new features and significant usability improvements.",
        "The cgitb module is used to hold strings, and the bytes class is used to hold binary data.",
    ],
)
def test_what_says_nothing_of_its_own_is_not_asked(sentence: str) -> None:
    said = statement_about(sentence, "cgitb", "t")
    assert said is None or said.form != "about"


def test_a_relative_clause_in_the_middle_describes_its_name() -> None:
    said = statement_about(
        "Programs are started by the runpy module, which locates modules without importing them first.", "runpy", "t"
    )
    assert said and said.description == "the module that locates modules without importing them first"


def test_what_is_too_long_to_stand_in_a_question_does_not_describe() -> None:
    long = "The shutil module copies trees, moves folders, and removes what is left behind by programs that crashed."
    said = statement_about(long, "shutil", "t")
    assert said and said.question and said.description == ""


@pytest.mark.parametrize(
    "predicate",
    [
        "is an elegant solution for printing on a printer that another machine shares",  # a matter of taste
        "is a mature desktop environment with a wide range of programs",
        "has many advantages over its forerunner except the price of a licence",
        "is documented more fully in the manual of the server and its clients",  # where to read on
        "is a tool from the suite of converters is an editor for whole files",  # two sentences run together
        "has the distinct advantage that all of its arguments are handed on to a function",
        "is the maximum number of rows in an array whose size is not given anywhere",
        "performs two distinct functions when it is used within a larger expression",
        "can also list all tables of a schema and reflect the full set of them",
        "lets us look at other attributes of responses that would not be there",
        "was a young member of the project who recently joined one of the teams",  # news
    ],
)
def test_what_tells_no_thing_from_others_is_not_asked(predicate: str) -> None:
    assert statement_about(f"Quillpress {predicate}.", "Quillpress", "t") is None
