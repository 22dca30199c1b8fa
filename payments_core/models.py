"""Define the values that platforms and providers exchange: frozen, and checked when made."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from math import isfinite
from typing import Any, NoReturn, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from ._checks import clean_id, http_url, is_seconds, known, own_id, plain_text, prose, shopper_url
from ._structs import copy_with
from .errors import InvalidRequest, Mismatch, RejectionCode
from .money import Money
from .secrets import Secret
from .status import PaymentStatus, RefundStatus

__all__ = [
    "Authorization",
    "AwaitShopper",
    "CallSDK",
    "CaptureRequest",
    "Channel",
    "Charge",
    "ChargeRequest",
    "Complete",
    "Context",
    "NextAction",
    "Redirect",
    "Reference",
    "Refund",
    "RefundReference",
    "RefundRequest",
    "Shopper",
    "ShowQRCode",
    "SubmitForm",
]


class Channel(StrEnum):
    """The place where the shopper pays; the provider maps it to its own flow names.

    * `WEB`: at a desktop browser
    * `MOBILE_WEB`: at a browser of the phone that has the wallet
    * `IN_STORE`: at the counter
    * `IN_APP`: in your app
    """

    WEB = "WEB"
    MOBILE_WEB = "MOBILE_WEB"
    IN_STORE = "IN_STORE"
    IN_APP = "IN_APP"


class Context(msgspec.Struct, frozen=True):
    """The clock and the random source of one run: the only ones a provider has.

    Never derive an idempotency key from it: it differs from run to run.

    * `now`: the time, an aware datetime
    * `nonce`: 32 random hexadecimal digits
    """

    now: datetime
    nonce: str


class Authorization(msgspec.Struct, frozen=True):
    """The right to call the gateway's API.

    * `token`: the token itself
    * `scheme`: the word before the token in the Authorization header
    * `expires_in`: seconds from its receipt until it expires, None for never
    * `expires_at`: an aware time of the gateway's clock, None for never; of the two the earlier one counts
    """

    token: Secret
    scheme: str = "Bearer"
    expires_in: float | None = None
    expires_at: datetime | None = None

    def __post_init__(self) -> None:
        if type(self.scheme) is not str:
            _keep(self, "scheme", plain_text(self.scheme, "scheme"))
        at = self.expires_at
        if at is not None and (not isinstance(at, datetime) or at.utcoffset() is None):
            raise InvalidRequest("expires_at is an aware datetime, or None", field="expires_at")

    @property
    def credentials(self) -> Secret:
        """Return the value of the Authorization header: the scheme, a space and the token."""
        return Secret(f"{self.scheme} {self.token.reveal()}")


class Shopper(msgspec.Struct, frozen=True, kw_only=True):
    """The person who pays, as far as known; every field may be empty.

    Control characters are dropped and long text is cut: none of it is a reason to refuse a charge.

    * `id`: your id of the customer
    * `email`: their email address
    * `ip`: the address that their request came from
    * `user_agent`: the User-Agent header of their browser
    * `locale`: the language to show, such as `en-GB`
    """

    id: str = ""
    email: str = ""
    ip: str = ""
    user_agent: str = ""
    locale: str = ""

    def __post_init__(self) -> None:
        for field in self.__struct_fields__:
            if (given := getattr(self, field)) != "":
                force_setattr(self, field, known(given, f"shopper.{field}", at_most=512))


class ChargeRequest(msgspec.Struct, frozen=True):
    """One request for money, with one merchant order id.

    Ids are taken as they are or refused with `InvalidRequest`. Limits of the provider are checked by the gateway,
    before anything is sent.

    * `order_id`: your id of this charge; one order id is one charge
    * `amount`: the amount to ask for, above zero
    * `description`: text for people; each run of line breaks and tabs becomes one space
    * `method`: the id of one of `info.methods`, `""` for the first
    * `channel`: the place where the shopper pays
    * `notify_url`: your address for the gateway's notifications
    * `return_url`: your address to which the shopper returns
    * `capture`: True to take the money at once, False to hold it until `capture_charge`
    * `shopper`: the person who pays
    * `payment_token`: the token that the gateway's SDK or page made for the shopper's card
    * `expires_in`: seconds after which the charge can no longer be paid, None for the gateway's own time
    * `options`: options of this provider alone, a struct of its `info.options_type`
    """

    order_id: str
    amount: Money
    description: str
    method: str = ""
    channel: Channel = Channel.WEB
    notify_url: str = ""
    return_url: str = ""
    capture: bool = True
    shopper: Shopper = Shopper()
    payment_token: Secret | None = None
    expires_in: float | None = None
    options: msgspec.Struct | None = None

    def __post_init__(self) -> None:
        if (order_id := own_id(self.order_id, "order_id")) is not self.order_id:
            force_setattr(self, "order_id", order_id)
        _money(self.amount)
        if (description := prose(self.description, "description", at_least=1, at_most=5000)) is not self.description:
            force_setattr(self, "description", description)
        if (method := clean_id(self.method, "method", at_most=64)) is not self.method:
            force_setattr(self, "method", method)
        if type(self.channel) is not Channel:
            _keep(self, "channel", _channel(self.channel))
        if (notify_url := http_url(self.notify_url, "notify_url")) is not self.notify_url:
            force_setattr(self, "notify_url", notify_url)
        if (return_url := http_url(self.return_url, "return_url")) is not self.return_url:
            force_setattr(self, "return_url", return_url)
        if type(self.capture) is not bool:
            raise InvalidRequest("capture is True or False", field="capture")
        if type(self.shopper) is not Shopper:
            raise InvalidRequest("shopper is a Shopper", field="shopper")
        if self.payment_token is not None and type(self.payment_token) is not Secret:
            raise InvalidRequest("payment_token is a Secret", field="payment_token")
        if self.expires_in is not None and not is_seconds(self.expires_in):
            raise InvalidRequest("expires_in is seconds, above zero and at most 10**9", field="expires_in")
        if type(self.options) is msgspec.Struct:
            # Decoded as a struct without fields: what was encoded is lost, and the charge would be another one.
            raise InvalidRequest(
                "options are of the provider's own type: store them apart, and put them back when the request is read",
                field="options",
            )


class Reference(msgspec.Struct, frozen=True):
    """The ids of one charge, at least one of them.

    * `order_id`: the merchant's id
    * `provider_id`: the gateway's id
    """

    order_id: str = ""
    provider_id: str = ""

    def __post_init__(self) -> None:
        if (order_id := clean_id(self.order_id, "order_id")) is not self.order_id:
            force_setattr(self, "order_id", order_id)
        if (provider_id := clean_id(self.provider_id, "provider_id")) is not self.provider_id:
            force_setattr(self, "provider_id", provider_id)
        if not self.order_id and not self.provider_id:
            raise InvalidRequest("a reference needs an order_id or a provider_id", field="reference")


class _Action(msgspec.Struct, frozen=True, tag_field="type"):
    """One thing that the platform must do next; `type` tells them apart when encoded."""


class Redirect(_Action, frozen=True, tag="redirect"):
    """Send the shopper's browser to a page of the gateway.

    * `url`: an http or https URL, or one of an app's own scheme
    """

    url: str

    def __post_init__(self) -> None:
        _keep(self, "url", shopper_url(self.url))


class ShowQRCode(_Action, frozen=True, tag="show_qr_code"):
    """Draw a QR code for the shopper to scan.

    * `content`: the text of the code, usually a URL
    """

    content: str

    def __post_init__(self) -> None:
        _keep(self, "content", plain_text(self.content, "content"))


class SubmitForm(_Action, frozen=True, tag="submit_form"):
    """Have the shopper's browser POST a form.

    * `url`: where to POST it
    * `fields`: the names and values, in order
    """

    url: str
    fields: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _keep(self, "url", shopper_url(self.url))
        fields = [(plain_text(name, "fields"), plain_text(value, "fields")) for name, value in self.fields]
        _keep(self, "fields", tuple(fields))


class CallSDK(_Action, frozen=True, tag="call_sdk"):
    """Hand parameters to the gateway's SDK in the page or the app.

    * `parameters`: JSON: text, numbers, booleans, None, lists and dicts; each access returns a copy, so that nobody who
      is shown an action can change it
    """

    parameters: dict[str, Any]

    def __post_init__(self) -> None:
        parameters = self.parameters  # a copy already
        if type(parameters) is not dict:
            raise TypeError("parameters is a dict")
        force_setattr(self, "parameters", parameters)

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return _json_copy(value) if name == "parameters" else value

    def __hash__(self) -> int:
        return hash(tuple(sorted(self.parameters)))


class AwaitShopper(_Action, frozen=True, tag="await_shopper"):
    """Show nothing: the wallet prompts the shopper."""


class Complete(_Action, frozen=True, tag="complete"):
    """Call `complete_charge`: the shopper has approved."""


NextAction: TypeAlias = Redirect | ShowQRCode | SubmitForm | CallSDK | AwaitShopper | Complete
"""The thing that the platform must do next; `type` tells them apart when encoded."""


class _Answered(msgspec.Struct, frozen=True):
    """The part that a charge and a refund share: neither has a truth value, which could be taken for "paid"."""

    def __bool__(self) -> NoReturn:
        kind = type(self).__name__.lower()
        test = "is_paid" if kind == "charge" else "status"
        raise TypeError(f"a {kind} is neither true nor false: test {kind}.{test}")


class Charge(_Answered, frozen=True):
    """A charge as the gateway's answer describes it; nothing in it is copied from the request.

    (One exception: the answer to a create that names no id at all may be given the order id that was sent, because the
    two share one exchange.) Amounts are None where the answer does not say; times are aware datetimes. A charge is
    neither true nor false: test `is_paid`.

    A capture that is not done yet is `PENDING`, with the `captured` that was taken so far. If the shopper may try again
    after a declined try, the charge is `REQUIRES_ACTION` or `PENDING`, with a `reason`: `FAILED` is final.

    * `provider`: the provider's id, `info.id`
    * `reference`: the ids that the answer names
    * `status`: the state of the charge
    * `raw_status`: the gateway's own word for it
    * `amount`: the amount that was asked for
    * `next_action`: the next step for the shopper, None for none
    * `created_at`: when the gateway made it
    * `paid_at`: when it was paid
    * `expires_at`: when it can no longer be paid
    * `captured`: how much of the money was taken so far
    * `refunded`: how much was given back so far
    * `request_id`: the gateway's id of the exchange
    * `reason`: why it failed, or its last attempt did, where the answer says
    * `raw_reason`: the gateway's own words for that; never show them to a shopper
    * `disputed`: how much the shopper's bank has claimed back
    * `moves_money`: False for a charge of test money, None where it is unknown
    * `gateway`: the name that the gateway was opened by; the core fills it in
    * `matched`: True once the charge was compared with an order; the core fills it in
    """

    provider: str
    reference: Reference
    status: PaymentStatus
    raw_status: str
    amount: Money | None
    next_action: NextAction | None = None
    created_at: datetime | None = None
    paid_at: datetime | None = None
    expires_at: datetime | None = None
    captured: Money | None = None
    refunded: Money | None = None
    request_id: str = ""
    reason: RejectionCode | None = None
    raw_reason: str = ""
    disputed: Money | None = None
    moves_money: bool | None = None
    gateway: str = ""
    matched: bool = False

    def __post_init__(self) -> None:
        _result_types(self, PaymentStatus, (self.amount, self.captured, self.refunded, self.disputed))
        if not (type(self.provider) is type(self.raw_status) is type(self.request_id) is type(self.raw_reason) is str):
            _plain_texts(self, ("provider", "raw_status", "request_id", "raw_reason"))
        if type(self.moves_money) is not bool and self.moves_money is not None:
            raise TypeError("moves_money is True, False or None")
        if self.next_action is not None and not isinstance(self.next_action, _Action):
            raise TypeError("next_action is one of the kinds of NextAction, or None")
        if self.reason is not None and type(self.reason) is not RejectionCode:
            raise TypeError("reason is a RejectionCode or None")

    @property
    def is_paid(self) -> bool:
        """True when the whole amount was paid and has not been given back or disputed since.

        Only a charge that was compared with an order can say so: of `confirm`, `confirm_event` or `require`. Any other
        one raises `InvalidRequest`, because a status alone could be a cheaper charge's.
        """
        if not self.matched:
            raise InvalidRequest(
                "is_paid needs a charge that was compared with your order: ask "
                "gateway.confirm(order_id, amount).is_paid, or charge.require(order_id, amount).is_paid",
                field="charge",
            )
        amount = self.amount
        if self.status is not PaymentStatus.SUCCEEDED or amount is None or not amount.minor:
            return False
        known = [each for each in (self.captured, self.refunded, self.disputed) if each is not None]
        if any(each.currency != amount.currency for each in known):
            return False
        gone = sum(each.minor for each in (self.refunded, self.disputed) if each is not None)
        return (self.captured is None or self.captured.minor >= amount.minor) and gone < amount.minor

    def require(self, order_id: str, amount: Money, *, provider_id: str = "") -> Charge:
        """Return this charge as `matched`; raise `Mismatch` unless the known ids, amount and currency are those given.

        At least one id must have been compared: where the answer names no order id, pass the `provider_id` that was
        stored when the charge was made. An equal amount alone could be anybody's.
        """
        if type(amount) is not Money:
            raise _not_money()
        known = self.reference
        if known.order_id and known.order_id != order_id:
            raise self._mismatch("order_id", "is about another order")
        if provider_id and known.provider_id and known.provider_id != provider_id:
            raise self._mismatch("provider_id", "is about another charge")
        if not known.order_id and not (provider_id and known.provider_id):
            raise self._mismatch("order_id", "names no order; pass the provider_id of the charge")
        if self.amount is None:
            raise self._mismatch("amount", "does not say what amount it is about")
        if self.amount.currency != amount.currency:
            raise self._mismatch("currency", f"says {self.amount}, not {amount}")
        if self.amount.minor != amount.minor:
            raise self._mismatch("amount", f"says {self.amount}, not {amount}")
        return self if self.matched else copy_with(self, matched=True)

    def _mismatch(self, field: str, what: str) -> Mismatch:
        error = Mismatch(f"the gateway's answer {what}: not paid", field=field, request_id=self.request_id)
        error.gateway, error.provider, error.operation = self.gateway, self.provider, "require"
        error.order_id = self.reference.order_id
        return error


class CaptureRequest(msgspec.Struct, frozen=True):
    """Take money of an authorized charge.

    * `reference`: the charge
    * `capture_id`: your id of this capture, and the idempotency key
    * `amount`: how much to take, above zero
    """

    reference: Reference
    capture_id: str
    amount: Money

    def __post_init__(self) -> None:
        _reference(self.reference)
        if (capture_id := own_id(self.capture_id, "capture_id")) is not self.capture_id:
            force_setattr(self, "capture_id", capture_id)
        _money(self.amount)


class RefundRequest(msgspec.Struct, frozen=True):
    """Give money of a charge back.

    * `reference`: the charge
    * `refund_id`: your id of this refund, and the idempotency key: two refunds of 10.00 are two refunds
    * `amount`: how much to give back, above zero
    * `reason`: why, in words for people
    """

    reference: Reference
    refund_id: str
    amount: Money
    reason: str = ""

    def __post_init__(self) -> None:
        _reference(self.reference)
        if (refund_id := own_id(self.refund_id, "refund_id")) is not self.refund_id:
            force_setattr(self, "refund_id", refund_id)
        _money(self.amount)
        if (reason := prose(self.reason, "reason", at_most=1000)) is not self.reason:
            force_setattr(self, "reason", reason)


class RefundReference(msgspec.Struct, frozen=True):
    """Names one refund, by at least one id of its own.

    * `refund_id`: the caller's id
    * `provider_id`: the gateway's id
    * `reference`: its charge, for a gateway that needs it
    """

    refund_id: str = ""
    provider_id: str = ""
    reference: Reference | None = None

    def __post_init__(self) -> None:
        if (refund_id := clean_id(self.refund_id, "refund_id")) is not self.refund_id:
            force_setattr(self, "refund_id", refund_id)
        if (provider_id := clean_id(self.provider_id, "provider_id")) is not self.provider_id:
            force_setattr(self, "provider_id", provider_id)
        if not self.refund_id and not self.provider_id:
            raise InvalidRequest("a refund reference needs a refund_id or a provider_id", field="reference")
        if self.reference is not None:
            _reference(self.reference)


class Refund(_Answered, frozen=True):
    """A refund as the gateway's answer describes it. It is neither true nor false: test `status`.

    * `provider`: the provider's id, `info.id`
    * `refund_id`: the caller's id, `""` where the answer does not name it
    * `provider_id`: the gateway's id, `""` where the answer does not name it
    * `reference`: its charge, None where the answer does not name it
    * `status`: where the refund stands
    * `raw_status`: the gateway's own word for it
    * `amount`: how much is given back, None where the answer does not say
    * `created_at`: when the gateway made it, an aware datetime
    * `request_id`: the gateway's id of the exchange
    * `gateway`: the name that the gateway was opened by; the core fills it in
    """

    provider: str
    refund_id: str
    provider_id: str
    reference: Reference | None
    status: RefundStatus
    raw_status: str
    amount: Money | None
    created_at: datetime | None = None
    request_id: str = ""
    gateway: str = ""

    def __post_init__(self) -> None:
        _result_types(self, RefundStatus, (self.amount,))
        _plain_texts(self, ("provider", "refund_id", "provider_id", "raw_status", "request_id"))


def _result_types(value: Charge | Refund, status: type, amounts: tuple[object, ...]) -> None:
    # msgspec does not check what a constructor is given, and these come from plugins.
    if type(value.status) is not status:
        raise TypeError(f"status is a {status.__name__}")
    if not isinstance(value.reference, Reference) and (value.reference is not None or isinstance(value, Charge)):
        raise TypeError("reference is a Reference")
    if any(amount is not None and type(amount) is not Money for amount in amounts):
        raise TypeError("an amount is a Money or None")


def _plain_texts(value: Charge | Refund, fields: tuple[str, ...]) -> None:
    for field in fields:
        if not isinstance(text := getattr(value, field), str):
            raise TypeError(f"{field} is text")
        force_setattr(value, field, str.__str__(text))


def _keep(value: msgspec.Struct, field: str, checked: object) -> None:
    """Store what a check made of a field, where that is something else."""
    if checked is not getattr(value, field):
        force_setattr(value, field, checked)


def _json_copy(value: object) -> Any:
    """Copy JSON: what it cannot say, or would give back as something else, is `TypeError`."""
    if value is None or type(value) in {str, bool, int} or (type(value) is float and isfinite(value)):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, list | tuple):
        return [_json_copy(each) for each in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {str.__str__(name): _json_copy(each) for name, each in value.items()}
    raise TypeError(f"parameters are JSON, and a {type(value).__name__} is not")


def _not_money() -> InvalidRequest:
    return InvalidRequest('amount is a Money, such as Money.of("88.00", "HKD")', field="amount")


def _money(amount: object) -> None:
    if type(amount) is not Money:
        raise _not_money()
    if amount.minor == 0:
        raise InvalidRequest("an amount of zero cannot be asked for", field="amount")


def _reference(reference: object) -> None:
    if type(reference) is not Reference:
        raise InvalidRequest("reference is a Reference(order_id=..., provider_id=...)", field="reference")


def _channel(value: object) -> Channel:
    if isinstance(value, str) and value in Channel.__members__:
        return Channel[value]
    raise InvalidRequest(f"channel is one of {', '.join(Channel.__members__)}", field="channel")
