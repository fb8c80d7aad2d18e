"""The prompts of synthesis: each asks for the form that its reply is read as, and all that it names is filled in."""

import re

import msgspec
import pytest

from webdancer_cli.prompts import load
from webdancer_cli.synthesis import sieve
from webdancer_cli.synthesis.chat import author, rewriter

FORMS = {
    "author.md": (author.Questions, {"types", "answer_words", "boolean", "pages"}),
    "closed_book.md": (sieve.Recalled, {"question"}),
    "verify.md": (sieve.Verified, {"question", "answer", "quotes"}),
    "entity.md": (rewriter.Choice, {"question", "answer", "avoid"}),
    "query.md": (rewriter.Query, {"question", "entity"}),
    "rewriter.md": (rewriter.Restructured, {"question", "answer", "entity", "pages", "words"}),
    "check_rewrite.md": (
        rewriter.Verdict,
        {"entity", "before", "after", "answer", "description", "source"},
    ),
}


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


@pytest.mark.parametrize("name", ["author.md", "entity.md", "rewriter.md", "check_rewrite.md"])
def test_what_was_read_on_the_web_is_called_material(name: str) -> None:
    assert re.search(r"\bmaterial\b", load("default").files[name])
