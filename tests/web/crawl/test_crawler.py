import asyncio
import gzip
import random
from collections import Counter
from contextlib import aclosing, suppress
from hashlib import md5
from itertools import pairwise
from pathlib import Path

import pytest

from webdancer_cli.data import jsonl
from webdancer_cli.data.records import Page
from webdancer_cli.errors import Reject
from webdancer_cli.options import config
from webdancer_cli.web.crawl.crawler import KnownPage, SkippedUrl, crawl
from webdancer_cli.web.crawl.frontier import CrawlTarget, Frontier
from webdancer_cli.web.urls import canonical_url


def html(name: str, *links: str, text: str = "") -> str:
    anchors = " ".join(f'<a href="{link}">{link}</a>' for link in links)
    text = text or f"{name} is a place of its own. It has streets and houses."
    return f"<html><title>{name}</title><main><p>{text}</p><p>Near it: {anchors}.</p></main></html>"


def options(**more: object) -> config.CrawlqaOptions:
    return config.CrawlqaOptions(**{"allow_private": True, "timeout_seconds": 30.0, **more})


async def crawled(
    *roots: str, known: list[Page] | None = None, **more: object
) -> tuple[list[Page], dict[str, str], list[SkippedUrl]]:
    """The pages, the reason for every URL skipped, and the whole list of those."""
    skips: list[SkippedUrl] = []
    pages = [
        page async for page in crawl(roots, options(**more), known=map(KnownPage.of, known or ()), skipped=skips.append)
    ]
    return pages, {skip.url: skip.reason for skip in skips}, skips


def tree(size: int, fan: int = 3, where: str = "") -> dict[str, str]:
    """A site of ``size`` pages and a root; page n links to its children, some of which are missing, and to the root."""
    pages = {f"/{n}": html(f"P{n}{where}", "/", *(f"/{n * fan + k}" for k in range(1, fan + 1))) for n in range(size)}
    return {"/": html(f"Home{where}", "/0"), **pages}


def whole_tree(size: int, where: str = "") -> dict[str, str]:
    """The same, with none missing."""
    children = {n: [f"/{k}" for k in range(3 * n + 1, 3 * n + 4) if k < size] for n in range(size)}
    return {"/": html(f"Home{where}", "/0"), **{f"/{n}": html(f"P{n}{where}", *children[n]) for n in range(size)}}


async def test_breadth_first_in_the_order_of_the_links(serve) -> None:
    site = await serve(
        {
            "/": html("Home", "/b", "/a"),
            "/a": html("A", "/c", "/"),
            "/b": html("B", "/d"),
            "/c": html("C"),
            "/d": html("D"),
        }
    )
    pages, skipped, _ = await crawled(f"{site.url}/")
    assert [(page.title, page.depth) for page in pages] == [("Home", 0), ("B", 1), ("A", 1), ("D", 2), ("C", 2)]
    assert skipped == {} and site.paths.count("/robots.txt") == 1 and len(site.paths) == 6


async def test_the_order_does_not_depend_on_which_page_answers_first(serve, answer) -> None:
    draw = random.Random(0)
    orders = []
    for _ in range(3):
        site = await serve({path: answer(body, wait_seconds=draw.random() / 20) for path, body in tree(18).items()})
        pages, _, _ = await crawled(f"{site.url}/")
        orders.append([(page.title, page.text, page.depth) for page in pages])
    assert len(orders[0]) == 19 and orders[0] == orders[1] == orders[2]


async def test_pages_arrive_while_the_crawl_goes_on(serve, answer) -> None:
    home_is_here = asyncio.Event()
    site = await serve({"/": html("Home", "/later"), "/later": answer(html("Later"), until=home_is_here)})
    async with aclosing(crawl([f"{site.url}/"], options())) as pages:
        assert (await anext(pages)).title == "Home"
        home_is_here.set()
        assert [page.title async for page in pages] == ["Later"]


async def test_limits_on_pages_and_depth(serve) -> None:
    site = await serve(tree(40))
    assert len((await crawled(f"{site.url}/", max_pages=7))[0]) == 7
    assert {page.depth for page in (await crawled(f"{site.url}/", max_depth=2))[0]} == {0, 1, 2}


