"""Checks of text that comes from outside, shared by the values."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category
from urllib.parse import urlsplit

from .errors import InvalidRequest

# Invisible characters that str.isprintable accepts: the marks and letters among Unicode's
# Default_Ignorable_Code_Point (DerivedCoreProperties.txt 17.0; all others are unprintable), and the blank Braille cell.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_BREAKS: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
# A byte-order mark says nothing inside text, and the two overrides make text read as what it is not.
_DROPPED: Final = re.compile("[\ufeff\u202d\u202e]")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,63}", re.ASCII)
_SHOWN_IN_A_PAGE: Final = re.compile(r"[!#$%&'()*+,./0-9:;=?@A-Z\[\]^_a-z{|}~-]{1,65536}", re.ASCII)
_PROGRAMS: Final = frozenset({"javascript", "vbscript", "data", "blob", "file", "about"})

_LABEL: Final = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
_MOST_SECONDS: Final = 1_000_000_000  # some thirty years


def plain_text(text: object, field: str) -> str:
    """Return text as a plain `str`: subclasses such as enums pass, with what they hold and not what they print."""
    if type(text) is str:
        return text
    if isinstance(text, str):
        return str.__str__(text)
    raise InvalidRequest(f"{field} is text", field=field)


def clean_id(given: object, field: str, *, at_least: int = 0, at_most: int = 255) -> str:
    """Return an id as it is; refuse one that is too long or has characters that nobody sees.

    By category that is control, format, private-use, unassigned and surrogate characters, and every white space but
    U+0020: two ids that look alike are one id.
    """
    if type(given) is str and given.isascii() and given.isprintable() and at_least <= len(given) <= at_most:
        return given
    text = plain_text(given, field)
    if not at_least <= len(text) <= at_most:
        raise _length(field, at_least, at_most, text)
    if not text.isprintable() or (not text.isascii() and _INVISIBLE.search(text)):
        hidden = next(each for each in text if not each.isprintable() or _INVISIBLE.match(each))
        raise InvalidRequest(
            f"{field} must not have control, invisible or unassigned characters, or white space other than U+0020: "
            f"it has U+{ord(hidden):04X}",
            field=field,
        )
    return text


def own_id(given: object, field: str) -> str:
    """Return an id that the caller chose; refuse a blank one, and white space at an end, which a gateway may strip."""
    text = clean_id(given, field, at_least=1)
    if text[0] == " " or text[-1] == " ":
        if not text.strip():
            raise InvalidRequest(f"{field} must not be blank", field=field)
        raise InvalidRequest(f"{field} must not begin or end with white space", field=field)
    return text


def prose(given: object, field: str, *, at_least: int = 0, at_most: int) -> str:
    """Return text for people, normalized: each run of line breaks and tabs is one space, byte-order marks are dropped.

    Joiners, direction marks, isolates and embeddings are part of how people write and pass. The bidirectional overrides
    are dropped, because they can make one amount or name read as another. Other control characters and lone surrogates
    are refused.
    """
    if type(given) is str and given.isascii() and given.isprintable() and given.strip() and len(given) <= at_most:
        return given
    text = _on_one_line(plain_text(given, field))
    if found := _CONTROL.search(text):
        raise InvalidRequest(f"{field} must not have control characters: it has U+{ord(found[0]):04X}", field=field)
    if not at_least <= len(text) <= at_most:
        raise _length(field, at_least, at_most, text)
    if at_least and not any(_is_seen(each) for each in text):
        raise InvalidRequest(f"{field} must not be blank", field=field)
    return text


def known(given: object, field: str, *, at_most: int) -> str:
    """Return what is merely known of a person, cleaned and cut: it is never a reason to refuse a charge."""
    if given is None:
        return ""
    text = given if type(given) is str else plain_text(given, field)
    if not text.isascii() or not text.isprintable():
        return _CONTROL.sub("", _on_one_line(text))[:at_most].strip()
    return text[:at_most]


def _on_one_line(text: str) -> str:
    return _BREAKS.sub(" ", _DROPPED.sub("", text))


def _is_seen(character: str) -> bool:
    # Not isprintable: an emoji that is newer than this Python is seen as well.
    return not character.isspace() and category(character) != "Cf" and _INVISIBLE.match(character) is None


def _length(field: str, at_least: int, at_most: int, text: str) -> InvalidRequest:
    wanted = f"{at_least} to {at_most}" if at_least else f"at most {at_most}"
    return InvalidRequest(f"{field} has {wanted} characters, not {len(text)}", field=field)


def http_url(given: object, field: str) -> str:
    """Return an absolute http(s) URL, or `""`; refuse user info and control characters."""
    url = given if type(given) is str else plain_text(given, field)
    if not url:
        return url
    clean_id(url, field, at_most=2048)
    problem = url_problem(url)
    if problem:
        raise InvalidRequest(f"{field} {problem}", field=field)
    return url


def url_problem(url: str) -> str:
    """Return the problem of an absolute http(s) URL, in words that follow its name; `""` for none."""
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return "must be plain ASCII without spaces and backslashes: encode the rest"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, None
    if parts is None or parts.scheme not in {"http", "https"} or not host:
        return "must be an absolute http(s) URL"
    if "@" in parts.netloc:
        return "must not have user info"
    return ""


def shopper_url(given: object) -> str:
    """Return the URL that a shopper is sent to.

    Refuse what is no address, runs in the shop's page, or breaks out of the attribute that it stands in. An app's own
    scheme (`wallet://pay`) is an address; `javascript:` is a program.
    """
    url = str.__str__(given) if isinstance(given, str) else ""
    scheme, colon, rest = url.partition(":")
    plain = _SHOWN_IN_A_PAGE.fullmatch(rest) is not None and _SCHEME.fullmatch(scheme) is not None
    if not (colon and rest and plain) or scheme.lower() in _PROGRAMS:
        raise InvalidRequest("a shopper is sent to an address of plain ASCII, and never to a program", field="url")
    if scheme.lower() in {"http", "https"} and (problem := url_problem(url)):
        raise InvalidRequest(f"the address that a shopper is sent to {problem}", field="url")
    return url


def is_host(host: str) -> bool:
    """Return True for an IPv6 address (`urlsplit` has checked it), and for a name or IPv4 address of legal form."""
    return ":" in host or (len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split(".")))


def is_seconds(value: object) -> bool:
    """Return True for a time above zero that dates and floats can hold."""
    return isinstance(value, int | float) and type(value) is not bool and 0 < value <= _MOST_SECONDS


def is_loopback(host: str | None) -> bool:
    """Return True for this machine's own addresses, by name or number."""
    return host is not None and (host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)
