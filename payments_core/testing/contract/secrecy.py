"""Check that requests are reproducible, and that no secret leaks."""

from __future__ import annotations

import functools
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from payments_core import PaymentError, Reference, Secret, hookimpl, tap
from payments_core.testing import faults
from payments_core.testing._exchanges import FrozenClock
from payments_core.testing.cassettes import BASE_URL, Provenance, record, replay
from payments_core.testing.faults import Fault
from payments_core.testing.leaks import assert_controls, exception_texts, scan

from .bench import AtStep, Bench, Tap, error_of
from .forgeries import TIMED, Genuine, forge
from .rules import SIGNED, Rules, essential

__all__ = ["Secrecy"]


class Secrecy(Rules):
    """Check determinism and secrecy."""

    def test_the_same_request_makes_the_same_bytes(self, bench: Bench) -> None:
        """Two instances of the provider agree: no hook is random or reads a clock.

        The second run gets the answers of the first, so both see the same state of the gateway.
        """
        create, *others = bench.operations()
        clock = FrozenClock()
        # The create by itself: if its ids are random, the other operations do not find the charge.
        for operations in ([create], others):
            made = [bench.record(operation, clock) for operation in operations]
            time.sleep(1.01 - time.time() % 1)  # a clock that the provider reads has moved on to the next second
            for recorded in made:
                assert recorded.requests, recorded.operation
                assert bench.replay(recorded).requests == recorded.requests, (
                    f"{recorded.operation}: the same request was encoded in two ways"
                )

    @essential
    def test_no_secret_is_in_a_repr(self, bench: Bench) -> None:
        """Check the configuration, the provider and its attributes, its requests, and a charge."""
        seen = Tap()
        with bench.open(plugins=[seen]) as gateway:
            charge = bench.create(gateway)
            known = self._known(bench, gateway)
            provider = self.provider(bench.typed_config)
            shown = [repr(bench.typed_config), str(bench.typed_config), repr(provider), str(provider), repr(charge)]
            shown += [f"{name}={value!r} {value}" for name, value in _attributes(provider)]
            shown += [repr(each) for each in seen.requests] + [repr(gateway), repr(vars(gateway))]
        assert_controls(known)
        for text in shown:
            _check(text, known, f"in a repr: {text[:40]}...")

    def test_every_secret_of_the_configuration_is_a_secret(self, bench: Bench) -> None:
        """Plain text appears in every repr of a configuration, and is never masked."""
        values = msgspec.structs.asdict(bench.typed_config)
        public = [name for name, value in values.items() if isinstance(value, str) and _names_a_secret(name)]
        assert not public, f"{', '.join(public)} of the configuration is text: declare it as a Secret"

    @essential
    def test_no_secret_is_in_a_url_or_sent_as_text(self, bench: Bench) -> None:
        """URLs and plain headers are logged; the webhook key is sent to nobody."""
        known, seen = bench.secrets, Tap()
        with bench.open(plugins=[seen, _Tokens(known)]) as gateway:
            for operation in bench.operations():
                bench.prepare(operation, gateway).call()
        # An API key may be sent; a key that is named for webhooks may not.
        apart = {name: value for name, value in known.items() if name == self.webhook_key_field and "webhook" in name}
        for request in seen.requests:
            _check(request.path, known, f"in the path of {request!r}: paths are logged everywhere")
            for name, value in (*request.query, *request.headers):
                if isinstance(value, str):
                    _check(value, known, f"sent as text in {name} of {request!r}: keep it a Secret")
            _check(request.body, apart, f"sent in the body of {request!r}")

    @essential
    def test_no_token_or_secret_leaks_from_any_call(
        self,
        bench: Bench,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
        recwarn: pytest.WarningsRecorder,
    ) -> None:
        """Check results, refusals, events, logs, warnings and the terminal, for parts of a secret too."""
        known = bench.secrets
        known |= {
            f"a part of {name}": value[: max(12, len(value) // 3)] for name, value in known.items() if len(value) >= 24
        }
        told = [repr(bench.typed_config).encode()]
        with caplog.at_level(logging.DEBUG):
            told += [_outcome(call) for call in self._failing_calls(bench, known)]
        # Ignore the sandbox's own logs, which come from its threads.
        logged = [each for each in caplog.records if each.thread == threading.get_ident()]
        told += [f"{each.getMessage()} {each.__dict__!r}".encode() for each in logged]
        told += [f"{each.message}".encode() for each in recwarn]
        told += [each.encode() for each in capfd.readouterr()]
        _check(b"\n".join(dict.fromkeys(told)), known, "in a result, an error, a log, a warning or on the terminal")

    def _failing_calls(self, bench: Bench, known: dict[str, str]) -> Iterator[Callable[[], object]]:
        """Yield every call, with each documented refusal and a failing token call; add the tokens to `known`."""
        refused: list[Fault] = [faults.Answer(each.body, each.status, each.headers) for each in self.refusals]
        for operation in bench.operations():
            with bench.open(plugins=[_Tokens(known)]) as gateway:
                yield bench.prepare(operation, gateway).call
            answers: list[Fault] = [faults.HTML(), *(refused if operation == "create_charge" else refused[:1])]
            for answer in answers:
                with bench.open(plugins=[_Tokens(known)]) as gateway:
                    prepared = bench.prepare(operation, gateway)
                    bench.inject(AtStep(answer, len(bench.steps(operation)) - 1))
                    yield prepared.call
        unreadable: list[Fault] = [faults.HTML(), faults.Answer(b"{}")]
        for fault in (*unreadable, *refused):
            bench.reset()
            with bench.open() as gateway:
                bench.inject(fault)
                yield functools.partial(bench.create, gateway)
        bench.reset()
        with bench.open(plugins=[_Tokens(known)]) as gateway:
            if self.has("get_status"):
                charge = bench.create(gateway)
                for reference in (
                    Reference(bench.new_order()),
                    Reference(provider_id=charge.reference.provider_id[:-1]),
                ):
                    yield functools.partial(gateway.get_status, reference)
            if self.has("parse_webhook"):
                genuine = Genuine.paid(bench, gateway)
                yield functools.partial(gateway.parse_webhook, genuine.with_())
                forgeries = ("digest-first-digit", *(TIMED if self.webhook_tolerance is not None else ()))
                for forgery in forgeries if SIGNED.holds(type(self)) else ("body-empty",):
                    yield functools.partial(gateway.parse_webhook, forge(genuine, forgery))

    def _known(self, bench: Bench, gateway: Any) -> dict[str, str]:
        known = bench.secrets
        if self.has("authorize"):
            known["token"] = gateway.authorize().token.reveal()
        return known

    @essential
    def test_no_secret_is_in_an_error_or_a_log(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        """Check every failure, with every logger at DEBUG."""
        broken: list[Fault | None] = [
            None, faults.Reset(), faults.HTML(), faults.HTML(status=500), faults.Truncate(), faults.BadGzip(),
            faults.Unauthorized(), faults.TooManyRequests("3600"), faults.Answer(b"{}"),
            faults.Answer(b'{"error": 1}', 400),
        ]  # fmt: skip
        sinks: list[bytes] = []
        with caplog.at_level(logging.DEBUG):
            with bench.open() as gateway:
                known = self._known(bench, gateway)
            for operation in bench.operations():
                for fault in broken:
                    with bench.open() as gateway:
                        prepared = bench.prepare(operation, gateway)
                        if fault is not None:
                            bench.inject(AtStep(fault, 0))
                        sinks.append(_outcome(prepared.call))
            if self.has("parse_webhook"):
                bench.reset()
                with bench.open() as gateway:
                    genuine = Genuine.paid(bench, gateway)
                    forgeries = ("digest-first-digit", "body-empty", "key-other")
                    for name in forgeries if SIGNED.holds(type(self)) else ("body-empty",):
                        forged = forge(genuine, name)
                        sinks.append(exception_texts(error_of(functools.partial(gateway.parse_webhook, forged))))
        sinks.append("\n".join(f"{each.getMessage()} {each.__dict__!r}" for each in caplog.records).encode())
        assert caplog.records, "nothing was logged at all: this test checks nothing"
        for sink in sinks:
            _check(sink, known, "in an error or a log")

    @essential
    def test_no_secret_gets_into_a_cassette(self, bench: Bench) -> None:
        """Record a charge with the class's `cassette_policy`, scan the file, and replay it with another account."""
        order_id, clock = bench.new_order(), FrozenClock()
        known = bench.secrets
        request = self.request(order_id, bench.amount, **bench.usual_fields())
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "contract.yaml"
            with (
                record(
                    path,
                    self.cassette_policy,
                    Provenance("sandbox", self.info().id),
                    base_url=str(bench.sandbox.config["base_url"]),
                    secrets=known,
                ),
                bench.open(config=dict(bench.sandbox.config), clock=clock) as gateway,
            ):
                charge = gateway.create_charge(request)
                if self.has("get_status"):
                    gateway.get_status(bench.reference(charge, order_id))
            text = path.read_bytes()
            assert scan(text, known) == []
            assert order_id.encode() in text, "the policy masks the order id: nobody can review such a cassette"
            with replay(path, self.cassette_policy), self._replaying(bench, clock) as gateway:
                again = gateway.create_charge(request)
                assert again.reference == charge.reference
                assert again.status == charge.status
                if self.has("get_status"):
                    gateway.get_status(bench.reference(charge, order_id))

    def _replaying(self, bench: Bench, clock: FrozenClock) -> Any:
        """Open another account, at the address that cassettes use."""
        other = {
            name: f"another-{name}-than-recorded" if isinstance(value, Secret) and value else _shown(value)
            for name, value in msgspec.structs.asdict(bench.typed_config).items()
        }
        return bench.open(config=other | {"base_url": BASE_URL}, clock=clock)


class _Tokens:
    """Add each token that the hooks get to the known secrets, as a wrapper plugin."""

    def __init__(self, known: dict[str, str]) -> None:
        self._known = known

    @hookimpl(wrapper=True)
    def authorize(self) -> Any:
        """Watch for a token."""
        return self._see((yield))

    def _see(self, outcome: Any) -> Any:
        authorization = yield from tap(outcome)
        self._known[f"token {len(self._known)}"] = authorization.token.reveal()
        return authorization


def _check(data: bytes | str, known: dict[str, str], where: str) -> None:
    leaks = scan(data, known)
    assert leaks == [], f"{leaks[0].secret} is {where}"


def _outcome(call: Callable[[], object]) -> bytes:
    """Return everything that a call's result or error can show."""
    try:
        return repr(call()).encode()
    except PaymentError as exc:
        return exception_texts(exc)


def _names_a_secret(field: str) -> bool:
    """Judge a field by its last word: `client_secret`, `api_key`, `token`; not an id, a path or a public key."""
    *before, last = field.lower().split("_")
    if last in {"secret", "password", "passphrase", "token", "credential", "credentials"}:
        return True
    return last == "key" and not {"public", "publishable", "app", "access", "verify", "verification"} & set(before)


def _shown(value: object) -> object:
    return "" if isinstance(value, Secret) else value


def _attributes(value: object) -> list[tuple[str, object]]:
    """Return an object's attributes, from its `__dict__` and its slots."""
    names = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    return [*vars(value).items()] + [(name, getattr(value, name, None)) for name in names if name != "__dict__"]
