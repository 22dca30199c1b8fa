"""Record the plugin against a second server of Stripe's API: `python scripts/record_localstripe.py [FOLDER]`.

localstripe supports cards but no Checkout Sessions, so a client of its own makes the PaymentIntents before the
recording begins. The plugin then queries, captures, cancels and refunds them. The same scenes make the same bytes.
The scenes avoid its known mistakes (over-refunds, error codes). The launcher adds the one field that it lacks and the
plugin needs, `amount_received`, computed from what localstripe itself has captured.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from payments_core import (
    AuthorizationRejected,
    CaptureRequest,
    Money,
    PaymentStatus,
    ProtocolViolation,
    Reference,
    RefundReference,
    RefundRequest,
    RefundStatus,
    RejectionCode,
)
from payments_core.testing.cassettes import Provenance
from payments_core.testing.recording import Account, record_story
from payments_core.testing.stories import ReplayActor, Step, Story, call, expect
from payments_stripe.sandbox.stories import POLICY
from payments_stripe.wire import ORDER_ID

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "cassettes" / "stripe"
AMOUNT = Money.of("88.00", "HKD")
PART = Money.of("60.00", "HKD")
# Made up, and in no cassette: any key with this prefix is accepted.
CONFIG = {"api_key": "sk_test_of_localstripe", "webhook_key": "whsec_of_localstripe"}

GOOD = "4242424242424242"
DECLINED = "4000000000000341"
CHALLENGED = "4000002500003155"

Parameters = Mapping[str, str]
Scene = Generator[Step, Any, None]


class Peer:
    """A running localstripe, and a client that makes PaymentIntents in it."""

    def __init__(self) -> None:
        server = ROOT / "tests" / "stripe" / "localstripe_server.py"
        self._process = subprocess.Popen(
            [sys.executable, str(server)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self._client = httpx.Client(
            base_url=self.url, headers={"authorization": f"Bearer {CONFIG['api_key']}"}, trust_env=False
        )

    @property
    def config(self) -> dict[str, str]:
        """Return the configuration that opens the plugin against it."""
        return {**CONFIG, "base_url": self.url}

    def begin(self, seed: str) -> None:
        """Reset it, with ids and times that repeat."""
        self._client.delete("/_config/data").raise_for_status()
        self._client.post(f"/_config/seed/{seed}").raise_for_status()

    def intent(self, number: str = GOOD, *, confirm: bool = True, **fields: str) -> dict[str, Any]:
        """Make a PaymentIntent by card; return the answer, or the current `payment_intent` of a 402."""
        card = {"number": number, "exp_month": "12", "exp_year": "2030", "cvc": "123"}
        method = self.post("/v1/payment_methods", {"type": "card", **{f"card[{k}]": v for k, v in card.items()}})
        form = {"amount": "8800", "currency": "hkd", "payment_method": method["id"], f"metadata[{ORDER_ID}]": "A1"}
        made = self.post("/v1/payment_intents", {**form, **fields})
        if confirm:
            self._client.post(f"/v1/payment_intents/{made['id']}/confirm")
        found: dict[str, Any] = self._client.get(f"/v1/payment_intents/{made['id']}").json()
        return found

    def authenticate(self, intent: Mapping[str, Any], *, success: bool = True) -> None:
        """Authenticate as the cardholder."""
        form = {"client_secret": str(intent["client_secret"]), "success": str(success).lower()}
        self.post(f"/v1/payment_intents/{intent['id']}/_authenticate", form)

    def send_events_to(self, url: str) -> None:
        """Send events, signed with the account's key, about a second after they happen."""
        body = {"url": url, "secret": CONFIG["webhook_key"]}
        self._client.post("/_config/webhooks/one", json=body).raise_for_status()

    def post(self, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        """Post a call that must succeed."""
        answer = self._client.post(path, data=dict(form)).raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def close(self) -> None:
        """Stop the server."""
        self._client.close()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


@dataclass(frozen=True)
class Recorded:
    """A story, and its PaymentIntent."""

    story: Story
    prepare: Callable[[Peer], dict[str, Any]]
    api_key: str = CONFIG["api_key"]


def _known(parameters: Parameters) -> Reference:
    return Reference("A1", parameters["provider_id"])


def _stands(status: PaymentStatus, raw_status: str, reason: RejectionCode | None = None) -> Callable[..., Scene]:
    def script(parameters: Parameters) -> Scene:
        charge = yield call("get_status", _known(parameters))
        expect(charge, status=status, raw_status=raw_status, amount=AMOUNT, reference=_known(parameters))
        expect(charge, reason=reason, moves_money=False)
        expect(charge.require("A1", AMOUNT), is_paid=status is PaymentStatus.SUCCEEDED)

    return script


def _captured_in_part(parameters: Parameters) -> Scene:
    held = yield call("get_status", _known(parameters))
    expect(held, status=PaymentStatus.AUTHORIZED)
    expect(held.require("A1", AMOUNT), is_paid=False)
    charge = yield call("capture_charge", CaptureRequest(_known(parameters), "capture-1", PART))
    expect(charge, status=PaymentStatus.SUCCEEDED, amount=AMOUNT, captured=PART)
    expect(charge.require("A1", AMOUNT), is_paid=False)


def _cancelled(parameters: Parameters) -> Scene:
    charge = yield call("cancel_charge", _known(parameters))
    expect(charge, status=PaymentStatus.CANCELLED)
    expect(charge.require("A1", AMOUNT), is_paid=False)
    expect((yield call("get_status", _known(parameters))), status=PaymentStatus.CANCELLED)


def _refunded(parameters: Parameters) -> Scene:
    refund = yield call("refund_charge", RefundRequest(_known(parameters), "refund-1", PART))
    expect(refund, status=RefundStatus.SUCCEEDED, amount=PART, refund_id="refund-1")
    for asked in (
        RefundReference(provider_id=refund.provider_id),
        RefundReference("refund-1", reference=_known(parameters)),
    ):
        expect((yield call("get_refund", asked)), provider_id=refund.provider_id, amount=PART)


def _nowhere(_: Parameters) -> Scene:
    # Its 404 lacks Stripe's code; a bare 404 means a wrong address.
    yield call("get_status", Reference("A1", "pi_nowhere"), raises=ProtocolViolation)


def _unauthorized(parameters: Parameters) -> Scene:
    yield call("get_status", _known(parameters), raises=AuthorizationRejected)


def _recorded(
    name: str,
    script: Callable[..., Scene],
    prepare: Callable[[Peer], dict[str, Any]],
    repeats: tuple[str, ...] = (),
    **options: Any,
) -> Recorded:
    return Recorded(Story(f"localstripe-{name}", script, POLICY, live=False, repeats=repeats), prepare, **options)


def _held(peer: Peer) -> dict[str, Any]:
    return peer.intent(capture_method="manual")


def _authenticated(*, success: bool) -> Callable[[Peer], dict[str, Any]]:
    def prepare(peer: Peer) -> dict[str, Any]:
        intent = peer.intent(CHALLENGED)
        peer.authenticate(intent, success=success)
        return intent

    return prepare


_PAID = _stands(PaymentStatus.SUCCEEDED, "succeeded")
_OPEN_AGAIN = _stands(PaymentStatus.PENDING, "requires_payment_method", RejectionCode.DECLINED)

SCENES = (
    _recorded(
        "waiting", _stands(PaymentStatus.PENDING, "requires_confirmation"), lambda peer: peer.intent(confirm=False)
    ),
    _recorded("paid", _PAID, lambda peer: peer.intent()),
    _recorded("declined", _OPEN_AGAIN, lambda peer: peer.intent(DECLINED)),
    _recorded("authenticated", _PAID, _authenticated(success=True)),
    _recorded("not-authenticated", _OPEN_AGAIN, _authenticated(success=False)),
    _recorded("captured-in-part", _captured_in_part, _held, repeats=("/v1/payment_intents/{id}",)),
    _recorded("cancelled", _cancelled, _held),
    _recorded("refunded", _refunded, lambda peer: peer.intent(), repeats=("/v1/refunds",)),
    _recorded("nowhere", _nowhere, lambda peer: peer.intent()),
    _recorded("unauthorized", _unauthorized, lambda peer: peer.intent(), api_key="not_a_key_of_localstripe"),
)


def record_all(folder: Path = FOLDER) -> list[Path]:
    """Record every scene into `sandbox/` of `folder`."""
    made = []
    with Peer() as peer:
        for scene in SCENES:
            peer.begin(scene.story.name)
            parameters = {"provider_id": str(scene.prepare(peer)["id"])}
            path = folder / "sandbox" / f"{scene.story.name}.yaml"
            account = Account("stripe", {**peer.config, "api_key": scene.api_key, "provider": "stripe"})
            record_story(
                scene.story,
                path,
                account,
                ReplayActor(),
                Provenance("sandbox", "localstripe"),
                parameters,
                "python scripts/record_localstripe.py",
            )
            made.append(path)
    return made


if __name__ == "__main__":
    for written in record_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(f"recorded {written}")
