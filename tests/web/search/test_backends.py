"""The search back ends against a server that answers in each service's documented shape, errors included."""

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.protocols import Hit, Search
from webdancer_cli.web.search.backends import open_search
from webdancer_cli.web.search.brave import Brave
from webdancer_cli.web.search.custom import CustomSearch
from webdancer_cli.web.search.searxng import Searxng
from webdancer_cli.web.search.serper import Serper
from webdancer_cli.web.search.tavily import Tavily

pytestmark = pytest.mark.virtual_clock

CANARY = "canary-77aa"
FAST = RetryPolicy(attempts=2, attempt_seconds=1, total_seconds=2, first_pause_seconds=0.01)
JSON = {"Content-Type": "application/json"}

SERPER = {
    "searchParameters": {"q": "ada lovelace", "type": "search", "num": 2, "engine": "google"},
    "knowledgeGraph": {"title": "Ada Lovelace", "type": "Mathematician"},
    "organic": [
        {"title": "Ada", "link": "https://e.org/ada", "snippet": "A life.", "date": "Jan 5, 2024", "position": 1},
        {"title": "Engine", "link": "https://e.org/engine", "position": 2, "sitelinks": []},
    ],
    "peopleAlsoAsk": [],
    "credits": 1,
}
BRAVE = {
    "type": "search",
    "query": {"original": "ada lovelace"},
    "web": {
        "type": "search",
        "results": [
            {
                "title": "Ada &amp; co",
                "url": "https://e.org/ada",
                "description": "Ada&#x27;s life.",
                "page_age": "2024-01-05T10:00:00",
                "age": "January 5, 2024",
            },
            {"title": "Engine", "url": "https://e.org/engine", "description": None},
        ],
    },
}
TAVILY = {
    "query": "ada lovelace",
    "answer": None,
    "images": [],
    "results": [
        {"title": "Ada", "url": "https://e.org/ada", "content": "A life.", "score": 0.9, "raw_content": None},
        {"title": "Engine", "url": "https://e.org/engine", "content": "A machine.", "published_date": "2024-01-05"},
    ],
    "response_time": 1.1,
}
SEARXNG = {
    "query": "ada lovelace",
    "number_of_results": 0,
    "results": [
        {
            "url": "https://e.org/ada",
            "title": "Ada",
            "content": "A life.",
            "publishedDate": "2024-01-05T00:00:00",
            "engine": "wikipedia",
            "engines": ["wikipedia"],
            "score": 1.0,
        },
        {"url": "https://e.org/engine", "title": "Engine", "content": "", "publishedDate": None},
    ],
    "answers": [],
    "infoboxes": [],
    "suggestions": [],
    "unresponsive_engines": [],
}

Opened = Callable[[str], Search]
SERVICES: dict[str, tuple[Opened, str, dict[str, Any], dict[str, Any]]] = {
    "serper": (lambda url: Serper(CANARY, f"{url}/", FAST), "/", SERPER, {"organic": []}),
    "brave": (
        lambda url: Brave(CANARY, f"{url}/", FAST),
        "/?q=ada+lovelace&count=2&text_decorations=false",
        BRAVE,
        {"type": "search"},
    ),
    "tavily": (lambda url: Tavily(CANARY, f"{url}/", FAST), "/", TAVILY, {"results": []}),
    "searxng": (
        lambda url: Searxng(url, FAST),
        "/search?q=ada+lovelace&format=json",
        SEARXNG,
        {"results": [], "unresponsive_engines": []},
    ),
}
REFUSALS = [
    ("serper", 401, "SERPER_API_KEY"),
    ("serper", 402, "add credit"),
    ("serper", 403, "SERPER_API_KEY"),
    ("brave", 401, "BRAVE_API_KEY"),
    ("brave", 402, "add credit"),
    ("tavily", 401, "TAVILY_API_KEY"),
    ("tavily", 402, "add credit"),
    ("tavily", 432, "plan's limit"),
    ("tavily", 433, "pay-as-you-go"),
    ("searxng", 401, "user and password"),
    ("searxng", 403, "enable json under search.formats in settings.yml"),
]
each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERPER_API_KEY", "BRAVE_API_KEY", "TAVILY_API_KEY"):
        monkeypatch.setenv(name, CANARY)


async def found(back_end: Search, query: str = "ada lovelace", results: int = 2) -> list[Hit]:
    try:
        return await back_end.search(query, results)
    finally:
        await back_end.aclose()


