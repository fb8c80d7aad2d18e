"""The way to a document: redirects by status, with cookies, and by markup; and where each of them ends."""

import pytest

from webdancer_cli.errors import Reject
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.fetch import robots
from webdancer_cli.web.fetch.fetcher import FetchedDocument, Fetcher

PROSE = "<p>" + "The works of Orrin were opened in 1900 by the town council. " * 30


pytestmark = pytest.mark.virtual_clock

THREE_TIMES = RetryPolicy(attempts=3, attempt_seconds=5, first_pause_seconds=0.01, growth=1)


def client(**options: object) -> Fetcher:
    return Fetcher(**{"allow_private": True, "timeout_seconds": 5.0, "retry": THREE_TIMES, **options})


async def got(url: str, **options: object) -> FetchedDocument:
    async with client(**options) as fetcher:
        return await fetcher.get(url)


def asked(site) -> list[tuple[str, str]]:
    return [
        (request.path, request.headers.get("cookie", "")) for request in site.requests if "robots" not in request.path
    ]


@pytest.fixture
def to(answer):
    """A redirect, which may set a cookie."""

    def redirect(target: str, cookie: str = "", then=None):
        return answer(status=302, headers={"Location": target} | ({"Set-Cookie": cookie} if cookie else {}), then=then)

    return redirect


async def test_a_redirect_to_itself_that_sets_a_cookie_is_no_circle(serve, answer, to) -> None:
    site = await serve({"/a": to("/a", "seen=1; Path=/", then=answer("there"))})
    fetched = await got(f"{site.url}/a")
    assert fetched.body == b"there" and asked(site) == [("/a", ""), ("/a", "seen=1")]


async def test_a_way_by_a_log_in_comes_back_with_its_cookie(serve, answer, to) -> None:
    site = await serve(
        {"/a": to("/log-in", then=answer("there")), "/log-in": to("/pass", "k=1; Path=/"), "/pass": to("/a")}
    )
    assert (await got(f"{site.url}/a")).body == b"there"
    assert asked(site) == [("/a", ""), ("/log-in", ""), ("/pass", "k=1"), ("/a", "k=1")]


async def test_one_cookie_may_change_step_by_step(serve, answer, to) -> None:
    steps = to("/a", "step=1", then=to("/a", "step=2", then=to("/a", "step=3", then=answer("there"))))
    site = await serve({"/a": steps})
    assert (await got(f"{site.url}/a")).body == b"there"


@pytest.mark.parametrize("cookie", ["", "seen=1; Max-Age=0", "seen=1; Domain=example.org", "seen=1; Path=/elsewhere"])
async def test_a_circle_ends_where_nothing_new_would_be_asked(serve, to, cookie: str) -> None:
    site = await serve({"/a": to("/b", cookie), "/b": to("/a", cookie)})
    with pytest.raises(Reject, match="redirect_loop"):
        await got(f"{site.url}/a")
    assert [path for path, _ in asked(site)] == ["/a", "/b"]


async def test_a_circle_that_always_sets_the_same_cookie_ends_soon(serve, to) -> None:
    site = await serve({"/a": to("/a", "seen=1")})
    with pytest.raises(Reject, match="redirect_loop"):
        await got(f"{site.url}/a")
    assert len(asked(site)) == 2


async def test_a_circle_with_ever_new_cookies_ends_soon(serve, to) -> None:
    circle = None
    for n in range(30):
        circle = to("/a", f"visit={n}", then=circle)
    site = await serve({"/a": circle})
    with pytest.raises(Reject, match="redirect_loop"):
        await got(f"{site.url}/a")
    assert len(asked(site)) == 4


async def test_no_cookie_goes_to_another_host_or_port(serve, answer, to) -> None:
    other, third = await serve({"/": "there"}), await serve({"/": "there"}, host="127.0.0.2")
    site = await serve({"/a": to(f"{other.url}/", "k=1; Path=/"), "/b": to(f"{third.url}/", "k=2; Domain=0.0.2")})
    async with client() as fetcher:
        await fetcher.get(f"{site.url}/a")
        await fetcher.get(f"{site.url}/b")
    assert asked(other) == asked(third) == [("/", "")]