async def test_only_the_roots_sites_are_visited(serve) -> None:
    other = await serve({"/": html("Other")})
    site = await serve({"/": html("Home", f"{other.url}/", "/a"), "/a": html("A")})
    pages, _, _ = await crawled(f"{site.url}/")
    assert [page.title for page in pages] == ["Home", "A"] and other.requests == []
    assert f"{other.url}/" in [link.url for link in pages[0].links]


async def test_several_roots_take_turns(serve) -> None:
    sites = [
        await serve({path: body.replace("place", f"place in {name}") for path, body in tree(20).items()})
        for name in "AB"
    ]
    pages, _, _ = await crawled(*(f"{site.url}/" for site in sites), per_host=1, max_pages=14)
    counts = Counter(page.url.startswith(sites[0].url) for page in pages)
    assert min(counts.values()) >= 5


async def test_a_page_is_asked_for_once_however_it_is_linked(serve) -> None:
    site = await serve({"/": html("Home", "/a", "/a#x", "/./a", "/b/../a", "/a?utm_source=y"), "/a": html("A")})
    await crawled(f"{site.url}/", f"{site.url}/#top")
    assert Counter(site.paths) == {"/robots.txt": 1, "/": 1, "/a": 1}


@pytest.mark.virtual_clock
async def test_every_refusal_has_its_reason(serve, answer) -> None:
    other = await serve({"/": html("Other")})
    links = ["/404", "/pdf", "/x.zip", "/no", "/copy", "/blank", "/out", "/back", "/slow", "/500", "/big", "/a"]
    site = await serve(
        {
            "/": html("Home", *links),
            "/robots.txt": "User-agent: *\nDisallow: /no",
            "/pdf": answer(b"%PDF", headers={"Content-Type": "application/pdf"}),
            "/copy": html("Copy", "/a", text="A is a place of its own. It has streets and houses.").replace("/a", "/a"),
            "/a": html("A", "/a"),
            "/blank": "<html><title>x</title><body><a href='/from-blank'></a></body></html>",
            "/from-blank": html("Behind"),
            "/out": answer(status=302, headers={"Location": f"{other.url}/"}),
            "/back": answer(status=302, headers={"Location": "/"}),
            "/slow": answer("late", wait_seconds=60),
            "/500": answer("broken", 500),
            "/big": "x" * 11_000_000,
        }
    )
    pages, skipped, _ = await crawled(f"{site.url}/")
    assert {url.removeprefix(site.url): reason for url, reason in skipped.items()} == {
        "/404": "http_404",
        "/pdf": "not_html",
        "/x.zip": "http_404",
        "/no": "robots_disallowed",
        "/a": "duplicate",
        "/blank": "empty_text",
        "/out": "off_site",
        "/back": "duplicate",
        "/slow": "timeout",
        "/500": "http_500",
        "/big": "too_large",
    }
    assert [page.title for page in pages] == ["Home", "Copy", "Behind"]
    assert "/no" not in site.paths


async def test_a_page_is_told_by_what_the_server_sends_and_not_by_its_name(serve, answer) -> None:
    pages = ["Node.js", "Robots.txt", "File:Map.png", "example.zip", "README.md", "ASP.NET", "a.pdf?view=html"]
    files = {"/notes.txt": "text/plain", "/map.png": "image/png", "/data.json": "application/json"}
    site = await serve(
        {
            "/": html("Home", *(f"/{name}" for name in pages), *files),
            **{
                f"/{name}": html(name, text=f"{name} is a place of its own, with {len(name)} streets.")
                for name in pages
            },
            **{path: answer(b"1" * 9000, headers={"Content-Type": kind}) for path, kind in files.items()},
        }
    )
    kept, skipped, _ = await crawled(f"{site.url}/")
    assert {page.url.removeprefix(f"{site.url}/") for page in kept} == {"", *pages}
    assert {url.removeprefix(site.url): reason for url, reason in skipped.items()} == dict.fromkeys(files, "not_html")


async def test_a_gallery_is_not_asked_for_to_its_end_and_what_is_beside_it_is(serve, answer) -> None:
    pictures = [f"/gallery/{n}.jpg" for n in range(100)]
    site = await serve(
        {
            "/": html("Home", *pictures, "/gallery/about.png", "/wiki/Map.jpg"),
            **{path: answer(b"\xff\xd8\xff", headers={"Content-Type": "image/jpeg"}) for path in pictures},
            "/gallery/about.png": html("About", text="All about the pictures, and about those who took them."),
            "/wiki/Map.jpg": html("Map", text="The map was drawn in 1900, and shows the town as it was."),
        }
    )
    kept, skipped, _ = await crawled(f"{site.url}/")
    assert [page.title for page in kept] == ["Home", "About", "Map"]
    assert Counter(skipped.values()) == {"not_html": 100} and len(site.paths) < 60


