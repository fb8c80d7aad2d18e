"""Keys come from the environment, and get into nothing that is shown or kept."""

import pytest

from webdancer_cli.errors import UsageError
from webdancer_cli.services.keys import Redactor, read_key, required_key

KEY = "canary-5f3c90be17"


def test_a_missing_key_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORACLE_KEY", raising=False)
    with pytest.raises(UsageError, match="--search oracle needs a key: set ORACLE_KEY"):
        required_key("ORACLE_KEY", what="--search oracle")
    assert required_key("ORACLE_KEY", what="--search oracle", needed=False) == read_key("ORACLE_KEY") == ""


@pytest.mark.parametrize("key", [f"{KEY}\nX: 1", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORACLE_KEY", key)
    with pytest.raises(UsageError, match="ORACLE_KEY") as caught:
        required_key("ORACLE_KEY", what="--search oracle")
    assert key not in str(caught.value)


def test_a_secret_that_holds_another_leaves_nothing_of_itself() -> None:
    redactor = Redactor(["", KEY, f"{KEY}-long"])
    assert redactor.text(f"{KEY}-long and {KEY}") == "*** and ***"
    assert redactor.content(f"{KEY}-long".encode()) == b"***"
    assert redactor.content(KEY.encode(), same_length=True) == b"*" * len(KEY)


def test_a_placeholder_is_cut_out_of_our_messages_and_left_in_what_others_say() -> None:
    redactor = Redactor(["EMPTY"])
    assert redactor.text("the key EMPTY") == "the key ***"
    assert redactor.content(b"an EMPTY word") == b"an EMPTY word"
