from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processor_time import processor_seconds

from webdancer_cli.text.words import content_stems, may_hold, sentence_pieces, sentence_spans, sentences, stems


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
    assert stems(text) == expected


def test_content_words_leave_out_stop_words_unless_there_is_nothing_else() -> None:
    assert content_stems("Where is the mayor of Pimrelu?") == {"mayor", "pimrelu"}
    assert content_stems("who is it") == {"who", "is", "it"}


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
        ("Finch (c. 1640 – 1709) was a bishop.", ["Finch (c. 1640 – 1709) was a bishop."]),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "It fell.[1]",
        "It fell.[2][3]",
        "It fell.[2] [3]",
        "It fell.[1,2]",
        "It fell.[3–5]",
        "It fell.[note 4]",
        "It fell.[a]",
        "It fell.[citation needed]",
        "It fell.[edit]",
        "It fell.[1]:23",
        "It fell.[1]: 45–47",
        "It fell.\u00a0[1]",
        "It fell.¹",
        "It fell.¹²,³",
        "It fell!†",
        "It fell?[when?]",
        "It fell...[4]",
        "It fell.(1)",
        "It was opened in 1894.(12)",
        "It fell.[[1]](https://e.org/wiki/X#cite_note-1)",
        "It fell.[\\[1\\]](https://e.org/x#n)",
        'He said "no."[2]',
        "He said “no.”[12]",
        "He said “no.”3",
        "(It fell.)[5]",
        "Er fiel.“",
        "Elle tombe. »",
        "Он упал в 1894 году.[1]",
        "Он упал.[прим. 2]",
        "वह गिर गया।[१]",
        "هل سقط؟[1]",
        "وہ گیا۔[1]",
        "Այն ընկավ։[1]",
        "ወደቀ።[1]",
    ],
)
def test_marks_after_the_stop_belong_to_the_sentence(sentence: str) -> None:
    assert sentences(f"{sentence} She left in 1931.[9] The end") == [sentence, "She left in 1931.[9]", "The end"]
    assert sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    "sentence",
    [
        "北京很大。[3]",
        "北京很大。［3］",
        "北京很大。[來源請求]",
        "北京很大。¹",
        "他说：“好。”[1]",
        "「行く。」",
        "行く。【注1】",
        "行く。(2)",
    ],
)
def test_marks_belong_to_the_sentence_where_no_white_space_follows(sentence: str) -> None:
    assert sentences(f"{sentence}上海也大。[4]") == [sentence, "上海也大。[4]"]


@pytest.mark.parametrize(
    "text",
    [
        "Dr.[1] Vane met Mr. Oll.",
        "Under para.(1) The court may act.",
        "See Sec.(2) Then it falls.",
        "The call f.(1) Returns x.",
        "It fell.[1] and she left.",
        "It fell.(1) and she left.",
        "Use a.[0].[1] in code.",
        "The U.S.[5] Army came.",
        "Version 2.0.[1] is out.",
        "It fell.[A long remark of the editor that no mark of a citation would ever be] She left.",
        "北京[1]很大。",
    ],
)
def test_what_only_looks_like_a_mark_ends_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


def test_a_bracket_after_white_space_begins_a_sentence() -> None:
    assert sentences("It fell. [Aside] She left.") == ["It fell.", "[Aside] She left."]
    assert sentences("行く。【速報】雨。") == ["行く。", "【速報】雨。"]


@pytest.mark.parametrize(
    "part", [".", ".[", ".[a\\[b", "x.[1] [1]", ".¹,²", '."', ".\u00a0", "[\\[a]", ".(1", "word.(1) The "]
)
def test_marks_cost_no_more_than_their_length(part: str) -> None:
    assert processor_seconds(lambda: sentences("." + part * 60_000)) < 5


@given(st.text(alphabet=" .!?\nab\"'AZ。1…", max_size=200) | st.text(alphabet=" .[]()1a¹A。」”\u00a0:\n", max_size=200))
def test_sentences_lose_nothing_but_white_space(text: str) -> None:
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())
    spans = list(sentence_spans(text))
    assert all(a < b for a, b in spans) and all(x[1] <= y[0] for x, y in pairwise(spans))


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_quick_look_never_misses_a_word(text: str, goal: str) -> None:
    wanted = content_stems(goal)
    if wanted.intersection(stems(text)):
        assert may_hold(text, wanted)


def test_a_long_run_of_dots_costs_no_more_than_its_length() -> None:
    text = "." * 300_000 + "x"
    assert len(sentences(text)) == 1
    assert processor_seconds(lambda: sentences(text)) < 5


@given(st.text(alphabet="ab .!?\n。東“”", max_size=60))
def test_the_pieces_of_a_text_are_its_sentences_and_together_the_text(text: str) -> None:
    pieces = list(sentence_pieces(text))
    assert "".join(pieces) == text
    assert [piece.strip() for piece in pieces if piece.strip()] == sentences(text)


def test_a_rare_character_of_chinese_is_a_word_as_others_are() -> None:
    assert stems("東京") == ["東", "京"] and stems("𠮷野") == ["𠮷", "野"]
