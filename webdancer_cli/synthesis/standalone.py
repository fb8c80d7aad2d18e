"""What can be understood on its own: sentences without their paragraph, names without their page."""

import re

from webdancer_cli.text.spacing import fold
from webdancer_cli.text.words import STOPWORDS, raw_words

MIN_CHARS, MAX_CHARS = 45, 260
MIN_LETTERS = 0.85
"""Letters and spaces among the characters of prose."""

_OPENING = re.compile(
    r"^(?:it|this|these|they|he|she|we|that|those|such|here|there|its|their|his|her|another|both|however|therefore|also|"
    r"thus|so|then|if|when|as above|note|see|for (?:more|details|example|instance)|changed in|new in|added|deprecated|"
    r"otherwise|similarly|likewise|consequently|alternatively|finally|and|or|but|"
    r"in (?:this|that|these|such|addition|other words|(?:all|some|either|both|most) cases?)|"
    r"to \w+ (?:it|them|this)|the difference|in the \w+ case|furthermore|moreover|because|again|instead|else|unlike|"
    r"contributed by|issue|bpo|gh-\d+|patch by|fortunately|unfortunately|currently|usually|so far|example|warning|"
    r"source code|availability|raises? an? auditing|what's new|read|click|go to|back to)\b",
    re.IGNORECASE,
)
_POINTER = re.compile(
    r"\b(?:this|these|those|above|below|previous(?:ly)?|aforementioned|the (?:following|former|latter|same|next|other)|"
    r"see also|(?:described|documented) (?:in(?! [12]\d{3}\b)|at|under|here|there)|refer to|"
    r"do (?:both|so)|can be found|"
    r"the (?:first|second|third|fourth|last) (?:parameter|argument)s?|see|e\.g|i\.e|here)\b|:$",
    re.IGNORECASE,
)
_TWO_SENTENCES = re.compile(r"[.!?] ")
_VARIABLE = re.compile(r"(?<![\w'’.-])[b-z](?![\w'’.(-])")
"""A lone letter: the name of an argument that only its own paragraph explains."""
_CODE = re.compile(r">>>|¶|::|[{}|\\<>]|==|\$ |\[\.\.\.|\.\.\.|=[\w\"']|\+=|\bgh-\d|\bbpo-")
_ORDERS = """
    accept act add allow apply avoid bump call change check choose close combine comment compute consider construct
    control convert create define delete deprecate determine display drop enable disable ensure enhance execute extend
    fix force generate get give ignore improve improvement include increase indicate initialize install instruct
    introspect limit list load make move open override parse perform prevent print provide raise read reduce refactor
    remove rename replace require return rework run search set show specify start stop store tell test turn update use
    write applies specifies
"""
_ORDER = re.compile(
    rf"^(?:don['’]t|do not|like|same|equivalent|similar|a|an|if|when|while|not|due|besides|without|after|before|"
    rf"changed|extended|raised|used|called|(?:{'|'.join(_ORDERS.split())})(?:s|es)?) ",
    re.IGNORECASE,
)
"""Openings of sentences whose subject or setting stands before them."""
_PRONOUN = re.compile(r"^(?:\S+ ){0,7}(?:it|its|they|them|their|he|she|his|her|you|your)\b", re.IGNORECASE)
_PASSING = re.compile(
    r"\b(?:probably|perhaps|now|new|newly|no longer|also|still|instead|updated|changed|added|improved|deprecated|"
    r"removed|been|several|some|certain|available|limited|become|received|gained|learned|therefore|version \d|"
    r"recently|lately|currently|today|nowadays|upcoming|future)\b"
    r"|https?:|, and [A-Z]"
)
"""Words of news and of comparisons: what they say holds for a release or a context, and defines nothing."""
_GENERIC = """
    here|this|this page|page|link|more|read more|learn more|documentation|docs|next|previous|back|home|index|source|see|
    source code|download|details|section|example|examples|tutorial|manual|website|web site|list|table|contents|top|api|
    reference|introduction|overview|faq|help|about|note|notes|edit|search|english|wikipedia|glossary|installation|
    configuration|requirements|usage|summary|conclusion|background|history|preface|license|copyright|description|
    manual|changelog|release notes|index of /|untitled|untitled document
"""
_NUMBERED = r"^(?:PEP|RFC|bpo|issue|section|chapter|appendix|part|table|figure|example|release|version) ?[A-Z]?\d"
_NO_NAME = re.compile(rf"[<>{{}}=\"'“”¶]|https?:|,|{_NUMBERED}", re.IGNORECASE)
_NO_TITLE = re.compile(rf"[<>{{}}“”¶]|https?:|{_NUMBERED}[\w.]*$", re.IGNORECASE)


