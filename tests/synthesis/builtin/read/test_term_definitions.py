"""Options, settings and their defaults, and abbreviations that are spelled out."""

import pytest

from webdancer_cli.synthesis.builtin.read.abbreviations import read_abbreviations
from webdancer_cli.synthesis.builtin.read.term_definitions import read_term_statements


def said(text: str) -> dict[str, str]:
    return {found.question: found.answer for found in read_term_statements(text)}


@pytest.mark.parametrize(
    ("text", "question", "answer"),
    [
        ("- -p<n>\n- Remove leading parts. The default is 1.", "what is the default value of the option -p", "1"),
        (
            "- -d DIR\n--target-dir=DIR\n- Where to put copies. Defaults to /var/cache.",
            "what is the default value of the option --target-dir",
            "/var/cache",
        ),
        (
            "queue_size (integer)\nSets how many jobs wait. The default value is 16 bytes.",
            "what is the default value of queue_size",
            "16 bytes",
        ),
        ("| Default: | QueueLength 512 |", "what is the default value of QueueLength", "512"),
        (
            "- --since <date>\n- Show only the entries made later than the date that is given.",
            "which option shows only the entries made later than the date that is given",
            "--since",
        ),
        (
            "queue_log (boolean)\nEnables a line in the server log for every job that had to wait.",
            "which parameter enables a line in the server log for every job that had to wait",
            "queue_log",
        ),
    ],
)
def test_what_stands_under_a_term_answers(text: str, question: str, answer: str) -> None:
    assert said(text)[question] == answer


def test_the_other_spelling_of_an_option_is_an_alias() -> None:
    (found,) = read_term_statements("- -q, --quiet\n- Suppress all output but that of commands which fail at once.")
    assert (found.answer, found.aliases) == ("--quiet", ("-q",))


@pytest.mark.parametrize(
    "text",
    [
        "- -p<n>\n- Remove leading parts. The default is to remove none.",
        "- -p<n>\n- Remove leading parts. The default is taken from the environment.",
        "- --ff\n--no-ff\n- Specifies how a merge is handled when the history has not moved at all.",
        "- -v\n- Show only the entries that it made later, unless you say so.",
        "- --undo\n- Commit or reset the whole of a transaction that was left open.",
        "NOTES\nThe default is 1.",
        "A term of prose\nThe default is 1.",
    ],
)
def test_terms_that_say_too_little_are_left(text: str) -> None:
    assert said(text) == {}


@pytest.mark.parametrize(
    ("sentence", "short", "full"),
    [
        ("We use a Virtual Private Network (VPN) here.", "VPN", "Virtual Private Network"),
        ("It speaks SNMP (Simple Network Management Protocol) well.", "SNMP", "Simple Network Management Protocol"),
        ("RAID stands for Redundant Array of Independent Disks.", "RAID", "Redundant Array of Independent Disks"),
        ("The commits form a directed acyclic graph (DAG).", "DAG", "directed acyclic graph"),
        ("Use the inter-process communication (IPC) of it.", "IPC", "inter-process communication"),
    ],
)
def test_an_abbreviation_is_spelled_out_by_its_initials(sentence: str, short: str, full: str) -> None:
    assert [(found.short, found.full) for found in read_abbreviations(sentence)] == [(short, full)]


@pytest.mark.parametrize(
    "sentence",
    [
        "He works for the agency (NASA) now.",
        "It runs on old machines (PDP) too.",
        "HTTP (the language of the web) is old.",
        "See the second volume (II) of it.",
        "It has a list of Frequently Asked Questions (FAQ).",  # everybody knows
    ],
)
def test_what_the_initials_do_not_give_is_no_abbreviation(sentence: str) -> None:
    assert list(read_abbreviations(sentence)) == []


def test_a_term_is_described_by_what_it_is() -> None:
    (found,) = read_term_statements("queue_directory\nThe location of the top-level folder for mail.")
    assert found.question == "what is described as “The location of the top-level folder for mail”"
    assert (found.answer, found.by_the_dozen) == ("queue_directory", True)


@pytest.mark.parametrize(
    "text",
    [
        "- --include=<dir>\n- Add dir to the list of all those places that are searched.",  # a placeholder
        "SYNOPSIS\n- -q\n- Suppress all output of commands which fail.\nSYNOPSIS\nMore of another command.",  # whose?
        "- -q\n- Suppress all output of commands which fail.\n- -q\n- Queue all commands that did not run.",  # twice
        "DECLARE_HOOK(int, when, what)\nReturn OK to let later modules decide what is sent to the client.",  # a macro
        "check.rebuild\nextract shows is one string element, the name of the path that is extracted.",
        "- --porcelain\n- Show in a format that is designed for consumption by other programs.",
        "- --disable-threads\n- Defaults to enabled.",
        "- --libdir=DIR\n- Defaults to PREFIX/lib, where PREFIX is what another option says.",
        "tcp_stop\nThe proxy of the session needs to be ended before the session itself.",
        "allow_all\nAn optional boolean that says of all the entries whether they count.",
        "is_multipart()\nReturn True if the payload of the message is a list, otherwise return False.",
        "cpu.stat\nthrottled\ncpu.weight (default)\nThe syslogd logs a mark timestamp regularly.",
    ],
)
def test_a_term_that_only_its_surroundings_explain_is_not_asked_about(text: str) -> None:
    assert said(text) == {}
