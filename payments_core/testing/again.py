"""Another process on another day: the requests of one create, made once more from what was recorded of it.

    python -m payments_core.testing.again < job.json

The job names the provider (`module` and `name`, and the `file` where the module cannot be imported), and holds the
configuration, the request, the answers and the time by the core's clock. What would be sent is written as JSON.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import operator
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from payments_core import ChargeRequest, PaymentError, Request, Response, Secret

from .opening import open_provider

__all__ = ["shown"]

_DAYS: Final = 40 * 86_400


class _Player:
    """A transport that answers what was recorded."""

    def __init__(self, answers: list[tuple[int, list[list[str]], str]]) -> None:
        self._answers = answers
        self.sent: list[list[Any]] = []

    def send(self, request: Request, *, deadline: float) -> Response:  # noqa: ARG002 - it takes no time
        self.sent.append(shown(request))
        status, headers, body = self._answers[len(self.sent) - 1]
        return Response(status, tuple((name, value) for name, value in headers), body.encode("latin-1"))

    def close(self) -> None:
        pass


class _Clock:
    """The time and the nonce of the first process."""

    def __init__(self, now: str, nonce: str) -> None:
        self._now, self._nonce = datetime.fromisoformat(now), nonce

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return 1000.0

    def nonce(self) -> str:
        return self._nonce


def shown(request: Request) -> list[Any]:
    """A request as JSON, without its address and its secrets."""
    pairs = [
        [[name, "*" if isinstance(value, Secret) else value] for name, value in each]
        for each in (request.query, request.headers)
    ]
    return [request.method, request.path, *pairs, request.body.decode("latin-1")]


def _load(job: dict[str, Any]) -> Any:
    """The class; from its file where its module is none that another process can import."""
    name, file = job["module"], Path(job["file"])
    try:
        return operator.attrgetter(job["name"])(importlib.import_module(name))
    except (ImportError, AttributeError):
        spec = importlib.util.spec_from_file_location(name, file)
        if spec is None or spec.loader is None:
            raise
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return operator.attrgetter(job["name"])(module)


def _as_secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError


def _request(provider: Any, given: dict[str, Any]) -> ChargeRequest:
    options, kind = given.pop("options"), provider.info.options_type
    request = msgspec.convert(given, ChargeRequest, dec_hook=_as_secret)
    if options is None or kind is None:
        return request
    return msgspec.structs.replace(request, options=msgspec.convert(options, kind, dec_hook=_as_secret))


def main() -> None:
    """Do the job on standard input."""
    job = json.load(sys.stdin)
    # From now on, and so while the plugin is imported, the machine's clock is ahead.
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + _DAYS
    time.time_ns = lambda: nanoseconds() + _DAYS * 1_000_000_000
    provider = _load(job)
    player = _Player(job["answers"])
    clock = _Clock(job["now"], job["nonce"])
    error = ""
    with open_provider(provider, job["config"], transport=player, clock=clock) as gateway:
        try:
            gateway.create_charge(_request(provider, job["request"]))
        except PaymentError as exc:
            error = f"{exc}"
    # On a line of its own, whatever the plugin has printed.
    sys.stdout.write("\n" + json.dumps({"sent": player.sent, "error": error}))


if __name__ == "__main__":
    main()
