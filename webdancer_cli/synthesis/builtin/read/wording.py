"""Relations in English: as a question, as a description that stands for a name, as a condition."""

import re

from webdancer_cli.synthesis.builtin.read.facts import AUXILIARIES, PAST, PREPOSITIONS, Relation
from webdancer_cli.synthesis.page_topic import Topic


def ask_object(relation: Relation, subject: str, topic: Topic) -> str:
    """The question whose answer is the object: "Who is the mayor of Velmora?" ``thing`` is what the answer is."""
    if relation.noun:
        return _ask_noun(relation.noun, subject, topic)
    words = relation.verb.split()
    preposition = words.pop() if words[-1] in PREPOSITIONS and len(words) > 1 else ""
    if topic.person and preposition == "by" and (active := _active(words)):
        return f"Who {active} {subject}?"
    front = _front(topic, preposition)
    if words[0] in AUXILIARIES and len(words) > 1:
        rest = words[2:] if subject.split()[-1] == words[1] == "located" else words[1:]
        return " ".join([front, words[0], subject, *rest]) + "?"
    if base := base_of(words[0]):
        helper = "does" if words[0].endswith("s") and words[0] not in PAST else "did"
        return f"{front} {helper} {subject} {' '.join([base, *words[1:]])}?"
    return f"What is the name of {describe_object(relation, subject, topic)}?"


def describe_object(relation: Relation, subject: str, topic: Topic) -> str:
    """A noun phrase for the object: "the mayor of Velmora", "the town in which Dolvek was born"."""
    if relation.noun:
        return f"the {relation.noun} of {subject}"
    words = relation.verb.split()
    preposition = words.pop() if words[-1] in PREPOSITIONS and len(words) > 1 else ""
    if topic.person and preposition == "by" and (active := _active(words)):
        return f"the {_noun(topic)} who {active} {subject}"
    joint = (
        f"{preposition} {'whom' if topic.person else 'which'}" if preposition else "whom" if topic.person else "that"
    )
    return f"the {_noun(topic)} {joint} {subject} {' '.join(words)}"


def condition(relation: Relation, target: str) -> str:
    """What holds for the subject, as a relative clause without its pronoun or with "whose"."""
    return f"whose {relation.noun} is {target}" if relation.noun else f"{relation.verb} {target}"


def ask_subject(topic: Topic, conditions: list[tuple[Relation, str]]) -> str:
    """The question whose answer is the subject of all relations: "Which person was born in A and works at B?" """
    clauses = [condition(relation, target) for relation, target in conditions]
    if all(relation.verb for relation, _ in conditions):
        return f"Which {_noun(topic)} {' and '.join(clauses)}?"
    pronoun = "who" if topic.person else "that"
    whole = [clause if clause.startswith("whose ") else f"{pronoun} {clause}" for clause in clauses]
    return f"What is the name of the {_noun(topic)} {' and '.join(whole)}?"


def ask_count(relation: Relation, topic: Topic, target: str) -> str:
    """How many things of a kind have the relation: "How many persons have Velmora as their birthplace?" """
    return f"How many {plural(_noun(topic))} {_held_by_many(relation, target)}?"


def describe_group(relation: Relation, topic: Topic, target: str) -> str:
    """All things of a kind that have the relation: "people who were born in Velmora"."""
    pronoun = "who" if topic.person else "that"
    return f"{plural(_noun(topic))} {pronoun} {_held_by_many(relation, target)}"


def _held_by_many(relation: Relation, target: str) -> str:
    if relation.noun:
        return f"have {target} as their {relation.noun}"
    words = relation.verb.split()
    words[0] = {"is": "are", "was": "were", "has": "have"}.get(words[0]) or _base_of_present(words[0]) or words[0]
    return f"{' '.join(words)} {target}"


_RELATIVE = re.compile(
    r"(?<!and )\b(?:(?:in|on|at|to|with|by|from|of|into|for|under|near) (?:which|whom)|who|whom|that)\b", re.IGNORECASE
)
_STUTTER = re.compile(r"(?<![\w.“])([a-z]+) \1(?![\w.])")
_STRETCHED = re.compile(r"\bhave the [^?]*\b(?:which|whom?|that)\b[^?]* as their\b")


def is_clumsy(question: str) -> bool:
    """Whether a question says a word twice in a row ("lie lie"), or puts a relative clause into another.

    What a page is called by a sentence of another one may have as many clauses as that sentence.
    """
    if _STUTTER.search(question) or _STRETCHED.search(question):
        return True
    inner = question.split(" ", 2)[-1]  # without "In which", "Who is"
    return not question.startswith("According to ") and len(_RELATIVE.findall(inner)) > 1