def stands_alone(sentence: str, name: str = "") -> bool:
    """Whether a sentence, which may open with ``name``, can be understood without the ones around it, and is prose."""
    if len(sentence) < MIN_CHARS or _OPENING.search(sentence) or not is_plain(sentence):
        return False
    letters = sum(char.isalpha() or char.isspace() for char in sentence)
    opens_well = sentence[0].isupper() or bool(name and sentence.startswith(name))
    return opens_well and letters / len(sentence) >= MIN_LETTERS and sentence.count("(") == sentence.count(")")


def is_plain(sentence: str) -> bool:
    """Whether a sentence is one of prose, without code, and points to nothing outside it but by its subject."""
    if len(sentence) > MAX_CHARS or sentence[-1] != "." or sentence[0] in "-*•":
        return False
    return not any(sign.search(sentence) for sign in (_POINTER, _TWO_SENTENCES, _VARIABLE, _CODE))


def leans_on_context(sentence: str) -> bool:
    """Whether a sentence orders something done, or refers back early on: what it is about stood before it."""
    return _ORDER.match(sentence) is not None or _PRONOUN.match(sentence) is not None


_AUXILIARIES = "is are was were can could may might must will would should has have had do does did"
_VERBS = """
    accept add allow appear apply assume become begin behave belong build call carry cause change come consist contain
    convert create define depend execute expect find follow get give go handle help hold implement include invoke keep
    know lead let load look make mark mean need occur offer open operate parse pass perform point process produce
    provide raise reach read refer rely remain remove replace represent require return run save say see send serve set
    show specify start stop store support take tell tend tries try turn use want work write
"""
_FINITE = re.compile(rf"\b(?:{'|'.join(_AUXILIARIES.split())}|(?:{'|'.join(_VERBS.split())})(?:s|es)?)\b")
_BROKEN = re.compile(
    r":|\blike (?:the|an?) ____|^PageNames? of |^(?:The )?\w+ that (?:\w+ed|\w+s)\b[^,]*\.$"
    r"|^(?:The )?(?:\w+ )?(?:values?|lists?|number|sets?) (?:used|of) (?!.*\b(?:is|are|was|were|can|must|may|will)\b)"
)


def is_complete_sentence(sentence: str) -> bool:
    """Whether a sentence has a verb, so that it is no entry of a list, and no colon: then only half of it is meant."""
    return _FINITE.search(sentence) is not None and _BROKEN.search(sentence) is None


def is_ephemeral(predicate: str) -> bool:
    """Whether what is said of a thing is news, or too vague to tell the thing from others."""
    return _PASSING.search(predicate) is not None


def is_name(anchor: str) -> bool:
    """Whether an anchor names something: not "here", not a whole clause."""
    if not 3 <= len(anchor) <= 50 or len(anchor.split()) > 5 or _NO_NAME.search(anchor):
        return False
    return not is_generic(anchor) and any(word not in STOPWORDS and len(word) > 1 for word in raw_words(anchor))


def is_title(name: str) -> bool:
    """Whether a page may be called so: by more than a number, or a word like "Introduction"."""
    return len(name) > 1 and not is_generic(name) and _NO_TITLE.search(name) is None


def is_generic(name: str) -> bool:
    return fold(name) in {word.strip() for word in _GENERIC.split("|")}


def shares_telling_word(rest: str, anchor: str) -> bool:
    """Whether a telling word of the anchor also stands in the rest of the sentence."""
    parts = re.findall(r"[A-Z]?[^\W\dA-Z_]+|[^\W\da-z_]+", anchor)
    return any(part.casefold() in rest.casefold() for part in parts if len(part) >= 4)


_CLAUSE = re.compile(r"\b(?:is|are|was|were|should|can|could|may|must|will|has|have)\b|\bversion \d")


def is_gloss(gloss: str, name: str) -> bool:
    """Whether a phrase tells what a name means, without naming it: no sentence of its own, and no pointer."""
    loose = _CLAUSE.search(gloss) or _POINTER.search(gloss) or not {"|", ":", "<", ">"}.isdisjoint(gloss)
    return not loose and gloss.split()[-1].casefold() not in STOPWORDS and not shares_telling_word(gloss, name)


def word_set(words: str) -> frozenset[str]:
    """A table of words, written as a text."""
    return frozenset(words.split())


def count_telling_words(text: str) -> int:
    """How many different words of a text say something."""
    return len({word for word in raw_words(text) if len(word) > 3 and word not in STOPWORDS})


_MODALS = word_set("is are was were has have had will can may must should could would")
_JOINS = word_set(
    "that which who whom whose where when while if whether what how why because since unless until as than so after"
    " before although though and or but wherever whenever whatever whichever whoever however"
)


def has_stray_verb(predicate: str) -> bool:
    """Whether what follows a predicate's verb has another finite verb that nothing joins to it.

    "extracts info is one string element", "is a tool from the suite is an editor": two sentences run together.
    """
    joined = False
    for word in predicate.split()[1:]:
        if word.strip('("“').casefold() in _JOINS or word.endswith((",", ";", ":")):
            joined = True
        elif word in _MODALS:
            if not joined:
                return True
            joined = False
    return False
