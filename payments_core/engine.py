"""A public call from start to end: authorization, runs, retries, and the error that its position decides.

Everything here is a flow of effects (`Send`, `Pause`, `Join`), so that one implementation serves sync and async gateways.
A *call* is what a platform makes; it makes one or more *runs* of the provider's hook; a run sends requests.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from types import GeneratorType
from typing import Any, Final, TypeVar

import msgspec

from .authorization import AuthorizationCache, Flight
from .clock import Clock
from .errors import (
    AuthorizationRejected,
    GatewayUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    ProviderContractError,
    RateLimited,
)
from .fault import Fault, ProviderBug, by_status, from_hook, masked, transport_fault
from .flow import Request, Response
from .info import ProviderInfo
from .interrupts import Interrupted, interrupt_behind
from .logs import log
from .models import Authorization, Context
from .observers import ExchangeRecord
from .plugins import Hook, Hooks, where
from .position import LONGEST_CALL, MONEY_OPERATIONS, Call, Run, positioned
from .secrets import Secret

__all__ = ["Effects", "Engine", "Join", "Pause", "Send"]

T = TypeVar("T")

_MOST_RUNS: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


class Send(msgspec.Struct, frozen=True):
    """Effect: send `request` within `seconds`; its outcome is the `Response`."""

    request: Request
    seconds: float


class Pause(msgspec.Struct, frozen=True):
    """Effect: wait."""

    seconds: float


class Join(msgspec.Struct, frozen=True):
    """Effect: wait until the flight has ended, or for `seconds`."""

    flight: Flight
    seconds: float


Effects = Generator[Send | Pause | Join, Any, T]


class Engine:
    """Runs the calls of one opened gateway."""

    def __init__(
        self,
        name: str,
        info: ProviderInfo,
        hooks: Hooks,
        base_url: str,
        clock: Clock,
        cache: AuthorizationCache,
        secrets: Sequence[Secret] = (),
    ) -> None:
        self.name = name
        self.info = info
        self.hooks = hooks
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._cache = cache
        self._secrets = tuple(secrets)
        self._request_id_hook = hooks.get("read_request_id")
        self._advice_hook = hooks.get("read_retry_advice")

    # -- runs -----------------------------------------------------------------------------------------------------

    def perform(
        self, call: Call, hook: Hook, arguments: Mapping[str, object], accept: Callable[[object], T]
    ) -> Effects[T]:
        """Run a hook until it has a result that `accept` takes, or raise what its position makes of the fault."""
        refused: Authorization | None = None
        renewals = 0
        while True:
            call.runs += 1
            filled = dict(arguments)
            if "authorization" in hook.accepts:
                authorization = yield from self.authorization(call, refused=refused)
                if refused is not None and authorization.token == refused.token:
                    raise self._positioned(call, Run(), Fault(_refusal()))
                filled["authorization"] = authorization
            if "context" in hook.accepts:
                filled.setdefault("context", self.context())
            run = Run(after_exposure=call.exposed)
            result = yield from self._run(call, run, hook, filled, accept)
            if not isinstance(result, Fault):
                return result
            if result.refused and run.repeatable and "authorization" in hook.accepts:
                # Another process may have obtained a token that ended ours: renewed while newer ones keep coming.
                wait = _jittered(renewals) if renewals else 0.0
                if wait < call.left():
                    refused = filled["authorization"]  # type: ignore[assignment]
                    renewals += 1
                    if wait:
                        yield Pause(wait)
                    continue
            pause = self._pause(call, run, result)
            if pause is None:
                raise self._positioned(call, run, result)
            yield Pause(pause)

    def context(self, now: datetime | None = None) -> Context:
        """A fresh context; `now` is the clock's unless it is given."""
        return Context(now or self._clock.now(), self._clock.nonce())

    def _run(
        self, call: Call, run: Run, hook: Hook, arguments: Mapping[str, object], accept: Callable[[object], T]
    ) -> Effects[T | Fault]:
        try:
            outcome = hook(arguments)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:  # noqa: BLE001 - a plugin's bug of any kind, SystemExit too
            return self._by_hook(call, exc)
        if isinstance(outcome, GeneratorType):
            outcome = yield from self._drive(call, run, outcome)
            if isinstance(outcome, Fault):
                return outcome
        try:
            return accept(outcome)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:  # noqa: BLE001 - the result of a plugin, which can be anything
            return self._by_hook(call, exc)

    def _drive(self, call: Call, run: Run, flow: GeneratorType[Any, Any, Any]) -> Effects[Any]:
        answer: Response | None = None
        try:
            while True:
                try:
                    request = flow.send(answer)
                except StopIteration as stop:
                    return stop.value
                except (KeyboardInterrupt, MemoryError):
                    raise
                except BaseException as exc:  # noqa: BLE001 - a plugin's bug of any kind
                    return self._by_hook(call, exc)
                if type(request) is not Request:
                    wrong = TypeError(f"the flow yielded {type(request).__name__} and not a Request")
                    return self._by_hook(call, wrong)
                resolved = self._resolve(request)
                if isinstance(resolved, InvalidRequest):
                    return Fault(resolved, by_hook=True)
                if call.repeats and run.counts and not request.idempotent:
                    call.repeatable = False
                    return Fault(GatewayUnavailable("the request has no idempotency key, so it was not sent again"))
                run.yielded = True
                outcome = yield from self._exchange(call, run, resolved)
                if isinstance(outcome, Fault):
                    return outcome
                answer = outcome
        finally:
            _close(flow)

    def _resolve(self, request: Request) -> Request | InvalidRequest:
        if request.url.startswith("/"):
            return msgspec.structs.replace(request, url=self._base_url + request.url)
        origin = "/".join(request.url.split("/", 3)[:3])
        if origin.startswith("https://") and origin in self.info.origins:
            return request
        if self._base_url and request.url.startswith(f"{self._base_url}/"):
            return request
        return InvalidRequest("a request goes to base_url or to an https origin declared in info.origins", field="url")

    # -- exchanges ------------------------------------------------------------------------------------------------

    def _exchange(self, call: Call, run: Run, request: Request) -> Effects[Response | Fault]:
        left = call.left()
        if left <= 0:
            return Fault(GatewayUnavailable("the deadline had passed before a request was sent"))
        began, started_at = time.monotonic(), self._clock.now() if self.hooks.observed("exchange_finished") else None
        if run.counts and not request.safe and call.first_sent_at is None:
            call.first_sent_at = started_at or self._clock.now()
        error: Exception | None = None
        response: Response | None = None
        before = run.repeatable, call.exposed, call.repeatable
        if run.counts:
            # Taken back below: cancelled or interrupted at any moment, what is under way may have been accepted.
            run.repeatable = run.repeatable and request.idempotent
            if not request.safe:
                call.exposed = True
                call.repeatable = call.repeatable and request.idempotent
        try:
            response = yield Send(request, left)
            if not _is_whole(response):
                error, response = TypeError("the transport returned no whole Response"), None
        except MemoryError:
            raise
        except Exception as exc:  # noqa: BLE001 - a platform's own transport may raise anything
            error, response = exc, None
        if self._is_refused(error, response):
            run.repeatable, call.exposed, call.repeatable = before
        if response is not None:
            call.request_id = self._request_id(response) or call.request_id
        self._observe(call, request, response, time.monotonic() - began, started_at)
        if response is None:
            if isinstance(error, Interrupted):
                raise error
            if (interrupt := interrupt_behind(error)) is not None:
                raise Interrupted(interrupt)
            told = masked(transport_fault(error), self._known_secrets())
            # Of an exception that no transport is known to raise nobody knows what it means: it ends the call.
            return Fault(told, again=isinstance(error, GatewayUnavailable | OutcomeUnknown))
        run.advised = self._advice(response)
        return by_status(response, run.advised) or response

    def _is_refused(self, error: Exception | None, response: Response | None) -> bool:
        """Return True where a request certainly was not accepted: it never left, or its status refuses it."""
        if response is not None:
            return response.status in self.info.refusal_statuses
        return isinstance(error, GatewayUnavailable) or (isinstance(error, Interrupted) and not error.sent)

    def _by_hook(self, call: Call, error: BaseException) -> Fault:
        """Return the fault of what a hook raised, or of what it returned."""
        if (interrupt := interrupt_behind(error)) is not None:
            raise Interrupted(interrupt)
        if not isinstance(error, PaymentError):
            log(logging.ERROR, self.name, call, "possible bug of the provider: %s", where(error))
        return from_hook(error, self._known_secrets())

    def _advice(self, response: Response) -> bool | None:
        found = _read(self._advice_hook, response) if response.status >= 400 else None
        return found if type(found) is bool else None

    def _request_id(self, response: Response) -> str:
        found = _read(self._request_id_hook, response)
        return found if isinstance(found, str) and len(found) <= 200 and found.isascii() and found.isprintable() else ""

    def _observe(
        self, call: Call, request: Request, response: Response | None, seconds: float, started_at: Any
    ) -> None:
        log(
            logging.DEBUG,
            self.name,
            call,
            "%s %s -> %s in %.0f ms",
            request.method,
            request.path,
            response.status if response else "no answer",
            seconds * 1000,
        )
        if started_at is not None:
            interrupt = self.hooks.notify(
                "exchange_finished",
                exchange=ExchangeRecord(
                    provider=self.info.id,
                    method=request.method,
                    path=request.path,
                    status=response.status if response else None,
                    started_at=started_at,
                    seconds=seconds,
                    sent_bytes=len(request.body),
                    received_bytes=len(response.body) if response else 0,
                    request_id=call.request_id if response else "",
                    gateway=self.name,
                    order_id=call.order_id,
                ),
            )
            if interrupt is not None:
                raise Interrupted(interrupt)

    # -- authorization ----------------------------------------------------------------------------------------------

    def authorization(self, call: Call, *, refused: Authorization | None = None) -> Effects[Authorization]:
        """The current authorization, obtained once for all who need it."""
        asked_at = time.monotonic()
        while True:
            left = call.left()
            if left <= 0:
                late = GatewayUnavailable("no authorization was obtained within the deadline")
                raise self._positioned(call, Run(), Fault(late))
            claim = self._cache.claim(refused=refused, age_clock=self._clock.monotonic(), asked_at=asked_at, left=left)
            if isinstance(claim, Authorization):
                return claim
            if isinstance(claim, PaymentError):
                raise self._positioned(call, Run(), Fault(claim, named=True), authorizing=True)
            flight, leads = claim
            if leads:
                return (yield from self._lead(call, flight))
            yield Join(flight, min(left, flight.lasts()))

    def _lead(self, call: Call, flight: Flight) -> Effects[Authorization]:
        hook = self.hooks.get("authorize")
        run = Run(counts=False)
        ended = False
        try:
            if hook is None:
                outcome: Any = Fault(ProviderContractError("a wrapper wants an authorization that the provider lacks"))
            else:
                outcome = yield from self._run(call, run, hook, {"context": self.context()}, _authorization)
            if isinstance(outcome, Fault):
                error = self._positioned(call, run, outcome, authorizing=True)
                self._cache.fail(flight, _for_waiters(error))
                ended = True
            else:
                self._cache.succeed(flight, outcome, self._clock.monotonic(), self._clock.now())
                ended = True
                return outcome  # type: ignore[no-any-return]
        finally:
            if not ended:
                self._cache.abandon(flight)
        raise error

    # -- faults -----------------------------------------------------------------------------------------------------

    def _pause(self, call: Call, run: Run, fault: Fault) -> float | None:
        """Seconds to wait before the whole run is made again, or None where it must not be."""
        advised = run.advised is True and fault.by_hook and isinstance(fault.error, ProtocolViolation)
        if not (fault.again or advised) or not run.repeatable or call.runs >= _MOST_RUNS:
            return None
        if isinstance(fault.error, RateLimited):
            if call.operation in MONEY_OPERATIONS:
                return None
            if fault.retry_after is not None:
                return fault.retry_after if fault.retry_after < call.left() else None
        pause = _jittered(call.runs)
        return pause if pause < min(call.left(), self._key_left(call)) else None

    def _key_left(self, call: Call) -> float:
        """Seconds for which the gateway still knows the key of what this call has sent: beyond, it would act again."""
        lifetime = self.info.key_lifetime
        if lifetime is None or not call.exposed or call.repeats:  # a repeated call's deadline ends with the key
            return LONGEST_CALL
        return lifetime - (time.monotonic() - call.began)

    def _known_secrets(self) -> tuple[Secret, ...]:
        token = self._cache.token
        return self._secrets if token is None else (*self._secrets, token)

    def _positioned(self, call: Call, run: Run, fault: Fault, *, authorizing: bool = False) -> PaymentError:
        return positioned(self.name, self.info, call, run, fault, authorizing=authorizing)

    def unforeseen(self, call: Call, error: Exception) -> PaymentError:
        """What an exception is called that nothing above foresaw: by its position, like every other."""
        run = Run()
        run.yielded = call.exposed
        return self._positioned(call, run, Fault(ProviderBug(error)))

    def interrupted(self, call: Call, error: BaseException) -> BaseException:
        """Return what a call raises that a signal handler has interrupted."""
        if call.operation not in MONEY_OPERATIONS or not call.exposed:
            return error
        ended = GatewayUnavailable(f"the call was interrupted by {type(error).__name__}")
        return self._positioned(call, Run(), Fault(ended))

    def before_first_request(self, error: BaseException, call: Call) -> PaymentError:
        """What an exception of a hook is called that came before anything was sent."""
        return self._positioned(call, Run(), self._by_hook(call, error))