async def test_a_set_of_frames_leads_to_its_frames_as_deep_as_it_is(serve) -> None:
    site = await serve(
        {
            "/": "<html><frameset><frame src=/list><frame src=/town><noframes>No frames.</noframes></frameset></html>",
            "/list": html("List", "/deeper", text="A list of all the places that there are in this reference."),
            "/town": html("Town"),
            "/deeper": html("Deeper", text="What is further down is not asked for, and so it is not kept."),
        }
    )
    kept, skipped, skips = await crawled(f"{site.url}/", max_depth=0)
    assert [page.title for page in kept] == ["List", "Town"] and skipped == {f"{site.url}/": "frameset"}
    assert [skip.followed for skip in skips] == [True]


async def test_a_root_that_moved_by_markup_is_crawled_where_it_is_now(serve) -> None:
    new = await serve({"/home": html("Home", "/a"), "/a": html("A")}, host="127.0.0.2")
    old = await serve({"/": f"<meta http-equiv=refresh content='0; url={new.url}/home'>"})
    pages, skipped, _ = await crawled(f"{old.url}/")
    assert [page.title for page in pages] == ["Home", "A"] and skipped == {}


@pytest.mark.parametrize(
    ("root", "reason", "said"),
    [
        ("http://nowhere.invalid/", "dns_failure", "nowhere.invalid does not resolve"),
        ("http://127.0.0.1:1/", "connection_failed", "cannot connect"),
        ("ftp://e.org/", "bad_url", "not an http or https URL"),
        ("", "bad_url", "not an http or https URL"),
    ],
)
async def test_a_root_that_gives_nothing_is_told_in_one_line(root: str, reason: str, said: str) -> None:
    pages, _, skips = await crawled(root)
    assert pages == [] and [(skip.root, skip.reason) for skip in skips] == [(True, reason)]
    assert said in skips[0].detail and "\n" not in skips[0].detail


async def test_a_forbidden_and_a_private_root(serve) -> None:
    site = await serve({"/robots.txt": "User-agent: *\nDisallow: /", "/": html("Home")})
    _, _, skips = await crawled(f"{site.url}/")
    assert (skips[0].reason, skips[0].root) == ("robots_disallowed", True)
    _, _, skips = await crawled(f"{site.url}/", allow_private=False)
    assert skips[0].reason == "private_address" and "--allow-private" in skips[0].detail


async def test_a_root_that_moved_is_crawled_where_it_is_now(serve, answer) -> None:
    new = await serve({"/home": html("Home", "/a"), "/a": html("A")}, host="127.0.0.2")
    old = await serve({"/": answer(status=301, headers={"Location": f"{new.url}/home"})})
    pages, _, _ = await crawled(f"{old.url}/")
    assert [page.title for page in pages] == ["Home", "A"]
    assert pages[0].url == f"{new.url}/home" and pages[0].extra["requested_url"] == f"{old.url}/"


async def test_endless_url_spaces_are_bounded(serve) -> None:
    frontier = Frontier(max_depth=9)
    frontier.add_root("http://e.org/")
    refused = Counter()
    trapped = [f"http://e.org/calendar?day={day}" for day in range(300)]
    trapped += ["http://e.org/" + "a/b/" * n for n in range(2, 9)] + ["http://e.org/" + "x" * 3000]
    for url in trapped:
        try:
            frontier.add(url, 1)
        except Exception as error:
            refused[str(error).split(":")[0]] += 1
    # 100 of 300 days; paths with "a" four times or more: n = 4 … 8; the long one
    assert refused == {"trap": 100 + 5 + 1}


async def test_only_links_that_fit_the_patterns_are_followed(serve, answer) -> None:
    site = await serve(
        {
            "/": html("Home", "/docs/a", "/blog/b", "/docs/tag/c", "/docs/out"),
            "/docs/a": html("A", "/docs/d?print=1"),
            "/docs/out": answer(status=302, headers={"Location": "/blog/b"}),
            "/blog/b": html("B"),
        }
    )
    pages, skipped, _ = await crawled(f"{site.url}/", allow=["*/docs/*"], deny=["*/tag/*", "*?print=*"])
    assert [page.title for page in pages] == ["Home", "A"]
    denied = {"/blog/b", "/docs/tag/c", "/docs/d?print=1", "/docs/out"}
    assert {url.removeprefix(site.url): reason for url, reason in skipped.items()} == dict.fromkeys(denied, "denied")
    assert not {"/docs/tag/c", "/docs/d?print=1"}.intersection(site.paths)


