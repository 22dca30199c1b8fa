"""Set up one contract class: its sandbox, a fault gateway in front of it, and the requests that were sent."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from payments_core import (
    AsyncGateway,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Gateway,
    Method,
    Money,
    PaymentError,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    Request,
    Retries,
    Secret,
    UnsupportedOperation,
    WebhookDelivery,
    hookimpl,
    tap,
)
from payments_core.hookspecs import MONEY_OPERATIONS
from payments_core.testing import faults
from payments_core.testing._exchanges import AsyncPlayer, Exchange, FrozenClock, Recorder, as_secret, masked
from payments_core.testing.faults import Fault, FaultGateway
from payments_core.testing.opening import open_provider
from payments_core.testing.sandbox import ContractSandbox

from .rules import Rules

__all__ = ["AtStep", "Bench", "Prepared", "Tap", "error_of", "fail_on_error", "says_paid"]

# Deadlines in seconds: of a call that must run into it, and of any other.
SHORT: Final = 0.4
LONG: Final = 10.0
# Retry without waiting.
_RETRIES: Final = Retries(first_pause=0.001)


class Tap:
    """Keep the requests of every hook but `authorize`, with their flags, as a wrapper plugin."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def _see(self, outcome: Any) -> Any:
        return tap(outcome, request=self.requests.append)

    @hookimpl(wrapper=True)
    def create_charge(self) -> Any:
        """Keep the requests of the flow."""
        return self._see((yield))

    get_status = complete_charge = capture_charge = cancel_charge = refund_charge = get_refund = create_charge


class AtStep:
    """Play a fault at one request of a flow, counted from 0, and at the same one of each later run."""

    def __init__(self, fault: Fault, step: int, times: int | None = None) -> None:
        self._fault = fault
        self._step = step
        self._left = times
        self._seen = itertools.count()
        self.played = 0

    def play(self, exchange: faults.Exchange) -> bool:
        """Forward the requests before it."""
        if next(self._seen) % (self._step + 1) != self._step or self._left == 0:
            return exchange.forward()
        if self._left is not None:
            self._left -= 1
        self.played += 1
        return self._fault.play(exchange)


@dataclass
class Prepared:
    """An operation that is ready to call: its charge exists, and the gateway has its authorization."""

    operation: str
    order_id: str
    arguments: tuple[Any, ...]
    gateway: Gateway

    def call(self) -> Charge | Refund:
        """Call the gateway."""
        return getattr(self.gateway, self.operation)(*self.arguments)  # type: ignore[no-any-return]

    @property
    def moves_money(self) -> bool:
        """Return True if the outcome can be unknown."""
        return self.operation in MONEY_OPERATIONS


class Recorded(NamedTuple):
    """A call that was made, with the requests and answers for its token and for the call."""

    operation: str
    arguments: tuple[Any, ...]
    exchanges: list[Exchange]
    outcome: Charge | Refund | None
    clock: FrozenClock

    @property
    def requests(self) -> list[list[Any]]:
        """Return the requests, masked."""
        return [masked(request) for request, _ in self.exchanges]


class Replayed(NamedTuple):
    """A recorded call made again: its result or error, its masked requests, and the requests after the token's."""

    outcome: Any
    requests: list[list[Any]]
    sent: list[Request]


