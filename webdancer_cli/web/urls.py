"""URLs: the address that is fetched, what tells pages apart, what readers take for one page, and for one site."""

import hashlib
import re
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import ada_url

DEFAULT_PORTS = {"http": 80, "https": 443}
_ADDRESS = re.compile(r"(https?://)(?:[^/@]*@)?(\[[^\]/]+\]|[^/:\[]+?)\.?(:\d+)?(/[^#]*)")
"""As the parser writes it: scheme, host in ASCII, port if it is not the usual one, path and query."""


def canonical_url(url: str, base: str = "") -> str | None:
    """The address of an http(s) URL as a browser asks for it (WHATWG, URL), or None if it is not one.

    Relative URLs are joined to ``base``. Scheme and host are in lower case and ASCII, dot segments resolved, what must
    be escaped is. There is no user name and no fragment. Every slash, segment and parameter stays: to some server each
    of them matters.
    """
    try:
        found = _ADDRESS.match(ada_url.join_url(base, url.strip()) if base else ada_url.normalize_url(url.strip()))
    except ValueError:
        return None
    return "".join(part or "" for part in found.groups()) if found else None


_TRACKING = re.compile(
    r"utm_\w+|fbclid|gclid|gclsrc|dclid|msclkid|yclid|igshid|mc_cid|mc_eid|_ga|_gl",
    re.IGNORECASE,
)
_SESSION = re.compile(
    r"(?:php|j)?(?:sess(?:ion)?_?(?:id)?|sid)|oscsid|zenid|cftoken|aspsessionid\w*",
    re.IGNORECASE,
)
_TOKEN = re.compile(r"[\w,.!:~-]{16,}", re.ASCII)
_TURNS = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
"""Between a letter and a digit: drawn characters take many, a name or a number none."""
_SESSION_IN_PATH = re.compile(r";(\w+)=([^/;?]*)|/\((S)\(([a-z0-9]+)\)\)(?=/)", re.IGNORECASE)


def fingerprint(url: str) -> str:
    """The same for addresses of one page: they differ in escapes, in the order of their parameters, in who came from
    where (``utm_source``) or in what looks like the token of a session. Takes what ``canonical_url`` returns.
    """
    if _PLAIN.fullmatch(url):
        return url
    head, _, query = url.partition("?")
    pairs = sorted(_telling(query))
    return _escape(_without_session(head) + ("?" + "&".join(pairs) if pairs else ""))


def _without_session(path: str) -> str:
    """A path without ``;jsessionid=…`` and ASP.NET's ``/(S(…))``."""

    def left(match: re.Match[str]) -> str:
        name, value = match.group(1) or "sid", match.group(2) or match.group(4) or ""
        return "" if _SESSION.fullmatch(name) and _is_token(value) else match.group()

    return _SESSION_IN_PATH.sub(left, path) if ";" in path or "(" in path else path


def _telling(query: str) -> list[str]:
    """The parameters that may tell one page from another."""
    return [pair for pair in query.split("&") if pair and not _says_nothing(*pair.partition("=")[::2])]


def _says_nothing(name: str, value: str) -> bool:
    return bool(_TRACKING.fullmatch(name) or (_SESSION.fullmatch(name) and _is_token(value)))


def _is_token(value: str) -> bool:
    """Whether a value was drawn at random: a story's number, a date or a name was not."""
    return bool(_TOKEN.fullmatch(value)) and len(_TURNS.findall(value)) >= 3


_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PLAIN = re.compile(r"[A-Za-z0-9._~/:@!$'*+,-]*")


def _escape(url: str) -> str:
    """With escapes in upper case, where they are needed, and none for characters that need none."""

    def normal(match: re.Match[str]) -> str:
        char = chr(int(match.group(1), 16))
        return char if _UNRESERVED.match(char) else match.group().upper()

    return quote(_ESCAPE.sub(normal, re.sub(r"%(?![0-9a-fA-F]{2})", "%25", url)), safe="/:@!$&'()*+,;=-._~%?[]")


_INDEX = re.compile(r"/index\.html?$", re.IGNORECASE)


def page_key(url: str) -> str:
    """What readers take for one page: no scheme, no fragment, no trailing slash, no ``index.html``, no escapes."""
    text = url.strip().partition("#")[0]
    scheme, found, rest = text.partition("://")
    host, slash, path = (rest if found else text).partition("/")
    if found and scheme.lower() in DEFAULT_PORTS:
        host = host.removesuffix(f":{DEFAULT_PORTS[scheme.lower()]}")
    path, _, query = (slash + path).partition("?")
    path = _without_session(path)
    telling = "&".join(_telling(query)) if query else ""
    path = f"{path}?{telling}" if telling else _INDEX.sub("", path)
    return host.lower() + unquote(path).rstrip("/")


def page_hash(url: str) -> int:
    """64 bits of what readers take for one page; never 0. Two of a hundred million are the same with odds of 1:3700."""
    digest = hashlib.blake2b(page_key(url).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1


def without_user(url: str) -> str:
    """Scheme, host, port and path: an address that may be told, without a user's name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def site_of(url: str) -> str:
    """Host and port, with "www." left out: pages of the same site have the same."""
    return (urlsplit(url).netloc.rpartition("@")[2]).lower().removeprefix("www.")


def url_words(url: str) -> str:
    """The part of a URL that a person reads, as text: ``…/wiki/Ada_Lovelace.html`` gives ``wiki/Ada_Lovelace``."""
    parts = urlsplit(url)
    path = re.sub(r"\.(html?|php|aspx?|jsp)$", "", unquote(parts.path), flags=re.IGNORECASE)
    values = " ".join(value for _, value in parse_qsl(parts.query))
    return f"{parts.hostname or ''} {path} {values}".replace("_", " ")
