"""How the built-in author signs what it writes."""

from webdancer_cli.data.records import QA, Evidence
from webdancer_cli.options import config

TAG = "crawlqa"


def signed_question(
    question: str, answer: str, type_: str, evidence: list[Evidence], author: str = config.BUILTIN
) -> QA:
    """A question with its provenance. ``level`` counts the different pages among the evidence."""
    level = len({proof.url for proof in evidence})
    return QA(question=question, answer=answer, type=type_, level=level, evidence=evidence, author=author, tag=TAG)