@each_service
async def test_results_in_the_documented_shape(serve, answer, name: str) -> None:
    opened, path, body, _ = SERVICES[name]
    site = await serve({path: answer(json.dumps(body), 200, JSON)})
    first, second = await found(opened(site.url))
    assert first.url == "https://e.org/ada" and second.url == "https://e.org/engine"
    assert second.title == "Engine"
    expected = {
        "serper": Hit("Ada", first.url, "A life.", "Jan 5, 2024"),
        "brave": Hit("Ada & co", first.url, "Ada's life.", "2024-01-05"),
        "tavily": Hit("Ada", first.url, "A life."),
        "searxng": Hit("Ada", first.url, "A life.", "2024-01-05"),
    }
    assert first == expected[name]


async def test_what_each_service_is_sent(serve, answer) -> None:
    sent = {}
    for name, (opened, path, body, _) in SERVICES.items():
        site = await serve({path: answer(json.dumps(body), 200, JSON)})
        await found(opened(site.url))
        [sent[name]] = site.requests
    assert (sent["serper"].method, json.loads(sent["serper"].body)) == ("POST", {"q": "ada lovelace", "num": 2})
    assert sent["serper"].headers["x-api-key"] == CANARY
    assert (sent["brave"].method, sent["brave"].headers["x-subscription-token"]) == ("GET", CANARY)
    body = {"query": "ada lovelace", "max_results": 2, "search_depth": "basic"}
    assert (sent["tavily"].method, json.loads(sent["tavily"].body)) == ("POST", body)
    assert sent["tavily"].headers["authorization"] == f"Bearer {CANARY}"
    assert dict(parse_qsl(urlsplit(sent["searxng"].path).query)) == {"q": "ada lovelace", "format": "json"}


@each_service
async def test_nothing_found_is_no_error(serve, answer, name: str) -> None:
    opened, path, _, empty = SERVICES[name]
    site = await serve({path: answer(json.dumps(empty), 200, JSON)})
    assert await found(opened(site.url)) == []


@pytest.mark.parametrize(("name", "status", "remedy"), REFUSALS)
async def test_a_refusal_ends_the_run_and_says_what_to_do(serve, answer, name: str, status: int, remedy: str) -> None:
    opened, path, _, _ = SERVICES[name]
    site = await serve({path: answer(json.dumps({"message": f"no: {CANARY}"}), status, JSON)})
    with pytest.raises(ServiceRefused, match=remedy) as caught:
        await found(opened(site.url))
    assert f"HTTP {status}" in str(caught.value)
    assert len(site.requests) == 1
    assert name == "searxng" or CANARY not in str(caught.value)


@each_service
async def test_too_many_requests_are_repeated(serve, answer, name: str) -> None:
    opened, path, body, _ = SERVICES[name]
    good = answer(json.dumps(body), 200, JSON)
    site = await serve({path: answer("{}", 429, {**JSON, "Retry-After": "0"}, then=good)})
    assert len(await found(opened(site.url))) == 2
    assert len(site.requests) == 2


@each_service
@pytest.mark.parametrize("failure", ["502", "html"])
async def test_an_outage_is_told_as_one_after_bounded_attempts(serve, answer, name: str, failure: str) -> None:
    opened, path, _, _ = SERVICES[name]
    site = await serve({path: answer("<html>hello</html>", 502 if failure == "502" else 200)})
    with pytest.raises(Outage, match="HTTP 502" if failure == "502" else "text/html, not JSON"):
        await found(opened(site.url))
    assert len(site.requests) == 2


async def test_brave_is_asked_no_more_than_it_takes(serve, answer) -> None:
    site = await serve({})
    with pytest.raises(Outage):
        await found(Brave(CANARY, f"{site.url}/", FAST), "word " * 60, 99)
    asked = dict(parse_qsl(urlsplit(site.requests[0].path).query))
    assert asked["count"] == "20"
    assert len(asked["q"].split()) == 50 and len(asked["q"]) <= 400


async def test_searxng_whose_engines_all_failed_has_not_found_nothing(serve, answer) -> None:
    body = {"results": [], "unresponsive_engines": [["google", "timeout"], ["bing", "access denied"]]}
    site = await serve({"/search?q=x&format=json": answer(json.dumps(body), 200, JSON)})
    with pytest.raises(Outage, match="its engines failed: google: timeout, bing: access denied"):
        await found(Searxng(site.url, FAST), "x")


async def test_searxng_user_and_password_are_sent_and_not_told(serve, answer) -> None:
    header = b64encode(f"ada:{CANARY}".encode()).decode()
    said = answer(f"no entry for {CANARY}, who sent Basic {header}", 403, {"Content-Type": "text/plain"})
    site = await serve({"/x/search?q=x&format=json": said})
    searxng = Searxng(site.url.replace("//", f"//ada:{CANARY}@") + "/x/", FAST)
    assert searxng.name == f"searxng={site.url}/x"
    with pytest.raises(ServiceRefused) as caught:
        await found(searxng, "x")
    assert "no entry for ***, who sent Basic ***" in str(caught.value)
    assert site.requests[0].headers["authorization"] == f"Basic {header}"


