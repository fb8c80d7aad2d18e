"""How the built-in author signs what it writes."""

from webdancer_cli import config
from webdancer_cli.records import QA, Evidence

TAG = "crawlqa"


def sign(question: str, answer: str, type_: str, evidence: list[Evidence], author: str = config.BUILTIN) -> QA:
    """A question with its provenance. ``level`` counts the different pages among the evidence."""
    level = len({proof.url for proof in evidence})
    return QA(question=question, answer=answer, type=type_, level=level, evidence=evidence, author=author, tag=TAG)
