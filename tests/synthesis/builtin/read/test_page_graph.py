"""Pages as nodes: whatever they are called and whatever they say, they are read."""

from hypothesis import given, settings
from hypothesis import strategies as st

from webdancer_cli.data.records import Link, Page
from webdancer_cli.synthesis.builtin.read.page_graph import PageGraph, read_node

WORDS = st.one_of(
    st.sampled_from("()[]*+?{}|\\^$.,:;“”-=\n"),
    st.sampled_from(["--x", "<y>", "(lake)", "c++", "x_y()", "/etc/x.conf", "1911", "42 km²", "The\tlake", "Ada Vell"]),
    st.sampled_from(
        ["the", "The", "a", "It", "is", "was", "are", "Lake", "lake", "can be stored in", "with", "command"]
    ),
)
TEXTS = st.lists(WORDS, max_size=25).map(" ".join)


@settings(max_examples=50)
@given(title=TEXTS, text=TEXTS, sentence=TEXTS, anchor=TEXTS)
def test_any_title_and_any_text_are_read(title: str, text: str, sentence: str, anchor: str) -> None:
    link = Link(url="http://127.0.0.1/b", text=anchor, sentence=sentence)
    page = Page(url="http://127.0.0.1/a", title=title, text=f"{title}\n{text}. {sentence}.", links=[link])
    assert read_node(page).url == page.url


def test_a_page_is_cited_by_what_no_other_page_is_called() -> None:
    graph = PageGraph()
    for at, (title, text) in enumerate(
        [
            ("68.3. Extensibility", "Extensibility\nText."),
            ("69.3. Extensibility", "Extensibility\nText."),
            ("The Book of Squirrels", "Nests\nText."),
            ("The Book of Squirrels", "Winter\nText."),
            ("Release 15.6", "Release 15.6\nText."),
            ("The C interface to Squirrel, version 2 (old)", "Text."),
        ]
    ):
        graph.add(Page(url=f"http://127.0.0.1/{at}", title=title, text=text))
    assert [graph.cited_as(node) for node in graph.nodes.values()] == [
        "68.3. Extensibility",
        "69.3. Extensibility",
        "Nests",
        "Winter",
        "",
        "The C interface to Squirrel, version 2 (old)",
    ]


def test_a_page_in_another_language_is_not_read() -> None:
    gloss = "rotatelogs — Um atalho para o arquivo de registro atual"
    said = "Agora é possível criar um atalho; não há exceções até a próxima versão."
    page = Page(url="http://127.0.0.1/a.html", title="rotatelogs", text=f"rotatelogs\n{gloss}\n{said}")
    assert read_node(page).statements == [] and read_node(page).name == "rotatelogs"
