"""What a provider declares about itself; the core holds every call against it.

A declaration is checked where it is made, while the plugin is imported: a mistake there harms no other plugin.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ._checks import is_host, is_seconds, url_problem
from .models import Channel
from .money import CURRENCY_EXPONENTS, Money
from .status import PaymentStatus

__all__ = ["CONTRACT_VERSIONS", "OPTIONAL_OPERATIONS", "Limits", "Method", "ProviderInfo"]

# The versions of the contract that this core speaks.
CONTRACT_VERSIONS = frozenset({1})

# The hooks that a provider implements exactly when it declares them.
OPTIONAL_OPERATIONS = frozenset({"complete_charge", "capture_charge", "cancel_charge", "refund_charge", "get_refund"})

_QUERY_BY = frozenset({"order_id", "provider_id"})
_CHARGE_OPTIONS = frozenset({"capture", "expires_in", "payment_token"})


def _expect(right: bool, what: str) -> None:
    if not right:
        raise TypeError(what)


def _are(values: Any, kind: type) -> bool:
    return all(type(each) is kind for each in values)


class Method(msgspec.Struct, frozen=True):
    """One way to pay that a page can offer as a button.

    * `id`: the text for `ChargeRequest.method`
    * `title`: the button's text
    """

    id: str
    title: str

    def __post_init__(self) -> None:
        _expect(_are((self.id, self.title), str) and self.id != "", "the id and the title of a Method are text")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway takes.

    * `order_id_length`: the most characters of an order id
    * `order_id_pattern`: a regular expression of the whole order id, `""` for any
    * `description_length`: the most characters of a description, None where none is documented
    * `minimum`: the smallest amounts, at most one a currency; a currency without one has no documented limit
    * `maximum`: the largest amounts, likewise
    """

    order_id_length: int = 64
    order_id_pattern: str = ""
    description_length: int | None = None
    minimum: tuple[Money, ...] = ()
    maximum: tuple[Money, ...] = ()

    def __post_init__(self) -> None:
        lengths = [self.order_id_length] + ([self.description_length] if self.description_length is not None else [])
        _expect(all(type(each) is int and each > 0 for each in lengths), "the lengths of Limits are ints above zero")
        _expect(type(self.order_id_pattern) is str, "order_id_pattern is a regular expression, as text")
        for amounts in (self.minimum, self.maximum):
            _expect(type(amounts) is tuple and _are(amounts, Money), "minimum and maximum are tuples of Money")
        re.compile(self.order_id_pattern)


class ProviderInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's declaration. A mistake in it is a `TypeError` where it is made.

    * `id`: the entry point's name
    * `title`: the gateway's name, for people
    * `contract`: the version of the contract that the provider keeps
    * `operations`: the optional hooks that are implemented
    * `currencies`: the ISO 4217 codes that the gateway takes
    * `methods`: the ways to pay, in the order in which a page should show them; the first is the default
    * `channels`: the channels that the gateway has a flow for
    * `limits`: the lengths and amounts that the gateway takes
    * `raw_statuses`: the table of the gateway's own words
    * `query_by`: by which ids a charge can be asked about
    * `key_lifetime`: the seconds for which the gateway documents an idempotency key, None for none
    * `origins`: the https origins, besides the configured base URL, that requests may go to
    * `webhook_methods`: the HTTP methods with which notifications come
    * `charge_options`: which of `capture` (False), `expires_in` and `payment_token` of a charge request the gateway has
      a use for
    * `options_type`: the struct of `ChargeRequest.options`, None where there are none
    * `authoritative_webhooks`: True where events may carry a `charge` or a `refund`, because the signed message is
      complete
    * `refusal_statuses`: the statuses of which the gateway documents that they are decided before anything is accepted;
      403 is not among them unless it says so, because a firewall in front of it can answer 403 after the gateway has
      accepted
    * `moves_money`: False for a test account, True for a live one, None where the configuration does not tell; an
      instance may narrow it
    """

    id: str
    title: str
    contract: int = 1
    operations: frozenset[str] = frozenset()
    currencies: frozenset[str]
    methods: tuple[Method, ...]
    channels: frozenset[Channel]
    limits: Limits = Limits()
    raw_statuses: Mapping[str, PaymentStatus]
    query_by: frozenset[str] = _QUERY_BY
    key_lifetime: float | None = None
    origins: tuple[str, ...] = ()
    webhook_methods: tuple[str, ...] = ("POST",)
    charge_options: frozenset[str] = frozenset()
    options_type: type[msgspec.Struct] | None = None
    authoritative_webhooks: bool = False
    refusal_statuses: frozenset[int] = frozenset({401, 429})
    moves_money: bool | None = None

    def __post_init__(self) -> None:
        for field in ("operations", "currencies", "channels", "query_by", "charge_options"):
            given = getattr(self, field)
            _expect(isinstance(given, set | frozenset), f"{field} is a frozenset")
            msgspec.structs.force_setattr(self, field, frozenset(given))
        _expect(_are((self.id, self.title), str), "id and title are text")
        _expect(type(self.contract) is int, "contract is an int")
        _expect(_are(self.operations, str), "operations are the names of hooks")
        _expect(bool(self.currencies), "currencies has at least one")
        unlisted = [each for each in self.currencies if each not in CURRENCY_EXPONENTS]
        _expect(not unlisted, f"currencies are ISO 4217 codes with minor units, such as 'HKD', not {unlisted}")
        _expect(bool(self.channels) and _are(self.channels, Channel), "channels has at least one, each a Channel")
        _expect(self.query_by <= _QUERY_BY, f"query_by has none but {sorted(_QUERY_BY)}")
        _expect(self.charge_options <= _CHARGE_OPTIONS, f"charge_options has none but {sorted(_CHARGE_OPTIONS)}")
        _expect(
            type(self.methods) is tuple and bool(self.methods) and _are(self.methods, Method),
            "methods is a tuple with at least one, each a Method",
        )
        _expect(type(self.limits) is Limits, "limits is a Limits")
        table = self.raw_statuses
        _expect(
            isinstance(table, Mapping) and _are(table, str) and _are(table.values(), PaymentStatus),
            "raw_statuses is a mapping of the gateway's words to PaymentStatus",
        )
        _expect(
            self.key_lifetime is None or is_seconds(self.key_lifetime), "key_lifetime is seconds above zero, or None"
        )
        _expect(
            type(self.origins) is tuple and all(map(_is_origin, self.origins)),
            "origins is a tuple of https origins, such as 'https://pay.example'",
        )
        _expect(
            type(self.webhook_methods) is tuple and _are(self.webhook_methods, str),
            'webhook_methods is a tuple of HTTP methods, such as ("POST",)',
        )
        _expect(
            self.options_type is None
            or (isinstance(self.options_type, type) and issubclass(self.options_type, msgspec.Struct)),
            "options_type is a msgspec.Struct, or None",
        )
        _expect(type(self.authoritative_webhooks) is bool, "authoritative_webhooks is True or False")
        _expect(
            isinstance(self.refusal_statuses, set | frozenset) and self.refusal_statuses <= {401, 403, 429},
            "refusal_statuses is a frozenset, of 401, 403 and 429",
        )
        msgspec.structs.force_setattr(self, "refusal_statuses", frozenset(self.refusal_statuses))
        _expect(self.moves_money in {True, False, None}, "moves_money is True, False or None")


def _is_origin(value: object) -> bool:
    if type(value) is not str or url_problem(value):
        return False
    parts = urlsplit(value)
    return value == f"https://{parts.netloc}" and is_host(parts.hostname or "")