def sitemap(kind: str, *urls: str) -> str:
    entry = "sitemap" if kind == "sitemapindex" else "url"
    body = "".join(f"<{entry}><loc> {url}\n</loc></{entry}>" for url in urls)
    return f'<?xml version="1.0"?><{kind} xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</{kind}>'


async def test_sitemaps_lead_where_no_link_does(serve, answer) -> None:
    site = await serve({"/": html("Home"), "/a": html("A"), "/b": html("B"), "/c": html("C")})
    zipped = gzip.compress(sitemap("urlset", f"{site.url}/b", "http://other.invalid/x").encode())
    site.answers |= {
        "/robots.txt": answer(f"Sitemap: {site.url}/index.xml"),
        "/index.xml": answer(sitemap("sitemapindex", f"{site.url}/1.xml.gz", f"{site.url}/2.xml", f"{site.url}/3.xml")),
        "/1.xml.gz": answer(zipped, headers={"Content-Type": "application/gzip"}),
        "/2.xml": answer("<urlset><url>"),
        "/3.xml": answer(sitemap("urlset", f"{site.url}/a", f"{site.url}/")),
    }
    pages, skipped, _ = await crawled(f"{site.url}/", sitemap=True)
    assert [(page.title, page.depth) for page in pages] == [("Home", 0), ("B", 1), ("A", 1)]
    assert skipped == {f"{site.url}/2.xml": "bad_sitemap"}
    assert [page.title for page in (await crawled(f"{site.url}/"))[0]] == ["Home"]


async def test_the_usual_place_of_a_sitemap_is_tried_and_none_is_told(serve, answer) -> None:
    site = await serve({"/": html("Home"), "/a": html("A")})
    _, skipped, skips = await crawled(f"{site.url}/", sitemap=True)
    assert skipped == {f"{site.url}/": "no_sitemap"} and skips[0].followed and "http_404" in skips[0].detail
    site.answers["/sitemap.xml"] = answer("<html><title>Sitemap of the site</title>")
    _, skipped, skips = await crawled(f"{site.url}/", sitemap=True)
    assert skipped == {f"{site.url}/": "no_sitemap"} and not skips[0].followed
    assert "/sitemap.xml: is text/html without addresses" in skips[0].detail
    site.answers["/sitemap.xml"] = answer(sitemap("urlset", f"{site.url}/a"))
    assert [page.title for page in (await crawled(f"{site.url}/", sitemap=True))[0]] == ["Home", "A"]


LONG = " ".join(f"Street {n} of the town was laid out in {1700 + n} by a guild of masons." for n in range(40))


async def test_nearly_the_same_text_is_kept_once_and_its_links_are_followed(serve) -> None:
    site = await serve(
        {
            "/": html("Home", "/a", "/print", "/other"),
            "/a": html("A", text=LONG),
            "/print": html("A", "/behind", text=LONG.replace("Street 7", "Road 7")),  # 3 of some 480 runs of words
            "/other": html("B", text=LONG.replace("guild of masons", "school of monks")),
            "/behind": html("Behind"),
        }
    )
    pages, skipped, _ = await crawled(f"{site.url}/")
    assert [page.title for page in pages] == ["Home", "A", "B", "Behind"]
    assert skipped == {f"{site.url}/print": "near_duplicate"}
    assert len((await crawled(f"{site.url}/", similarity=1.0))[0]) == 5
    rest, again, _ = await crawled(f"{site.url}/", known=pages[:2])
    assert [page.title for page in rest] == ["B", "Behind"] and again == skipped


