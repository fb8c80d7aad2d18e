"""What stands in place of a page: bot walls, logins, error pages and the like, told by wordings, marks and headers.

The wordings are those of the common vendors and servers. None of them is proof by itself: a manual explains "404 Not
Found", too. So a wording counts only where there is little else to read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

SHORT_CHARS = 1500
"""Longer texts are taken for what they look like: no wall has that much to say."""

OPENING_CHARS = 300
"""An error page says what is wrong at once."""


@dataclass(frozen=True)
class BlockPattern:
    """One kind of wall. ``title`` is matched from the start of the title or first line, the others anywhere.

    ``opening`` is for wordings that a page may well use further down, ``text`` for those that no page uses in passing.
    """

    reason: str
    title: re.Pattern[str] | None = None
    opening: re.Pattern[str] | None = None
    text: re.Pattern[str] | None = None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE | re.VERBOSE)


BLOCK_PATTERNS = (
    BlockPattern(
        "captcha",
        title=_pattern(r"(robot\ check|captcha(\ (required|check|challenge))?\W*$|security\ (check|verification)\W*$)"),
        text=_pattern(
            r"""(complete|solve|pass)\ the\ (security\ check|captcha|puzzle)|enter\ the\ characters\ you\ see
            |(confirm|prove|verify|check)\ (that\ )?you(\ are|['’]re)\ (not\ a\ (ro)?bot|(a\ )?human)
            |press\ (&|and)\ hold|(re|h|fun)captcha\ (challenge|requires|verification)
            |captcha\ verification|let['’]s\ confirm\ you\ are\ human|slide\ (right\ )?to\ (verify|complete)"""
        ),
    ),
    BlockPattern(
        "bot_wall",
        title=_pattern(
            r"""just\ a\ moment|attention\ required|access\ (to\ this\ page\ has\ been\ )?denied
            |pardon\ our\ interruption
            |(error\ )?403\b|(forbidden|blocked)\W*$|are\ you\ (a\ )?(human|robot)|human\ verification
            |verifying\ you|checking\ your\ browser|one\ (moment|more\ step)|ddos[\ -](guard|protection)
            |(sucuri|website)\ .*firewall|client\ challenge|unusual\ traffic|error:\ the\ request\ could\ not"""
        ),
        text=_pattern(
            r"""(checking|verifying)\ (your\ browser|if\ the\ site\ connection\ is\ secure|you\ are\ human)
            |enable\ javascript\ and\ cookies\ to\ continue|sorry,\ you\ have\ been\ blocked
            |performance\ (&|and)\ security\ by\ cloudflare|\bray\ id:?\s*[•:]?\s*[0-9a-f]{10,}
            |incapsula\ incident|unusual\ (traffic|activity)\ (from|coming\ from|detected|on)\ your
            |needs\ to\ review\ the\ security\ of\ your\ connection|security\ service\ to\ protect\ (itself|against)
            |(don['’]t|do\ not)\ have\ permission\ to\ access\ .{0,200}\ on\ this\ server
            |the\ request\ could\ not\ be\ satisfied|generated\ by\ cloudfront|reference\ \#\d+\.[0-9a-f]+
            |made\ us\ think\ (that\ )?you\ (are|might\ be)\ a\ bot|automated\ access\ to\ this
            |access\ denied\ -\ sucuri|your\ (ip|access)\ (address\ )?has\ been\ (blocked|banned|restricted)"""
        ),
    ),
    BlockPattern(
        "too_many_requests",
        title=_pattern(r"(error\ )?429\b|(error:?\ )?too\ many\ requests\W*$|rate\ limit(ed|\ exceeded)?\W*$"),
        opening=_pattern(
            r"""too\ many\ requests|rate\ limit\ (exceeded|reached)|(you\ (have|are)|been)\ (being\ )?rate[- ]limited
            |exceeded\ (the|your)\ (rate|request|download)\ limit|slow\ down,\ please"""
        ),
    ),
    BlockPattern(
        "parked_domain",
        title=_pattern(r".{0,60}\b(domain|website)\ (name\ )?(is\ )?(for\ sale|parked)|parked\ domain"),
        text=_pattern(
            r"""\b(domain|web\ ?site)(\ name)?\ ([\w.-]+\ )?(is|(may|might|could)\ be)
            \ (for\ sale|parked|available\ for)
            |buy\ this\ domain|domain\ (name\ )?(has\ |is\ )?(expired|been\ registered|pending\ renewal)
            |parked\ (free|domain|page|courtesy)|[\w-]+\.(com|net|org|io|info)\ is\ (for\ sale|parked)
            |(make|place)\ an\ offer\ (on|for)\ this\ domain|future\ home\ of\ something"""
        ),
    ),
    BlockPattern(
        "maintenance",
        title=_pattern(
            r"""((site|website|system|server)\ )?((is\ )?(down|closed)\ for\ |under\ |in\ |scheduled\ |planned\ )?
            maintenance(\ mode)?\W*$|we(['’]ll|\ will)\ be\ (right\ )?back|be\ right\ back"""
        ),
        text=_pattern(
            r"""\b(undergoing|down\ for|closed\ for|offline\ for|unavailable\ (due\ to|for)|performing|carrying\ out)
            \ ((some|a\ little|brief|scheduled|planned|routine|essential|system|site)\ ){0,2}maintenance
            |(site|website|service|wiki|page)\ is\ (currently\ )?under\ maintenance
            |we(['’]ll|\ will)\ be\ back\ (online\ )?(soon|shortly)|back\ online\ (soon|shortly)"""
        ),
    ),
    BlockPattern(
        "javascript_required",
        title=_pattern(r"(please\ )?(enable\ javascript|javascript\ (is\ )?(required|disabled))"),
        opening=_pattern(
            r"""(enable|turn\ on|activate|allow)\ java\s?script|java\s?script\ (is\ |appears\ to\ be\ )?
            (required|disabled|turned\ off|not\ (enabled|available))|(requires?|needs?|without)\ java\s?script
            |browser\ (does\ not|doesn['’]t)\ support\ java\s?script"""
        ),
    ),
    BlockPattern(
        "login_wall",
        title=_pattern(r"(please\ )?(log|sign)[\ -]?in\ (to|required)\b|(login|authentication|registration)\ required"),
        opening=_pattern(
            r"""\b(must|need\ to|have\ to)\ (be\ logged\ in|log\ ?in|sign\ in|register)\ (to|in\ order|before)
            |please\ (log|sign)\ ?in\ (to|first|or)|(log|sign)\ in\ to\ (continue|view|read|access|see|your\ account)
            |(only\ available|available\ only|reserved)\ (to|for)\ ((registered|logged[- ]in)\ )?
            (members|users|subscribers)
            |subscribe\ (now\ )?to\ (continue|keep)\ reading|login\ required|authentication\ required"""
        ),
    ),
    BlockPattern(
        "soft_404",
        title=_pattern(
            r"""(error:?\ )?(404|410)\b|(sorry[,!.]\ |oops[,!.]*\ )?(the\ |this\ |that\ )?(requested\ )?
            (page|file|article|content|document|url|resource)\ (you\ requested\ )?
            (can(not|['’]t|\ not)\ be\ found|(was|is|could)?\ ?n(ot|['’]t)\ (be\ )?(found|available|exist)|not\ found
            |(does\ not|doesn['’]t|no\ longer)\ exists?)|not\ found\W*$|no\ such\ page"""
        ),
        opening=_pattern(
            r"""(page|file|article|document|url|resource|content|address)s?\b[^.!?]{0,60}
            ((was|were|is|are|could|can)?\ ?(not|n['’]t|cannot)\ (be\ )?found|(does|do)(\ not|n['’]t)\ exist
            |no\ longer\ (exists?|available|here)|has\ (been\ )?(moved|removed|deleted))
            |\b404\b.{0,20}not\ found|error\ 404|(can['’]t|cannot|couldn['’]t|could\ not)\ find\ (the|that|this|a)
            \ (page|file|article|document)|nothing\ (was\ |to\ be\ )?found\ (here|at\ this)"""
        ),
    ),
    BlockPattern(
        "error_page",
        title=_pattern(
            r"""(error\ )?50[0-4]\b|(internal\ )?server\ error|bad\ gateway
            |(service|page|site)\ (temporarily\ )?unavailable|gateway\ time-?out
            |((application|database|fatal|unexpected|wikimedia)\ )?error\W*$
            |(something|what)\ went\ wrong"""
        ),
        opening=_pattern(
            r"""internal\ server\ error|bad\ gateway|service\ (is\ )?(temporarily\ )?unavailable|error\ 50[0-4]
            |error\ establishing\ a\ database\ connection|our\ servers\ are\ currently\ (under|experiencing)
            |something\ went\ wrong\W|an?\ (unexpected\ )?error\ (has\ )?occurred\ (while|on|during|processing)"""
        ),
    ),
)
"""In the order of trying: what is asked of a visitor tells more than what is missing."""

