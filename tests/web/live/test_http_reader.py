"""Reading the live web: what can be read, what is refused by name, and the guard."""

import asyncio
import io
import json

import pypdf
import pytest

from webdancer_cli.data.records import Page
from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.live.http_reader import HttpReader
from webdancer_cli.web.live.jina_reader import JinaReader

ARTICLE = "<html><head><title>Velmora</title></head><body><nav>Home About</nav><main><p>{}</p></main></body></html>"
PROSE = "Velmora is a town by the river. It was founded in 1234 by settlers from Kemlo. " * 6
CANARY = "canary-31be"


def pdf(*lines: str) -> bytes:
    """A PDF of one page a line, written by hand: header, objects, cross references, trailer."""
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(lines)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for at, line in enumerate(lines):
        stream = f"BT /F1 12 Tf 72 720 Td ({line}) Tj ET"
        font = "/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 612 792]"
        objects.append(f"<< /Type /Page /Parent 2 0 R {font} /Contents {5 + 2 * at} 0 R >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    objects.append("<< /Title (The charter) >>")
    body, offsets = "%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        offsets.append(len(body))
        body += f"{number} 0 obj\n{text}\nendobj\n"
    table = "".join(f"{offset:010} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer\n<< /Size {size} /Root 1 0 R /Info {size - 1} 0 R >>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


async def read(url: str, **options: object) -> Page:
    reader = HttpReader(**{"allow_private": True, "timeout_seconds": 30.0, **options})
    try:
        return await reader.read(url)
    finally:
        await reader.aclose()


async def test_html_is_read_as_its_main_text(serve) -> None:
    site = await serve({"/a": ARTICLE.format(PROSE)})
    page = await read(f"{site.url}/a")
    assert (page.title, page.url) == ("Velmora", f"{site.url}/a")
    assert "founded in 1234" in page.text and "About" not in page.text
    assert page.fetched_at and page.sha256


@pytest.mark.parametrize(
    ("kind", "body", "title", "text"),
    [
        ("text/plain", "  Velmora was founded in 1234.\n", "a.x", "Velmora was founded in 1234."),
        ("text/markdown; charset=utf-8", "# The town #\n\nIn *1234*.", "The town", "# The town #\n\nIn *1234*."),
        ("text/markdown", "no heading", "a.x", "no heading"),
        ("application/json", '{"founded":1234,"names":["Velmora"]}', "a.x", '{\n  "founded": 1234,\n'),
        ("application/json", "{broken", "a.x", "{broken"),
        ("application/pdf", pdf("Charter of 1234", "Second"), "The charter", "Charter of 1234\n\nSecond"),
        ("", pdf("Untold"), "The charter", "Untold"),
    ],
)  # fmt: skip
async def test_other_documents(serve, answer, kind: str, body: str | bytes, title: str, text: str) -> None:
    site = await serve({"/d/a.x": answer(body, 200, {"Content-Type": kind})})
    page = await read(f"{site.url}/d/a.x")
    assert page.title == title
    assert page.text.startswith(text)


@pytest.mark.parametrize("kind", ["image/png", "application/zip", "video/mp4"])
async def test_other_types_are_named_and_refused(serve, answer, kind: str) -> None:
    site = await serve({"/a": answer(b"\x00", 200, {"Content-Type": kind})})
    with pytest.raises(ToolError, match=f"/a: is {kind}; only HTML, plain text, Markdown, JSON and PDF can be read"):
        await read(f"{site.url}/a")


@pytest.mark.parametrize("body", [b"%PDF-1.4 and nothing more", b"not at all", pdf("Cut")[:200], b""])
async def test_a_broken_pdf_is_a_tool_error(serve, answer, body: bytes) -> None:
    site = await serve({"/a.pdf": answer(body, 200, {"Content-Type": "application/pdf"})})
    with pytest.raises(ToolError, match=r"/a\.pdf: a PDF that cannot be read"):
        await read(f"{site.url}/a.pdf")


def encrypted(user: str, algorithm: str, text: str = "The charter of 1234") -> bytes:
    """A PDF that only its owner may change, and that opens with the password ``user``."""
    writer, out = pypdf.PdfWriter(io.BytesIO(pdf(text))), io.BytesIO()
    writer.encrypt(user, "the owner's", algorithm=algorithm)
    writer.write(out)
    return out.getvalue()


@pytest.mark.parametrize("algorithm", ["RC4-40", "RC4-128", "AES-128", "AES-256-R5", "AES-256"])
async def test_an_encrypted_pdf_is_read_if_it_opens_without_a_password(serve, answer, algorithm: str) -> None:
    kind = {"Content-Type": "application/pdf"}
    open_, closed = encrypted("", algorithm), encrypted("secret", algorithm)
    site = await serve({"/open": answer(open_, headers=kind), "/closed": answer(closed, headers=kind)})
    assert (await read(f"{site.url}/open")).text == "The charter of 1234"
    with pytest.raises(ToolError, match="/closed: a PDF that needs a password") as caught:
        await read(f"{site.url}/closed")
    assert caught.value.lasts


HEAVY = "<table>" + "<tr><td colspan=1000 rowspan=60000>x</td></tr>" * 2000 + "</table>"


@pytest.mark.virtual_clock
@pytest.mark.parametrize(
    ("status", "headers", "body"),
    [
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 +99999999999999"}, ""),
        (302, {"Location": "http://[::1"}, ""),
        (302, {"Location": "http://1.2.3.4:x/"}, ""),
        (302, {"Location": "http://\u202e/"}, ""),
        (200, {"Content-Type": "application/pdf"}, pdf("Cut").replace(b"/Kids [4 0 R]", b"/Kids [2 0 R]")),
        (200, {"Content-Type": "application/pdf"}, pdf("Cut").replace(b"/Type /Catalog", b"/Type" + b"[" * 50_000)),
        (200, {}, HEAVY),
    ],
)  # fmt: skip
async def test_whatever_an_answer_provokes_is_a_failure_of_its_page(serve, answer, status, headers, body) -> None:
    headers = {name: value.encode().decode("latin-1") for name, value in headers.items()}
    site = await serve({"/a": answer(body, status, headers)})
    with pytest.raises(ToolError, match="/a: "):
        await read(f"{site.url}/a", timeout_seconds=2.0)


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/json", "[" * 100_000, "[" * 100_000),
        ("application/json", '{"a": "\\ud83d"}', '"\\ud83d"'),
        ("application/pdf", pdf("Read").replace(b"(The charter)", b"1234         "), "Read"),
    ],
)
async def test_what_is_odd_and_readable_is_read(serve, answer, kind: str, body: str | bytes, text: str) -> None:
    site = await serve({"/a": answer(body, headers={"Content-Type": kind})})
    assert text in (await read(f"{site.url}/a")).text


async def test_a_heavy_page_holds_up_no_other(serve) -> None:
    site = await serve({"/heavy": HEAVY, **{f"/{n}": ARTICLE.format(PROSE) for n in range(12)}})
    reader = HttpReader(allow_private=True, timeout_seconds=8.0)
    heavy = [asyncio.create_task(reader.read(f"{site.url}/heavy")) for _ in range(4)]
    await asyncio.sleep(0.2)
    pages = await asyncio.gather(*(reader.read(f"{site.url}/{n}") for n in range(12)))
    assert len(pages) == 12 and not any(task.done() for task in heavy)
    await reader.aclose()


async def test_a_wall_is_no_page_to_quote(serve) -> None:
    site = await serve(
        {"/a": "<title>Just a moment...</title><p>Verify you are human by completing the action below.</p>"}
    )
    with pytest.raises(ToolError, match="/a"):
        await read(f"{site.url}/a")


async def test_what_asks_not_to_be_indexed_may_still_be_read(serve) -> None:
    html = ARTICLE.format(PROSE).replace("<title>", '<meta name="robots" content="noindex"><title>')
    site = await serve({"/a": html})
    assert "1234" in (await read(f"{site.url}/a")).text


async def test_a_redirect_is_followed_and_the_url_that_was_asked_for_is_kept(serve, answer) -> None:
    site = await serve({"/old": answer("", 301, {"Location": "/new"}), "/new": ARTICLE.format(PROSE)})
    page = await read(f"{site.url}/old")
    assert (page.url, page.extra["requested_url"]) == (f"{site.url}/new", f"{site.url}/old")


async def test_failures_name_the_url_that_was_asked_for(serve, answer) -> None:
    site = await serve({"/old": answer("", 301, {"Location": "/gone"}), "/robots.txt": "User-agent: *\nDisallow: /no"})
    for path, said in (("/old", "404"), ("/no", "robots.txt")):
        with pytest.raises(ToolError, match=said) as caught:
            await read(site.url + path)
        assert site.url + path in str(caught.value)


@pytest.mark.virtual_clock
@pytest.mark.parametrize(
    ("path", "lasts"),
    [("/gone", True), ("/no", True), ("/picture", True), ("/wall", True), ("/login", True), ("/huge", True),
     ("/circle", True), ("/busy", False), ("/broken", False), ("/cut", False)],
)  # fmt: skip
async def test_a_no_that_lasts_is_told_from_one_that_may_pass(serve, answer, path: str, lasts: bool) -> None:
    answers = {
        "/robots.txt": "User-agent: *\nDisallow: /no",
        "/picture": answer(b"PNG", 200, {"Content-Type": "image/png"}),
        "/wall": answer("", 403, {"cf-mitigated": "challenge"}),
        "/login": "<title>Sign in</title><form><input type=password></form>",
        "/huge": "x" * (11 * 1024 * 1024),
        "/circle": answer("", 302, {"Location": "/circle"}),
        "/busy": answer("", 429),
        "/broken": answer("", 503),
        "/cut": answer(ARTICLE.format(PROSE), cut=True),
    }
    site = await serve(answers)
    with pytest.raises(ToolError) as caught:
        await read(site.url + path)
    assert caught.value.lasts is lasts


async def test_a_dead_site_is_no_outage_of_ours(serve) -> None:
    with pytest.raises(ToolError, match="cannot connect") as caught:
        await read("http://127.0.0.1:9/page")
    assert not caught.value.lasts


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{}/", "http://localhost:{}/", "http://2130706433:{}/", "http://0x7f000001:{}/", "file:///etc/hosts",
     "ftp://e.org/", "http://169.254.169.254/", "not a url"],
)  # fmt: skip
async def test_nothing_private_is_read_by_either_reader(serve, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await serve({"/": ARTICLE.format(PROSE)})
    asked = url.format(site.url.rpartition(":")[2])
    with pytest.raises(ToolError):
        await read(asked, allow_private=False)
    jina = JinaReader(site.url)
    with pytest.raises(ToolError):
        await jina.read(asked)
    await jina.aclose()
    assert not site.requests


JINA = {
    "code": 200,
    "status": 20000,
    "data": {
        "title": "Velmora",
        "description": "",
        "url": "http://127.0.0.1:1/town",
        "content": "# Velmora\n\nFounded in 1234.",
        "publishedTime": "2024-01-05T00:00:00Z",
        "usage": {"tokens": 12},
    },
}


async def jina_read(url: str) -> Page:
    reader = JinaReader(
        url, allow_private=True, retry=RetryPolicy(attempts=2, attempt_seconds=5, first_pause_seconds=0.01)
    )
    try:
        return await reader.read("http://127.0.0.1:1/town#top")
    finally:
        await reader.aclose()


async def test_jina_is_asked_for_the_page_and_its_markdown_is_the_text(serve, answer, monkeypatch) -> None:
    monkeypatch.setenv("JINA_API_KEY", CANARY)
    site = await serve({"/": answer(json.dumps(JINA), 200, {"Content-Type": "application/json"})})
    page = await jina_read(site.url)
    assert (page.title, page.text) == ("Velmora", "# Velmora\n\nFounded in 1234.")
    assert page.extra == {"date": "2024-01-05"}
    [request] = site.requests
    assert (request.method, json.loads(request.body)) == ("POST", {"url": "http://127.0.0.1:1/town"})
    assert request.headers["authorization"] == f"Bearer {CANARY}" and request.headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [(401, ServiceRefused, "JINA_API_KEY"), (402, ServiceRefused, "add tokens"), (422, ToolError, "422"),
     (429, Outage, "429"), (503, Outage, "503"), (200, Outage, "odd answer")],
)  # fmt: skip
async def test_what_jina_refuses(serve, answer, monkeypatch, status: int, kind: type, said: str) -> None:
    monkeypatch.setenv("JINA_API_KEY", CANARY)
    body = {"data": None, "code": status, "name": "SomeError", "message": f"no {CANARY}"}
    site = await serve({"/": answer(json.dumps(body), status, {"Content-Type": "application/json"})})
    with pytest.raises(kind, match=said) as caught:
        await jina_read(site.url)
    assert CANARY not in str(caught.value)