@pytest.mark.parametrize("cut", [0, 1, 6, 15])
async def test_a_resumed_crawl_gives_the_rest_and_fetches_nothing_twice(
    serve, answer, tmp_path: Path, cut: int
) -> None:
    answers = tree(14) | {"/moved": answer(status=302, headers={"Location": "/there"}), "/there": html("There", "/2")}
    answers["/0"] = html("P0", "/moved", "/404", "/1", "/3")
    site = await serve(answers)
    whole, _, _ = await crawled(f"{site.url}/")
    target = str(tmp_path / "pages.jsonl")
    jsonl.write_records(target, whole[:cut])
    known = list(jsonl.read_records(target, Page)) if cut else []
    site.requests.clear()
    rest, _, _ = await crawled(f"{site.url}/", known=known)
    assert [page.url for page in [*known, *rest]] == [page.url for page in whole]
    asked = {page.extra.get("requested_url", page.url).removeprefix(site.url) for page in known}
    assert not asked.intersection(site.paths)
    again, _, _ = await crawled(f"{site.url}/", known=known, max_pages=10)
    assert len(again) == max(0, min(10, len(whole)) - cut)


@pytest.mark.virtual_clock
async def test_a_document_that_defeats_the_libraries_is_one_refusal(serve, answer) -> None:
    heavy = "<table>" + "<tr><td colspan=1000 rowspan=60000>x</td></tr>" * 2000 + "</table>"
    odd = answer(html("B"), headers={"Content-Type": "text/html", "Retry-After": "\u0080"}, status=503)
    site = await serve({"/": html("Home", "/b", "/c", "/d"), "/b": heavy, "/c": odd, "/d": html("D")})
    pages, skipped, _ = await crawled(f"{site.url}/", timeout_seconds=2)
    assert [page.title for page in pages] == ["Home", "D"]
    assert skipped == {f"{site.url}/b": "too_heavy", f"{site.url}/c": "http_503"}


@pytest.mark.slow
async def test_a_large_crawl_uses_processes_and_gives_the_same(serve) -> None:
    site = await serve(tree(200))
    pages, _, _ = await crawled(f"{site.url}/", max_pages=1000)
    assert [page.title for page in pages] == ["Home", *(f"P{n}" for n in range(200))]


async def test_a_host_is_asked_by_few_at_a_time_whatever_else_goes_on(serve, answer) -> None:
    sites = []
    for name in "AB":
        pages = {path: answer(body, wait_seconds=0.03, together=2) for path, body in whole_tree(12, where=name).items()}
        alone = {path: answer(pages[path].body) for path in ("/", "/0")}
        sites.append(await serve(pages | alone))
    pages, _, _ = await crawled(*(f"{site.url}/" for site in sites), per_host=2)
    assert len(pages) == 26 and [site.most for site in sites] == [2, 2]


def star(size: int, where: str) -> dict[str, str]:
    """A root that links to ``size`` pages."""
    pages = {f"/{n}": html(f"P{n}{where}") for n in range(size)}
    return {"/": html(f"Home{where}", *pages), **pages}


@pytest.mark.virtual_clock
async def test_a_host_that_wants_time_does_not_hold_up_another(serve) -> None:
    slow = await serve({**star(12, "slow"), "/robots.txt": "User-agent: *\nCrawl-delay: 0.25"})
    fast = await serve(star(120, "fast"))
    start = asyncio.get_running_loop().time()
    pages, _, _ = await crawled(f"{slow.url}/", f"{fast.url}/", similarity=1.0)
    assert len(pages) == 13 + 121
    asked = [request.at for request in slow.requests if request.path != "/robots.txt"]
    assert asked[-1] - start >= 12 * 0.25
    # the first four of the slow host are taken before the fast one is known; then 12 pages for one: 8 times 12.5
    assert sum(request.at < asked[-1] for request in fast.requests) >= 90
    order = [page.url for page in pages]
    for cut in (5, 60, 120):
        rest, _, _ = await crawled(f"{slow.url}/", f"{fast.url}/", known=pages[:cut], similarity=1.0)
        assert order[:cut] + [page.url for page in rest] == order


@pytest.mark.virtual_clock
async def test_the_delay_holds_between_any_two_requests_to_a_host(serve) -> None:
    sites = [await serve(whole_tree(6, where=name)) for name in "AB"]
    await crawled(*(f"{site.url}/" for site in sites), delay_seconds=10)
    for site in sites:
        starts = [request.at for request in site.requests]
        assert len(starts) == 8 and min(after - before for before, after in pairwise(starts)) >= 10 - 1e-6


