"""What a page dates by a year or a version: "Support for SHA-256 was added in Django 3.1", "New in version 3.4".

A sentence is read only if it is plain and stands alone, and a mark of a version only where it stands under the title.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from webdancer_cli.data.records import Page
from webdancer_cli.synthesis.standalone import count_telling_words, is_name, is_plain, stands_alone
from webdancer_cli.text.months import MONTH
from webdancer_cli.text.spacing import squeeze
from webdancer_cli.text.words import sentence_spans

_DATE = rf"(?:the )?(?:(?:early|late|mid|\d{{1,2}}) )?(?:(?:{MONTH})(?: \d{{1,2}},?)? )?(?P<year>(?:19|20)\d\d)"
_VERSION = (
    r"(?:the )?(?:(?P<product>[A-Z][\w/+-]*(?: [A-Z][\w/+-]*)?) )?(?:version |release )?(?P<version>v?\d+(?:\.\d+)+)"
)
_HAPPENED = re.compile(
    r"^(?P<subject>[^,;:()]+?) (?:(?:is|are|has been|have been) (?:now )?deprecated,? and )?"
    r"(?P<be>was|were|is|are|has been|have been|will be) (?P<happened>(?:first |originally |initially )?"
    r"(?:added|announced|changed|completed|created|deprecated|designed|developed|discontinued|established|founded|"
    r"introduced|invented|merged|published|released|removed|renamed|replaced|rewritten|written)"
    rf"(?: to [A-Za-z][^,;:()\d]{{2,40}})?) (?P<when>in|since|as of|with|on) "
    rf"(?:{_DATE}|{_VERSION})(?=$|[,;.](?: |$)| by | \()"
)
_AS_OF = re.compile(
    r"^(?:As of|Since|Starting (?:with|in|from)|Beginning (?:with|in)) "
    r"(?:the )?(?:(?P<product>[A-Z][\w/+-]*(?: [A-Z][\w/+-]*)?) )?(?:version |release )?(?P<version>v?\d+(?:\.\d+)+), "
    r"(?P<subject>[^,;:()]+?) (?P<be>is|are|can be|has been|have been) "
    r"(?P<happened>(?:supported|available|allowed|enabled|disabled|deprecated|possible|used|required|ignored|accepted|"
    r"obsolete|permitted|included|removed)(?: (?:by default|in|on|for|with|to|when)\b[^,;:()]*)?)$"
)
_NEW = re.compile(r"^(?:New|Added|Available) (?:in|since) (?:the )?version:? (?P<version>\d+(?:\.\d+)+)\.?$")
_SETTING_OUT = re.compile(r"^(?:Source code: |Availability: )")
_LOWERED = re.compile(
    r"^(?:The|A|An|Support|Full|Limited|Experimental|Preliminary|Initial|Basic|Native|Optional|Partial|Built-in|All|Both|Several|Some|Many|Most|Each|Every|New)\b"
)
_VAGUE = re.compile(
    r"^(?:this|these|those|that|it|they|he|she|such|some|several|many|more|most|both|other|another|new|a number|"
    r"all|each|as|while|when|since|if|hence|thus|because|although|until|using|an? (?:similar|new|different)|"
    r"the (?:following|same|first|second|other|new|old|latter|former|prior|previous|current|original))\b"
    r"|\b(?:this|these|it|its|they|them|their|which|that|who|above|below|is|are|has|have|had|will|were)\b|^\w+ing ",
    re.IGNORECASE,
)
MAX_SUBJECT_WORDS = 12
MIN_TELLING_WORDS = 4


@dataclass(frozen=True, slots=True)
class DatedStatement:
    """``subject`` came about (``happened``: "was added to X") at ``when``, as ``quote`` says.

    ``moment`` orders whens of one ``sort``: the numbers of a version of a product, or a year.
    """

    subject: str
    happened: str
    sort: str
    when: str
    moment: tuple[int, ...]
    question: str
    quote: str
    own: bool = False
    """Whether the subject is what the page is about; it then stands in quotation marks."""


def read_dated(page: Page, name: str) -> list[DatedStatement]:
    """The dated statements of a page about ``name``, each subject once."""
    found = {dated.subject: dated for dated in (*_from_sentences(page.text), *_from_top(page.text, name))}
    return list(found.values())


def _from_sentences(text: str) -> Iterator[DatedStatement]:
    for start, end in sentence_spans(text):
        sentence = squeeze(text[start:end])
        found = _HAPPENED.match(sentence.rstrip(".")) if any(map(str.isdigit, sentence)) else None
        if found and stands_alone(sentence) and _is_telling(found["subject"]):
            yield _dated(found, sentence, found["when"])
        since = None if found else _AS_OF.match(sentence.rstrip("."))
        if since and is_plain(sentence) and _is_telling(since["subject"]):
            yield _dated(since, sentence, "since")


def _is_telling(subject: str) -> bool:
    """Whether a subject tells what is meant: by a name in it, or by several words that say something."""
    named = re.search(r"\S[A-Z_]|\w[._]\w|\(\)| [A-Z]| --?\w", subject) is not None
    short = len(subject.split()) <= MAX_SUBJECT_WORDS and not re.search(r"\d$", subject)
    return short and not _VAGUE.search(subject) and (named or count_telling_words(subject) >= MIN_TELLING_WORDS)


def _dated(found: re.Match[str], sentence: str, preposition: str) -> DatedStatement:
    subject = found["subject"]
    if _LOWERED.match(subject):
        subject = subject[0].lower() + subject[1:]
    auxiliary, _, participle = found["be"].partition(" ")
    happened = f"{participle} {found['happened']}".strip()
    since = "Since" if preposition == "since" else "In"
    product, year = found["product"] or "", found.groupdict().get("year")
    asked = "year" if year else f"{product} version".strip()
    question = f"{since} which {asked} {auxiliary} {subject} {happened}?"
    when = year or found["version"]
    moment = tuple(int(number) for number in re.findall(r"\d+", when))
    return DatedStatement(subject, f"{found['be']} {found['happened']}", asked, when, moment, question, sentence)


def _from_top(text: str, name: str) -> Iterator[DatedStatement]:
    """ "New in version 3.4." under the title of a page."""
    lines = [squeeze(line) for line in text[:600].splitlines() if line.strip()][:4]
    if not lines or not is_name(name) or not lines[0].startswith(name) or _VAGUE.search(name):
        return
    for at, line in enumerate(lines[1:], 1):
        if found := _NEW.match(line):
            moment = tuple(int(number) for number in found["version"].split("."))
            question = f"In which version was “{name}” added?"
            quote = " ".join(lines[: at + 1])
            yield DatedStatement(
                f"“{name}”", "was added", "version", found["version"], moment, question, quote, own=True
            )
            return
        if not _SETTING_OUT.match(line):
            return