class Bench:
    """The sandbox of one contract class, and the operations on it."""

    def __init__(self, contract: type[Rules], sandbox: ContractSandbox, fault_gateway: FaultGateway) -> None:
        self.contract = contract
        self.rules = contract()
        self.sandbox = sandbox
        self.fault_gateway = fault_gateway
        self._numbers = itertools.count(1)
        self._steps: dict[str, list[Request]] = {}
        self._injected: list[faults.Rule] = []
        self._batch: tuple[WebhookDelivery, int] | None = None
        self.works = False

    # Opening.

    @property
    def config(self) -> dict[str, Any]:
        """Return the configuration of a gateway that goes through the fault gateway."""
        config = dict(self.sandbox.config)
        assert "base_url" in config, "the contract needs a configuration with a base_url, to insert its fault gateway"
        path = urlsplit(str(config["base_url"])).path.rstrip("/")
        return config | {"base_url": self.fault_gateway.url + path}

    @property
    def typed_config(self) -> Any:
        """Return the same configuration as the provider's struct."""
        return msgspec.convert(self.config, self.contract.config_type(), dec_hook=as_secret)

    @property
    def secrets(self) -> dict[str, str]:
        """Return the account's secrets, by the names of their fields."""
        values = msgspec.structs.asdict(self.typed_config)
        found = {name: value.reveal() for name, value in values.items() if isinstance(value, Secret) and value}
        short = [name for name, value in found.items() if len(value) < 12]
        assert not short, (
            f"the sandbox's {', '.join(short)} must have 12 characters or more, to be distinguishable from other text"
        )
        return found

    @contextlib.contextmanager
    def open(self, *, deadline: float = LONG, **options: Any) -> Iterator[Gateway]:
        """Open a gateway of the class under test."""
        config = options.pop("config", None) or self.config
        with open_provider(self.contract.provider, config, deadline=deadline, retries=_RETRIES, **options) as gateway:
            yield gateway

    def open_async(self, *, deadline: float = LONG, **options: Any) -> AsyncGateway:
        """Return an async gateway of the class under test, to be entered."""
        return open_provider(
            self.contract.provider, self.config, kind=AsyncGateway, deadline=deadline, retries=_RETRIES, **options
        )

    # Charges.

    @property
    def currency(self) -> str:
        """Return the class's currency, or the first that can be charged, preferring one that can be held."""
        info, declared = self.contract.info(), sorted(self.contract.info().currencies)
        taken = [each for each in declared if info.methods_for(currency=each)]
        held = [each for each in taken if info.methods_for(currency=each, capture=False)]
        return self.contract.currency or (held or taken or declared)[0]

    @property
    def amount(self) -> Money:
        """Return the usual amount, in the usual currency."""
        return self.amount_in(self.currency)

    def amount_in(self, currency: str) -> Money:
        """Return the usual amount in a currency; a quarter of it must be within the limits too, for refunds."""
        amount, limits = self.rules.amount(currency), self.contract.info().limits
        bounds = [(least, amount.minor // 4 < least.minor, "a quarter of it is below") for least in limits.minimum]
        bounds += [(most, amount.minor > most.minor, "it is above") for most in limits.maximum]
        for bound, broken, how in bounds:
            assert not (broken and bound.currency == currency), (
                f"{amount} cannot be charged: {how} {bound} of info.limits; override `amount` in the test class"
            )
        return amount

    def new_order(self) -> str:
        """Return a merchant order id that was not used before."""
        order_id, limits = self.rules.order_id(next(self._numbers)), self.contract.info().limits
        fits = len(order_id) <= limits.order_id_length and (
            not limits.order_id_pattern or re.fullmatch(limits.order_id_pattern, order_id)
        )
        assert fits, f"{order_id} does not fit info.limits: override `order_id` in the test class"
        return order_id

    def create(self, gateway: Gateway, order_id: str = "", amount: Money | None = None, **fields: Any) -> Charge:
        """Create a charge, with the usual fields for its currency."""
        asked = amount or self.amount
        fields = {**self.usual_fields(asked.currency), **fields}
        charge = gateway.create_charge(self.rules.request(order_id or self.new_order(), asked, **fields))
        assert charge.reference.provider_id, (
            "the charge has no provider_id, the gateway's own id, with which the sandbox pays it"
        )
        return charge

    def usual_fields(self, currency: str = "") -> dict[str, Any]:
        """Return the extra fields that a charge in a currency needs, mostly none."""
        info = self.contract.info()
        asked = {"currency": currency if currency in info.currencies else self.currency}
        for capture in (True, False):
            for channel in (Channel.WEB, *sorted(info.channels)):
                if info.methods_for(**asked, channel=channel, capture=capture):
                    held: dict[str, Any] = {} if capture else {"capture": False}
                    return held if channel is Channel.WEB else {"channel": channel, **held}
        raise AssertionError(f"no method of info takes {asked['currency']}")

    def fields_for(self, method: Method, **asked: Any) -> tuple[Money, dict[str, Any]] | None:
        """Return an amount and fields that a method accepts, or None if it does not accept what is asked."""
        info = self.contract.info()
        currencies = [self.currency, *sorted(method.currencies or info.currencies)]
        channels = (Channel.WEB, *sorted(method.channels or info.channels))
        for currency in [asked.get("currency")] if "currency" in asked else currencies:
            for channel in [asked.get("channel")] if "channel" in asked else channels:
                capture = asked.get("capture", method.capture is not False)
                if method in info.methods_for(currency=currency, channel=channel, capture=capture):
                    fields = {"method": method.id, "channel": channel}
                    return self.amount_in(str(currency)), fields if capture else {**fields, "capture": False}
        return None

    def paid(self, gateway: Gateway, order_id: str = "", **fields: Any) -> Charge:
        """Create a charge and have the shopper approve it."""
        charge = self.create(gateway, order_id, **fields)
        self.sandbox.pay(charge.reference.provider_id)
        return charge

    def settle(self, order_id: str) -> None:
        """Complete a pending capture of this order, where the sandbox can."""
        if settle := getattr(self.sandbox, "settle_capture", None):
            for held in self.sandbox.charges(order_id):
                settle(held.provider_id)

    def taken(self, order_id: str) -> list[Money]:
        """Return the amounts that the gateway has captured for this order."""
        return [each.captured for each in self.sandbox.charges(order_id) if each.captured and each.captured.minor]

    def reference(self, charge: Charge, order_id: str = "") -> Reference:
        """Return both ids, as a shop has stored them."""
        return Reference(order_id or charge.reference.order_id, charge.reference.provider_id)

    def authorizable(self, gateway: Gateway, order_id: str) -> Charge:
        """Create and approve a charge to be captured later, with the first method that allows it."""
        problems: list[PaymentError] = []
        for method in self.contract.info().methods:
            if (asked := self.fields_for(method, currency=self.currency, capture=False)) is not None:
                try:
                    return self.paid(gateway, order_id, **asked[1])
                except PaymentError as exc:
                    problems.append(exc)
        raise AssertionError(f"no declared method takes capture=False: {'; '.join(map(str, problems))}")

    def batch(self) -> tuple[WebhookDelivery, int]:
        """Return the class's `batch`, made once: its charges may be refused a second time."""
        if self._batch is None:
            self._batch = self.rules.batch(self.sandbox)
        return self._batch

    def quarter(self, amount: Money) -> Money:
        """Return a quarter of the amount, which is whole in every currency."""
        return Money(minor=amount.minor // 4, currency=amount.currency)

    # Operations.

    def operations(self) -> list[str]:
        """Return every declared operation that sends something, in the order of a charge's life."""
        info = self.contract.info()
        names = ["create_charge"] + (["get_status"] if self.contract.has("get_status") else [])
        return names + sorted(info.operations)

    def prepare(self, operation: str, gateway: Gateway) -> Prepared:
        """Do everything up to the operation itself, over a working network."""
        self.reset()
        order_id = self.new_order()
        if self.contract.has("authorize"):
            gateway.authorize()
        arguments = getattr(self, f"_{operation}")(gateway, order_id)
        self.fault_gateway.clear()
        return Prepared(operation, order_id, arguments, gateway)

    def steps(self, operation: str) -> list[Request]:
        """Return the requests that the operation makes when nothing fails."""
        if operation not in self._steps:
            seen = Tap()
            with self.open(plugins=[seen]) as gateway:
                prepared = self.prepare(operation, gateway)
                seen.requests.clear()
                prepared.call()
            self._steps[operation] = list(seen.requests)
        return self._steps[operation]

    def last_unsafe(self, operation: str) -> int:
        """Return the index of the last request of an operation that is not safe."""
        places = [place for place, each in enumerate(self.steps(operation)) if not each.safe]
        assert places, f"every request of {operation} is marked safe, but it moves money"
        return places[-1]

    def begin(self) -> None:
        """Create the usual charge; if that fails, nearly everything else does."""
        try:
            with self.open() as gateway:
                self.create(gateway)
        except Exception as exc:
            if "not written yet" not in str(exc):  # a scaffold names what is missing itself
                raise AssertionError(f"the usual create fails, so no test that needs it was run: {exc!r}") from exc
        self.reset()
        self.works = True

    # Recorded calls.

    def record(self, operation: str, clock: FrozenClock) -> Recorded:
        """Call an operation, and keep the requests and answers for its token and for the call."""
        recorder = Recorder()
        with contextlib.closing(recorder), self.open(transport=recorder, clock=clock) as gateway:
            if self.contract.has("authorize"):
                gateway.authorize()
            tokens = list(recorder.exchanges)
            prepared = self.prepare(operation, gateway)
            before = len(recorder.exchanges)
            outcome = prepared.call()
        return Recorded(operation, prepared.arguments, [*tokens, *recorder.exchanges[before:]], outcome, clock)

    def replay(self, recorded: Recorded) -> Replayed:
        """Make a recorded call again, with a new async gateway that gets the same answers."""
        player = AsyncPlayer([response for _, response in recorded.exchanges])

        async def call() -> Replayed:
            async with self.open_async(transport=player, clock=recorded.clock) as gateway:
                if self.contract.has("authorize"):
                    await gateway.authorize()
                tokens = len(player.requests)
                try:
                    outcome = await getattr(gateway, recorded.operation)(*recorded.arguments)
                except PaymentError as exc:
                    outcome = exc
                return Replayed(outcome, list(map(masked, player.requests)), player.requests[tokens:])

        return asyncio.run(call())

    # The arguments of each operation.

    def _create_charge(self, _: Gateway, order_id: str) -> tuple[ChargeRequest]:
        return (self.rules.request(order_id, self.amount, **self.usual_fields()),)

    def _get_status(self, gateway: Gateway, order_id: str) -> tuple[Reference]:
        return (self.reference(self.create(gateway, order_id), order_id),)

    def _complete_charge(self, gateway: Gateway, order_id: str) -> tuple[Reference, Any]:
        charge = self.paid(gateway, order_id)
        returned = self.rules.returned(self.sandbox, charge.reference.provider_id)
        return self.reference(charge, order_id), returned

    def _capture_charge(self, gateway: Gateway, order_id: str) -> tuple[CaptureRequest]:
        reference = self.reference(self.authorizable(gateway, order_id), order_id)
        return (CaptureRequest(reference, f"capture-{order_id}", self.amount),)

    def _cancel_charge(self, gateway: Gateway, order_id: str) -> tuple[Reference]:
        return self._get_status(gateway, order_id)

    def _refund_charge(self, gateway: Gateway, order_id: str) -> tuple[RefundRequest]:
        reference = self.reference(self.paid(gateway, order_id), order_id)
        return (RefundRequest(reference, f"refund-{order_id}", self.quarter(self.amount)),)

    def _get_refund(self, gateway: Gateway, order_id: str) -> tuple[RefundReference]:
        (request,) = self._refund_charge(gateway, order_id)
        refund = gateway.refund_charge(request)
        return (RefundReference(request.refund_id, refund.provider_id, request.reference),)

    # Faults.

    def inject(self, fault: Fault, **where: Any) -> faults.Rule:
        """Inject a fault until the test ends."""
        rule = self.fault_gateway.inject(fault, **where)
        self._injected.append(rule)
        return rule

    def reset(self) -> None:
        """Remove the injected faults, and forget the requests."""
        for rule in self._injected:
            rule.remove()
        self._injected.clear()
        self.fault_gateway.clear()


def says_paid(charge: Charge) -> bool:
    """Return True if a shop that waits for this charge would call it paid."""
    ids, amount = charge.reference, charge.amount
    return amount is not None and charge.require(ids.order_id, amount, provider_id=ids.provider_id).is_paid


def error_of(call: Callable[[], object]) -> PaymentError:
    """Return the `PaymentError` that a call raises; any other outcome fails the test."""
    try:
        result = call()
    except PaymentError as error:
        return error
    raise AssertionError(f"it returned {result!r} instead of raising")


@contextlib.contextmanager
def fail_on_error(what: str, *, but: tuple[type[PaymentError], ...] = ()) -> Iterator[None]:
    """Turn a `PaymentError` into a test failure with this message; let `but` and unsupported operations pass."""
    try:
        yield
    except PaymentError as exc:
        if isinstance(exc, (UnsupportedOperation, *but)):
            raise
        raise AssertionError(f"{what}: {exc!r}") from None
