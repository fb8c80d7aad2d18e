import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webdancer_cli.web.words import content_words, may_hold, sentence_spans, sentences, whole, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada's engines", ["ada", "engine"]),
        ("Ada’s cities", ["ada", "city"]),
        ("O'Brien", ["obrien"]),
        ("Ada_Lovelace-1815", ["ada", "lovelace", "1815"]),
        ("Zürich ZURICH", ["zurich", "zurich"]),
        ("os.path.join()", ["os", "path", "join"]),
        ("glass bus", ["glass", "bus"]),
        ("北京 city", ["北", "京", "city"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_content_words_leave_out_stop_words_unless_there_is_nothing_else() -> None:
    assert content_words("Where is the mayor of Pimrelu?") == {"mayor", "pimrelu"}
    assert content_words("who is it") == {"who", "is", "it"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. A. B. Vane met Mr. Oll. They left.", ["Dr. A. B. Vane met Mr. Oll.", "They left."]),
        ("It costs 3.50 today. Then 4.", ["It costs 3.50 today.", "Then 4."]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ("- first item\n- second item\n", ["- first item", "- second item"]),
        ("see e.g. the list. Next", ["see e.g. the list.", "Next"]),
        ("In 1901. 1902 followed.", ["In 1901.", "1902 followed."]),
        ("北京很大。上海也大。", ["北京很大。", "上海也大。"]),
        ("Wait ... what? Yes", ["Wait ... what?", "Yes"]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet=" .!?\nab\"'AZ。1…", max_size=200))
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    spans = list(sentence_spans(text))
    assert all(a < b for a, b in spans) and all(x[1] <= y[0] for x, y in pairwise(spans))


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_quick_look_never_misses_a_word(text: str, goal: str) -> None:
    wanted = content_words(goal)
    if wanted.intersection(words(text)):
        assert may_hold(text, wanted)


def test_a_long_run_of_dots_costs_no_more_than_its_length() -> None:
    start = time.perf_counter()
    assert len(sentences("." * 300_000 + "x")) == 1
    assert time.perf_counter() - start < 2


def test_halves_of_surrogate_pairs_are_replaced_and_pairs_are_joined() -> None:
    assert whole("a \ud83d b \ud83d\ude00 c \ude00") == "a \ufffd b \U0001f600 c \ufffd"
    assert whole("plain") == "plain"
