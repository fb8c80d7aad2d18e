"""Why episodes fail: a policy with one planted fault lands in that fault's class, and nothing looks at the fault."""

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Generator

import pytest

from webdancer_cli.agent.episode import Completion, Limits, play
from webdancer_cli.agent.tools import Tools, page_lead
from webdancer_cli.data import jsonl
from webdancer_cli.data.records import QA, Anatomy, Evidence, Failure, Message, SearchCall, Trajectory
from webdancer_cli.grading import exact_match
from webdancer_cli.grading.anatomy import dissect
from webdancer_cli.options import config
from webdancer_cli.prompts import load
from webdancer_cli.stages import crawlqa, world
from webdancer_cli.synthesis.builtin.author import BuiltinAuthor
from webdancer_cli.transcript.grammar import ToolCall, Turn, render_response, render_turn, response_text
from webdancer_cli.web.corpus import Corpus

WRONG = "Zzyzx Quorl"
"""A name that no fictional web has."""
Script = Generator[Turn, str, None]


def search(*queries: str) -> Turn:
    return Turn(thought="I look for it.", call=ToolCall("search", {"query": list(queries)}))


def visit(url: str, goal: str) -> Turn:
    return Turn(thought="This may be the page.", call=ToolCall("visit", {"url": [url], "goal": goal}))


# ---- policies with one fault each ----------------------------------------------------------------------------------


def finds_badly(qa: QA) -> Script:
    yield search("weather")
    yield search("xylophone repair", "how to whistle")
    yield Turn(thought="I found nothing, and guess.", answer=WRONG)


def does_not_open(qa: QA) -> Script:
    for part in qa.evidence:
        yield search(part.title)
    yield Turn(thought="The titles will have to do.", answer=WRONG)


def asks_pages_for_something_else(qa: QA) -> Script:
    for part in qa.evidence:
        yield search(part.title)
        yield visit(part.url, "cookies and privacy")
    yield Turn(thought="I could not see it there.", answer=WRONG)


def ignores(qa: QA) -> Script:
    for part in qa.evidence:
        yield search(part.title)
        yield visit(part.url, part.quote)
    yield Turn(thought="I trust my gut more than what I read.", answer=WRONG)


def copies_wrong(qa: QA) -> Script:
    for part in qa.evidence:
        yield search(part.title)
        yield visit(part.url, part.quote)
    garbled = qa.answer[:-1] + ("7" if qa.answer[-1].isdigit() else "qu")
    quote = qa.evidence[-1].quote
    yield Turn(thought=f"The page says: {quote} So this is it.", answer=f"{garbled} {WRONG}")


def stops(qa: QA) -> Script:
    yield search(qa.evidence[0].title)
    yield visit(qa.evidence[0].url, qa.question)
    yield Turn(thought="I give up.", answer="")


def never_ends(qa: QA) -> Script:
    for number in range(50):
        yield search(f"{qa.evidence[0].title} {number}")


FAULTS: dict[Callable[[QA], Script], Failure] = {
    finds_badly: "never_surfaced",
    does_not_open: "not_opened",
    asks_pages_for_something_else: "not_shown",
    ignores: "not_used",
    copies_wrong: "answered_wrong",
    stops: "no_answer",
    never_ends: "cut_off",
}


class Faulty:
    """Plays a script as a policy and as its session."""

    name = "faulty"
    remaining_tokens = math.inf

    def __init__(self, fault: Callable[[QA], Script]):
        self._fault = fault
        self._heard: str | None = None

    def begin(self, messages: list[Message], qa: QA, rollout: int = 0) -> "Faulty":
        session = Faulty(self._fault)
        session._script = self._fault(qa)
        return session

    _script: Script

    async def act(self) -> Completion:
        turn = next(self._script) if self._heard is None else self._script.send(self._heard)
        return Completion(text=render_turn(turn), finish="stop")

    def count(self, content: str) -> int:
        return len(content)

    def observe(self, content: str) -> None:
        self._heard = response_text(content) or ""


def anatomy_of(played: Trajectory) -> Anatomy:
    qa = played.qa
    is_wrong = exact_match.match_answer(played.answer, qa.answer, qa.aliases).outcome == "wrong"
    assert is_wrong, played.answer
    return dissect(played.messages, played.ending, qa.question, [qa.answer, *qa.aliases], qa.evidence)


@pytest.fixture(scope="module")
def fictional(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, list[QA]]:
    """A web, and questions about it with the pages that prove their answers."""
    folder = tmp_path_factory.mktemp("world")
    world.run(config.WorldOptions(out=str(folder), pages=60, seed=5, style="plain"))
    pages, questions = str(folder / "pages.jsonl"), str(folder / "qa.jsonl")
    asked = config.CrawlqaOptions(
        roots=[str(folder / "site")], pages=pages, out=questions, max_pages=120, types=["single_hop", "multi_hop"]
    )
    asyncio.run(crawlqa.run(asked, BuiltinAuthor(asked)))
    return Corpus.load(pages, snippet_chars=0), list(jsonl.read_records(questions, QA))