async def test_a_server_of_ones_own_is_another_reader_and_its_name_holds_no_password(monkeypatch) -> None:
    monkeypatch.setenv("JINA_API_KEY", CANARY)
    readers = [JinaReader(), JinaReader("http://me:pass@127.0.0.1:1/r"), JinaReader("http://127.0.0.1:2")]
    assert [reader.name for reader in readers] == ["jina", "jina=http://127.0.0.1:1/r", "jina=http://127.0.0.1:2"]
    for reader in readers:
        await reader.aclose()


def test_the_service_needs_a_key_and_a_server_of_ones_own_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JINA_API_KEY", raising=False)
    with pytest.raises(UsageError, match="--reader jina needs a key: set JINA_API_KEY"):
        JinaReader()
    JinaReader("http://127.0.0.1:3000")


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("application/octet-stream", pdf("Charter of 1234"), "Charter of 1234"),
        ("text/html", pdf("Charter of 1234"), "Charter of 1234"),
        ("text/html charset=utf-8", ARTICLE.format(PROSE), "founded in 1234"),
        ("application/pdf", ARTICLE.format(PROSE), "founded in 1234"),
        ("binary/octet-stream", "It was founded in 1234.", "founded in 1234"),
    ],
)  # fmt: skip
async def test_documents_are_read_for_what_they_are(serve, answer, kind: str, body: str | bytes, text: str) -> None:
    site = await serve({"/a": answer(body, 200, {"Content-Type": kind})})
    assert text in (await read(f"{site.url}/a")).text