CAPTCHA_MARKS = _pattern(
    r"""captcha-delivery\.com|/_incapsula_resource|px-captcha|cdn-cgi/challenge-platform|cf-chl-|turnstile\.cloudflare
    |challenges\.cloudflare\.com|awswafintegration|captcha-sdk\.awswaf|hcaptcha\.com/1/api|class="[^"]*(g-re|h-)captcha
    |arkoselabs\.com|geetest\.com|/_fs-ch-|friendlycaptcha|ips\.js\?ak_bmsc|window\.kpsdk"""
)
"""Scripts and frames of challenges. A comment form has them too: they count where there is next to nothing to read."""

_HEADERS = (
    ("cf-mitigated", "challenge"),
    ("x-amzn-waf-action", ""),
    ("x-sucuri-block", ""),
    ("x-datadome-captcha", ""),
)


def blocking_header(headers: Mapping[str, str]) -> str:
    """The header by which a server says that it answered with a wall, as ``name: value``; "" if none does."""
    for name, value in _HEADERS:
        if name in headers and value in headers[name].lower():
            return f"{name}: {headers[name]}"
    return ""


def find_block_page(title: str, text: str) -> tuple[str, str] | None:
    """Reason and wording of the wall that a short text is; None for a text that looks like a page."""
    if len(text) > SHORT_CHARS:
        return None
    first_line = text.lstrip().partition("\n")[0][:120]
    opening = " ".join(text[:OPENING_CHARS].split())
    whole = " ".join(text.split())
    for kind in BLOCK_PATTERNS:
        found = (
            (kind.title and (kind.title.match(title.strip()) or kind.title.match(first_line)))
            or (kind.opening and kind.opening.search(opening))
            or (kind.text and kind.text.search(whole))
        )
        if found:
            return kind.reason, found.group()
    return None
