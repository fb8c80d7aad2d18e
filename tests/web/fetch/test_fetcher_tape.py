"""The fetcher with a tape: one exchange for a page with all its redirects, none for a failure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.tape import Tape
from webdancer_cli.web.fetch.fetcher import Fetcher

pytestmark = pytest.mark.virtual_clock

TWICE = RetryPolicy(attempts=2, attempt_seconds=5, first_pause_seconds=0.01)


def fetcher(tape: Tape) -> Fetcher:
    return Fetcher(allow_private=True, timeout_seconds=5.0, retry=TWICE, tape=tape)


async def reason(client: Fetcher, url: str) -> str:
    with pytest.raises(Reject) as caught:
        await client.get(url)
    return caught.value.reason


async def test_pages_are_replayed_failures_are_not_and_cookies_are_left_out(
    serve: Callable[..., Any], answer: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "web.tape")
    page = answer("<p>héllo", headers={"Set-Cookie": "session=s3cret", "X-Robots-Tag": "all"})
    site = await serve({"/": page, "/old": answer(status=301, headers={"Location": "/"}), "/busy": answer(status=503)})
    with Tape(path) as tape:
        async with fetcher(tape) as client:
            live = [await client.get(f"{site.url}/"), await client.get(f"{site.url}/old")]
            assert await reason(client, f"{site.url}/busy") == "http_503"
    asked = len(site.requests)
    with Tape(path, "replay") as tape:
        async with fetcher(tape) as client:
            assert [await client.get(f"{site.url}/"), await client.get(f"{site.url}/old")] == live
            assert await reason(client, f"{site.url}/busy") == "tape_miss"
            assert await reason(client, "file:///etc/passwd") == "tape_miss"
        assert tape.summary() == "2 replayed, 0 recorded, 2 missed"
    assert len(site.requests) == asked
    assert (live[1].url, live[0].text()) == (f"{site.url}/", "<p>héllo")
    assert live[0].headers["x-robots-tag"] == "all" and "set-cookie" not in live[0].headers


async def test_a_no_that_lasts_is_replayed_with_its_reason(
    serve: Callable[..., Any], answer: Callable[..., Any], tmp_path: Path
) -> None:
    path = str(tmp_path / "web.tape")
    answers = {
        "/robots.txt": "User-agent: *\nDisallow: /no",
        "/picture": answer(b"PNG", headers={"Content-Type": "image/png"}),
        "/forbidden": answer(status=403),
        "/circle": answer(status=302, headers={"Location": "/circle"}),
    }
    site = await serve(answers)
    expected = {
        f"{site.url}/gone": "http_404",
        f"{site.url}/forbidden": "http_403",
        f"{site.url}/no": "robots_disallowed",
        f"{site.url}/picture": "not_html",
        f"{site.url}/circle": "redirect_loop",
    }
    told = {}
    for mode in ("auto", "replay"):
        with Tape(path, mode) as tape:
            async with fetcher(tape) as client:
                told[mode] = {url: await refusal(client, url) for url in expected}
    assert told["replay"] == told["auto"]
    assert {url: reason for url, (reason, _) in told["auto"].items()} == expected
    assert tape.summary() == "5 replayed, 0 recorded, 0 missed"


async def test_what_was_refused_as_private_is_asked_anew_when_it_is_allowed(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    site = await serve({"/": "<p>hello"})
    with Tape(str(tmp_path / "web.tape")) as tape:
        async with Fetcher(tape=tape) as client:
            assert await reason(client, f"{site.url}/") == "private_address"
            assert await reason(client, f"{site.url}/") == "private_address"
        async with fetcher(tape) as client:
            assert (await client.get(f"{site.url}/")).text() == "<p>hello"
        assert tape.summary() == "1 replayed, 2 recorded, 0 missed"


@pytest.mark.parametrize(
    ("robots", "sitemaps"), [("Sitemap: https://e.org/map.xml", ["https://e.org/map.xml"]), (404, [])]
)
async def test_a_replay_asks_no_site_for_its_sitemaps(
    serve: Callable[..., Any], answer: Callable[..., Any], tmp_path: Path, robots: str | int, sitemaps: list[str]
) -> None:
    path = str(tmp_path / "web.tape")
    site = await serve({"/robots.txt": robots if isinstance(robots, str) else answer(status=robots)})
    with Tape(path) as tape:
        async with fetcher(tape) as client:
            assert await client.sitemaps(f"{site.url}/a") == sitemaps
    asked = len(site.requests)
    with Tape(path, "replay") as tape:
        async with fetcher(tape) as client:
            assert await client.sitemaps(f"{site.url}/b") == sitemaps
            with pytest.raises(Reject, match="tape_miss"):
                await client.sitemaps("http://127.0.0.1:1/")
    assert len(site.requests) == asked


async def refusal(client: Fetcher, url: str) -> tuple[str, str]:
    with pytest.raises(Reject) as caught:
        await client.get(url)
    return caught.value.reason, caught.value.detail
