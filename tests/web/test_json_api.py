"""A service's failures: what passes is waited for, within bounds; what cannot pass ends the run; keys stay inside."""

import asyncio
import json

import msgspec
import pytest

from webdancer_cli.errors import Outage, ServiceRefused, ToolError, UsageError
from webdancer_cli.services.retry import RetryPolicy
from webdancer_cli.web.json_api import JsonApi, checked_url, tool_retry

pytestmark = pytest.mark.virtual_clock

CANARY = "canary-5f3c90be17"
FAST = RetryPolicy(attempts=3, attempt_seconds=1, total_seconds=2, first_pause_seconds=0.01)


class Said(msgspec.Struct):
    word: str


def service(**options: object) -> JsonApi:
    given = {
        "headers": {"X-Key": CANARY},
        "secrets": [CANARY],
        "remedies": {401: "set KEY", 402: "pay"},
        "retry": FAST,
    }
    return JsonApi("oracle", **{**given, **options})


async def asked(url: str, **options: object) -> str:
    oracle = service(**options)
    try:
        return (await oracle.ask("POST", f"{url}/", Said, json={"q": "who"})).word
    finally:
        await oracle.aclose()


def answered(answer, body: object, status: int = 200, **options: object):
    headers = {"Content-Type": "application/json", **options.pop("headers", {})}
    return answer(json.dumps(body), status, headers, **options)


async def test_the_request_carries_key_name_and_body_and_the_answer_is_typed(serve, answer) -> None:
    site = await serve({"/": answered(answer, {"word": "yes", "more": 1})})
    assert await asked(site.url, contact="https://e.org/bot") == "yes"
    [request] = site.requests
    assert (request.method, json.loads(request.body)) == ("POST", {"q": "who"})
    assert request.headers["x-key"] == CANARY
    assert request.headers["user-agent"].startswith("webdancer/") and "e.org/bot" in request.headers["user-agent"]


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_what_may_pass_is_tried_again(serve, answer, status) -> None:
    site = await serve({"/": answered(answer, {}, status, then=answered(answer, {"word": "now"}))})
    assert await asked(site.url) == "now"
    assert len(site.requests) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_does_not_pass_is_given_up_within_bounds(serve, answer, status) -> None:
    site = await serve({"/": answered(answer, {"message": "busy"}, status)})
    with pytest.raises(Outage, match=rf'oracle: HTTP {status}: {{"message": "busy"}} \(3 attempts\)'):
        await asked(site.url)
    assert len(site.requests) == 3


async def test_a_pause_longer_than_the_patience_is_kept_by_later_calls(serve, answer) -> None:
    site = await serve({"/": answered(answer, {}, 429, headers={"Retry-After": "60"})})
    oracle = service()
    for _ in range(3):
        with pytest.raises(Outage, match="HTTP 429"):
            await oracle.ask("POST", f"{site.url}/", Said, json={"q": "who"})
    await oracle.aclose()
    assert len(site.requests) == 1


async def test_html_in_place_of_json_is_told_as_that(serve, answer) -> None:
    site = await serve({"/": answer("<html>Welcome</html>")})
    with pytest.raises(Outage, match="oracle: it sent text/html, not JSON"):
        await asked(site.url)


async def test_a_page_of_html_is_no_reason_worth_reading(serve, answer) -> None:
    site = await serve({"/": answer("<html>" + "x" * 9999, 503)})
    with pytest.raises(Outage, match=r"oracle: HTTP 503 \(3 attempts\)$"):
        await asked(site.url)


@pytest.mark.parametrize("body", ["", "{", '{"word": 3}', "[]"])
async def test_json_of_another_shape_is_no_answer(serve, answer, body) -> None:
    site = await serve({"/": answer(body, 200, {"Content-Type": "application/json"})})
    with pytest.raises(Outage, match="oracle: it sent an odd answer"):
        await asked(site.url)


@pytest.mark.parametrize(("status", "remedy"), [(401, "set KEY"), (402, "pay")])
async def test_what_no_call_can_mend_ends_the_run_with_its_remedy_and_without_the_key(
    serve, answer, status, remedy
) -> None:
    site = await serve({"/": answered(answer, {"message": f"bad key {CANARY}"}, status)})
    with pytest.raises(ServiceRefused) as caught:
        await asked(site.url)
    assert (
        str(caught.value)
        == f'oracle: HTTP {status}: {{"message": "bad key ***"}}: {remedy}; --resume goes on from there'
    )
    assert len(site.requests) == 1