@pytest.mark.parametrize("kind", ["", "text/html", "text/plain", "application/octet-stream", "application/json"])
async def test_the_bytes_of_a_file_are_never_shown(serve, answer, kind: str) -> None:
    site = await serve({"/a": answer(b"PK\x03\x04" + bytes(range(256)), 200, {"Content-Type": kind})})
    with pytest.raises(ToolError, match="/a: is application/zip"):
        await read(f"{site.url}/a")


async def test_a_set_of_frames_is_read_as_its_frames(serve) -> None:
    site = await serve(
        {
            "/": "<html><title>Reference</title><frameset><frame src=list><frame src=lost><frame src=town></frameset>",
            "/list": "<h1>All parts</h1><p><a href=/town>The town</a> and what belongs to it, as a list.</p>",
            "/town": ARTICLE.format(PROSE),
        }
    )
    page = await read(f"{site.url}/")
    assert page.title == "Reference" and page.url == f"{site.url}/"
    assert page.text.index("as a list") < page.text.index("founded in 1234")
    assert [link.url for link in page.links][:1] == [f"{site.url}/town"]


LONG_TEXT = "Ida Kroll was born on 12 May 1894, in a town by the sea, and built bridges. " * 20
RETURNED = "Target URL returned error {}"
NO_PAGE = {
    "a warning of 404": ({"warning": RETURNED.format("404: Not Found"), "content": LONG_TEXT}, "http_404", True),
    "a warning of 503": ({"warning": RETURNED.format("503: Service Unavailable"), "content": "x"}, "503", False),
    "a warning of 403 among others": (
        {"warning": "This page contains shadow DOM.\nTarget URL returned error 403: Forbidden", "content": LONG_TEXT},
        "403",
        True,
    ),
    "a wall without a warning": ({"title": "Just a moment...", "content": "## e.org\n\nLook."}, "Just a moment", True),
    "a wall in Markdown": ({"title": "e.org", "content": "# **Access Denied**\n\nBy [it](http://e)."}, "Denied", True),
    "a page that is missing": ({"title": "Page not found", "content": "# 404\n\nIt was not found."}, "not found", True),
    "a captcha that the service saw": (
        {"warning": "This page maybe requiring CAPTCHA, please make sure you are authorized.", "content": "e.org"},
        "challenge",
        True,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said", "lasts"), NO_PAGE.values(), ids=NO_PAGE.keys())
async def test_what_a_reading_service_returns_is_judged_like_a_page_that_was_fetched(
    serve, answer, data: dict[str, str], said: str, lasts: bool
) -> None:
    body = {"code": 200, "status": 20000, "data": {"title": "Ida Kroll", **data}}
    site = await serve({"/": answer(json.dumps(body), 200, {"Content-Type": "application/json"})})
    with pytest.raises(ToolError, match=said.replace("http_", "")) as caught:
        await jina_read(site.url)
    assert caught.value.lasts == lasts


HARMLESS = [
    None,
    "",
    "This is a cached snapshot of the original page, consider retry with caching opt-out.",
    "This page contains iframe(s) that are currently hidden, consider enabling iframe processing.",
    "This page maybe requiring CAPTCHA, please make sure you are authorized to access this page.",
    "Failed to load 404 of 500 images",
    ["This page contains shadow DOM."],
]


@pytest.mark.parametrize("warning", HARMLESS)
async def test_a_harmless_warning_is_harmless(serve, answer, warning: object) -> None:
    text = f"{LONG_TEXT}\n\n## Error 404\n\nThe story of the page that was not found."
    body = {"code": 200, "status": 20000, "data": {"title": "Ida Kroll", "warning": warning, "content": text}}
    site = await serve({"/": answer(json.dumps(body), 200, {"Content-Type": "application/json"})})
    assert (await jina_read(site.url)).text == text.strip()
