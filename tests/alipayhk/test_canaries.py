"""Plant secrets everywhere and look for them in every sink: logs at DEBUG, reprs, exception graphs, notifications.

A reviewer chooses the secrets: PAYMENTS_CANARY_SECRET, PAYMENTS_CANARY_KEY and PAYMENTS_CANARY_TOKEN in the
environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from payments_alipayhk.sandbox import Sandbox, make
from payments_core import ChargeRequest, Money, PaymentError, Reference, WebhookDelivery, hookimpl
from payments_core.testing import faults
from payments_core.testing.faults import FaultGateway
from payments_core.testing.leaks import assert_controls, exception_texts, plant, scan

HKD = Money.of("88.00", "HKD")
FAULTS = {
    "none": None,
    "reset": faults.Reset(),
    "hang": faults.Hang(),
    "truncate": faults.Truncate(),
    "html": faults.HTML(),
    "500": faults.HTML(status=500),
    "bad gzip": faults.BadGzip(),
    "redirect": faults.Redirect("http://127.0.0.1:9/"),
    "unauthorized": faults.Unauthorized(),
    "too many": faults.TooManyRequests(),
    "deep": faults.DeepJSON(),
}


@pytest.fixture(scope="module")
def canaries() -> dict[str, str]:
    """Return the reviewer's secrets, else new ones; odd characters show whether quoting hides them."""
    return {
        name: os.environ.get(f"PAYMENTS_CANARY_{name.upper()}") or f"c4n/{name}+{secrets.token_hex(8)}=&é"
        for name in ("secret", "key", "token")
    }


@pytest.fixture
def sandbox(canaries: dict[str, str]) -> Iterator[Sandbox]:
    with make(client_secret=canaries["secret"], webhook_key=canaries["key"]) as running:
        yield running


class Everything:
    """Keep the repr of everything an observer is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @hookimpl
    def operation_finished(self, operation: Any) -> None:
        self.told.append(repr(operation))

    @hookimpl
    def exchange_finished(self, exchange: Any) -> None:
        self.told.append(repr(exchange))

    @hookimpl
    def charge_observed(self, charge: Any) -> None:
        self.told.append(repr(charge))

    @hookimpl
    def webhook_observed(self, event: Any) -> None:
        self.told.append(repr(event))

    @hookimpl
    def webhook_rejected(self, provider: str, reason: str) -> None:
        self.told.append(f"{provider}{reason}")


def test_every_positive_control_is_found(canaries: dict[str, str]) -> None:
    """A scan that finds nothing anywhere would prove nothing."""
    assert_controls(canaries)
    forms = {form for secret in canaries.values() for form in plant(secret)}
    assert len(forms) >= 7


@pytest.mark.parametrize("where", ["mch-api/v1/auth", "payment_intents/create", "payment_intents/query"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_no_secret_escapes(
    opening: Any, sandbox: Sandbox, canaries: dict[str, str], caplog: pytest.LogCaptureFixture, fault: Any, where: str
) -> None:
    """Whatever goes wrong, at whatever step, with every logger at DEBUG."""
    sinks: list[str] = []
    token = canaries["token"].encode("ascii", "ignore").decode().replace(" ", "")
    observer = Everything()
    with caplog.at_level(logging.DEBUG), FaultGateway(upstream=sandbox.url) as between:
        if where != "mch-api/v1/auth":
            between.inject(faults.Answer({"access_token": token, "expires_in": 3600}), path="mch-api/v1/auth")
        if fault is not None:
            between.inject(fault, path=where)
        gateway = opening("alipayhk", sandbox.config | {"base_url": between.url}, deadline=0.4, plugins=[observer])
        calls = [
            gateway.authorize,
            lambda: gateway.create_charge(ChargeRequest("P1", HKD, "tea")),
            lambda: gateway.confirm("P1", HKD),
            lambda: gateway.get_status(Reference("P1")),
            lambda: gateway.parse_webhook(WebhookDelivery(b"{}", {"Signature": "0" * 64})),
        ]
        for call in calls:
            try:
                sinks.append(repr(call()))
            except PaymentError as error:
                sinks.append(exception_texts(error).decode(errors="replace"))
        sinks += [repr(gateway.info), repr(vars(getattr(gateway, "wrapped", gateway)))]
        with contextlib.suppress(AttributeError):
            sinks.append(repr(getattr(gateway, "wrapped", gateway)._provider.__dict__))
        reached = any(request.path.endswith(where) for request in between.requests)
    assert reached or where == "payment_intents/query"
    sinks.append("\n".join(f"{record.name} {record.getMessage()} {record.__dict__!r}" for record in caplog.records))
    sinks += observer.told
    for sink in sinks:
        assert scan(sink.encode(errors="replace"), canaries | {"token": token}) == [], sink[:80]
    assert len(caplog.records) > 0


def test_the_sinks_of_this_test_do_hear_a_secret(canaries: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    """The positive control of the sinks: a secret that is logged or raised is found there."""
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("anything").debug("token %s", canaries["token"])
    assert scan(caplog.text.encode(), canaries)
    assert scan(exception_texts(ValueError(canaries["key"])), canaries)
