"""What serves for what, what things are called, where they are kept, and what their limits are."""

import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.builtin.read.means import read_means
from webdancer_cli.synthesis.builtin.read.names import PageNames


def means(sentence: str, rest: str = "") -> dict[str, str]:
    page = Page(url="http://127.0.0.1/queues.html", title="Queues", text=f"{sentence}\n{rest}")
    return {found.question: found.answer for found in read_means([sentence], PageNames(page))}


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        (
            "You can list all waiting jobs with the qlist command.",
            "which command can be used to list all waiting jobs",
            "qlist",
        ),
        (
            "To remove all finished jobs, run squirrel-clean(8).",
            "which command can be used to remove all finished jobs",
            "squirrel-clean(8)",
        ),
        (
            "Use the --dry-run option to list all jobs without a start.",
            "which option can be used to list all jobs without a start",
            "--dry-run",
        ),
        (
            "The number of waiting jobs can be limited with the max_jobs parameter.",
            "with which parameter can the number of waiting jobs be limited",
            "max_jobs",
        ),
        (
            "The queue scan interval is controlled by the queue_run_delay parameter.",
            "by which parameter is the queue scan interval controlled",
            "queue_run_delay",
        ),
        (
            "The list of queues is stored in /etc/squirrel/queues.conf.",
            "in which file is the list of queues stored",
            "/etc/squirrel/queues.conf",
        ),
        (
            "Host-specific configuration must be placed in /etc/opt.",
            "where must host-specific configuration be placed",
            "/etc/opt",
        ),
        (
            "The state of every waiting job is kept in the job_state structure.",
            "in which structure is the state of every waiting job kept",
            "job_state",
        ),
        (
            "The squirrel daemon was replaced by the chipmunk daemon.",
            "which daemon was the squirrel daemon replaced by",
            "chipmunk",
        ),
        ("A program that waits for a user is called a hut.", "what is a program that waits for a user called", "hut"),
        (
            "A honeypot is a system that shows how crackers probe a network.",
            "what is the term for a system that shows how crackers probe a network",
            "honeypot",
        ),
        ("The maximum length of a queue name is 63 bytes.", "what is the maximum length of a queue name", "63 bytes"),
        ("The system-wide spool directory is /var/sq.", "what is the system-wide spool directory", "/var/sq"),
        ("Mutex is an abbreviation for mutual exclusion.", "what is Mutex an abbreviation for", "mutual exclusion"),
        ("By default, queue.max_age is set to 20 minutes.", "what is the default value of queue.max_age", "20 minutes"),
        ("Queue names are limited to 63 characters.", "to how many characters are queue names limited", "63"),
        (
            "There are three kinds of locks for a queue.",
            "how many kinds of locks for a queue are there",
            "three",
        ),
        (
            "Squirrel requires Python version 3.9 or later.",
            "which version of Python does Squirrel require at least",
            "3.9",
        ),
    ],
)  # fmt: skip
def test_a_manual_tells_what_serves_for_what(sentence: str, question: str, answer: str) -> None:
    assert means(sentence, "The daemon called Squirrel knows Python.") == {question: answer}


@pytest.mark.parametrize(
    "sentence",
    [
        "You can change it with the qset command at any time.",  # what?
        "You can list the values with the following command.",
        "You can list all waiting jobs with the first option.",
        "You can list all waiting jobs with the qlist or the qshow command.",
        "The limit is set by the max_jobs parameter of a queue.",
        "The limit can also be changed with the max_jobs parameter.",  # there are other ways
        "One of the queues was created using FOR ALL JOBS.",
        "A job is started if another is stored in /var/spool/squirrel.",
        "An error is raised if a job that waits is called with an argument.",
        "The default is 80 bits and the maximum is 4096.",
        "A common mistake is a queue that nobody has ever emptied.",
        "There are many kinds of locks for a queue.",
    ],
)
def test_what_leans_on_other_sentences_is_not_asked(sentence: str) -> None:
    assert means(sentence, "The first option is good. Any option has a limit.") == {}


@pytest.mark.parametrize(
    "sentence",
    [
        "To signal that to the compiler of the library when linking, use -no-main.",
        "A block is a group of sectors on one disk, and the number of sectors must be a power of 2.",
        "The default tolerance is zero.",  # of which function?
        "The directory to look in can be set explicitly with the QUILL_HOME environment variable.",
        "By default the temporary folder is located in /var/tmp/quill.",
        "A base class applied to all waiting objects that can be returned by the inspect() function.",
    ],
)
def test_what_is_no_subject_is_not_asked_about(sentence: str) -> None:
    assert means(sentence) == {}


def test_a_name_keeps_the_capital_that_it_has_elsewhere() -> None:
    sentence = "Apache files that hold logs are located in /var/log/quill.log."
    (question,) = means(sentence, "Whoever runs Apache knows them; the apache user writes them.")
    assert question == "in which file are Apache files that hold logs located"
