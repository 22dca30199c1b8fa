"""Map Stripe's vocabulary to ours; no other module knows both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from payments_core import (
    Charge,
    InvalidRequest,
    Mismatch,
    Money,
    NextAction,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    RejectionCode,
    Response,
    ShowQRCode,
    unify,
)

from . import refusals, wire
from .amounts import money

__all__ = [
    "STATUSES",
    "charge",
    "intent_charge",
    "intent_of",
    "intent_reference",
    "is_held",
    "is_manual",
    "is_success",
    "order_id",
    "request_id",
    "session",
    "session_charge",
    "session_status",
    "session_word",
    "taken_from",
    "time",
    "too_late",
]

# A PaymentIntent's; docs.stripe.com/payments/paymentintents/lifecycle and /api/payment_intents/object.
_OF_INTENT: Final = {
    "requires_payment_method": PaymentStatus.PENDING,  # also after a failed attempt: another one may be made
    "requires_confirmation": PaymentStatus.PENDING,
    "requires_action": PaymentStatus.REQUIRES_ACTION,
    "processing": PaymentStatus.PENDING,
    "requires_capture": PaymentStatus.AUTHORIZED,
    "succeeded": PaymentStatus.SUCCEEDED,  # also after every refund
    "canceled": PaymentStatus.CANCELLED,
}
# A Checkout Session's, with its payment_status behind the colon; docs.stripe.com/api/checkout/sessions/object.
_OF_SESSION: Final = {
    "open": PaymentStatus.PENDING,
    "expired": PaymentStatus.CANCELLED,
    "complete:unpaid": PaymentStatus.PENDING,  # "the payment funds are not yet available in your account"
    "complete:paid": PaymentStatus.SUCCEEDED,  # "the payment funds are available in your account"
}
STATUSES: Final = {**_OF_INTENT, **_OF_SESSION}

# While a PaymentIntent waits for the shopper, use the status of the session that made it.
_WAITING: Final = frozenset({"requires_payment_method", "requires_confirmation", "requires_action"})

_ID: Final = re.compile(r"(?:pi|cs)_[A-Za-z0-9_]{1,240}", re.ASCII)
_WEB: Final = re.compile(r"https?://[a-z0-9.\[\]:-]+(?:[/?#][\x21-\x7e]*)?", re.IGNORECASE | re.ASCII)
_PLAIN: Final = re.compile(r"[\x20-\x7e]{1,2048}", re.ASCII)
_END_OF_TIME: Final = 253_402_300_800  # the year 10000

_T = TypeVar("_T", bound=wire.Intent | wire.Session)


def is_success(response: Response) -> bool:
    """Return whether an answer is a success."""
    return 200 <= response.status < 300


def request_id(response: Response) -> str:
    """Return the header `Request-Id` (docs.stripe.com/api/request_ids)."""
    found = [value for name, value in response.headers if name.lower() == "request-id"]
    return refusals.word(found[0]) if len(found) == 1 else ""


def charge(
    provider: str, response: Response, *, creating: bool = False, of: Reference | None = None, intent: str = ""
) -> Charge:
    """Return the charge in an answer, or raise its error.

    With `creating` the charge must have an action to show. `of` is the charge that was queried, and `intent` its
    PaymentIntent; a session remains a session, even if the answer is its PaymentIntent.
    """
    found = _read_charge(response, creating=creating)
    if intent and found.id != intent:
        raise Mismatch("the answer is about another PaymentIntent", field="provider_id")
    if isinstance(found, wire.Session):
        return session_charge(provider, found, request_id(response), creating=creating)
    reference = Reference(order_id(found.metadata), found.id)
    if of is not None and of.provider_id.startswith("cs_"):
        reference = msgspec.structs.replace(reference, provider_id=of.provider_id)
    return intent_charge(provider, found, reference, request_id(response), creating=creating)


def _read_charge(response: Response, *, creating: bool) -> wire.Intent | wire.Session:
    if is_success(response):
        found: wire.Intent | wire.Session = response.decode(wire.CHARGE)
        return _known(found)
    problem = refusals.read(response)
    if problem.payment_intent is not None and (
        problem.type == "card_error" or (creating and _made_by_create(response, problem))
    ):
        # docs.stripe.com/api/errors: "the PaymentIntent object for errors returned on a request involving" one.
        return _known(problem.payment_intent)
    raise refusals.refusal(response, problem)


def _made_by_create(response: Response, problem: wire.Problem) -> bool:
    """Return whether a refused create made the PaymentIntent in its error.

    The PaymentIntent in an idempotency_error is older: another request with the same key made it.
    """
    return problem.type == "invalid_request_error" and response.status in {400, 402}


def taken_from(response: Response, asked: Reference, amount: Money, livemode: bool | None) -> tuple[str, str]:
    """Return the PaymentIntent to capture or refund, and its order id; raise `Mismatch` for other money.

    The id is `""` for a session that nobody has paid with yet. `livemode` is the mode of the key.
    """
    found: wire.Intent | wire.Session
    if asked.provider_id.startswith("cs_"):
        found = session(response, asked, livemode)
        intent = intent_of(found)
    else:
        found = _read_charge(response, creating=False)
        _check_mode(found, livemode)
        intent = found.id
        if intent != asked.provider_id:
            raise Mismatch("the answer is about another PaymentIntent", field="provider_id")
    order = order_id(found.metadata)
    if asked.order_id and order and asked.order_id != order:
        raise Mismatch("this charge belongs to another order", field="order_id")
    if amount.currency != (found.currency or "").upper():
        raise Mismatch(f"this charge is not in {amount.currency}", field="currency")
    return intent, order


def session(response: Response, asked: Reference, livemode: bool | None) -> wire.Session:
    """Return the Checkout Session that was queried with a key of the mode `livemode`, or raise the error."""
    if not is_success(response):
        raise refusals.refusal(response, refusals.read(response))
    found: wire.Session = response.decode(wire.SESSION)
    if found.id != asked.provider_id:
        raise Mismatch("the answer is about another Checkout Session", field="provider_id")
    _check_mode(found, livemode)
    return found


def _check_mode(found: wire.Intent | wire.Session, livemode: bool | None) -> None:
    """Raise `Mismatch` if the mode of the answer isn't the key's."""
    if None not in {found.livemode, livemode} and found.livemode is not livemode:
        problem = "real money, and the key is a test key" if found.livemode else "test money, and the key is a live key"
        raise Mismatch(f"the answer is about {problem}", field="moves_money")


def too_late(response: Response) -> Rejected:
    """Return the refusal to end a charge if its state is the reason; raise every other error."""
    error = refusals.refusal(response, refusals.read(response))
    if isinstance(error, Rejected) and error.code is RejectionCode.INVALID:
        return error
    raise error


def intent_charge(
    provider: str, intent: wire.Intent, reference: Reference, request_id: str = "", *, creating: bool = False
) -> Charge:
    """Return a PaymentIntent as a charge. With `creating` there must be something to show if the shopper must act.

    One that succeeded without an amount received is UNKNOWN: it may be a partial payment.
    """
    action = _next_action(intent, creating=creating) if intent.status == "requires_action" else None
    succeeded = intent.status == "succeeded"
    unsure = succeeded and intent.amount_received is None
    latest = intent.latest_charge if isinstance(intent.latest_charge, wire.Attempt) else None
    code, raw_reason = None, ""
    if intent.last_payment_error is not None and not succeeded:
        code, raw_reason = refusals.reason(intent.last_payment_error.code, intent.last_payment_error.decline_code)
    return Charge(
        provider=provider,
        reference=reference,
        status=PaymentStatus.UNKNOWN if unsure else unify(intent.status, _OF_INTENT, action),
        raw_status=intent.status,
        amount=money(intent.amount, intent.currency),
        next_action=action,
        created_at=time(intent.created),
        paid_at=time(latest.created) if latest is not None and succeeded else None,
        captured=_received(intent) if succeeded else None,
        refunded=_refunded(intent.currency, latest),
        request_id=request_id,
        reason=code,
        raw_reason=raw_reason,
        disputed=_disputed(intent, latest),
        moves_money=intent.livemode,
    )


def session_charge(provider: str, session: wire.Session, request_id: str = "", *, creating: bool = False) -> Charge:
    """Return a Checkout Session as a charge. Its PaymentIntent, if known, says how much was taken.

    A paid one is UNKNOWN if that amount is missing from the PaymentIntent, or if the money was to be held first and no
    PaymentIntent says that it has been captured since.
    """
    if session.mode != "payment":
        raise ProtocolViolation("the Checkout Session is not for a payment")
    made = session.payment_intent if isinstance(session.payment_intent, wire.Intent) else None
    raw_status, table = _decisive_status(session, made)
    action = Redirect(_http(session.url)) if raw_status == "open" and session.url else None
    if creating and action is None:
        raise ProtocolViolation("Stripe's new Checkout Session has no URL for the shopper")
    status = unify(raw_status, table, action)
    if status is PaymentStatus.SUCCEEDED and (made.amount_received is None if made is not None else is_manual(session)):
        status = PaymentStatus.UNKNOWN
    found = intent_charge(provider, made, Reference(provider_id=made.id)) if made is not None else None
    named = session.amount_total is not None and session.currency is not None
    return Charge(
        provider=provider,
        reference=Reference(order_id(session.metadata), session.id),
        status=status,
        raw_status=raw_status,
        amount=money(session.amount_total or 0, session.currency or "") if named else None,
        next_action=action,
        created_at=time(session.created),
        paid_at=found.paid_at if found is not None else None,
        expires_at=time(session.expires_at),
        # Both must say paid: the session and its PaymentIntent.
        captured=_received(made) if made is not None and status is PaymentStatus.SUCCEEDED else None,
        refunded=found.refunded if found is not None else None,
        request_id=request_id,
        reason=found.reason if found is not None else None,
        raw_reason=found.raw_reason if found is not None else "",
        disputed=found.disputed if found is not None else None,
        moves_money=session.livemode,
    )


def session_word(session: wire.Session) -> str:
    """Return a session's own status word: a complete one is paid, or not yet."""
    return f"complete:{session.payment_status}" if session.status == "complete" else session.status or ""


