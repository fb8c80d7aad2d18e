import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch.fetcher import Fetcher

pytestmark = pytest.mark.virtual_clock

TWICE = RetryPolicy(attempts=2, attempt_seconds=5, first_pause_seconds=0.01)


def client(**options: object) -> Fetcher:
    return Fetcher(**{"allow_private": True, "timeout_seconds": 1.0, "retry": TWICE, **options})


async def verdict(url: str, **options: object) -> str:
    async with client(**options) as fetcher:
        try:
            await fetcher.get(url)
        except Reject as reject:
            return reject.reason
    return "fetched"


async def test_rules_are_obeyed_and_asked_for_once(serve) -> None:
    site = await serve({"/robots.txt": "User-agent: *\nDisallow: /private\nAllow: /private/open", "/": "home"})
    site.answers |= dict.fromkeys(["/private", "/private/open", "/b"], site.answers["/"])
    async with client() as fetcher:
        for path in ("/", "/b", "/private/open"):
            await fetcher.get(site.url + path)
        with pytest.raises(Reject, match=r"robots_disallowed: .*/private: robots.txt of the site forbids it"):
            await fetcher.get(f"{site.url}/private")
    assert site.paths == ["/robots.txt", "/", "/b", "/private/open"]


async def test_rules_for_us_beat_rules_for_all(serve) -> None:
    site = await serve({"/robots.txt": "User-agent: *\nAllow: /\n\nUser-agent: webdancer\nDisallow: /\n", "/": "home"})
    assert await verdict(f"{site.url}/") == "robots_disallowed"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 429])
async def test_a_4xx_allows_everything(serve, answer, status: int) -> None:
    site = await serve({"/robots.txt": answer("no", status), "/": "home"})
    assert await verdict(f"{site.url}/") == "fetched"


@pytest.mark.parametrize("status", [500, 503])
async def test_a_5xx_forbids_everything(serve, answer, status: int) -> None:
    site = await serve({"/robots.txt": answer("no", status), "/": "home"})
    assert await verdict(f"{site.url}/") == "robots_unreachable"
    assert "/" not in site.paths


async def test_a_timeout_and_a_broken_connection_forbid_everything(serve, answer) -> None:
    slow = await serve({"/robots.txt": answer("late", wait_seconds=3), "/": "home"})
    assert await verdict(f"{slow.url}/", timeout_seconds=0.2) == "robots_unreachable"
    broken = await serve({"/robots.txt": answer("User-agent: *", cut=True), "/": "home"})
    assert await verdict(f"{broken.url}/") == "robots_unreachable"


async def test_redirects_of_robots_txt_are_followed(serve, answer) -> None:
    site = await serve({"/robots.txt": answer(status=301, headers={"Location": "/r"}), "/": "home"})
    site.answers["/r"] = answer("User-agent: *\nDisallow: /", headers={"Content-Type": "text/plain"})
    assert await verdict(f"{site.url}/") == "robots_disallowed"


async def test_the_target_of_a_redirect_is_asked_of_its_own_site(serve, answer) -> None:
    other = await serve({"/robots.txt": "User-agent: *\nDisallow: /", "/": "theirs"})
    site = await serve({"/": answer(status=302, headers={"Location": f"{other.url}/"})})
    assert await verdict(f"{site.url}/") == "robots_disallowed"
    assert other.paths == ["/robots.txt"]


async def test_crawl_delay_is_kept(serve) -> None:
    site = await serve({"/robots.txt": "User-agent: *\nCrawl-delay: 0.3", "/": "home", "/b": "b"})
    async with client() as fetcher:
        fetched = [await fetcher.get(f"{site.url}{path}") for path in ("/", "/b")]
    assert site.paths == ["/robots.txt", "/", "/b"] and site.requests[2].at - site.requests[1].at == pytest.approx(0.3)
    assert [page.crawl_delay for page in fetched] == [0.3, 0.3]


async def test_a_huge_robots_txt_is_read_to_its_limit(serve) -> None:
    site = await serve(
        {"/robots.txt": "User-agent: *\nDisallow: /x\n" + "# filler\n" * 100_000, "/x": "x", "/": "home"}
    )
    assert await verdict(f"{site.url}/x") == "robots_disallowed"
    assert await verdict(f"{site.url}/") == "fetched"


async def test_a_page_in_place_of_robots_txt_allows_everything(serve) -> None:
    site = await serve({"/robots.txt": "<!doctype html><p>Not found, but 200</p>", "/": "home"})
    assert await verdict(f"{site.url}/") == "fetched"
