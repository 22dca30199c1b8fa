"""Check that a create sends what the shop asked for: method, options and notification address."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from html import escape
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from payments_core import Channel, ChargeRequest, Money, Request, Secret
from payments_core.testing._exchanges import Exchange, FrozenClock, Recorder

from .bench import Bench, Recorded, Tap
from .forgeries import Genuine
from .rules import NOTIFIES, Condition, Rules, needs

__all__ = ["Requests"]

# Values that gateways accept; those that one refuses, or rounds to another, are passed over.
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "capture": (True, False),
    "expires_in": (None, 3600.0, 7200.0, 86_400.0, 3 * 86_400.0),
    "payment_token": (Secret("tok_of_the_contract_1"), Secret("tok_of_the_contract_2")),
}


class Requests(Rules):
    """Compare the requests of a create with its arguments."""

    @needs(Condition("there is one method", lambda cls: len(cls.info().methods) > 1))
    def test_each_method_is_asked_for(self, bench: Bench) -> None:
        """Two methods that send the same request let the shopper pay with the wrong one."""
        order_id = bench.new_order()
        for currency, channel in sorted(self._places(bench)):
            fitting = [bench.fields_for(each, currency=currency, channel=channel) for each in self.info().methods]
            asked = [each for each in fitting if each is not None]
            answers, sent = self._answers(bench, asked[0]), dict[Any, str]()
            for amount, fields in asked:
                request = self.request(order_id, amount, **fields)
                made, method = self._sent(bench, answers, request), fields["method"]
                assert made is None or made not in sent, (
                    f"{sent[made]} and {method} send the same request: see info.methods"
                )
                if made is not None:
                    sent[made] = method

    def _places(self, bench: Bench) -> set[tuple[str, Channel]]:
        """Return a currency and a channel of each method, in which to compare it with the others."""
        found = [bench.fields_for(method) for method in self.info().methods]
        return {(each[0].currency, each[1]["channel"]) for each in found if each is not None}

    @needs(Condition("no charge_options are declared", lambda cls: bool(cls.info().charge_options)))
    def test_every_charge_option_that_is_declared_is_sent(self, bench: Bench) -> None:
        """An option that is silently ignored misleads the shop."""
        order_id = bench.new_order()
        asked = [each for each in map(bench.fields_for, self.info().methods) if each is not None]
        told: dict[str, dict[str, bool]] = {option: {} for option in self.info().charge_options}
        for amount, fields in asked:
            answers, request = self._answers(bench, (amount, fields)), self.request(order_id, amount, **fields)
            for option, differs in told.items():
                made = [self._sent(bench, answers, replace(request, **{option: each})) for each in _VALUES[option]]
                taken = [each for each in made if each is not None]
                if len(taken) > 1:
                    differs[fields["method"]] = len(set(taken)) > 1
        for option, differs in sorted(told.items()):
            # A token or an expiry may concern one method only; capture=False concerns all.
            enough = all(differs.values()) if option == "capture" else any(differs.values()) or not differs
            alike = ", ".join(sorted(method for method, each in differs.items() if not each))
            assert enough, f"{option} is declared in charge_options, but changes no request with {alike}"

    def _answers(self, bench: Bench, asked: tuple[Money, dict[str, Any]]) -> list[Exchange]:
        """Record the answers to a new charge, to give them to all requests that are compared."""
        amount, fields = asked
        recorder = Recorder()
        with contextlib.closing(recorder), bench.open(transport=recorder, clock=FrozenClock()) as gateway:
            if self.has("authorize"):
                gateway.authorize()
            gateway.create_charge(self.request(bench.new_order(), amount, **fields))
        return recorder.exchanges

    def _sent(
        self, bench: Bench, answers: list[Exchange], request: ChargeRequest
    ) -> tuple[tuple[Any, ...], ...] | None:
        """Return what a create sends when it gets these answers, or None if it is refused."""
        recorded = Recorded("create_charge", (request,), answers, None, FrozenClock())
        return tuple(_revealed(each) for each in bench.replay(recorded).sent) or None

    @needs(
        NOTIFIES,
        Condition("an endpoint is registered with the gateway", lambda cls: not cls.sandbox_has("register_endpoint")),
    )
    def test_the_notify_url_is_sent(self, bench: Bench) -> None:
        """Otherwise no notification ever arrives. A gateway with registered endpoints has `register_endpoint`."""
        if hasattr(bench.sandbox, "register_endpoint"):
            return  # the factory does not annotate its sandbox's class
        address = "https://shop.example/notify?a=1&b=2"
        seen = Tap()
        with bench.open(plugins=[seen]) as gateway:
            asked = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
            gateway.create_charge(replace(asked, notify_url=address))
        sent = b"".join(repr(_revealed(each)).encode() + each.body for each in seen.requests)
        forms = (address, address.replace("/", "\\/"), quote(address, safe=""), quote(address), escape(address))
        said = "notify_url is not sent: no notification ever arrives"
        assert any(each.encode() in sent for each in forms) or address in _decoded(seen.requests), said

    @needs(NOTIFIES)
    @needs(
        Condition(
            "the sandbox does not deliver to the address of a charge",
            lambda cls: cls.sandbox_has("deliver") and not cls.sandbox_has("register_endpoint"),
        )
    )
    def test_a_notification_arrives_at_the_notify_url(self, bench: Bench) -> None:
        """None does if another address is sent in its place."""
        from payments_core.testing.server import WebhookListener

        with WebhookListener() as listener, bench.open() as gateway:
            asked: ChargeRequest = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
            addresses = {"notify_url": listener.url, "return_url": asked.return_url or "https://shop.example/back"}
            charge = gateway.create_charge(replace(asked, **addresses))
            bench.sandbox.pay(charge.reference.provider_id)
            with contextlib.suppress(Exception):  # the sandbox may refuse in its own way
                bench.sandbox.deliver(charge.reference.provider_id)  # type: ignore[attr-defined]
            with contextlib.suppress(TimeoutError):
                listener.wait(1, timeout=2.0)
            assert listener.deliveries, "nothing is delivered to the notify_url of the charge"
            body = listener.deliveries[-1].body
            genuine = Genuine.of(bench, bench.sandbox.notification(charge.reference.provider_id))
            assert gateway.parse_webhook(genuine.with_(genuine.signed(body=body), body)).events


def _decoded(requests: Iterable[Request]) -> str:
    """Return the text of JSON bodies, without escapes."""
    found = []
    for request in requests:
        with contextlib.suppress(ValueError):
            found.append(json.dumps(json.loads(request.body), ensure_ascii=False))
    return " ".join(found)


def _revealed(request: Request) -> tuple[Any, ...]:
    """Return everything that is sent, for comparison only."""
    return request.method, request.target, tuple(map(_pair, request.headers)), request.body


def _pair(pair: tuple[str, str | Secret]) -> tuple[str, str]:
    name, value = pair
    return name, value.reveal() if isinstance(value, Secret) else value