@pytest.mark.virtual_clock
async def test_a_host_that_answers_no_more_is_given_up(serve, answer) -> None:
    gone = {f"/{n}": answer("late", wait_seconds=3600) for n in range(40)}
    site = await serve({"/": html("Home", *gone), **gone})
    other = await serve({"/": html("Other", "/a"), "/a": html("A")})
    pages, _, skips = await crawled(f"{site.url}/", f"{other.url}/", per_host=3)
    assert [page.title for page in pages] == ["Home", "Other", "A"]
    counted = Counter(skip.reason for skip in skips)
    # when the tenth fails, eleven more are under way: with it 4 · per_host
    assert counted == {"timeout": 21, "host_silent": 19}


@pytest.mark.virtual_clock
async def test_a_host_that_was_given_up_is_not_asked_for_what_is_linked_later(serve, answer) -> None:
    gone = {f"/{n}": answer("late", wait_seconds=3600) for n in range(60)}
    site = await serve({"/": html("Home", *list(gone)[:20]), **gone})
    late = [f"{site.url}/{n}" for n in range(20, 60)]
    pages = {f"/p{n}": html(f"P{n}", *(late if n == 39 else [])) for n in range(40)}
    other = await serve({"/": html("Other", *pages), **pages})
    _, _, skips = await crawled(f"{site.url}/", f"{other.url}/", similarity=1.0)
    assert Counter(skip.reason for skip in skips if skip.url in late) == {"host_silent": 40}
    assert not set(site.paths) & {f"/{n}" for n in range(20, 60)}


@pytest.mark.parametrize(
    ("urls", "followed"),
    [
        ([f"http://e.org/calendar/{1900 + n // 12}/{n % 12 + 1}" for n in range(1000)], 400),
        ([f"http://e.org/events/{1900 + n // 300}-{n % 300 // 28 + 1:02}-{n % 28 + 1:02}/" for n in range(900)], 400),
        ([f"http://e.org/?month={n}" for n in range(500)], 200),
        ([f"http://e.org/news/2024/05/{n}-what-happened" for n in range(500)], 500),
        ([f"http://e.org/item/{1500 + n}" for n in range(900)], 900),
        ([f"http://e.org/a;jsessionid={md5(bytes([n])).hexdigest()}" for n in range(50)], 1),
        ([f"http://e.org/a?x=1&PHPSESSID={md5(bytes([n])).hexdigest()}" for n in range(50)], 1),
        ([f"http://e.org/(S({md5(bytes([n])).hexdigest()}))/a.aspx" for n in range(50)], 1),
        ([f"http://e.org/story.pl?sid={n}" for n in range(50)], 50),
        ([f"http://e.org/a?utm_source={n}" for n in range(50)], 1),
        ([f"http://e.org/a?{n}" + "&b=1" * n for n in range(1000)], 200),
        (["http://e.org" + "/dir" * n for n in range(1, 60)], 3),
    ],
)
def test_calendars_sessions_and_endless_queries_end(urls: list[str], followed: int) -> None:
    frontier = Frontier(max_depth=9)
    frontier.add_root("http://e.org/")
    assert frontier.take()
    for url in urls:
        with suppress(Reject):
            frontier.add(canonical_url(url) or "", 1)
    assert len(list(frontier.drop("e.org"))) == followed


def test_hosts_have_turns_by_their_pace() -> None:
    frontier = Frontier(max_depth=9)
    for host, pace in [("slow", 10.0), ("fast", 0.0), ("even", 0.5)]:
        frontier.add_root(f"http://{host}/")
        frontier.pace(f"http://{host}/", pace)
    assert [frontier.take() for _ in range(3)] and frontier.take() is None
    for host in ("slow", "fast", "even"):
        frontier.arrived(CrawlTarget(f"http://{host}/", 0))
        for n in range(2000):
            frontier.add(f"http://{host}/{n}", 1)
    turns: Counter[str] = Counter()
    for _ in range(1600):
        target = frontier.take()
        assert target is not None
        turns[target.url[7:11]] += 1
        frontier.arrived(target)
    # 30 seconds of turns: 1500 of 0.02, 60 of 0.5, 3 of 10
    assert 1500 <= turns["fast"] <= 1540 and 58 <= turns["even"] <= 63 and turns["slow"] in (2, 3)


def test_a_host_with_enough_under_way_is_waited_for() -> None:
    frontier = Frontier(max_depth=9, per_host=1)
    frontier.add_root("http://e.org/")
    for n in range(9):
        frontier.add(f"http://e.org/{n}", 1)
    taken = list(iter(frontier.take, None))
    assert len(taken) == 4  # four ahead of each request at once
    frontier.arrived(taken[0])
    assert len(list(iter(frontier.take, None))) == 1
