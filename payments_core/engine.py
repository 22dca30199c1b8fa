"""Perform a provider's hook for a call: obtain the authorization, run the hook, send its requests, retry.

Everything here is a flow of effects (`Send`, `Pause`, `Join`), so that sync and async gateways share it. A platform
makes a *call*; a call makes one or more *runs* of the provider's hook; a run sends requests.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime
from types import GeneratorType
from typing import Any, TypeVar

import msgspec

from ._structs import copy_with
from .authorization import AuthorizationCache, Flight
from .clock import Clock
from .errors import (
    AuthorizationRejected,
    GatewayUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    PaymentError,
    ProviderContractError,
)
from .fault import Fault, ProviderBug, by_status, from_hook, masked, transport_fault
from .flow import Request, Response
from .hookspecs import MONEY_OPERATIONS
from .info import ProviderInfo
from .interrupts import Interrupted, interrupt_behind
from .models import Authorization, Context
from .outcome import Call, Run, classify
from .plugins import Hook, Hooks, location
from .reports import Reports
from .retry import Retries, pause_before_renewal, pause_before_run
from .secrets import Secret

__all__ = ["Effects", "Engine", "Join", "Pause", "Send"]

T = TypeVar("T")


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
    """Perform the hooks of one opened gateway's provider."""

    def __init__(
        self,
        name: str,
        info: ProviderInfo,
        hooks: Hooks,
        base_url: str,
        clock: Clock,
        reports: Reports,
        retries: Retries,
        secrets: Sequence[Secret] = (),
    ) -> None:
        self._name = name
        self._info = info
        self._hooks = hooks
        self._base_url = base_url.rstrip("/")
        self._clock = clock
        self._reports = reports
        self._retries = retries
        self._cache = AuthorizationCache()
        self._secrets = tuple(secrets)
        self._request_id_hook = hooks.get("read_request_id")
        self._advice_hook = hooks.get("read_retry_advice")

    # -- runs -----------------------------------------------------------------------------------------------------

    def perform(
        self,
        call: Call,
        hook: Hook,
        arguments: Mapping[str, object],
        accept: Callable[[object], T],
        now: datetime | None = None,
    ) -> Effects[T]:
        """Run a hook, again where `Retries` allows it, and return its result as `accept` returns it.

        `accept` checks the result; `now` is the time that the hook's context tells, by default the clock's. A fault is
        raised as `outcome.classify` says.
        """
        refused: Authorization | None = None
        renewals = 0
        while True:
            call.runs += 1
            filled = dict(arguments)
            if "authorization" in hook.accepts:
                authorization = yield from self.authorization(call, refused=refused)
                if refused is not None and authorization.token == refused.token:
                    raise self._classified(call, Run(), Fault(_refusal()))
                filled["authorization"] = authorization
            if "context" in hook.accepts:
                filled["context"] = self._context(now)
            run = Run(after_exposure=call.exposed)
            result = yield from self._run(call, run, hook, filled, accept)
            if not isinstance(result, Fault):
                return result
            if result.refused and run.repeatable and "authorization" in hook.accepts:
                wait = pause_before_renewal(self._retries, call, renewals)
                if wait is not None:
                    refused = filled["authorization"]  # type: ignore[assignment]
                    renewals += 1
                    if wait:
                        yield Pause(wait)
                    continue
            pause = pause_before_run(self._retries, call, run, result, self._info)
            if pause is None:
                raise self._classified(call, run, result)
            yield Pause(pause)

    def _context(self, now: datetime | None = None) -> Context:
        return Context(now or self._clock.now(), self._clock.nonce())

    def _run(
        self, call: Call, run: Run, hook: Hook, arguments: Mapping[str, object], accept: Callable[[object], T]
    ) -> Effects[T | Fault]:
        try:
            outcome = hook(arguments)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:  # noqa: BLE001 - a plugin's bug of any kind, SystemExit too
            return self._hook_fault(call, exc)
        if isinstance(outcome, GeneratorType):
            outcome = yield from self._drive(call, run, outcome)
            if isinstance(outcome, Fault):
                return outcome
        try:
            return accept(outcome)
        except (KeyboardInterrupt, MemoryError):
            raise
        except BaseException as exc:  # noqa: BLE001 - the result of a plugin, which can be anything
            return self._hook_fault(call, exc)

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
                    return self._hook_fault(call, exc)
                if type(request) is not Request:
                    wrong = TypeError(f"the flow yielded {type(request).__name__} and not a Request")
                    return self._hook_fault(call, wrong)
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
            return copy_with(request, url=self._base_url + request.url)
        origin = "/".join(request.url.split("/", 3)[:3])
        if origin.startswith("https://") and origin in self._info.origins:
            return request
        if self._base_url and request.url.startswith(f"{self._base_url}/"):
            return request
        return InvalidRequest("a request goes to base_url or to an https origin declared in info.origins", field="url")

    # -- exchanges ------------------------------------------------------------------------------------------------

    def _exchange(self, call: Call, run: Run, request: Request) -> Effects[Response | Fault]:
        left = call.left()
        if left <= 0:
            return Fault(GatewayUnavailable("the deadline had passed before a request was sent"))
        began, started_at = time.monotonic(), self._reports.started_at("exchange_finished")
        run.advice = None
        if run.counts and not request.safe and call.first_sent_at is None:
            call.first_sent_at = started_at or self._clock.now()
        error: Exception | None = None
        response: Response | None = None
        before = run.repeatable, call.exposed, call.repeatable
        if run.counts:
            # Set before sending and taken back below: a request that is cancelled halfway may have been accepted.
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
        self._reports.exchanged(call, request, response, began, started_at)
        if response is None:
            if isinstance(error, Interrupted):
                raise error
            if (interrupt := interrupt_behind(error)) is not None:
                raise Interrupted(interrupt)
            shown = masked(transport_fault(error), self._known_secrets())
            # An exception that no transport is known to raise ends the call: nobody knows what it means.
            return Fault(shown, transient=isinstance(error, GatewayUnavailable | OutcomeUnknown))
        run.advice = self._advice(response)
        return by_status(response) or response

    def _is_refused(self, error: Exception | None, response: Response | None) -> bool:
        """Return True if a request certainly was not accepted: it never left, or its status refuses it."""
        if response is not None:
            return response.status in self._info.refusal_statuses
        return isinstance(error, GatewayUnavailable) or (isinstance(error, Interrupted) and not error.sent)

    def _hook_fault(self, call: Call, error: BaseException) -> Fault:
        """Return the fault of what a hook raised, or of what it returned."""
        if (interrupt := interrupt_behind(error)) is not None:
            raise Interrupted(interrupt)
        if not isinstance(error, PaymentError):
            self._reports.log(logging.ERROR, call, "possible bug of the provider: %s", location(error))
        return from_hook(error, self._known_secrets())

    def _advice(self, response: Response) -> bool | None:
        found = _read(self._advice_hook, response) if response.status >= 400 else None
        return found if type(found) is bool else None

    def _request_id(self, response: Response) -> str:
        found = _read(self._request_id_hook, response)
        return found if isinstance(found, str) and len(found) <= 200 and found.isascii() and found.isprintable() else ""

    # -- authorization ----------------------------------------------------------------------------------------------

    def authorization(self, call: Call, *, refused: Authorization | None = None) -> Effects[Authorization]:
        """Return the current authorization; callers that need one at the same time share one request for it."""
        asked_at = time.monotonic()
        while True:
            left = call.left()
            if left <= 0:
                late = GatewayUnavailable("no authorization was obtained within the deadline")
                raise self._classified(call, Run(), Fault(late))
            claim = self._cache.claim(refused=refused, age_clock=self._clock.monotonic(), asked_at=asked_at, left=left)
            if isinstance(claim, Authorization):
                return claim
            if isinstance(claim, PaymentError):
                raise self._classified(call, Run(), Fault(claim, classified=True), authorizing=True)
            flight, leads = claim
            if leads:
                return (yield from self._lead(call, flight))
            yield Join(flight, min(left, flight.lasts()))

    def _lead(self, call: Call, flight: Flight) -> Effects[Authorization]:
        hook = self._hooks.get("authorize")
        run = Run(counts=False)
        ended = False
        try:
            if hook is None:
                outcome: Any = Fault(ProviderContractError("a wrapper wants an authorization that the provider lacks"))
            else:
                outcome = yield from self._run(call, run, hook, {"context": self._context()}, _authorization)
            if isinstance(outcome, Fault):
                error = self._classified(call, run, outcome, authorizing=True)
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

    def _known_secrets(self) -> tuple[Secret, ...]:
        token = self._cache.token
        return self._secrets if token is None else (*self._secrets, token)

    def _classified(self, call: Call, run: Run, fault: Fault, *, authorizing: bool = False) -> PaymentError:
        return classify(self._name, self._info, call, run, fault, authorizing=authorizing)

    def unforeseen(self, call: Call, error: Exception) -> PaymentError:
        """Map an unexpected exception to a `PaymentError`."""
        run = Run()
        run.yielded = call.exposed
        return self._classified(call, run, Fault(ProviderBug(error)))

    def interrupted(self, call: Call, error: BaseException) -> BaseException:
        """Return the error of a call that a signal handler has interrupted."""
        if call.operation not in MONEY_OPERATIONS or not call.exposed:
            return error
        ended = GatewayUnavailable(f"the call was interrupted by {type(error).__name__}")
        return self._classified(call, Run(), Fault(ended))


def _read(hook: Hook | None, response: Response) -> object:
    """Return what an optional hook reads in an answer, None where it fails: it must not decide a call."""
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
    # A transport of the platform's own may have made it without the constructor.
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
