"""Checks of text that comes from outside, shared by the values."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from .errors import InvalidRequest

# C0, DEL, C1, lone surrogates, and the invisible marks that make two ids look alike.
_UNCLEAN: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,63}", re.ASCII)
_SHOWN_IN_A_PAGE: Final = re.compile(r"[!#$%&'()*+,./0-9:;=?@A-Z\[\]^_a-z{|}~-]{1,65536}", re.ASCII)
_PROGRAMS: Final = frozenset({"javascript", "vbscript", "data", "blob", "file", "about"})

_LABEL: Final = re.compile(r"[A-Za-z0-9-]{1,63}", re.ASCII)
_MOST_SECONDS: Final = 1_000_000_000  # some thirty years


def clean(text: object, field: str, *, at_least: int = 0, at_most: int = 255) -> None:
    """Refuse what is not text, is blank where it must not be, is too long, or has control characters."""
    if type(text) is not str:
        raise InvalidRequest(f"{field} is text", field=field)
    if not at_least <= len(text) <= at_most:
        wanted = f"{at_least} to {at_most}" if at_least else f"at most {at_most}"
        raise InvalidRequest(f"{field} has {wanted} characters, not {len(text)}", field=field)
    if text.isascii() and text.isprintable():
        if at_least and not text.strip():
            raise InvalidRequest(f"{field} must not be blank", field=field)
        return
    if _UNCLEAN.search(text):
        raise InvalidRequest(f"{field} must not have control or invisible characters", field=field)
    if at_least and not text.strip():
        raise InvalidRequest(f"{field} must not be blank", field=field)


def clean_id(text: object, field: str) -> None:
    """Refuse what is no id: unclean, blank, or with white space at an end, which a gateway may strip: another id."""
    clean(text, field, at_least=1)
    if str(text) != str(text).strip():
        raise InvalidRequest(f"{field} must not begin or end with white space", field=field)


def http_url(url: object, field: str) -> None:
    """Refuse what is neither empty nor an absolute http(s) URL without user info and control characters."""
    if url == "":
        return
    clean(url, field, at_most=2048)
    problem = url_problem(str(url))
    if problem:
        raise InvalidRequest(f"{field} {problem}", field=field)


def url_problem(url: str) -> str:
    """What is wrong with an absolute http(s) URL, in words that follow its name; `""` for nothing."""
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


def shopper_url(url: object) -> None:
    """Refuse what a shopper must not be sent to: no address, one that runs in the shop's page, or one that breaks out of it.

    An app's own scheme (`wallet://pay`) is an address; `javascript:` is a program.
    """
    scheme, colon, rest = url.partition(":") if type(url) is str else ("", "", "")
    plain = _SHOWN_IN_A_PAGE.fullmatch(rest) is not None and _SCHEME.fullmatch(scheme) is not None
    if not (colon and rest and plain) or scheme.lower() in _PROGRAMS:
        raise InvalidRequest("a shopper is sent to an address of plain ASCII, and never to a program", field="url")
    if scheme.lower() in {"http", "https"} and (problem := url_problem(str(url))):
        raise InvalidRequest(f"the address that a shopper is sent to {problem}", field="url")


def is_host(host: str) -> bool:
    """True for an IPv6 address (`urlsplit` has checked it) and for a name or IPv4 address that can be looked up."""
    return ":" in host or (len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.split(".")))


def is_seconds(value: object) -> bool:
    """True for a time above zero that dates and floats can hold."""
    return isinstance(value, int | float) and type(value) is not bool and 0 < value <= _MOST_SECONDS


def is_loopback(host: str | None) -> bool:
    """True for this machine's own addresses, by name or number."""
    return host is not None and (host in {"localhost", "::1"} or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None)