def _jittered(tries: int) -> float:
    """Return a pause of full jitter, so that callers who failed together do not come back together."""
    return random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tries))  # noqa: S311


def _read(hook: Hook | None, response: Response) -> object:
    """What an optional hook reads out of any answer; None where it fails: a nicety must not decide a call."""
    if hook is None:
        return None
    try:
        return hook({"response": response})
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as exc:  # noqa: BLE001 - a plugin's bug of any kind
        interrupt = interrupt_behind(exc)
    if interrupt is not None:
        raise Interrupted(interrupt)
    return None


def _is_whole(response: object) -> bool:
    # A platform's own transport made it, perhaps by other means than the constructor.
    return (
        type(response) is Response
        and type(response.status) is int
        and type(response.headers) is tuple
        and type(response.body) is bytes
    )


def _authorization(result: object) -> Authorization:
    if type(result) is not Authorization or type(result.token) is not Secret or not result.token:
        raise TypeError("authorize returns an Authorization whose token is a Secret that is not empty")
    return result


def _for_waiters(error: PaymentError) -> PaymentError:
    shared = error.fresh()
    shared.gateway = shared.provider = shared.operation = shared.order_id = ""
    return shared


def _refusal() -> AuthorizationRejected:
    return AuthorizationRejected("the gateway refuses these credentials, also after renewing them")


def _close(flow: GeneratorType[Any, Any, Any]) -> None:
    try:
        flow.close()
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as exc:  # noqa: BLE001 - the first fault is the one that counts
        interrupt = interrupt_behind(exc)
    else:
        return
    if interrupt is not None:
        raise Interrupted(interrupt)
