"""Forge deliveries: each changes one thing in a genuine delivery, and must be refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from payments_core import Gateway, Secret, WebhookDelivery, WebhookEvent, WebhookRejected

from .bench import Bench
from .rules import SIGNED

__all__ = ["FORGERIES", "TIMED", "Genuine", "accepted", "flip", "forge", "refuse"]

Headers = Sequence[tuple[str, str]]

# A digest within a header's value: long, and hexadecimal or base64.
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{32,}|[A-Za-z0-9+/_-]{22,}={0,2}")


class Genuine(msgspec.Struct, frozen=True):
    """A genuine delivery, the way to sign another one, and its signature headers."""

    bench: Any
    delivery: WebhookDelivery
    signature: tuple[tuple[str, str], ...]
    now: datetime

    @classmethod
    def of(cls, bench: Bench, delivery: WebhookDelivery) -> Genuine:
        """Sign the delivery anew, at the time it is received."""
        now = delivery.received_at or datetime.now(UTC)
        genuine = cls(bench, delivery, (), now)
        signature = tuple(genuine.signed(at=now))
        assert signature or not SIGNED.holds(bench.contract), (
            "make.sign gives no header: a delivery without a signature cannot be told from a forged one"
        )
        return msgspec.structs.replace(genuine, signature=signature)

    @classmethod
    def paid(cls, bench: Bench, gateway: Gateway) -> Genuine:
        """Return the delivery about a new charge that is paid."""
        charge = bench.paid(gateway)
        return cls.of(bench, bench.sandbox.notification(charge.reference.provider_id))

    def others(self) -> list[tuple[str, str]]:
        """Return the headers that are not part of the signature."""
        names = {name.lower() for name, _ in self.signature}
        headers = self.delivery.headers
        pairs = headers.items() if hasattr(headers, "items") else headers
        return [(name, value) for name, value in pairs if name.lower() not in names]

    def with_(self, signature: Headers | None = None, body: bytes | None = None) -> WebhookDelivery:
        """Return the delivery with another signature or another body."""
        return msgspec.structs.replace(
            self.delivery,
            body=self.delivery.body if body is None else body,
            headers=[*self.others(), *(self.signature if signature is None else signature)],
            received_at=self.now,
        )

    def signed(self, body: bytes | None = None, key: str | None = None, at: datetime | None = None) -> Headers:
        """Return the signature of another body, by another key or at another time."""
        if not SIGNED.holds(self.bench.contract):
            return ()
        config = self.bench.typed_config
        if key is not None:
            config = msgspec.structs.replace(config, **{self.bench.contract.webhook_key_field: Secret(key)})
        return self.bench.contract.make_sandbox.sign(  # type: ignore[no-any-return]
            config, self.delivery.body if body is None else body, at=at or self.now
        )

    def changed(self, change: Callable[[str], str]) -> Headers:
        """Return the signature with every digest in it changed."""
        made = [(name, _DIGEST.sub(lambda found: change(found[0]), value)) for name, value in self.signature]
        assert made != list(self.signature), "no digest is found in the signature headers"
        return made

    def digests(self, signature: Headers | None = None) -> list[str]:
        """Return the digests in a signature, by default the genuine one."""
        return [found for _, value in signature or self.signature for found in _DIGEST.findall(value)]

    def covers_bytes(self) -> bool:
        """Return False if reordering the fields keeps the signature, so that a body must be parsed to verify it."""
        body = self.delivery.body
        try:
            turned = json.dumps(dict(reversed(json.loads(body).items()))).encode()
        except (ValueError, AttributeError):
            turned = b"&".join(reversed(body.split(b"&")))
        others = [each for each in (turned, body + b"\n") if each != body]
        return all(self.digests(self.signed(body=each)) != self.digests() for each in others)

    def key(self) -> str:
        """Return the genuine key."""
        return str(getattr(self.bench.typed_config, self.bench.contract.webhook_key_field).reveal())


def accepted(gateway: Gateway, delivery: WebhookDelivery, message: str) -> tuple[WebhookEvent, ...]:
    """Return the events of a delivery; if it is refused, fail with this message."""
    try:
        return gateway.parse_webhook(delivery).events
    except WebhookRejected as exc:
        raise AssertionError(f"{message} ({exc.reason})") from None


def refuse(gateway: Gateway, delivery: WebhookDelivery, message: str) -> None:
    """Check that a delivery is refused; fail with this message if it is accepted."""
    try:
        events = gateway.parse_webhook(delivery).events
    except WebhookRejected:
        return
    raise AssertionError(f"{message}, with {len(events)} event(s)")


Forgery = Callable[[Genuine], WebhookDelivery]


def forge(genuine: Genuine, name: str) -> WebhookDelivery:
    """Return the forgery of that name."""
    return {**FORGERIES, **TIMED}[name](genuine)


def flip(text: str, at: int) -> str:
    """Replace the digit at `at` by another one of the same alphabet."""
    old = text[at]
    return text[:at] + ("0" if old != "0" else "1") + (text[at + 1 :] if at != -1 else "")


def _swapped(key: str) -> str:
    """Return the key with the case of its letters swapped, or with a letter more if it has none."""
    return key.swapcase() if key.swapcase() != key else f"{key}x"


def _bit(data: bytes, at: int) -> bytes:
    place = at % len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def _unkeyed(genuine: Genuine, kind: str) -> Headers:
    """Return a signature that can be computed without the key."""
    body = genuine.delivery.body
    digest = {
        "sha256": lambda: hashlib.sha256(body).digest(),
        "md5": lambda: hashlib.md5(body).digest(),  # noqa: S324 - an attacker's choice
        "hmac-empty": lambda: hmac.digest(b"", body, "sha256"),
    }[kind]()
    return genuine.changed(
        lambda text: digest.hex() if re.fullmatch("[0-9a-fA-F]+", text) else base64.b64encode(digest).decode()
    )


# Change the signature's headers.
_HEADERS: Final[dict[str, Forgery]] = {
    "header-missing": lambda g: g.with_([]),
    "header-empty": lambda g: g.with_([(name, "") for name, _ in g.signature]),
    "header-blank": lambda g: g.with_([(name, "  ") for name, _ in g.signature]),
    "header-null": lambda g: g.with_([(name, "null") for name, _ in g.signature]),
    "header-renamed": lambda g: g.with_([(f"X-{name}-", value) for name, value in g.signature]),
    "header-doubled": lambda g: g.with_([*g.signature, *g.signature]),
    "header-doubled-bad-first": lambda g: g.with_([*g.changed(lambda t: flip(t, 0)), *g.signature]),
    "header-doubled-bad-last": lambda g: g.with_([*g.signature, *g.changed(lambda t: flip(t, 0))]),
    "header-8kB": lambda g: g.with_([(name, "a" * 8192) for name, _ in g.signature]),
    "header-non-ascii": lambda g: g.with_(g.changed(lambda t: "é" + t[1:])),
    "header-fullwidth-digits": lambda g: g.with_(g.changed(lambda t: chr(0xFF10) + t[1:])),
    "header-nul": lambda g: g.with_(g.changed(lambda t: t[:8] + "\x00" + t[9:])),
    "header-json": lambda g: g.with_([(name, '{"$ne": null}') for name, _ in g.signature]),
    "digest-missing": lambda g: g.with_(g.changed(lambda _: "")),
    "digest-first-digit": lambda g: g.with_(g.changed(lambda t: flip(t, 0))),
    "digest-middle-digit": lambda g: g.with_(g.changed(lambda t: flip(t, len(t) // 2))),
    "digest-late-digit": lambda g: g.with_(g.changed(lambda t: flip(t, len(t.rstrip("=")) - 3))),
    "digest-short": lambda g: g.with_(g.changed(lambda t: t[:-4])),
    "digest-one-digit": lambda g: g.with_(g.changed(lambda t: t[:1])),
    "digest-half": lambda g: g.with_(g.changed(lambda t: t[: len(t) // 2])),
    "digest-long": lambda g: g.with_(g.changed(lambda t: t + "0000")),
    "digest-twice": lambda g: g.with_(g.changed(lambda t: t + t)),
    "digest-reversed": lambda g: g.with_(g.changed(lambda t: t[::-1])),
    "digest-zeros": lambda g: g.with_(g.changed(lambda t: "0" * len(t))),
    "digest-spaced": lambda g: g.with_(g.changed(lambda t: f"{t[:8]} {t[8:]}")),
    "digest-0x": lambda g: g.with_(g.changed(lambda t: "0x" + t)),
    "digest-not-keyed": lambda g: g.with_(_unkeyed(g, "sha256")),
    "digest-md5": lambda g: g.with_(_unkeyed(g, "md5")),
    "digest-empty-key": lambda g: g.with_(_unkeyed(g, "hmac-empty")),
}

# Change the key.
_KEYS: Final[dict[str, Forgery]] = {
    "key-other": lambda g: g.with_(g.signed(key="another-key-of-another-account")),
    "key-one-character": lambda g: g.with_(g.signed(key=g.key()[:-1] + ("a" if g.key()[-1] != "a" else "b"))),
    "key-shorter": lambda g: g.with_(g.signed(key=g.key()[:-1])),
    "key-longer": lambda g: g.with_(g.signed(key=g.key() + "0")),
    "key-upper-case": lambda g: g.with_(g.signed(key=_swapped(g.key()))),
    "key-empty": lambda g: g.with_(g.signed(key="")),
    "key-space": lambda g: g.with_(g.signed(key=g.key() + " ")),
}

# Change the body, under the genuine signature.
_BODIES: Final[dict[str, Forgery]] = {
    "body-empty": lambda g: g.with_(body=b""),
    "body-first-bit": lambda g: g.with_(body=_bit(g.delivery.body, 0)),
    "body-middle-bit": lambda g: g.with_(body=_bit(g.delivery.body, len(g.delivery.body) // 2)),
    "body-last-bit": lambda g: g.with_(body=_bit(g.delivery.body, -1)),
    "body-shorter": lambda g: g.with_(body=g.delivery.body[:-1]),
    "body-space": lambda g: g.with_(body=g.delivery.body + b" "),
    "body-space-first": lambda g: g.with_(body=b" " + g.delivery.body),
    "body-newline-first": lambda g: g.with_(body=b"\r\n" + g.delivery.body),
    "body-newline": lambda g: g.with_(body=g.delivery.body + b"\n"),
    "body-nul": lambda g: g.with_(body=g.delivery.body + b"\0"),
    "body-bom": lambda g: g.with_(body=b"\xef\xbb\xbf" + g.delivery.body),
    "body-twice": lambda g: g.with_(body=g.delivery.body * 2),
    "body-other": lambda g: g.with_(body=b'{"paid": true}'),
    "body-digits": lambda g: g.with_(
        body=re.sub(rb"\d", lambda found: b"%d" % ((int(found[0]) + 1) % 10), g.delivery.body)
    ),
    "signature-of-another-body": lambda g: g.with_(g.signed(body=_bit(g.delivery.body, len(g.delivery.body) // 3))),
    "signature-of-nothing": lambda g: g.with_(g.signed(body=b"")),
}

FORGERIES: Final = {**_HEADERS, **_KEYS, **_BODIES}


def _at(seconds: float) -> Forgery:
    def made(genuine: Genuine) -> WebhookDelivery:
        tolerance = genuine.bench.contract.webhook_tolerance or 0.0
        tolerance = 300.0 if tolerance == math.inf else tolerance
        offset = timedelta(seconds=(tolerance + abs(seconds)) * (1 if seconds > 0 else -1))
        return genuine.with_(genuine.signed(at=genuine.now + offset))

    return made


def _time_alone(genuine: Genuine) -> WebhookDelivery:
    """Combine the genuine digests with a time one second later."""
    digests = [found for _, value in genuine.signature for found in _DIGEST.findall(value)]
    later = genuine.signed(at=genuine.now + timedelta(seconds=1))
    return genuine.with_([(name, _DIGEST.sub(lambda _: digests.pop(0), value)) for name, value in later])


# Change the signed time, beyond the tolerance on both sides.
TIMED: Final[dict[str, Forgery]] = {
    "time-stale": _at(-2),
    "time-yesterday": _at(-86_400),
    "time-long-ago": _at(-1_000_000_000),
    "time-future": _at(2),
    "time-tomorrow": _at(86_400),
    "time-changed-alone": _time_alone,
}
