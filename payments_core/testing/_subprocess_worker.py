"""Repeat a recorded create in another process, with the machine's clock 40 days ahead.

    python -m payments_core.testing._subprocess_worker < job.json

The job names the provider (`module` and `name`, and the `file` where the module cannot be imported), and holds the
configuration, the request, the answers, and the time and nonce of the core's clock. The requests are written as JSON.
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

from payments_core import ChargeRequest, PaymentError, Response

from ._exchanges import FrozenClock, Player, as_secret, masked
from .opening import open_provider

_DAYS: Final = 40 * 86_400


def _load(job: dict[str, Any]) -> Any:
    """Return the class, from its file where another process cannot import its module."""
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


def _request(provider: Any, given: dict[str, Any]) -> ChargeRequest:
    options, kind = given.pop("options"), provider.info.options_type
    request = msgspec.convert(given, ChargeRequest, dec_hook=as_secret)
    if options is None or kind is None:
        return request
    return msgspec.structs.replace(request, options=msgspec.convert(options, kind, dec_hook=as_secret))


def main() -> None:
    """Do the job given on standard input."""
    job = json.load(sys.stdin)
    # Before the plugin is imported, so that it cannot keep the real clock.
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + _DAYS
    time.time_ns = lambda: nanoseconds() + _DAYS * 1_000_000_000
    provider = _load(job)
    player = Player(
        [
            Response(status, tuple((name, value) for name, value in headers), body.encode("latin-1"))
            for status, headers, body in job["answers"]
        ]
    )
    clock = FrozenClock(nonce=job["nonce"], now=datetime.fromisoformat(job["now"]))
    error = ""
    with open_provider(provider, job["config"], transport=player, clock=clock) as gateway:
        try:
            gateway.create_charge(_request(provider, job["request"]))
        except PaymentError as exc:
            error = f"{exc}"
    # On a separate line, because the plugin may have printed something.
    sys.stdout.write("\n" + json.dumps({"sent": list(map(masked, player.requests)), "error": error}))


if __name__ == "__main__":
    main()
