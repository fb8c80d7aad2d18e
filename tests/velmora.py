"""Questions about Velmora and what lies beyond: evidence, a chain of two pages, and a rewrite that hides the first."""

from webdancer_cli.data.records import Evidence, Rewrite

SITE = "http://127.0.0.1:8765"


def evidence(name: str, quote: str) -> Evidence:
    return Evidence(url=f"{SITE}/{name}.html", title=name, quote=quote)


MAYOR = evidence("Velmora", "The mayor of Velmora is Dolvek.")
TEACHER = evidence("Dolvek", "The teacher of Dolvek is Brunda.")
FOUNDED = evidence("Velmora", "The founding year of Velmora is 1234.")
VELMORA_DESCRIBED = Rewrite(
    entity="Velmora",
    query="Velmora",
    url=FOUNDED.url,
    sentence=FOUNDED.quote,
    description="the town whose founding year is 1234",
    before="Who is the mayor of Velmora?",
    after="Who is the mayor of the town whose founding year is 1234?",
)
