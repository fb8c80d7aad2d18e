"""URLs: one spelling for what is fetched, one key for what is the same page, one name for what is the same site."""

import posixpath
import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urljoin, urlsplit, urlunsplit

DEFAULT_PORTS = {"http": 80, "https": 443}
TRACKING = re.compile(
    r"^(utm_\w+|fbclid|gclid|gclsrc|dclid|msclkid|yclid|igshid|mc_cid|mc_eid|_ga|_gl|phpsessid|jsessionid|sessionid|sid)$",
    re.IGNORECASE,
)
_SESSION_IN_PATH = re.compile(r";(?:jsessionid|phpsessid|sid)=[^/;?]*|/\(S\([a-z0-9]+\)\)(?=/)", re.IGNORECASE)
_PATH_SAFE = "/:@!$&'()*+,;=-._~%"
_QUERY_SAFE = _PATH_SAFE + "?"


def canonical(url: str, base: str = "") -> str | None:
    """The one spelling of an http(s) URL that is fetched and recorded, or None if it is not one.

    Relative URLs are joined to ``base``. Scheme and host in lower case, international hosts in punycode, no default
    port, no dot segments, no user name, percent-encoding in one form (RFC 3986, section 6.2), no fragment, no tracking
    or session parameters. The order of the other parameters is kept: to some servers it matters.
    """
    try:
        parts = urlsplit(urljoin(base, url.strip()) if base else url.strip())
        host = _host(parts)
    except ValueError:
        return None
    if parts.scheme.lower() not in DEFAULT_PORTS or not host:
        return None
    return urlunsplit((parts.scheme.lower(), host, _path(parts.path), _query(parts.query), ""))


def _host(parts: SplitResult) -> str:
    name = (parts.hostname or "").rstrip(".")
    if not name.isascii():
        name = name.encode("idna").decode("ascii")
    if re.search(r"[^a-z0-9.:_%-]", name):
        raise ValueError(f"not a host name: {name}")
    if ":" in name:
        name = f"[{name}]"
    return name if parts.port in (None, DEFAULT_PORTS.get(parts.scheme.lower())) else f"{name}:{parts.port}"


def _path(path: str) -> str:
    path = _SESSION_IN_PATH.sub("", path) or "/"
    clean = posixpath.normpath(re.sub(r"/{2,}", "/", path)) if "/." in path or "//" in path else path
    if path.endswith(("/", "/.", "/..")) and not clean.endswith("/"):
        clean += "/"
    return _encoded(clean, _PATH_SAFE)


def _query(query: str) -> str:
    kept = [pair for pair in query.split("&") if pair and not TRACKING.match(pair.partition("=")[0])]
    return _encoded("&".join(kept), _QUERY_SAFE)


_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_UNRESERVED = re.compile(r"[A-Za-z0-9._~-]")
_PLAIN = re.compile(r"[A-Za-z0-9._~/:@!$&'()*+,;=-]*")


def _encoded(text: str, safe: str) -> str:
    """Percent-encode what must be; escapes in upper case, and none for characters that need none."""

    def normal(match: re.Match[str]) -> str:
        char = chr(int(match.group(1), 16))
        return char if _UNRESERVED.match(char) else match.group().upper()

    if _PLAIN.fullmatch(text):
        return text
    text = re.sub(r"%(?![0-9a-fA-F]{2})", "%25", text)
    return quote(_ESCAPE.sub(normal, text), safe=safe)


def fingerprint(url: str) -> str:
    """The same for URLs that differ only in the order of their parameters. Takes and returns a canonical URL."""
    head, mark, query = url.partition("?")
    return head + mark + "&".join(sorted(query.split("&"))) if mark else url


_INDEX = re.compile(r"/index\.html?$", re.IGNORECASE)


def key(url: str) -> str:
    """What readers take for one page: no scheme, no fragment, no trailing slash, no ``index.html``, no escapes."""
    text = url.strip().partition("#")[0]
    scheme, found, rest = text.partition("://")
    host, slash, path = (rest if found else text).partition("/")
    if found and scheme.lower() in DEFAULT_PORTS:
        host = host.removesuffix(f":{DEFAULT_PORTS[scheme.lower()]}")
    path = _INDEX.sub("", slash + path) if "?" not in path else slash + path
    return host.lower() + unquote(path).rstrip("/")


def without_user(url: str) -> str:
    """Scheme, host, port and path: an address that may be told, without a user's name and password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def site(url: str) -> str:
    """Host and port, with "www." left out: pages of the same site have the same."""
    return (urlsplit(url).netloc.rpartition("@")[2]).lower().removeprefix("www.")


def url_words(url: str) -> str:
    """The part of a URL that a person reads, as text: ``…/wiki/Ada_Lovelace.html`` gives ``wiki/Ada_Lovelace``."""
    parts = urlsplit(url)
    path = re.sub(r"\.(html?|php|aspx?|jsp)$", "", unquote(parts.path), flags=re.IGNORECASE)
    values = " ".join(value for _, value in parse_qsl(parts.query))
    return f"{parts.hostname or ''} {path} {values}".replace("_", " ")
