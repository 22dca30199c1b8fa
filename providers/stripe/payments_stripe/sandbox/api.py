"""Answer the documented calls: one request in, one answer out, no sockets."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from . import forms, views
from .calls import find
from .gateway import LocalGateway
from .idempotency import Kept
from .moves import tick
from .records import API_VERSION, ReceivedRequest
from .refusals import Refused, invalid

__all__ = ["MAX_BODY", "Admitted", "Answer", "Call", "admit", "execute"]

MAX_BODY: Final = 65536

_HIDDEN_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie"})


@dataclass(frozen=True)
class Call:
    """A request as it arrived."""

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header, or `""`."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True)
class Answer:
    """An answer to send."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Admitted:
    """A request that is about to be executed."""

    call: Call
    request_id: str
    key: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    form: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    run: Any = None


def admit(gateway: LocalGateway, call: Call) -> Admitted | Answer:
    """Check the key, the version and the parameters before the endpoint executes. Failures here are not kept."""
    with gateway.lock:
        made = Admitted(call, gateway.new_id("requests", "req_", 14))
        try:
            _authenticate(gateway, call)
            kept = _read(gateway, made)
        except Refused as refused:
            return _refusal(gateway, made, refused)
        if kept is not None:
            return _answer(gateway, made, kept.status, kept.body, {"Idempotent-Replayed": "true"})
        if made.key:
            gateway.keys.begin(made.key, call.method, call.path, made.form, gateway.now())
        return made


def execute(gateway: LocalGateway, made: Admitted) -> Answer:
    """Execute the endpoint, and keep its answer, errors too, for the request's idempotency key."""
    with gateway.lock:
        tick(gateway)
        try:
            body = _encode(made.run())
        except Refused as refused:
            answer = _refusal(gateway, made, refused)
        except BaseException:
            gateway.keys.abandon(made.key)
            raise
        else:
            answer = _answer(gateway, made, 200, body)
        if made.key:
            gateway.keys.finish(made.key, Kept(answer.status, answer.body))
        return answer


def _authenticate(gateway: LocalGateway, call: Call) -> None:
    """Check the key: a bearer token, or the user of HTTP Basic (docs.stripe.com/api/authentication)."""
    scheme, _, given = call.header("authorization").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().removesuffix(":")
        except (binascii.Error, ValueError):
            given = ""
    elif scheme.lower() != "bearer":
        given = ""
    if not hmac.compare_digest(given.encode(), gateway.api_key.encode()):
        words = "Invalid API Key provided." if given else "You did not provide an API key."
        raise invalid(words, status=401)


def _read(gateway: LocalGateway, made: Admitted) -> Kept | None:
    call = made.call
    if gateway.refusals:
        status, kind, code = gateway.refusals.popleft()
        raise Refused(status, kind, "refused as this sandbox was told to.", code=code)
    version = call.header("stripe-version")
    if version != API_VERSION:
        # Stripe would use the account's default. Here the version is required, so that no client omits it by mistake.
        words = f"Invalid Stripe API version: {version[:40]}" if version else "Send a Stripe-Version header"
        raise invalid(f"{words}; this sandbox speaks {API_VERSION}.", invented=not version)
    if len(call.body) > MAX_BODY:
        raise invalid(f"The body is over {MAX_BODY} bytes.", status=413, invented=True)
    made.query = forms.decode(forms.read_pairs(call.query))
    made.form = forms.decode(_form_pairs(call))
    if call.method == "POST":
        made.key = call.header("idempotency-key")
        if made.key:
            kept = gateway.keys.find(made.key, call.method, call.path, made.form, gateway.now())
            if kept is not None:
                return kept
    made.run, made.ignored = find(gateway, call.method, call.path, made.form if call.method == "POST" else made.query)
    return None


def _form_pairs(call: Call) -> list[tuple[str, str]]:
    if not call.body:
        return []
    media_type = call.header("content-type").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise invalid("Check that your POST content type is application/x-www-form-urlencoded.")
    try:
        return forms.read_pairs(call.body.decode("ascii"))
    except UnicodeDecodeError:
        raise invalid("The request's parameters are not form-encoded UTF-8.") from None


def _refusal(gateway: LocalGateway, made: Admitted, refused: Refused) -> Answer:
    error = refused.fields()
    error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{made.request_id}"
    if refused.intent:
        error["payment_intent"] = views.intent(gateway, gateway.intents[refused.intent])
    headers = {"Stripe-Should-Retry": "false" if refused.status < 500 and refused.status not in (409, 429) else "true"}
    if refused.invented:
        headers["Sandbox-Invention"] = ", ".join(refused.invented)
    if refused.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="Stripe"'
    return _answer(gateway, made, refused.status, _encode({"error": error}), headers)


def _answer(
    gateway: LocalGateway, made: Admitted, status: int, body: bytes, more: Mapping[str, str] | None = None
) -> Answer:
    call = made.call
    gateway.record(
        ReceivedRequest(
            call.method,
            call.path,
            made.query,
            tuple((name, value) for name, value in call.headers if name.lower() not in _HIDDEN_HEADERS),
            made.form,
            made.ignored,
            status,
            made.request_id,
            replayed=more is not None and "Idempotent-Replayed" in more,
        )
    )
    headers = {"Request-Id": made.request_id, "Stripe-Version": API_VERSION}
    if made.key:
        headers["Idempotency-Key"] = made.key
    return Answer(status, body, headers | dict(more or {}))


def _encode(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, indent=2, ensure_ascii=False).encode()