async def test_queries_run_side_by_side(serve, answer) -> None:
    slow = answer(json.dumps(SERPER), 200, JSON, together=8)
    site = await serve({"/": slow})
    serper = Serper(CANARY, f"{site.url}/", FAST)
    await asyncio.gather(*(serper.search(f"q{n}", 2) for n in range(8)))
    assert site.most == 8
    await serper.aclose()


OWN = """
import asyncio
from webdancer_cli.errors import ToolError, UsageError
def demands(query, results): raise UsageError("set KEY")
async def cancels(query, results): raise asyncio.CancelledError
def halves(query, results): return [{"title": "smile \\ud83d", "url": "https://e.org/1", "snippet": "\\udc00"}]
def tells(query, results): raise ToolError("too short")
def plain(query, results): return [{"title": query, "url": "https://e.org/1"}] * results
async def waits(query, results): return [{"title": query, "url": "https://e.org/1", "snippet": "s", "date": "2024"}]
def fails(query, results): raise ValueError("no such index")
def odd(query, results): return [{"title": query}]
"""


@pytest.fixture
def own(tmp_path) -> str:
    (tmp_path / "mine.py").write_text(OWN)
    return str(tmp_path / "mine.py")


async def test_a_function_of_ones_own_plain_or_async(own: str) -> None:
    assert await found(open_search(f"{own}:plain"), "a", 2) == [Hit("a", "https://e.org/1")] * 2
    assert await found(open_search(f"{own}:waits"), "a", 2) == [Hit("a", "https://e.org/1", "s", "2024")]


async def test_what_a_function_of_ones_own_raises_is_an_outage_unless_it_says_otherwise(own: str) -> None:
    with pytest.raises(Outage, match="ValueError: no such index"):
        await found(CustomSearch(f"{own}:fails"))
    with pytest.raises(ToolError, match=r"^too short$"):
        await found(CustomSearch(f"{own}:tells"))


@pytest.mark.parametrize(
    ("name", "said"),
    [("odd", "returned no list of results"), ("demands", "UsageError: set KEY"), ("cancels", "CancelledError")],
)
async def test_what_it_does_in_mid_run_is_no_error_in_the_command_line_and_cancels_nothing(
    own: str, name: str, said: str
) -> None:
    with pytest.raises(Outage, match=said):
        await found(CustomSearch(f"{own}:{name}"))


async def test_half_a_surrogate_pair_of_its_own_results_is_replaced(own: str) -> None:
    assert await found(CustomSearch(f"{own}:halves")) == [Hit("smile \ufffd", "https://e.org/1", "\ufffd")]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, "--web live needs --search: choose from serper, brave, tavily, searxng=URL"),
        ("google", "--search google: unknown; choose from serper"),
        ("searxng", "searxng=http://127.0.0.1:8888"),
        ("searxng=localhost:8888", "needs a URL"),
        ("serper=nowhere", "needs a URL"),
        ("duckduckgo", "it has no API for web results"),
        ("no_such_module_x:f", "no_such_module_x"),
    ],
)
def test_a_choice_that_cannot_work_is_refused_before_any_call(choice: str | None, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_search(choice)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["serper", "brave", "tavily"])
def test_a_service_without_its_key_is_refused_before_any_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(f"{name.upper()}_API_KEY")
    with pytest.raises(UsageError, match=f"--search {name} needs a key: set {name.upper()}_API_KEY"):
        open_search(name)
    assert open_search(name, asks=False).name == name


async def test_a_service_may_stand_behind_a_gateway(serve, answer) -> None:
    site = await serve({"/gate": answer(json.dumps(SERPER), 200, JSON)})
    assert len(await found(open_search(f"serper={site.url}/gate"))) == 2


def paths(name: str, *queries: str) -> list[str]:
    """Where a service is asked for each query."""
    return [SERVICES[name][1].replace("ada+lovelace", query) for query in queries]


