"""Names as whole words, in any case, spacing and script."""

import pytest

from webdancer_cli.text.names import mentions


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Is it C++?", "c++"),
        ("the Larch\n Library", "LARCH library"),
        ("住在Velmora的人", "velmora"),
        ("東京都に住む", "東京"),
        ("STRASSE 7", "straße 7"),
    ],
)
def test_a_name_is_found(text: str, name: str) -> None:
    assert mentions(text, name)


@pytest.mark.parametrize(
    ("text", "name"),
    [("The Dolveks are a family.", "Dolvek"), ("anything", ""), ("住在Velmoras的人", "Velmora"), ("x2東", "2")],
)
def test_a_part_of_a_word_is_no_name(text: str, name: str) -> None:
    assert not mentions(text, name)