def plural(noun: str) -> str:
    if noun == "person":
        return "people"
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def _ask_noun(noun: str, subject: str, topic: Topic) -> str:
    if topic.person:
        return f"Who is the {noun} of {subject}?"
    if topic.kind and topic.kind not in noun.split():
        return f"Which {topic.kind} is the {noun} of {subject}?"
    return f"What is the {noun} of {subject}?"


def _noun(topic: Topic) -> str:
    return "person" if topic.person else topic.kind or "thing"


def _front(topic: Topic, preposition: str) -> str:
    if topic.person:
        asked = "whom" if preposition else "who"
    else:
        asked = f"which {topic.kind}" if topic.kind else "what"
    text = f"{preposition} {asked}".strip()
    return text[0].upper() + text[1:]


def _active(words: list[str]) -> str:
    """ "founded" for "was founded" (by): only where the participle is the past form too."""
    regular = len(words) == 2 and words[0] in ("was", "were")
    return words[1] if regular and (words[1].endswith("ed") or words[1] in PAST) else ""


def base_of(verb: str) -> str:
    """The base of a third person's form: "work" for "works", "join" for "joined"; "" where spelling does not tell."""
    if verb in PAST:
        return PAST[verb]
    return _base_of_past(verb) if verb.endswith("ed") else _base_of_present(verb)


def third_of(base: str) -> str:
    """The third person of a base: "carries" for "carry"."""
    if re.search(r"[^aeiou]y$", base):
        return f"{base[:-1]}ies"
    return base + ("es" if re.search(r"(?:s|x|z|ch|sh|[^aeiou]o)$", base) else "s")


def _base_of_present(verb: str) -> str:
    if verb in PAST or verb.endswith("ed"):
        return ""
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if re.search(r"(?:ch|sh|ss|x|o)es$", verb):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else ""


_ONE_SYLLABLE = re.compile(r"(?:[^aeiouy]|qu)*[aeiouy][^aeiouywx]$")
"""Without a doubled consonant these had an e: "named" was "name", and "nam" would have given "nammed"."""
_SILENT_E = re.compile(
    r"[cuvz]$|(?<!s)s$|g$|[^aeioulrw]l$|[^aeiouhlprw]r$"
    r"|(?:[^aeou]|su)a[dmp]$|[^aeo]at$|(?<=cre)at$|[^aeiou]a[kr]$|(?:[^aeou]|[gq]u)i[dlmnr]$|[^aeiou]ik$|[^aeiou]o[dk]$|[^ae]u[dl]$|[^aeo]ur$|ut$"
    r"|(?:un|inv|ign|exc|rec|inc|exped)it$|(?:om|ev|en|qu)ot$|(?:pl|el|mp|ol)et$|(?:ss|ns|es)um$"
    r"|(?:st|pl|gn|ad|sc)or$|(?:ph|stp|cond)on$|(?:con|er)ven$|(?:ce|se)d$|[cb]rib$|(?:her|fer)$(?<=dher|rfer)|thieth$"
)
_NO_E = re.compile(
    r"(?:focus|bias|canvas|gas|format|combat|output|input|debut|ss|mirror|ruin|murmur|ong|\bhang|\bbang)$"
)
_SPELLED = {
    "added": "add", "erred": "err", "dyed": "dye", "owed": "owe", "installed": "install", "enrolled": "enroll",
    "bathed": "bathe", "soothed": "soothe", "breathed": "breathe", "welcomed": "welcome", "fulfilled": "fulfil",
    "premiered": "premiere",
}  # fmt: skip
"""What no rule tells."""


def _base_of_past(verb: str) -> str:
    if verb in _SPELLED:
        return _SPELLED[verb]
    if (
        verb.endswith("eed")
        and len(verb) > 4
        and not re.search(r"(?:n|s|f|w|c|r)eed$(?<!freed)(?<!creed)(?<!greed)", verb)
    ):
        return verb[:-1]
    stem = verb[:-2]
    if verb.endswith("ied"):
        return verb[:-3] + "y" if len(verb) > 4 else verb[:-1]
    if re.search(r"([bdgmnprt])\1$", stem) or re.search(r"[aeiou][a-z]*[^aeiou](?:el|ol)l$", stem):
        return stem[:-1]
    if _ONE_SYLLABLE.match(stem) or (_SILENT_E.search(stem) and not _NO_E.search(stem)):
        return stem + "e"
    return stem
