"""Almost-JSON: read as it is meant, each repair named; JSON is read as JSON; what is neither is neither."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processor_time import processor_seconds

from webdancer_cli.text.lenient_json import NotJson, decode, find_objects, parse_list, value_at

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

ALMOST: list[tuple[str, Any, list[str]]] = [
    ('{"a": 1,}', {"a": 1}, ["trailing_comma"]),
    ('["a" "b"]', ["a", "b"], ["missing_comma"]),
    ("{'a': None, 'b': (1, True)}", {"a": None, "b": [1, True]}, ["python_literal"]),
    ("[u'a', 'it\\'s', 'caf\\xe9']", ["a", "it's", "café"], ["python_literal", "unknown_escape"]),
    ('{a: "b", verdict: correct}', {"a": "b", "verdict": "correct"}, ["bare_words"]),
    (r'["\(x\) \pi \q"]', ["\\(x\\) \\pi \\q"], ["unknown_escape"]),
    (r'["\frac \n \u00e9", ]', ["\frac \n é"], ["trailing_comma"]),
    ('["a\tb"]', ["a\tb"], ["control_character"]),
    ('{"a": "say "so" now", "b": 1}', {"a": 'say "so" now', "b": 1}, ["inner_quotes"]),
    ('{"a": "say "so", then go", "b": 1}', {"a": 'say "so", then go', "b": 1}, ["inner_quotes"]),
    ("{'a': 'it's', 'b': 1}", {"a": "it's", "b": 1}, ["python_literal", "inner_quotes"]),
    ("{“a”: “b”}", {"a": "b"}, ["curly_quotes"]),
    ('{"a": "so “b” so",}', {"a": "so “b” so"}, ["trailing_comma"]),
    ('```json\n{"a": 1}\n```', {"a": 1}, ["fenced_json"]),
    ('{"a": 1, // why\n"b": 2 # so\n}', {"a": 1, "b": 2}, ["comment"]),
    ('{"a": "http://x.y // z",}', {"a": "http://x.y // z"}, ["trailing_comma"]),
    ('{"a": .5, "b": +1, "c": 1_000}', {"a": 0.5, "b": 1, "c": 1000}, ["odd_number"]),
    ('{"a": """x\n"y" """}', {"a": 'x\n"y" '}, ["python_literal", "control_character"]),
    (r"{\"a\": \"b\"}", {"a": "b"}, ["json_as_text"]),
    (r'["smile \ud83d"]', ["smile \ufffd"], ["lone_surrogate"]),
    (r'["smile \ud83d\ude00",]', ["smile 😀"], ["trailing_comma"]),
]


@pytest.mark.parametrize(("text", "value", "repairs"), ALMOST, ids=[case[0] for case in ALMOST])
def test_almost_json_is_read_as_it_is_meant_and_the_repairs_are_named(
    text: str, value: Any, repairs: list[str]
) -> None:
    assert decode(text) == (value, repairs)


UNREADABLE = [
    "",
    "a",
    '{"a": 1',
    '["a"',
    '{"a": "b',
    "[Ida Kroll]",
    "[1] so",
    '["a"] so',
    "{}}",
    "{x}",
    "{,}",
    "[1,,2]",
]
UNREADABLE += ['{"a"}', "[1}", '{"a": }', "{'a': 'b'", "[" * 9999, '{"a":' * 9999, "[" + "9" * 9999 + ",]"]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:12])
def test_what_would_have_to_be_guessed_is_not_read(text: str) -> None:
    with pytest.raises(NotJson):
        decode(text)


@given(json_values)
def test_json_is_read_as_json(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert decode(text) == (value, [])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_a_list_as_python_writes_it_is_that_list(items: list[str]) -> None:
    found = parse_list(repr(items))
    assert found is not None and found[0] == items


@pytest.mark.parametrize(
    "text", ['"[\\"a\\", \\"b\\"]"', "['a', 'b']", "('a', 'b')", '```\n["a", "b"]\n```', '["a" "b"]']
)
def test_a_list_that_arrived_as_text_is_a_list(text: str) -> None:
    found = parse_list(text)
    assert found is not None and found[0] == ["a", "b"]


@pytest.mark.parametrize(
    "text", ["[1] in Wikipedia", "[Ida Kroll]", '["a"] b', '"a"', "(see above)", "a, b", "", "[", "{}"]
)
def test_a_text_that_only_begins_like_a_list_is_none(text: str) -> None:
    assert parse_list(text) is None


def test_objects_are_found_in_any_text_and_what_cannot_be_read_is_passed_over() -> None:
    text = 'So {x}: {\'a\': 1,} and {"b": {"c": 2}} or {"d": [ {"e": 3}'
    assert [found.value for found in find_objects(text)] == [{"a": 1}, {"b": {"c": 2}}, {"e": 3}]
    assert [found.value for found in find_objects('[{"a": 1}] {"b": 2}', "[{")] == [[{"a": 1}], {"b": 2}]


def test_missing_brackets_are_added_only_to_a_text_that_is_known_to_have_ended() -> None:
    assert value_at('{"a": ["b"', 0, ended=True)[0::3] == ({"a": ["b"]}, ["unclosed_json"])
    for text in ('{"a": "b', '{"a": 1,', '{"a":'):
        with pytest.raises(NotJson):
            value_at(text, 0, ended=True)


def test_what_is_no_number_is_read_and_named() -> None:
    value, repairs = decode('{"a": NaN, "b": -Infinity}')
    assert math.isnan(value["a"]) and repairs == ["not_a_number"]


@given(st.text() | st.lists(st.sampled_from(list("{}[]()\"'“”:,\\/#u 1a\n"))).map("".join))
def test_any_text_is_read_or_not_json(text: str) -> None:
    with suppress(NotJson):
        json.dumps(decode(text)[0], ensure_ascii=False).encode()


@pytest.mark.parametrize("opening", ["", "{", '{"a": "'])
@pytest.mark.parametrize(
    "piece", ['{"a":', "[{", '{"', "'", "{a:", '{"a": 1, ', '"\\', "{'a': 'it's', ", '{"a" "b"', "/*"]
)
def test_looking_for_objects_takes_linear_time(opening: str, piece: str) -> None:
    """20 KB of one piece take a fraction of a second; quadratic reading would take many."""
    text = opening + piece * (20_000 // len(piece))
    assert processor_seconds(lambda: list(find_objects(text, "[{"))) < 5
