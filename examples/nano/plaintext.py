"""The plain text that nano is pretrained on: pages of random fictional worlds, restated facts, lists, look-up, copying.

Every document is made from a fresh world with names of the ``train`` pool, so nothing can be memorised; what is left to
learn is to read: find a name, copy it, find the sentence that a question asks for, and follow it to the next page.
There is no ReAct form in it: no tags, no calls, no thoughts.

A document is a list of spans, each with a loss weight: text that nobody could predict (a fresh page, the question)
weighs almost nothing, words that follow from the pattern of the text little, and what has to be looked up one. Without
this the few tokens that matter drown: a model can be right on 95 of 100 derived tokens and still guess every fact.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from webdancer_cli.world.plain_pages import plain_page
from webdancer_cli.world.plain_world import PlainWorld, WorldFact

GIVEN = 0.05
EASY = 0.2
DERIVED = 1.0
PERSON_RELATIONS = frozenset({"mayor", "teacher", "founder", "author"})


@dataclass
class Document:
    """Spans of text with their loss weights, in order."""

    spans: list[tuple[str, float]]

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.spans)


class Draw:
    """A fresh world and random choices in it."""

    def __init__(self, rng: random.Random):
        self.rng = rng
        self.pages = rng.randrange(60, 3000)
        self.world = PlainWorld(pages=self.pages, seed=rng.randrange(1 << 40), names="train")

    def entity(self) -> int:
        return self.rng.randrange(self.pages)

    def name(self, index: int) -> str:
        return self.world.entity(index).name

    def page(self, index: int) -> str:
        return plain_page(self.world, index).text

    def linked(self, index: int) -> list[WorldFact]:
        return [fact for fact in self.world.facts(index) if fact.target_index is not None]

    def path(self, hops: int) -> list[tuple[int, str, int]]:
        """A chain of links (subject, relation, target), no entity twice."""
        steps: list[tuple[int, str, int]] = []
        here, seen = self.entity(), set[int]()
        for _ in range(hops):
            seen.add(here)
            ways = [fact for fact in self.linked(here) if fact.target_index not in seen]
            if not ways:
                break
            fact = self.rng.choice(ways)
            steps.append((here, fact.relation, fact.target_index))
            here = fact.target_index
        return steps


def question(draw: Draw, steps: list[tuple[int, str, int]]) -> str:
    last = steps[-1][1]
    phrase = draw.name(steps[0][0])
    for _, relation, _ in steps[:-1]:
        phrase = f"the {relation} of {phrase}"
    kind = draw.world.entity(steps[-1][2]).kind
    if last in PERSON_RELATIONS:
        word = "Who"
    else:
        word = draw.rng.choice(["What", f"Which {kind}"])
    return f"{word} is the {last} of {phrase}?"


def stated(subject: str, relation: str, value: str, told: float = EASY) -> list[tuple[str, float]]:
    """A fact said again: its value is what has to be looked up. ``told`` weighs the relation, if it can be known."""
    return [(f"The {relation}", told), (f" of {subject} is ", EASY), (value, DERIVED), (".\n", EASY)]


def restated(draw: Draw) -> Document:
    """A page, then its facts said again in another order, some of them asked for first."""
    index = draw.entity()
    facts = draw.world.facts(index)
    draw.rng.shuffle(facts)
    spans = [(draw.page(index) + "\n", GIVEN)]
    for fact in facts:
        asked = fact.target_index is not None and draw.rng.random() < 0.5
        if asked:
            spans.append((question(draw, [(index, fact.relation, fact.target_index)]) + "\n", GIVEN))
        spans += stated(draw.name(index), fact.relation, fact.value, EASY if asked else GIVEN)
        if asked:
            spans.append((fact.value + "\n", EASY))
    return Document(spans)


def chained(draw: Draw) -> Document:
    """A question over one to three pages, then the pages, each followed by the fact that leads on."""
    steps = draw.path(draw.rng.choice([1, 1, 2, 2, 2, 3]))
    spans = [(question(draw, steps) + "\n", GIVEN)]
    for step in steps:
        spans.append((draw.name(step[0]) + "\n", EASY))
        if draw.rng.random() < 0.3:
            spans.append((_list(draw, [step[0], draw.entity()]) + "\n", GIVEN))
        spans.append((draw.page(step[0]) + "\n", GIVEN))
        spans += stated(draw.name(step[0]), step[1], draw.name(step[2]))
    spans.append((draw.name(steps[-1][2]) + "\n", EASY))
    return Document(spans)


def _address(name: str, port: int) -> str:
    return f"http://127.0.0.1:{port}/{name}.html"


def _list(draw: Draw, indices: list[int]) -> str:
    port = draw.rng.choice([8765, 8765, 8766, 8766, 8000, draw.rng.randrange(1024, 65536)])
    order = list(dict.fromkeys(indices))
    draw.rng.shuffle(order)
    return "\n".join(f"{n}. [{draw.name(i)}]({_address(draw.name(i), port)})" for n, i in enumerate(order, 1))


def looked_up(draw: Draw) -> Document:
    """A numbered list of links, then the address of some of its names."""
    wanted = list(dict.fromkeys(draw.entity() for _ in range(draw.rng.randrange(2, 5))))
    listed = _list(draw, wanted)
    addresses = {line.split("[")[1].split("]")[0]: line.split("](")[1][:-1] for line in listed.split("\n")}
    spans = [(listed + "\n", GIVEN)]
    for index in draw.rng.sample(wanted, min(len(wanted), 3)):
        name = draw.name(index)
        spans += [(f"{name}\n", GIVEN), (f"{addresses[name]}\n", DERIVED)]
    return Document(spans)


def copied(draw: Draw) -> Document:
    """Names in a random order, then the same names again."""
    names = [draw.name(draw.entity()) for _ in range(draw.rng.randrange(4, 14))]
    joint = draw.rng.choice([", ", "\n", " and ", ". "])
    text = joint.join(names)
    return Document([(text + "\n", GIVEN), (text + "\n", DERIVED)])


def tabled(draw: Draw) -> Document:
    """A two-column table, then look-ups in it, forwards and backwards."""
    pairs = list({draw.entity(): draw.entity() for _ in range(draw.rng.randrange(3, 9))}.items())
    spans = [("".join(f"{draw.name(a)}: {draw.name(b)}\n" for a, b in pairs), GIVEN)]
    for a, b in draw.rng.sample(pairs, min(4, len(pairs))):
        spans += [(f"{draw.name(a)}: ", GIVEN), (f"{draw.name(b)}\n", DERIVED)]
    return Document(spans)


def unfolded(draw: Draw) -> Document:
    """A nested question and what it asks for first, next and last."""
    steps = draw.path(draw.rng.choice([2, 2, 3]))
    spans = [(question(draw, steps) + "\n", GIVEN)]
    subject = draw.name(steps[0][0])
    for _, relation, target in steps:
        spans.append((f"the {relation} of {subject}\n", DERIVED))
        subject = draw.name(target)
        spans.append((f"{subject}\n", 0.0))
    return Document(spans)


KINDS: list[tuple[Callable[[Draw], Document], int]] = [
    (restated, 50),
    (chained, 30),
    (looked_up, 8),
    (unfolded, 5),
    (tabled, 4),
    (copied, 3),
]
"""What share of the documents is of which kind."""


def documents(seed: int) -> Iterator[Document]:
    """An endless stream of documents, decided by the seed."""
    rng = random.Random(seed)
    makers, weights = zip(*KINDS, strict=True)
    while True:
        yield rng.choices(makers, weights)[0](Draw(rng))