def is_always_shown(corpus: Corpus, part: Evidence) -> bool:
    """Whether a visit shows the passage whatever it is asked for: it is where the page begins."""
    page = corpus.page(part.url)
    return page is None or part.quote in page_lead(page)


@pytest.mark.slow
def test_each_planted_fault_lands_in_its_class_in_all_of_200_episodes(fictional: tuple[Corpus, list[QA]]) -> None:
    corpus, questions = fictional
    narrow = Tools(corpus, load("default").capped(page_chars=15, search_results=5, snippet_chars=0))
    wide = Tools(corpus, load("default").capped(page_chars=4000, search_results=5, snippet_chars=0))
    found: Counter[tuple[Failure, Failure | None]] = Counter()
    hidden = [qa for qa in questions if not any(is_always_shown(corpus, part) for part in qa.evidence)]
    for at, fault in enumerate(list(FAULTS) * 29):
        asked = hidden if fault is asks_pages_for_something_else else questions
        qa = asked[at % len(asked)]
        tools = narrow if fault is asks_pages_for_something_else else wide
        played = asyncio.run(play(qa, Faulty(fault), tools, load("default"), Limits(max_calls=8)))
        found[FAULTS[fault], anatomy_of(played).failure] += 1
    assert found.total() >= 200
    assert dict(found) == {(fault, fault): 29 for fault in FAULTS.values()}


# ---- by hand -------------------------------------------------------------------------------------------------------

TOWN, MAYOR = "http://127.0.0.1/velmora.html", "http://127.0.0.1/dolvek.html"
EVIDENCE = [
    Evidence(url=TOWN, quote="The mayor of Velmora is Dolvek Arn.", title="Velmora"),
    Evidence(url=MAYOR, quote="Dolvek Arn was born in the village of Kemlo in 1201.", title="Dolvek"),
]
QUESTION, GOLD = "Where was the mayor of Velmora born?", "Kemlo"
RESULTS = f"1. [Elsewhere](http://127.0.0.1/other.html)\n2. [Velmora]({TOWN}/)\n"


def said(*parts: Turn | str) -> list[Message]:
    """An episode: turns, and between them observations."""
    rendered = [
        Message("assistant", render_turn(part)) if isinstance(part, Turn) else Message("user", render_response(part))
        for part in parts
    ]
    return [Message("user", QUESTION), *rendered]


def wrong(answer: str, thought: str = "So it is.") -> Turn:
    return Turn(thought=thought, answer=answer)


READ_BOTH = (
    search("Velmora"), RESULTS, visit(TOWN, "mayor"), EVIDENCE[0].quote,
    search("Dolvek"), f"1. [Dolvek]({MAYOR})", visit(MAYOR, "born"), f"Long ago. {EVIDENCE[1].quote} He was kind.",
)  # fmt: skip


@pytest.mark.parametrize(
    ("episode", "failure", "gold"),
    [
        ([search("x"), "1. [Elsewhere](http://127.0.0.1/other.html)", wrong("Brunda")], "never_surfaced", (0, 0, 0)),
        ([wrong("Brunda")], "never_surfaced", (0, 0, 0)),
        ([search("x"), RESULTS, wrong("Brunda")], "not_opened", (1, 0, 0)),
        ([search("x"), RESULTS, visit(TOWN, "size"), "It is big.", wrong("Brunda")], "not_shown", (1, 1, 0)),
        # The first page was read; the second was never listed: that is where it failed.
        ([search("x"), RESULTS, visit(TOWN, "m"), EVIDENCE[0].quote, wrong("Arn")], "never_surfaced", (1, 1, 1)),
        # A snippet shows the passage as well as a visit does.
        ([search("x"), f"{RESULTS}\n{EVIDENCE[0].quote}", wrong("Arn")], "never_surfaced", (1, 0, 1)),
        ([*READ_BOTH, wrong("Brunda", "I like that name.")], "not_used", (2, 2, 2)),
        ([*READ_BOTH, wrong("Brunda", "Kemlo is too small.")], "answered_wrong", (2, 2, 2)),  # names the gold answer
        ([*READ_BOTH, wrong("1201", "That is it.")], "answered_wrong", (2, 2, 2)),  # out of the passage
        ([*READ_BOTH, wrong("Kemla", "Born in the village of Kemla.")], "not_used", (2, 2, 2)),  # five words
        ([*READ_BOTH, wrong("Kemla", "Arn was born in the village of Kemla.")], "answered_wrong", (2, 2, 2)),
    ],
)  # fmt: skip
def test_the_first_broken_link_is_the_failure(
    episode: list[Turn | str], failure: Failure, gold: tuple[int, int, int]
) -> None:
    anatomy = dissect(said(*episode), "answered", QUESTION, [GOLD], EVIDENCE)
    assert (anatomy.failure, anatomy.basis) == (failure, "evidence")
    assert (anatomy.surfaced, anatomy.opened, anatomy.shown) == gold


