"""One file that asks for nothing and runs nothing but its own script."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_records import trajectory

from webdancer_cli.errors import WebdancerError
from webdancer_cli.report import html
from webdancer_cli.report.model import ReportBuilder

HOSTILE = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>\u2028\u2029]]>&lt;"


class Elements(HTMLParser):
    """The elements of a page, as a browser parts them, and what stands in each script and style."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.contents.append("")
        self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.contents[-1] += data

    def named(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [
            (attributes, text) for (name, attributes), text in zip(self.tags, self.contents, strict=True) if name == tag
        ]


@pytest.fixture
def page(tmp_path: Path) -> Elements:
    builder = ReportBuilder(HOSTILE, [HOSTILE])
    builder.add(0, trajectory(answer=HOSTILE, model=HOSTILE))
    html.write_html(builder.report(), str(tmp_path / "report.html"))
    return Elements((tmp_path / "report.html").read_text("utf-8"))


def test_the_only_script_that_runs_is_the_one_whose_hash_the_policy_names(page: Elements) -> None:
    running = [text for attributes, text in page.named("script") if "type" not in attributes]
    [policy] = [
        meta["content"] for meta, _ in page.named("meta") if meta.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    assert len(running) == 1
    assert policy and policy.startswith("default-src 'none';") and f"script-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy


def test_hostile_text_makes_no_element(page: Elements) -> None:
    kinds = [attributes.get("type", "") for attributes, _ in page.named("script")]
    assert kinds == ["application/json", *["application/octet-stream"] * 2, ""]
    assert not page.named("img")
    [(_, title)] = page.named("title")
    assert title == HOSTILE


def test_the_index_means_what_was_put_in(page: Elements) -> None:
    [index] = [json.loads(text) for attributes, text in page.named("script") if attributes.get("id") == "index"]
    row = dict(zip(index["episodes"]["fields"], index["episodes"]["rows"][0], strict=True))
    assert (row["answer"], row["model"], index["sources"][0]["name"]) == (HOSTILE, HOSTILE, HOSTILE)


def test_nothing_is_loaded_from_anywhere(page: Elements) -> None:
    loaded = [value for _, given in page.tags for name, value in given.items() if name in ("src", "href", "srcset")]
    assert loaded == ["data:,"]


def test_the_script_reads_no_text_as_markup() -> None:
    script = html._asset("report.js")
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setAttribute\(.on", script
    )


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        builder = ReportBuilder("Title", ["f"])
        builder.add(0, trajectory())
        html.write_html(builder.report(), str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(WebdancerError, match="could not be written"):
        html.write_html(ReportBuilder("", []).report(), str(tmp_path / "missing" / "report.html"))