def session_status(session: wire.Session) -> PaymentStatus:
    """Return the status by the session alone."""
    return _OF_SESSION.get(session_word(session), PaymentStatus.UNKNOWN)


def _decisive_status(session: wire.Session, made: wire.Intent | None) -> tuple[str, Mapping[str, PaymentStatus]]:
    """Return the decisive status word and its table: the PaymentIntent's, if it says more than the session's."""
    own = session_word(session), _OF_SESSION
    status = session_status(session)
    if made is None or status is PaymentStatus.UNKNOWN or made.status in _WAITING:
        return own
    if made.status == "canceled" and session.status != "complete":
        return own  # an open session may make another PaymentIntent
    return own if _OF_INTENT.get(made.status) is status else (made.status, _OF_INTENT)


def intent_of(session: wire.Session) -> str:
    """Return the id of a session's PaymentIntent, or `""` before the shopper has confirmed anything."""
    made = session.payment_intent
    return made.id if isinstance(made, wire.Intent) else made or ""


def intent_reference(metadata: wire.Metadata, intent: str) -> Reference | None:
    """Return the reference of a PaymentIntent: for one made by a session, only the order, or nothing."""
    order = order_id(metadata)
    if _has(metadata, wire.OF_SESSION_MARK):
        return Reference(order) if order else None
    return Reference(order, intent) if order or intent else None


