"""What endpoints refuse of a request, in their own words, and the request that comes of it."""

import json
from typing import Any

import pytest

from webdancer_cli.llm.accepted_parameters import AcceptedParameters
from webdancer_cli.services.failures import classify_failure

SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
SENT: dict[str, Any] = {
    "model": "m",
    "messages": [],
    "temperature": 0.6,
    "top_p": 0.95,
    "max_tokens": 2048,
    "repetition_penalty": 1.1,
    "stop": ["x"],
    "seed": 3,
}


def located(name: str, message: str) -> dict[str, Any]:
    return {"detail": [{"type": "extra_forbidden", "loc": ["body", name], "msg": message}]}


def learnt(message: object, status: int = 400, sent: dict[str, Any] = SENT) -> dict[str, Any]:
    """What changes in the request: a value of None is left out."""
    takes = AcceptedParameters()
    body = message if isinstance(message, dict) else {"error": {"message": message}}
    if takes.learn(classify_failure(status, json.dumps(body)), sent) is None:
        return {"refusal": "names nothing that was sent"}
    after = takes.adapted(sent)
    return {name: after.get(name) for name in {**sent, **after} if after.get(name) != sent.get(name)}


REFUSED: list[tuple[object, int, dict[str, Any]]] = [
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        400,
        {"max_tokens": None, "max_completion_tokens": 2048},
    ),
    (located("max_tokens", "Extra inputs are not permitted"), 422, {"max_tokens": None}),
    ("Unsupported value: 'temperature' does not support 0.6. Only the default (1) is.", 400, {"temperature": None}),
    ("temperature and top_p cannot both be specified for this model", 400, {"top_p": None}),
    ("`temperature` and `top_p` cannot both be specified for this model. Please use only one.", 400, {"top_p": None}),
    ("Unrecognized request argument supplied: seed", 400, {"seed": None}),
    ("Extra inputs are not permitted, field: 'seed'", 422, {"seed": None}),
    (located("seed", "Extra inputs are not permitted"), 422, {"seed": None}),
    ('json: unknown field "seed"', 400, {"seed": None}),
    ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', 400, {"seed": None}),
    ("Additional properties are not allowed ('repetition_penalty' was unexpected)", 400, {"repetition_penalty": None}),
    ("property 'repetition_penalty' is unsupported", 400, {"repetition_penalty": None}),
    ("Argument not supported on this model: stop", 400, {"stop": None}),
    ("create() got an unexpected keyword argument 'seed'", 500, {"seed": None}),
    ("Unsupported parameter(s): `stop`. Supported parameters: temperature, top_p, max_tokens", 400, {"stop": None}),
    ({"error": {"message": "Bad value", "param": "top_p", "code": "invalid_value"}}, 400, {"top_p": None}),
    ("topP must be less than 1 for this model", 400, {"top_p": None}),
    ({"message": "temperature should be greater than 0", "type": "validation"}, 422, {"temperature": None}),
    ("Input validation error: `temperature` must be strictly positive", 422, {"temperature": None}),
    ({"error": {"message": "不支持的参数 top_p", "code": "1210"}}, 400, {"top_p": None}),
    ("Unknown: 'max_tokens'. Did you mean 'max_new_tokens'?", 400, {"max_tokens": None, "max_new_tokens": 2048}),
    # how long a reply is written
    ("Invalid max_tokens value, the valid range of max_tokens is [1, 1024]", 400, {"max_tokens": 1024}),
    ("max_tokens is too large: 2048. At most 1000 completion tokens are supported", 400, {"max_tokens": 1000}),
    ("max_tokens: 2048 > 1536, which is the maximum allowed number of output tokens for m", 400, {"max_tokens": 1536}),
    ("`max_tokens` must be less than or equal to `1,024`, the maximum value for this model", 400, {"max_tokens": 1024}),
    ("Range of max_tokens should be [1, 800]", 400, {"max_tokens": 800}),
]  # fmt: skip


@pytest.mark.parametrize(("message", "status", "change"), REFUSED, ids=[str(case[0])[:70] for case in REFUSED])
def test_what_a_refusal_names_is_left_out_or_sent_as_the_endpoint_wants_it(
    message: object, status: int, change: dict[str, Any]
) -> None:
    assert learnt(message, status) == change


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("Invalid request", 400),
        ("System role not supported", 400),
        ("messages: text content blocks must be non-empty", 400),
        ("The model `m` does not exist", 404),
        ("Incorrect API key provided", 401),
        ("Please stop sending this", 400),
        ("The temperature sensor failed, only try later", 400),
        ("Rate limit reached for max_tokens, try again in 3s", 429),
        ("'seed' is not supported", 500),
        ("This model's maximum context length is 4096 tokens, and max_tokens is 2048", 400),
        ("max_tokens=2048 cannot be greater than max_model_len=1024", 400),
    ],
)
def test_what_names_nothing_that_was_sent_changes_nothing(message: str, status: int) -> None:
    assert learnt(message, status) == {"refusal": "names nothing that was sent"}


NO_SCHEMA = [
    ("[{'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text' or 'json_object'\"}]", 500),
    ("This response_format type is unavailable now", 400),
    ("'response_format.type' value 'json_schema' is not supported", 400),
    ("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", 400),
    ({"detail": [{"loc": ["body", "response_format", "type"], "msg": "Input should be 'text' or 'json_object'"}]}, 422),
]  # fmt: skip


@pytest.mark.parametrize(("message", "status"), NO_SCHEMA, ids=[str(case[0])[:50] for case in NO_SCHEMA])
def test_a_schema_gives_way_to_json_and_json_to_nothing(message: object, status: int) -> None:
    body = classify_failure(status, json.dumps(message if isinstance(message, dict) else {"error": message}))
    takes, asked = AcceptedParameters(), {**SENT, "response_format": SCHEMA}
    assert takes.learn(body, takes.adapted(asked))
    assert takes.adapted(asked)["response_format"] == {"type": "json_object"}
    assert takes.learn(body, asked) == ""  # of a call that was under way
    assert takes.learn(body, takes.adapted(asked))
    assert takes.adapted(asked) == SENT


def test_a_server_that_does_not_know_the_field_is_not_asked_for_json_either() -> None:
    takes, asked = AcceptedParameters(), {**SENT, "response_format": SCHEMA}
    takes.learn(classify_failure(400, json.dumps({"error": {"message": "unknown field: response_format"}})), asked)
    assert takes.adapted(asked) == SENT


def test_a_name_that_was_offered_and_is_refused_in_turn_is_left_out() -> None:
    takes = AcceptedParameters()
    for name, other in (("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")):
        said = {"error": {"message": f"Unsupported parameter: '{name}'. Use '{other}' instead."}}
        assert takes.learn(classify_failure(400, json.dumps(said)), takes.adapted(SENT))
    assert not {"max_tokens", "max_completion_tokens"} & set(takes.adapted(SENT))
