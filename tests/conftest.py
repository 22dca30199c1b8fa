"""Share fixtures: both gateways behind one interface, scripted transports, providers without an installation."""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from hypothesis import settings
from pytest_socket import disable_socket, enable_socket

from payments_core import AsyncGateway, Gateway, Response

# The same examples on every machine: a random find would turn main red for whoever comes next.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

VECTOR_KEY = "6d0e8fa7b10c40c3a48c0c2be41cb178"

TOKEN = b'{"access_token":"token-1","expires_in":3600}'


class Blocking:
    """Give an AsyncGateway a Gateway's interface, so that one test body serves both."""

    def __init__(self, runner: asyncio.Runner, gateway: AsyncGateway) -> None:
        self._runner = runner
        self.wrapped = gateway

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.wrapped, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._runner.run(found(*args, **kwargs))

    def close(self) -> None:
        self._runner.run(self.wrapped.aclose())


class Scripted:
    """Answer from a function of the request, and remember the requests."""

    def __init__(self, answer: Callable[[Any], Response]) -> None:
        self.answer = answer
        self.requests: list[Any] = []
        self.closed = 0

    def send(self, request: Any, *, deadline: float) -> Response:
        self.requests.append(request)
        return self.answer(request)

    def close(self) -> None:
        self.closed += 1

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]


class AsyncScripted(Scripted):
    async def send(self, request: Any, *, deadline: float) -> Response:  # type: ignore[override]
        return Scripted.send(self, request, deadline=deadline)

    async def close(self) -> None:  # type: ignore[override]
        self.closed += 1


class FixedClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
        self.seconds = 1000.0
        self.count = 0

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.seconds

    def nonce(self) -> str:
        self.count += 1
        return f"{self.count:032x}"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def no_network() -> Iterator[None]:
    """Refuse every socket, except the pair of unix sockets that wakes an event loop."""
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture(scope="session")
def canaries() -> dict[str, str]:
    """Return the reviewer's secrets (PAYMENTS_CANARY_SECRET and PAYMENTS_CANARY_KEY), else new ones each time."""
    return {
        name: os.environ.get(f"PAYMENTS_CANARY_{name.upper()}") or f"c4n/{name}+{secrets.token_hex(8)}=&é"
        for name in ("secret", "key")
    }


@pytest.fixture(params=["sync", "async"])
def world(request: pytest.FixtureRequest) -> str:
    """Run the test once over Gateway and once over AsyncGateway."""
    return str(request.param)


@pytest.fixture
def opening(world: str) -> Iterator[Callable[..., Any]]:
    """Open gateways of the current world, and close them when the test ends."""
    opened: list[Any] = []
    with asyncio.Runner() as runner:

        def open_(name: str, config: Any = None, **options: Any) -> Any:
            kind = Gateway if world == "sync" else AsyncGateway
            answer = options.get("transport")
            if inspect.isfunction(answer) or inspect.ismethod(answer):
                options["transport"] = (Scripted if world == "sync" else AsyncScripted)(answer)
            gateway: Any = kind.open(name, config, **options)
            face = gateway if world == "sync" else Blocking(runner, gateway)
            opened.append(face)
            if "transport" in options:
                face.__dict__["script"] = options["transport"]
            return face

        yield open_
        for face in opened:
            face.close()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register provider classes as if installed distributions provided them."""
    claims: list[tuple[str, str, Any, str]] = []

    class Distribution:
        def __init__(self, name: str) -> None:
            self.name = name
            self.version = "1.0"

    class Claim:
        def __init__(self, group: str, name: str, value: Any, distribution: str) -> None:
            self.group, self.name, self.value = group, name, f"{distribution}:Provider"
            self.dist = Distribution(distribution)
            self._value = value

        def load(self) -> Any:
            return self._value() if inspect.isfunction(self._value) else self._value

    def entry_points(group: str, name: str | None = None) -> list[Any]:
        from importlib.metadata import entry_points as installed

        real: list[EntryPoint] = list(installed(group=group, **({"name": name} if name else {})))
        return real + [Claim(*claim) for claim in claims if claim[0] == group and name in {None, claim[1]}]

    monkeypatch.setattr("payments_core.discovery.entry_points", entry_points)

    def install_(name: str, provider: Any, *, distribution: str = "", group: str = "payments_core.providers") -> None:
        claims.append((group, name, provider, distribution or f"payments-{name}"))

    return install_


@pytest.fixture
def alipayhk_config() -> dict[str, str]:
    return {
        "base_url": "http://127.0.0.1:9",
        "uid": "39172931",
        "client_secret": "client-secret-of-the-tests",
        "webhook_key": VECTOR_KEY,
    }


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that this machine can't run, instead of skipping them; the summary shows the number."""
    # In CI a missing browser is a failure, not a reason to deselect its tests.
    lacking = {
        "linux": not sys.platform.startswith("linux"),
        "browser": shutil.which("chromium") is None and not os.environ.get("CI"),
        # The suite on the source tree has them: they start interpreters or browsers of their own.
        "once": bool(os.environ.get("PAYMENTS_EXPECT_WHEELS")),
    }
    deselected = [
        item for item in items if any(lacking[mark.name] for mark in item.iter_markers() if mark.name in lacking)
    ]
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        items[:] = [item for item in items if item not in deselected]