@pytest.mark.parametrize(
    ("episode", "failure"),
    [
        ([search("x"), RESULTS, wrong("Brunda")], "never_surfaced"),
        ([*READ_BOTH, wrong("Brunda", "I like that name.")], "not_used"),
        ([*READ_BOTH, wrong("Brunda", "Not Kemlo.")], "answered_wrong"),
        ([search("x"), "The town of Kemloria", wrong("Brunda")], "never_surfaced"),  # another word
    ],
)
def test_without_evidence_it_is_told_from_where_the_gold_answer_was_seen(
    episode: list[Turn | str], failure: Failure
) -> None:
    anatomy = dissect(said(*episode), "answered", QUESTION, [GOLD])
    assert (anatomy.failure, anatomy.basis, anatomy.gold) == (failure, "answer", 0)


@pytest.mark.parametrize("gold", ["yes", "No.", "3", "?"])
def test_an_answer_that_stands_in_any_text_tells_nothing(gold: str) -> None:
    assert dissect(said(*READ_BOTH, wrong("Brunda")), "answered", QUESTION, [gold]).failure is None


def test_a_name_that_the_question_gives_is_no_sign_of_use() -> None:
    question = "Was the mayor of Velmora born in Kemlo or in Brunda?"
    anatomy = dissect(said(*READ_BOTH, wrong("Brunda", "Kemlo or Brunda?")), "answered", question, [GOLD], EVIDENCE)
    assert anatomy.failure == "not_used"


def test_what_a_summariser_says_of_the_page_in_other_words_shows_the_passage() -> None:
    read = [*READ_BOTH[:-1], "Summary: the birthplace is Kemlo"]
    assert dissect(said(*read, wrong("Brunda")), "answered", QUESTION, [GOLD], EVIDENCE).shown == 2


def test_recall_and_rank_of_gold_pages_are_told_of_each_search() -> None:
    both = f"{RESULTS}=======\n1. [Dolvek]({MAYOR})\n2. [Velmora]({TOWN})\n"
    unnumbered = f"See {MAYOR}. Or http://127.0.0.1/a, or {TOWN}"
    steps = [search("a"), RESULTS, search("b"), "No results.", search("c"), both, search("d"), unnumbered]
    anatomy = dissect(said(*steps, wrong("x")), "answered", QUESTION, [GOLD], EVIDENCE)
    assert anatomy.searches == [
        SearchCall(found=1, rank=2),
        SearchCall(),
        SearchCall(found=2, rank=1),
        SearchCall(found=2, rank=1),
    ]


def test_a_correct_episode_has_no_failure_and_its_pages_are_counted() -> None:
    episode = said(*READ_BOTH, visit(f"{TOWN}#history", "again"), "The same.", Turn(thought="Yes.", answer=GOLD))
    anatomy = dissect(episode, "answered", QUESTION, [GOLD], EVIDENCE, is_wrong=False)
    assert (anatomy.failure, anatomy.pages, anatomy.shown) == (None, 2, 2)


def test_tools_of_other_harnesses_are_read_by_what_they_are_given() -> None:
    calls = [ToolCall("google", {"q": "Velmora"}), ToolCall("browse", {"args": {"link": TOWN}})]
    read = [Turn(thought="", call=calls[0]), RESULTS, Turn(thought="", call=calls[1]), EVIDENCE[0].quote]
    anatomy = dissect(said(*read, wrong("x")), "answered", QUESTION, ["Arn"], EVIDENCE[:1])
    assert (anatomy.surfaced, anatomy.opened, anatomy.shown, len(anatomy.searches)) == (1, 1, 1, 1)


def test_evidence_that_names_the_page_alone_is_shown_when_it_is_opened() -> None:
    anatomy = dissect(said(*READ_BOTH[:4], wrong("x")), "answered", QUESTION, [GOLD], [Evidence(url=TOWN, quote="")])
    assert (anatomy.shown, anatomy.failure) == (1, "not_used")


def test_an_empty_episode_has_an_anatomy() -> None:
    assert dissect([], "no_answer", QUESTION, [GOLD], EVIDENCE).failure == "no_answer"
    assert dissect([], "answered", QUESTION, [GOLD]).failure == "never_surfaced"
