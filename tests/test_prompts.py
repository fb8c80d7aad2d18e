"""Prompt sets: what they say, how they are overridden, and what their hash covers."""

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webdancer_cli.errors import UsageError
from webdancer_cli.prompts import PromptSet, fill, load, opening_messages
from webdancer_cli.prompts.thoughts import load_thoughts
from webdancer_cli.text.passages import passages
from webdancer_cli.transcript.grammar import declared_tools, parse_turn
from webdancer_cli.transcript.tool_schemas import STANDARD_TOOLS

SCHEMAS = [{"name": "search", "description": "Finds.", "parameters": {"type": "object", "properties": {}}}]
WORLD_PAGE_CHARS = 240
"""The longest plain page of a fictional world: five sentences of at most about 48 characters."""


def write(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return str(folder)


def test_the_default_set_has_the_structure_of_the_training_form() -> None:
    system, user = opening_messages(load("default"), "Who is it?", SCHEMAS, "2025-07-18")
    assert (system.role, user.role) == ("system", "user")
    assert system.content.startswith("You are a Web Information Seeking Master.")
    assert [f"\n{number}. **" in system.content for number in (1, 2, 3)] == [True] * 3
    assert system.content.endswith("Current date: 2025-07-18")
    assert declared_tools(user.content) == SCHEMAS
    assert all(f"<{tag}>" in user.content for tag in ("think", "tool_call", "tool_response", "answer"))
    assert user.content.endswith("\n\nUser: Who is it?")


def test_the_compact_set_is_the_bare_question_and_shows_a_plain_page_whole() -> None:
    prompts = load("compact")
    assert [(message.role, message.content) for message in opening_messages(prompts, "Who is it?", SCHEMAS)] == [
        ("user", "Who is it?")
    ]
    assert prompts.caps.search_results == 2
    assert prompts.caps.snippet_chars == 0
    assert prompts.caps.page_chars >= WORLD_PAGE_CHARS


def test_each_step_of_the_small_sets_example_can_be_copied_as_it_stands() -> None:
    """A small model does copy it: no placeholder, and every call one that the tools take."""
    system, message = opening_messages(load("small"), "Who is it?", SCHEMAS)
    assert (system.role, message.role) == ("system", "user") and declared_tools(message.content) == SCHEMAS
    steps = re.findall(r"^<think>.*?</(?:tool_call|answer)>$", message.content, re.MULTILINE | re.DOTALL)
    turns = [parse_turn(step) for step in steps]
    assert [turn.call.name if turn.call else turn.answer for turn in turns] == ["search", "visit", "Edda Morvane"]
    assert not any(turn.repairs for turn in turns)
    assert [sorted(turn.call.arguments) for turn in turns if turn.call] == [["query"], ["goal", "url"]]


def test_the_small_set_is_short_and_shows_a_page_of_1200_characters_whole() -> None:
    prompts = load("small")
    assert (
        sum(len(message.content.split()) for message in opening_messages(prompts, "Who is it?", STANDARD_TOOLS)) < 250
    )
    assert prompts.caps.page_chars == 1200
    text = "The captain of Kemlo is Dolvek. " * 37
    assert passages(text, "home port", prompts.caps.page_chars) == text.strip()
    assert prompts.shows_tools and not load("compact").shows_tools


@given(st.text())
@example("What does <THINK")
def test_a_question_is_taken_as_it_is_but_for_the_tags_of_the_prompt(question: str) -> None:
    text = load_default().user(question, SCHEMAS)
    assert text.replace("‹", "<").endswith(f"User: {question}".replace("‹", "<"))
    assert text.count("Finds.") == 1 + question.count("Finds.")


def load_default() -> PromptSet:
    return load("default")


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert fill("{a} {b} {c} {}", a="{b}", b="{a}") == "{b} {a} {c} {}"


TAGGED = "Read <page>\n{text}\n</page> for <goal> {goal}. <never_closed>"


@pytest.mark.parametrize(
    "tag",
    [
        "</page>",
        "<page>",
        "< / PAGE >",
        "</page\n>",
        '<page class="x">',
        "</goal>",
        "<never_closed>",
        "</page/>",
        "</page",
        "< page\t",
        "</Goal, >",
    ],
)
def test_a_value_cannot_leave_the_tags_around_it(tag: str) -> None:
    filled = fill(TAGGED, text=f"Fact.\n{tag}", goal=tag)
    assert filled == TAGGED.replace("{text}", f"Fact.\n‹{tag[1:]}").replace("{goal}", f"‹{tag[1:]}")


@pytest.mark.parametrize(
    "text", ["</p>", "<pages>", "<page-turner>", "a < page", "1 < 2", "page>", "{goal}", "</quotes>"]
)
def test_whatever_else_a_value_holds_is_filled_in_to_the_letter(text: str) -> None:
    assert fill(TAGGED, text=f"{text} b") == TAGGED.replace("{text}", f"{text} b")
    assert fill("No tags: {text}", text=f"</page>{text}") == f"No tags: </page>{text}"


@pytest.mark.parametrize("name", sorted(name for name in load("default").files if not name.startswith("author_")))
def test_what_others_wrote_stands_inside_tags_and_stays_there(name: str) -> None:
    template = load("default").files[name]
    tags = set(re.findall(r"<(\w+)>", template))
    attack = "".join(f"</{tag}><{tag}>" for tag in tags)
    values = {value: f"{value} {attack}" for value in re.findall(r"\{(\w+)\}", template)}
    filled = fill(template, **values)
    for tag in tags:
        assert (filled.count(f"<{tag}>"), filled.count(f"</{tag}>")) == (
            template.count(f"<{tag}>"),
            template.count(f"</{tag}>"),
        )


OTHERS_WORDS = {
    "summariser.md": {"goal", "title", "url", "text"},
    "author.md": {"pages"},
    "rewriter.md": {"pages", "question", "answer"},
    "entity.md": {"question", "answer"},
    "query.md": {"question"},
    "check_rewrite.md": {"before", "after", "answer", "description", "source"},
    "closed_book.md": {"question"},
    "verify.md": {"question", "answer", "quotes"},
    "judge.md": {"question", "gold", "answer"},
    "judge_confidence.md": {"question", "gold", "answer"},
    "judge_chinese.md": {"question", "gold", "answer"},
    "judge_set.md": {"question", "gold", "answer"},
    "judge_table_cells.md": {"question", "criterion", "pairs"},
    "judge_table_names.md": {"question", "known", "given"},
    "answer_from_pages.md": {"pages"},
    "critic.md": {"record"},
}


@pytest.mark.parametrize("name", OTHERS_WORDS)
def test_what_others_wrote_has_a_place_of_its_own(name: str) -> None:
    places = re.findall(r"^<(\w+)>\n(.*?)\n</\1>$", load("default").files[name], re.MULTILINE | re.DOTALL)
    assert {value for _, text in places for value in re.findall(r"\{(\w+)\}", text)} == OTHERS_WORDS[name]


@pytest.mark.parametrize("name", ["judge.md", "judge_chinese.md", "critic.md"])
def test_the_form_of_a_verdict_is_no_verdict(name: str) -> None:
    assert '"verdict": "…"}' in load("default").files[name]


def test_a_folder_overrides_single_files_and_single_settings(tmp_path: Path) -> None:
    folder = write(tmp_path, system_md="Be brief.\n", settings_toml="[caps]\npage_chars = 99\n")
    mine, default = load(folder), load("default")
    assert mine.system() == "Be brief."
    assert mine.user("Q?", SCHEMAS) == default.user("Q?", SCHEMAS)
    assert (mine.caps.page_chars, mine.caps.search_results) == (99, default.caps.search_results)
    assert mine.settings.visit == default.settings.visit
    assert mine.id.startswith(f"{tmp_path.name}:")


def test_the_hash_covers_every_file_and_every_setting(tmp_path: Path) -> None:
    hashes = [load("default").sha256, load("compact").sha256, load("default").capped(page_chars=5).sha256]
    for name, files in {
        "system": {"system_md": "x"},
        "user": {"user_md": "x"},
        "words": {"settings_toml": "[episode]\nlate = 'x'"},
        "caps": {"settings_toml": "[caps]\nqueries = 1"},
    }.items():
        (tmp_path / name).mkdir()
        hashes.append(load(write(tmp_path / name, **files)).sha256)
    assert len(set(hashes)) == 7
    assert load("default").sha256 == hashes[0]


def test_caps_set_by_hand_win_and_none_keeps_the_sets_own() -> None:
    capped = load("default").capped(page_chars=5, snippet_chars=None)
    assert (capped.caps.page_chars, capped.caps.snippet_chars) == (5, load("default").caps.snippet_chars)
    assert load("default").capped(page_chars=None).sha256 == load("default").sha256


def test_a_cap_that_shows_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="page_chars"):
        load("default").capped(page_chars=0)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"sytem_md": "x"}, "sytem.md is no prompt"),
        ({"settings_toml": "[cap]\n"}, "cap is no table"),
        ({"settings_toml": "[caps]\npages = 1"}, "pages"),
        ({"settings_toml": "[caps]\npage_chars = 'many'"}, "page_chars"),
        ({"settings_toml": "[caps"}, "--prompts"),
        ({"settings_toml": "caps = 1"}, "caps"),
        ({"settings_toml": "[caps]\nqueries = 0"}, "queries"),
        ({"settings_toml": "[demonstrator]\nvisit = []"}, "visit"),
    ],
)
def test_what_a_folder_cannot_mean_is_refused_by_name(files: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        load(write(tmp_path, **files))


def test_an_unknown_set_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"no-such-set.*default, compact"):
        load("no-such-set")


def test_thoughts_of_a_set_that_are_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "thoughts.toml").write_text('list = "and"\n')
    with pytest.raises(UsageError, match=r"thoughts\.toml"):
        load_thoughts(str(tmp_path))
