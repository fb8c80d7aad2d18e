"""Questions from sentences, when the whole site is known."""

from webdancer_cli.data.records import QA, Link, Page
from webdancer_cli.synthesis.builtin.ask.sentence_questions import SentenceQuestions
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph
from webdancer_cli.synthesis.checks import first_fault


def page(name: str, text: str, *links: tuple[str, str, str], title: str = "") -> Page:
    found = [Link(url=f"http://127.0.0.1/{to}.html", text=anchor, sentence=said) for to, anchor, said in links]
    return Page(url=f"http://127.0.0.1/{name}.html", title=title or name, text=text, links=found)


def sentence_questions(*pages: Page) -> tuple[SentenceQuestions, PageGraph]:
    graph = PageGraph()
    for each in pages:
        graph.add(each)
    return SentenceQuestions(graph, seed=0), graph


def asked(pages: list[Page], write: str) -> list[QA]:
    said, graph = sentence_questions(*pages)
    found = [qa for node in graph.nodes.values() for qa in getattr(said, write)(node)]
    assert {first_fault(qa, {page.url: page.text for page in pages}) for qa in found} <= {None}
    return found


MOVES = "The shutil module offers high-level operations on files, such as copying them between folders."


def test_a_page_is_called_by_its_name_only_if_no_other_page_has_it() -> None:
    target = page("shutil", "shutil\nTree copies.")
    one = page("one", f"Making copies\n{MOVES}", ("shutil", "shutil", MOVES), title="Making copies")
    assert [qa.answer for qa in asked([target, one], "singles")] == ["shutil"]
    two = page("two", "Making copies\nSomething else.", title="Making copies")
    assert asked([target, one, two], "singles") == []


def test_an_exception_that_many_pages_speak_of_is_not_asked_for() -> None:
    raised = "The TypeError exception signals that the parser called f{} was handed a value of another kind."
    target = page("TypeError", "TypeError\nA wrong type.")
    pages = [
        page(f"p{n}", f"Page {n}\n{said}", ("TypeError", "TypeError", said), title=f"Parsing part {'abcdefg'[n]}")
        for n in range(7)
        if (said := raised.format(n))
    ]
    assert asked([target, *pages[:5]], "singles")
    assert asked([target, *pages], "singles") == []


def test_an_index_explains_and_describes_pages_that_do_not_do_so_themselves() -> None:
    index = page("index", "Commands\n- fold(1)\n- Wrap long lines.\n- sort(1)\n- Order the lines of a file.",
                 ("fold", "fold(1)", "fold(1)"), ("sort", "sort(1)", "sort(1)"))  # fmt: skip
    said = "The sort(1) command breaks long lines of its input wherever a terminal would break them."
    fold = page("fold", f"SYNOPSIS\nfold FILE\n{said}", ("sort", "sort(1)", said), title="fold(1)")
    sort = page("sort", "SYNOPSIS\nsort FILE", title="sort(1)")
    questions = {qa.question: qa.answer for qa in asked([index, fold, sort], "singles")}
    assert questions["What is described as “Order the lines of a file”?"] == "sort(1)"
    (chain,) = asked([index, fold, sort], "chains")
    assert chain.question.startswith("According to the page on “Wrap long lines”, which command breaks long lines")
    assert (chain.answer, chain.level) == ("sort(1)", 2)


def test_a_description_is_of_the_page_only_if_the_page_is_about_it() -> None:
    said = "The raise statement allows the programmer to force an exception with any message."
    other = "The trace module leads the interpreter through the clean-up code of a program in all cases."
    source = page("errors", f"Errors\n{said}", ("statements", "raise", said), title="Errors and exceptions")
    trace = page("trace", "trace\nTracing.")
    about_all = page("statements", f"Simple statements\n{other}", ("trace", "trace", other), title="Simple statements")
    assert asked([source, about_all, trace], "chains") == []
    on_it = page("statements", f"The raise statement\n{other}", ("trace", "trace", other), title="Raising")
    assert [qa.answer for qa in asked([source, on_it, trace], "chains")] == ["trace"]


def test_two_dated_pages_are_compared() -> None:
    pages = [page(name, f"{name} — A module of the library\nNew in version {version}.\nIt is small.")
             for name, version in (("pathlib", "3.4"), ("zoneinfo", "3.10"))]  # fmt: skip
    for qa in asked(pages, "compared"):
        assert qa.answer == ("pathlib" if "an earlier version" in qa.question else "zoneinfo")  # 3.10 is after 3.4
        assert qa.level == 2
    assert len(asked(pages, "compared")) == 2
    assert {(qa.question, qa.answer) for qa in asked(pages, "dated")} == {
        ("In which version was “pathlib” added?", "3.4"),
        ("In which version was “zoneinfo” added?", "3.10"),
    }


def test_what_two_pages_say_in_one_sentence_is_asked_once() -> None:
    target = page("shutil", "shutil\nTree copies.")
    two = [page(name, f"{name}\n{MOVES}", ("shutil", "shutil", MOVES), title=name) for name in ("Copies", "Backups")]
    assert [qa.answer for qa in asked([target, *two], "singles")] == ["shutil"]


def test_a_plain_word_is_not_asked_for_by_a_deed_that_others_do_too() -> None:
    said = "Redaction protects sensitive information and helps enterprises to comply with all regulations."
    assert asked([page("redaction", f"Redaction\n{said}", title="Redaction")], "singles") == []


def test_a_heading_of_plain_words_names_nothing_by_itself() -> None:
    said = "The default settings file contains two examples of rules for mail that comes from elsewhere."
    assert asked([page("a", f"The default settings file\n{said}", title="The default settings file")], "claimed") == []


def test_what_the_whole_site_is_about_is_not_asked_for() -> None:
    root = page("index", "Quillpress\nAll pages.", title="The Quillpress Handbook")
    said = "The Quillpress system contains a package whose purpose is to count the users of other packages."
    inner = page("packages", f"Packages\n{said}", title="Packages")
    deeper = Page(url=inner.url, title=inner.title, text=inner.text, depth=1)
    assert [qa.answer for qa in asked([root, deeper], "claimed")] == []
    assert [qa.answer for qa in asked([deeper], "claimed")] == ["Quillpress"]


def test_a_version_is_one_of_what_the_site_documents() -> None:
    root = page("index", "Quillpress\nAll pages.", title="Quillpress 3.1 Documentation")
    pages = [page(name, f"{name}\nNew in version {version}.") for name, version in (("TESTS", "2.4"), ("PAPER", "2.7"))]
    deeper = [Page(url=each.url, title=each.title, text=each.text, depth=1) for each in pages]
    named = ("Internationalization", "Theme use")
    headings = [page(name, f"{name}\nNew in version 1.{at}.") for at, name in enumerate(named)]
    rootless = [Page(url=each.url, title=each.title, text=each.text, depth=1) for each in headings]
    assert asked(rootless, "dated") == asked(rootless, "compared") == []
    assert asked(deeper, "dated") == []  # of TESTS nobody would know what it belongs to
    questions = {qa.question for qa in asked([root, *deeper], "dated")}
    assert "In which version of Quillpress was “TESTS” added?" in questions
