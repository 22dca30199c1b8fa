"""Map CBTIS's vocabulary to ours; no other module knows both."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from payments_core import (
    Authorization,
    CallSDK,
    Channel,
    Charge,
    ChargeRequest,
    Money,
    NextAction,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    Response,
    Secret,
    ShowQRCode,
    unify,
)

from . import wire

__all__ = ["FLOWS", "STATUSES", "authorization", "charge", "create", "query", "request_id", "small"]

T = TypeVar("T")

STATUSES: Final = {
    "PENDING": PaymentStatus.PENDING,  # WEB, table of status: waiting for the final result
    "SUCCEEDED": PaymentStatus.SUCCEEDED,  # WEB, table of status: paid, complete
    "CANCELLED": PaymentStatus.CANCELLED,  # WEB, table of status: cancelled or timed out; closed, unpaid
}

FLOWS: Final = {
    Channel.WEB: "web_qrcode",  # WEB: a desktop page
    Channel.MOBILE_WEB: "mobile_web",  # H5
    Channel.IN_STORE: "csb_qrcode",  # STORE: the payer scans a code that the merchant shows
}

_SUCCESS: Final = 0
_LONGEST_ID: Final = 64
_LONGEST_ACTION: Final = 64 * 1024
_LONGEST_SMALL: Final = 1024
# RFC 3339, with the nanoseconds of `create_time`; a datetime keeps six digits.
_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_TEXT: Final = re.compile(r"[\x20-\x7e]{1,128}", re.ASCII)


def authorization(response: Response) -> Authorization:
    """Read the token (AUTH). An answer without a usable one, such as a maintenance page, is no wrong password."""
    if not _is_success(response):
        raise ProtocolViolation(f"the gateway answered the token call with HTTP {response.status}")
    token = response.decode(wire.TOKEN)
    if re.fullmatch(r"[\x21-\x7e]+", token.access_token) is None:
        raise ProtocolViolation("the answer to the token call has no usable token")
    # A lifetime that isn't a number counts as the shortest that the core accepts.
    lifetime = small(wire.NUMBER, token.expires_in)
    return Authorization(Secret(token.access_token), expires_in=lifetime if lifetime is not None else 0.0)


def create(request: ChargeRequest) -> bytes:
    """Build the body of create (WEB)."""
    wallet = wire.AlipayHK(flow=FLOWS[request.channel], payment_method=request.method)
    return wire.ENCODE(
        wire.Create(
            amount=request.amount.text,
            currency=request.amount.currency,
            merchant_order_id=request.order_id,
            description=request.description,
            payment_method=wire.PaymentMethod(alipayhk=wallet),
            notify_url=request.notify_url,
        )
    )


def query(reference: Reference) -> bytes:
    """Build the body of query (WEB)."""
    return wire.ENCODE(wire.Query(order_id=reference.provider_id, merchant_order_id=reference.order_id))


def charge(provider: str, response: Response) -> Charge:
    """Read the answer to create or query (WEB). Any `code` but 0 is `Rejected`, not definitive: none is documented."""
    envelope = response.decode(wire.ENVELOPE)
    rid = _text(envelope.rid)
    if envelope.code != _SUCCESS:
        raise _rejected(envelope, rid, response.status)
    if not _is_success(response):
        raise ProtocolViolation(f"the gateway answered code 0 with HTTP {response.status}", request_id=rid)
    intent = _decode(wire.INTENT, envelope.data, rid)
    for name, value in (("order_id", intent.order_id), ("merchant_order_id", intent.merchant_order_id)):
        if not 1 <= len(value) <= _LONGEST_ID:
            raise ProtocolViolation(f"the gateway's answer has no usable {name}", request_id=rid)
    action = _next_action(intent.next_action, rid)
    return Charge(
        provider=provider,
        reference=Reference(order_id=intent.merchant_order_id, provider_id=intent.order_id),
        status=unify(intent.status, STATUSES, action),
        raw_status=intent.status,
        amount=Money.of(intent.amount, intent.currency),
        next_action=action,
        created_at=_time(intent.create_time, "create_time", rid),
        paid_at=_time(intent.pay_time, "pay_time", rid),
        request_id=rid,
    )


def _is_success(response: Response) -> bool:
    return 200 <= response.status < 300


def request_id(response: Response) -> str:
    """Return the `rid` of an answer, if it has one."""
    return _text(wire.ENVELOPE(response.body).rid)


def _rejected(envelope: wire.Envelope, rid: str, status: int) -> Rejected:
    raw_code = str(envelope.code)
    raw_code = raw_code if _TEXT.fullmatch(raw_code) else ""
    said = _text(envelope.message) or "no message"
    return Rejected(
        f"the gateway answered code {raw_code or 'unknown'} (HTTP {status}): {said}", request_id=rid, raw_code=raw_code
    )


def _next_action(raw: msgspec.Raw, rid: str) -> NextAction | None:
    if len(bytes(raw)) > _LONGEST_ACTION:
        raise ProtocolViolation("the gateway's next_action is too long", request_id=rid)
    action = _decode(wire.NEXT_ACTION, raw, rid) if bytes(raw) else None
    if action is None:
        return None
    if action.type == "redirect" and (url := action.url or action.redirect_url):
        return Redirect(_http(url, rid))
    if action.type == "render_qrcode" and (content := action.url or action.qrcode_url):
        return ShowQRCode(_plain(content, rid))
    if action.type == "call_sdk" and action.data:
        return CallSDK(action.data)
    raise ProtocolViolation("the gateway's next_action cannot be understood", request_id=rid)


def _http(url: str, rid: str) -> str:
    # A shopper's browser opens this URL: block `javascript:` and the like.
    if re.fullmatch(r"https?://[a-z0-9.\[\]:-]+(?:[/?#][\x21-\x7e]*)?", url, re.IGNORECASE | re.ASCII) is None:
        raise ProtocolViolation("the gateway's next_action is not a web address", request_id=rid)
    return url


def _plain(content: str, rid: str) -> str:
    if re.fullmatch(r"[\x20-\x7e]{1,2048}", content, re.ASCII) is None:
        raise ProtocolViolation("the gateway's QR code is not plain text", request_id=rid)
    return content


def _time(text: str, name: str, rid: str) -> datetime | None:
    if not text:
        return None
    match = _TIME.fullmatch(text)
    try:
        if match is not None:
            fraction = (match[2] or "0")[:6].ljust(6, "0")
            return datetime.fromisoformat(f"{match[1]}.{fraction}{match[3]}")
    except ValueError:
        pass
    raise ProtocolViolation(f"the gateway's {name} is not an RFC 3339 time", request_id=rid)


def _decode(decoder: Callable[[bytes], T], raw: msgspec.Raw, rid: str) -> T:
    """Decode a part of the body like `Response.decode`, keeping the rid."""
    error: ProtocolViolation
    try:
        return Response(200, body=bytes(raw)).decode(decoder)
    except ProtocolViolation as exc:
        error = exc
    error.request_id = rid
    raise error


def small(decoder: Callable[[bytes], T], raw: msgspec.Raw) -> T | None:
    """Decode a small value of any shape; return None if it doesn't fit the decoder."""
    data = bytes(raw)
    if not 0 < len(data) <= _LONGEST_SMALL:
        return None
    try:
        return decoder(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None


def _text(raw: msgspec.Raw) -> str:
    """Return plain text of bounded length, or `""`, because it ends up in errors and logs."""
    text = small(wire.TEXT, raw) or ""
    return text if _TEXT.fullmatch(text) else ""
