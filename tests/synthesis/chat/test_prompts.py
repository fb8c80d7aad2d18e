"""The prompts of synthesis: each asks for the form that its reply is read as, and all that it names is filled in."""

import re

import msgspec
import pytest

from webdancer_cli.prompts import load
from webdancer_cli.synthesis import model_checks
from webdancer_cli.synthesis.chat import author, rewriter, sentence_author

FORMS = {
    "author.md": (author.AuthorReply, {"types", "answer_words", "boolean", "pages"}),
    "closed_book.md": (model_checks.ClosedBookReply, {"question"}),
    "verify.md": (model_checks.VerificationReply, {"question", "answer", "quotes"}),
    "entity.md": (rewriter.EntityChoice, {"question", "answer", "avoid"}),
    "query.md": (rewriter.QueryReply, {"question", "entity"}),
    "rewriter.md": (rewriter.RewriteReply, {"question", "answer", "entity", "pages", "words"}),
    "check_rewrite.md": (
        rewriter.RewriteVerdict,
        {"entity", "before", "after", "answer", "description", "source"},
    ),
}

BY_EXAMPLE = {
    "sentence.md": (sentence_author.SentenceAuthorReply, {"title", "sentence"}),
    "read_back.md": (sentence_author.ReadBack, {"sentence", "question"}),
}
"""Prompts that end with what is asked about, after examples of the same form: small models go on in that form."""


@pytest.mark.parametrize("name", FORMS)
def test_a_prompt_ends_with_the_form_that_is_read(name: str) -> None:
    kind, names = FORMS[name]
    text = load("default").files[name]
    *_, last = text.splitlines()
    forms = re.findall(r"^(?:.*: )?(\{\".*\})$", text, re.MULTILINE)
    assert last.endswith("}") and forms
    for form in forms:
        msgspec.json.decode(form, type=kind)
    assert set(re.findall(r"\{(\w+)\}", text)) == names


@pytest.mark.parametrize("name", BY_EXAMPLE)
def test_an_example_is_a_reply_as_it_is_read_and_what_is_asked_about_comes_last(name: str) -> None:
    kind, names = BY_EXAMPLE[name]
    text = load("default").files[name]
    *examples, asked = text.split("<statement>")
    for reply in re.findall(r"^\{\".*\}$", "".join(examples), re.MULTILINE):
        assert all(msgspec.to_builtins(msgspec.json.decode(reply, type=kind)).values())
    assert text.count('\n{"') >= 2
    assert "{sentence}" in asked and set(re.findall(r"\{(\w+)\}", text)) == names


def test_no_prompt_ends_by_offering_the_empty_reply() -> None:
    """A small model copies the last thing that it is shown."""
    files = {name: text for name, text in load("default").files.items() if name.endswith(".md")}
    assert not [name for name, text in files.items() if re.search(r'[\[\]"]{2}\}+\s*\Z', text)]


@pytest.mark.parametrize(
    "name", ["sentence.md", "read_back.md", "author.md", "entity.md", "rewriter.md", "check_rewrite.md"]
)
def test_what_was_read_on_the_web_is_called_material(name: str) -> None:
    assert re.search(r"\bmaterial\b", load("default").files[name])