REFUSED_BY_WORDS = [
    ("serper", 400, {"message": "Not enough credits", "statusCode": 400}),
    ("serper", 200, {"message": "Not enough credits", "statusCode": 400}),
    ("serper", 200, {"message": "Not enough credits"}),
    ("serper", 429, {"message": "Your monthly usage limit has been reached"}),
    ("brave", 422, {"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 422}}),
    ("brave", 429, {"error": {"code": "RATE_LIMITED", "meta": {"quota_limit": 2000, "quota_current": 2000}}}),
    (
        "brave",
        200,
        {"type": "ErrorResponse", "error": {"code": "QUOTA_LIMITED", "detail": "Quota limit exceeded"}},
    ),
    ("tavily", 400, {"detail": {"error": "Your account has been suspended"}}),
    ("tavily", 403, {"detail": {"error": "Your subscription has expired"}}),
    ("tavily", 200, {"error": "Invalid API key"}),
    ("searxng", 402, {"error": "payment required"}),
]


@pytest.mark.parametrize(("name", "status", "body"), REFUSED_BY_WORDS, ids=str)
async def test_an_account_at_its_end_is_told_by_what_a_service_says_and_asked_once(
    serve, answer, name: str, status: int, body: object
) -> None:
    site = await serve(dict.fromkeys(paths(name, "ada", "lovelace"), answer(json.dumps(body), status, JSON)))
    search = SERVICES[name][0](site.url)
    for query in ("ada", "lovelace"):
        with pytest.raises(ServiceRefused, match="--resume"):
            await search.search(query, 2)
    await search.aclose()
    assert len(site.requests) == 1


@each_service
async def test_results_are_an_answer_whatever_else_stands_beside_them(serve, answer, name: str) -> None:
    opened, path, body, _ = SERVICES[name]
    site = await serve({path: answer(json.dumps({**body, "errors": ["an engine timed out"]}), 200, JSON)})
    search = opened(site.url)
    assert len(await search.search("ada lovelace", 2)) == 2
    await search.aclose()


OUT_OF_ORDER = [
    ("serper", 400, {"message": "The backend is temporarily unavailable"}),
    ("serper", 400, {"message": "Too many requests"}),
    ("serper", 400, {"message": "Something else"}),
    ("serper", 200, {"message": "Something else"}),
    ("serper", 200, {}),
    ("serper", 200, []),
    ("brave", 200, {"type": "ErrorResponse", "error": {"code": "INTERNAL", "detail": "x", "status": 500}}),
    ("tavily", 200, {"results": [], "error": "search engine timed out"}),
    ("tavily", 200, {"detail": "x"}),
    ("searxng", 200, {"error": "x"}),
]


@pytest.mark.parametrize(("name", "status", "body"), OUT_OF_ORDER, ids=str)
async def test_a_service_that_is_out_of_order_is_an_outage_in_whatever_form_it_says_so(
    serve, answer, name: str, status: int, body: object
) -> None:
    site = await serve(dict.fromkeys(paths(name, "ada", "lovelace"), answer(json.dumps(body), status, JSON)))
    search = SERVICES[name][0](site.url)
    with pytest.raises(Outage):
        await search.search("ada", 2)
    await search.aclose()


ABOUT_THE_QUERY = [
    ("serper", 400, {"message": "Query pattern not allowed for free accounts.", "statusCode": 400}),
    ("serper", 400, {"message": "Missing query parameter: q", "statusCode": 400}),
    ("serper", 200, {"message": "Query is too long", "statusCode": 400}),
    (
        "brave",
        422,
        {"error": {"code": "VALIDATION", "detail": "Unable to validate parameter(s)"}},
    ),
    ("tavily", 400, {"detail": {"error": "Query is too long. Max query length is 400 characters."}}),
    ("searxng", 400, {"error": "No query"}),
    ("serper", 400, {"message": "Invalid query: api key expired, not enough credits"}),
]
ECHOED = "api key expired, not enough credits"


@pytest.mark.parametrize(("name", "status", "body"), ABOUT_THE_QUERY, ids=str)
async def test_what_is_about_the_query_itself_is_an_observation_that_lasts(
    serve, answer, name: str, status: int, body: object
) -> None:
    site = await serve(dict.fromkeys(paths(name, "ada", "lovelace"), answer(json.dumps(body), status, JSON)))
    search = SERVICES[name][0](site.url)
    with pytest.raises(ToolError) as caught:
        await search.search(ECHOED if ECHOED in str(body) else "ada", 2)
    await search.aclose()
    assert caught.value.lasts


async def test_a_plan_that_is_used_up_for_the_month_is_told_by_its_headers(serve, answer) -> None:
    for reset, error in (("1, 1419704", ServiceRefused), ("1, 30", Outage)):
        headers = {**JSON, "X-RateLimit-Remaining": "1, 0", "X-RateLimit-Reset": reset}
        site = await serve(dict.fromkeys(paths("brave", "ada"), answer("{}", 429, headers)))
        search = Brave(CANARY, f"{site.url}/", FAST)
        with pytest.raises(error):
            await search.search("ada", 2)
        await search.aclose()
