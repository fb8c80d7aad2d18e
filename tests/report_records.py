"""Records as the stages write them, small enough to count by hand."""

from typing import Any

QUOTE = "The author of Emma is Jane Austen."


def call(name: str, **arguments: Any) -> str:
    words = ", ".join(f'"{key}": "{value}"' for key, value in arguments.items())
    return f'<think>\nFind it.\n</think>\n<tool_call>\n{{"name": "{name}", "arguments": {{{words}}}}}\n</tool_call>'


def messages(answer: str, observed: str = f"Emma is a novel. {QUOTE}") -> list[dict[str, str]]:
    return [
        {"role": "system", "content": "You search the web."},
        {"role": "user", "content": "Who wrote Emma?"},
        {"role": "assistant", "content": call("search", query="Emma")},
        {"role": "user", "content": f"<tool_response>\n{observed}\n</tool_response>"},
        {"role": "assistant", "content": f"<think>\nRead.\n</think>\n<answer>\n{answer}\n</answer>"},
    ]


def question(**fields: Any) -> dict[str, Any]:
    evidence = [{"url": "http://example.org/emma", "title": "Emma", "quote": QUOTE}]
    whole = {"question": "Who wrote Emma?", "answer": "Jane Austen", "id": "q1", "type": "single_hop", "level": 1}
    return whole | {"evidence": evidence} | fields


def trajectory(answer: str = "Jane Austen", outcome: str = "correct", **fields: Any) -> dict[str, Any]:
    verdict = {"outcome": outcome, "method": "match", "detail": "exact"}
    whole = {"qa": question(), "messages": messages(answer), "ending": "answered", "answer": answer, "model": "m"}
    return whole | {"tools": {"search": 1}, "verdict": verdict} | fields


def attempt(number: int, outcome: str, **fields: Any) -> dict[str, Any]:
    verdict = {"outcome": outcome, "method": "match"}
    whole: dict[str, Any] = {"id": f"a{number}", "qa_id": f"q{number}", "run": 0, "model": "m", "gold": "Jane Austen"}
    whole |= {
        "question": f"Who wrote novel {number}?",
        "answer": "Jane Austen",
        "verdict": verdict,
        "level": 1 + number % 2,
    }
    return whole | {"format_ok": True, "ending": "answered", "messages": messages("Jane Austen")} | fields


def from_ascii(text: bytes) -> bytes:
    """The bytes of a chunk, as the page's script reads them: one character after the other."""
    codes = iter(text)
    bits = "".join(f"{next(codes) ^ 0x40 if code == 0x5C else code:07b}" for code in codes)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