def order_id(metadata: wire.Metadata) -> str:
    """Return the order id that create wrote in the metadata, or `""`: others may write there as well.

    Never read `order_id`, which other programs write too, nor `client_reference_id`, which anyone who opens a Payment
    Link can choose.
    """
    found = (metadata or {}).get(wire.ORDER_ID, "")
    try:
        return Reference(found).order_id if 0 < len(found) <= wire.LONGEST_ID else ""
    except InvalidRequest:
        return ""


def _has(metadata: wire.Metadata, mark: tuple[str, str]) -> bool:
    return (metadata or {}).get(mark[0]) == mark[1]


def is_manual(session: wire.Session) -> bool:
    """Return whether the money of a session is to be held first, as create wrote in the metadata."""
    return _has(session.metadata, wire.HELD_MARK)


def is_held(session: wire.Session) -> bool:
    """Return whether the money is held: only then may the PaymentIntent of a session be canceled directly."""
    made = session.payment_intent
    return isinstance(made, wire.Intent) and made.status == "requires_capture"


def _known(found: _T) -> _T:
    if _ID.fullmatch(found.id) is None:
        raise ProtocolViolation("Stripe's answer has no usable id")
    return found


def _received(intent: wire.Intent) -> Money | None:
    return None if intent.amount_received is None else money(intent.amount_received, intent.currency)


def _refunded(currency: str, latest: wire.Attempt | None) -> Money | None:
    """Return the refunded amount, if the answer has it.

    Held money that was not captured is "automatically refunded" too, so after a partial capture the number is neither.
    """
    if latest is None or latest.amount_refunded is None:
        return None
    if latest.amount_captured is not None and latest.amount_captured != latest.amount:
        return None
    try:
        return money(latest.amount_refunded, currency)
    except InvalidRequest:
        return None  # less than the currency's smallest unit: a paid charge stays a paid one


def _disputed(intent: wire.Intent, latest: wire.Attempt | None) -> Money | None:
    """Return the whole amount received if the Charge "has been disputed": neither share nor outcome is stated."""
    if latest is None or latest.disputed is None:
        return None
    return _received(intent) if latest.disputed else money(0, intent.currency)


def _next_action(intent: wire.Intent, *, creating: bool) -> NextAction | None:
    match intent.next_action:
        case wire.NextAction(alipay_handle_redirect=wire.Link(url=str(url))):
            return Redirect(_http(url))
        case wire.NextAction(redirect_to_url=wire.Link(url=str(url))):
            return Redirect(_http(url))
        case wire.NextAction(wechat_pay_display_qr_code=wire.Code(data=str(data))):
            return ShowQRCode(_plain(data))
    if creating:
        raise ProtocolViolation("Stripe's next_action cannot be understood")
    return None


def _http(url: str) -> str:
    # A shopper's browser opens this URL: block `javascript:` and the like.
    if _WEB.fullmatch(url) is None:
        raise ProtocolViolation("Stripe's redirect URL is not a web address")
    return url


def _plain(data: str) -> str:
    if _PLAIN.fullmatch(data) is None:
        raise ProtocolViolation("Stripe's QR code is not plain text")
    return data


def time(seconds: int | None) -> datetime | None:
    """Convert a time in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None and 0 <= seconds < _END_OF_TIME else None