@pytest.mark.parametrize(("keep", "second"), [(True, "k=1"), (False, "")])
async def test_a_crawl_keeps_cookies_and_a_visit_does_not(serve, answer, keep: bool, second: str) -> None:
    site = await serve({"/a": answer("a", headers={"Set-Cookie": "k=1; Path=/"}), "/b": "b"})
    async with client(keep_cookies=keep) as fetcher:
        await fetcher.get(f"{site.url}/a")
        await fetcher.get(f"{site.url}/b")
    assert asked(site) == [("/a", ""), ("/b", second)]


async def test_markup_sends_on_like_a_redirect(serve) -> None:
    site = await serve(
        {
            "/a": "<meta http-equiv=refresh content='0; url=b/'>",
            "/b/": "<frameset><frame src=c></frameset>",
            "/b/c": PROSE,
        }
    )
    fetched = await got(f"{site.url}/a")
    assert (fetched.url, fetched.requested_url) == (f"{site.url}/b/c", f"{site.url}/a")


async def test_where_markup_sends_is_asked_of_robots_and_guarded(serve, answer) -> None:
    rules = answer("User-agent: *\nDisallow: /b", headers={"Content-Type": "text/plain"})
    site = await serve({"/robots.txt": rules, "/a": "<meta http-equiv=refresh content='0; url=/b'>", "/b": PROSE})
    with pytest.raises(Reject, match="robots_disallowed"):
        await got(f"{site.url}/a")
    assert "/b" not in site.paths


async def test_markup_that_leads_in_a_circle_is_read_where_it_leads_back(serve) -> None:
    site = await serve({f"/{a}": f"<meta http-equiv=refresh content='0; url={b}'>{a}" for a, b in ("ab", "ba")})
    assert (await got(f"{site.url}/a")).url == f"{site.url}/b"
    assert [path for path, _ in asked(site)] == ["/a", "/b"]


async def test_a_reload_is_followed_if_something_else_is_asked_by_it(serve, answer) -> None:
    reload = "<meta http-equiv=refresh content=0>One moment."
    site = await serve({"/a": answer(reload, headers={"Set-Cookie": "k=1; Path=/"}, then=answer(PROSE)), "/b": reload})
    assert (await got(f"{site.url}/a")).text() == PROSE and (await got(f"{site.url}/b")).text() == reload
    assert asked(site) == [("/a", ""), ("/a", "k=1"), ("/b", "")]


async def test_a_redirect_after_markup_that_leads_in_a_circle_is_one(serve, to) -> None:
    site = await serve({"/a": "<meta http-equiv=refresh content='0; url=b'>", "/b": to("/a")})
    with pytest.raises(Reject, match="redirect_loop"):
        await got(f"{site.url}/a")


@pytest.mark.parametrize("status", [200, 201, 203, 204, 206])
async def test_every_2xx_of_robots_txt_is_an_answer(serve, answer, status: int) -> None:
    rules = "" if status == 204 else "User-agent: *\nDisallow: /private"
    site = await serve(
        {"/robots.txt": answer(rules, status, {"Content-Type": "text/plain"}), "/": "x", "/private": "x"}
    )
    assert (await got(f"{site.url}/")).body == b"x"
    if rules:
        with pytest.raises(Reject, match="robots_disallowed"):
            await got(f"{site.url}/private")


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
async def test_robots_txt_may_come_from_a_windows_editor(serve, answer, mark: str) -> None:
    rules = f"User-agent: {robots.PRODUCT}\r\nDisallow: /\r\n".encode(mark)
    site = await serve({"/robots.txt": answer(rules, 200, {"Content-Type": "text/plain"}), "/": "x"})
    with pytest.raises(Reject, match="robots_disallowed"):
        await got(f"{site.url}/")
