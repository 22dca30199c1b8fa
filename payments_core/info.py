"""Define a provider's declaration; the core checks every call against it.

A declaration is checked where it is made, while the plugin is imported: a mistake there harms no other plugin.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ._checks import is_host, is_seconds, url_problem
from .models import Channel
from .money import CURRENCY_EXPONENTS, Money
from .status import PaymentStatus

__all__ = [
    "CONTRACT_VERSIONS",
    "Duplicates",
    "Limits",
    "Method",
    "Notifications",
    "ProviderInfo",
]

# The versions of the contract that this core speaks.
CONTRACT_VERSIONS = frozenset({1})

_QUERY_BY = frozenset({"order_id", "provider_id"})
_REFUND_QUERY_BY = frozenset({"refund_id", "provider_id", "reference"})
_CHARGE_OPTIONS = frozenset({"capture", "expires_in", "payment_token"})


def _expect(right: bool, what: str) -> None:
    if not right:
        raise TypeError(what)


def _are(values: Any, kind: type) -> bool:
    return all(type(each) is kind for each in values)


class Notifications(StrEnum):
    """The kinds of notifications, by what proves them.

    * `SIGNED`: a signature over the raw bytes
    * `UNSIGNED`: nothing, so each is a hint, and the gateway is asked
    * `NONE`: the gateway sends none
    """

    SIGNED = "SIGNED"
    UNSIGNED = "UNSIGNED"
    NONE = "NONE"


class Duplicates(StrEnum):
    """The documented effect of a second create for the same order id.

    * `SAME_FOR_KEY_LIFETIME`: the same charge, for `info.key_lifetime` seconds
    * `SAME`: the same charge, for a time that is not documented
    * `REFUSED`: an error, and no second charge
    * `UNDOCUMENTED`: perhaps a second charge
    """

    SAME_FOR_KEY_LIFETIME = "SAME_FOR_KEY_LIFETIME"
    SAME = "SAME"
    REFUSED = "REFUSED"
    UNDOCUMENTED = "UNDOCUMENTED"


class Method(msgspec.Struct, frozen=True):
    """One way to pay that a page can offer as a button.

    * `id`: the text for `ChargeRequest.method`
    * `title`: the button's text
    * `currencies`: the currencies that it takes, None for all of the provider's
    * `channels`: the channels that it takes, None for all of the provider's
    * `capture`: True where it takes the money at once and holds none, False where it only holds, None for both
    """

    id: str
    title: str
    currencies: frozenset[str] | None = None
    channels: frozenset[Channel] | None = None
    capture: bool | None = None

    def __post_init__(self) -> None:
        _expect(_are((self.id, self.title), str) and self.id != "", "the id and the title of a Method are text")
        for field in ("currencies", "channels"):
            if (given := getattr(self, field)) is not None:
                _expect(
                    isinstance(given, set | frozenset) and bool(given), f"{field} of a Method is a frozenset, or None"
                )
                msgspec.structs.force_setattr(self, field, frozenset(given))
        _expect(self.channels is None or _are(self.channels, Channel), "channels of a Method are Channels")
        _expect(self.capture in {True, False, None}, "capture of a Method is True, False or None")

    def takes(
        self, *, currency: str | None = None, channel: Channel | None = None, capture: bool | None = None
    ) -> bool:
        """Return True if the method allows each given value."""
        return (
            (currency is None or self.currencies is None or currency in self.currencies)
            and (channel is None or self.channels is None or channel in self.channels)
            and (capture is None or self.capture is None or capture is self.capture)
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The lengths and amounts that the gateway takes.

    * `order_id_length`: the maximum length of an order id
    * `order_id_pattern`: a regular expression of the whole order id, `""` for any
    * `description_length`: the maximum length of a description, None where none is documented
    * `minimum`: the smallest amounts, at most one per currency; a currency without one has no documented limit
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
    * `contract`: the version of the contract that the provider implements
    * `operations`: the optional hooks that are implemented
    * `currencies`: the ISO 4217 codes that the gateway takes
    * `methods`: the ways to pay, in the order in which a page should show them; the first is the default
    * `channels`: the channels that the gateway has a flow for
    * `limits`: the lengths and amounts that the gateway takes
    * `raw_statuses`: the table of the gateway's own words
    * `query_by`: the ids by which a charge can be queried
    * `key_lifetime`: the seconds for which the gateway documents an idempotency key, None for none
    * `origins`: the https origins, besides the configured base URL, that requests may go to
    * `webhook_methods`: the HTTP methods of notifications
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
    * `notifications`: whether they are signed; by default SIGNED where `parse_webhook` is implemented, else NONE
    * `rejection_status`: the HTTP status with which a refused delivery is answered
    * `duplicates`: the effect of a second create for one order id; by default SAME_FOR_KEY_LIFETIME where
      `key_lifetime` is declared, else UNDOCUMENTED
    * `refund_query_by`: the fields of a `RefundReference` that `get_refund` needs, all of them
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
    notifications: Notifications | None = None
    rejection_status: int = 400
    duplicates: Duplicates | None = None
    refund_query_by: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for field in ("operations", "currencies", "channels", "query_by", "charge_options", "refund_query_by"):
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
        _expect(self.refund_query_by <= _REFUND_QUERY_BY, f"refund_query_by has none but {sorted(_REFUND_QUERY_BY)}")
        self._check_methods()
        self._check_notifications()
        self._check_duplicates()

    def _check_methods(self) -> None:
        for method in self.methods:
            for field in ("currencies", "channels"):
                beyond = (getattr(method, field) or frozenset()) - getattr(self, field)
                _expect(not beyond, f"method {method.id} has {field} that info has not: {sorted(beyond)}")
            _expect(
                method.capture is not False or "capture" in self.charge_options,
                f"method {method.id} only holds money, and charge_options has no capture",
            )

    def _check_notifications(self) -> None:
        kind = self.notifications
        _expect(kind is None or type(kind) is Notifications, "notifications is one of Notifications, or None")
        _expect(
            not self.authoritative_webhooks or kind in {None, Notifications.SIGNED},
            "authoritative_webhooks are signed: anybody can send what is not",
        )
        _expect(
            type(self.rejection_status) is int and 200 <= self.rejection_status <= 599,
            "rejection_status is an HTTP status, of 200 to 599",
        )

    def _check_duplicates(self) -> None:
        kind = self.duplicates
        _expect(kind is None or type(kind) is Duplicates, "duplicates is one of Duplicates, or None")
        _expect(
            kind is not Duplicates.SAME_FOR_KEY_LIFETIME or self.key_lifetime is not None,
            "duplicates=SAME_FOR_KEY_LIFETIME needs a key_lifetime",
        )
        _expect(
            kind not in {Duplicates.SAME, Duplicates.UNDOCUMENTED} or self.key_lifetime is None,
            f"duplicates={kind} has no key_lifetime: with one it is SAME_FOR_KEY_LIFETIME, or REFUSED",
        )

    def methods_for(
        self, *, currency: str | None = None, channel: Channel | None = None, capture: bool | None = None
    ) -> tuple[Method, ...]:
        """Return the methods that allow each given value, in the order in which a page should show them."""
        asked = (
            (currency is None or currency in self.currencies)
            and (channel is None or channel in self.channels)
            and (capture is not False or "capture" in self.charge_options)
        )
        return tuple(
            each for each in self.methods if asked and each.takes(currency=currency, channel=channel, capture=capture)
        )

    def filled_in(self, implemented: Collection[str]) -> ProviderInfo:
        """Return this declaration with its derived defaults, for a provider that implements these hooks."""
        notifications, duplicates = self.notifications, self.duplicates
        if notifications is None:
            notifications = Notifications.SIGNED if "parse_webhook" in implemented else Notifications.NONE
        if duplicates is None:
            kept = self.key_lifetime is not None
            duplicates = Duplicates.SAME_FOR_KEY_LIFETIME if kept else Duplicates.UNDOCUMENTED
        if (notifications, duplicates) == (self.notifications, self.duplicates):
            return self
        return msgspec.structs.replace(self, notifications=notifications, duplicates=duplicates)


def _is_origin(value: object) -> bool:
    if type(value) is not str or url_problem(value):
        return False
    parts = urlsplit(value)
    return value == f"https://{parts.netloc}" and is_host(parts.hostname or "")