@pytest.mark.parametrize(("status", "kind"), [(429, Outage), (400, ToolError), (404, Outage), (401, ServiceRefused)])
async def test_no_message_holds_the_key(serve, answer, status, kind) -> None:
    site = await serve({"/": answered(answer, {"message": f"the query {CANARY}"}, status)})
    with pytest.raises(kind) as caught:
        await asked(site.url)
    assert CANARY not in str(caught.value) and "***" in str(caught.value)


async def test_an_answer_that_repeats_the_key_reaches_nobody_with_it(serve, answer) -> None:
    site = await serve({"/": answered(answer, {"word": f"your key is {CANARY}"})})
    assert await asked(site.url) == "your key is ***"


@pytest.mark.parametrize("status", [400, 413, 414, 422, 451])
async def test_what_is_said_of_the_request_is_an_answer_that_lasts(serve, answer, status) -> None:
    site = await serve({"/": answered(answer, {"message": "query too long"}, status)})
    with pytest.raises(ToolError, match=f"HTTP {status}") as caught:
        await asked(site.url)
    assert caught.value.lasts
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [404, 405, 204])
async def test_a_service_that_is_not_there_is_an_outage_and_no_observation(serve, answer, status) -> None:
    site = await serve({"/": answered(answer, {}, status)})
    with pytest.raises(Outage, match=f"HTTP {status}.*is this the service's address"):
        await asked(site.url)
    assert len(site.requests) == 1


async def test_a_call_that_finds_no_room_in_time_is_an_outage(serve, answer) -> None:
    site = await serve({"/": answered(answer, {"word": "yes"})})
    oracle = service(at_once=1, retry=RetryPolicy(attempts=1, attempt_seconds=15, total_seconds=0.5))
    async with oracle._room:
        with pytest.raises(Outage, match="too many requests were waiting"):
            await oracle.ask("POST", f"{site.url}/", Said)
    assert (await oracle.ask("POST", f"{site.url}/", Said)).word == "yes"
    await oracle.aclose()
    assert len(site.requests) == 1


@pytest.mark.parametrize(("seconds", "total", "attempt"), [(30, 24, 15), (300, 25, 15), (10, 8, 8)])
def test_a_service_gives_up_before_its_tool_does(seconds: float, total: float, attempt: float) -> None:
    retry = tool_retry(seconds)
    assert (retry.total_seconds, retry.attempt_seconds) == (total, attempt)


async def test_a_redirect_is_not_followed_for_the_key_would_go_along(serve, answer) -> None:
    other = await serve({"/": answered(answer, {"word": "stolen"})})
    site = await serve({"/": answer("", 302, {"Location": f"{other.url}/"})})
    with pytest.raises(Outage, match="HTTP 302"):
        await asked(site.url)
    assert not other.requests


async def test_retry_after_is_honoured_by_all_calls(serve, answer) -> None:
    slow_down = answered(answer, {}, 429, headers={"Retry-After": "1"}, then=answered(answer, {"word": "now"}))
    site = await serve({"/": slow_down})
    oracle = service(retry=RetryPolicy(attempts=3, attempt_seconds=5, total_seconds=5))
    first = asyncio.create_task(oracle.ask("POST", f"{site.url}/", Said))
    while not oracle._rest_until:
        await asyncio.sleep(0.01)
    second = await oracle.ask("POST", f"{site.url}/", Said)
    assert (await first).word == second.word == "now"
    await oracle.aclose()
    assert min(request.at for request in site.requests[1:]) - site.requests[0].at == pytest.approx(1.0)


async def test_a_pause_longer_than_the_patience_is_not_waited_for(serve, answer) -> None:
    site = await serve({"/": answered(answer, {}, 429, headers={"Retry-After": "3600"})})
    with pytest.raises(Outage, match="HTTP 429"):
        await asked(site.url)
    assert len(site.requests) == 1


async def test_silence_and_a_closed_port_are_outages(serve, answer) -> None:
    site = await serve({"/": answered(answer, {"word": "late"}, wait_seconds=9)})
    with pytest.raises(Outage, match="no answer within"):
        await asked(site.url, retry=RetryPolicy(attempts=1, attempt_seconds=0.05))
    with pytest.raises(Outage, match="ConnectError"):
        await asked("http://127.0.0.1:9", retry=RetryPolicy(attempts=1, attempt_seconds=5))


@pytest.mark.parametrize("url", ["", "localhost:8888", "ftp://e.org", "http://", "http://[", "file:///etc/passwd"])
def test_a_service_stands_at_an_http_url(url: str) -> None:
    with pytest.raises(UsageError, match="--search x"):
        checked_url(url, what="--search x")
    assert checked_url("http://127.0.0.1:8888/", what="") == "http://127.0.0.1:8888"
