"""The pytest plugin of payments-core: it is there wherever the distribution is installed, and costs nothing unused.

Fixtures: `bench` (of a contract), `fault_gateway`, `webhook_listener`, `replay_cassette`, `fake_sandbox`, `fake_gateway`.
Nothing heavy is imported before a fixture is asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from payments_core import Gateway

    from .cassettes import Recording
    from .contract.bench import Bench
    from .fake_gateway import FakeSandbox
    from .faults import FaultGateway
    from .masking import CassettePolicy
    from .server import WebhookListener

for _part in (
    "declaration", "positions", "webhooks", "notifications", "events", "requests", "purity", "secrecy", "bench", "forgeries",
    "exchanges", "rules",
):  # fmt: skip
    pytest.register_assert_rewrite(f"payments_core.testing.contract.{_part}")

_UNWRITTEN = re.compile(r"(?:[\w.]+: )*not written yet: (.+?, step \d)")
_LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()
_IN_ITS_PLACE = "another class was put in its place (--contract-provider)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one option."""
    group = parser.getgroup("payments-core")
    group.addoption(
        "--contract-provider",
        metavar="FILE.py:CLASS",
        help="run every ProviderContract with this class (or MODULE:CLASS) in place of its `provider`",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect, and never skip, what does not apply to a contract's provider; the report lists it with its reason."""
    contracts = [item for item in items if _is_contract(getattr(item, "cls", None))]
    if not contracts:
        return
    from .contract.rules import applies

    place = config.getoption("--contract-provider")
    if place:
        provider = _load(place)
        for item in contracts:
            item.cls.provider = provider  # type: ignore[attr-defined]
    left_out: list[pytest.Item] = []
    reasons = config.stash.setdefault(_LEFT_OUT, [])
    for item in contracts:
        name = getattr(item, "originalname", item.name)
        reason = applies(item.cls, name)  # type: ignore[attr-defined]
        if place and name == "test_the_entry_point_leads_to_the_provider":
            reason = _IN_ITS_PLACE
        if reason:
            left_out.append(item)
            reasons.append((item.nodeid.partition("[")[0], reason))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What is still to be written, and what was left out, and why."""
    for what, count in _unwritten(terminalreporter.stats.get("failed", [])):
        terminalreporter.line(f"not written yet: {what}: {count} {'test fails' if count == 1 else 'tests fail'}")
    left_out: list[tuple[str, str]] = config.stash.get(_LEFT_OUT, [])
    reasons = dict(left_out)
    if reasons and config.option.verbose >= -1:
        terminalreporter.section("left out of the provider contract")
        for name, reason in sorted(reasons.items()):
            terminalreporter.line(f"{name}: {reason}")


def _unwritten(failed: Sequence[pytest.TestReport]) -> list[tuple[str, int]]:
    """What a scaffold's refusals name, such as `verify() in webhook.py, step 4`, in the order of the steps; and how often."""
    messages = [getattr(getattr(report.longrepr, "reprcrash", None), "message", "") for report in failed]
    found = [match[1] for message in messages if (match := _UNWRITTEN.match(message))]
    return sorted(Counter(found).items(), key=lambda each: (each[0][-1], each[0]))


def _is_contract(cls: type | None) -> bool:
    # Without importing the contract into every run of pytest on a machine that has payments-core.
    module = sys.modules.get("payments_core.testing.contract")
    return cls is not None and module is not None and issubclass(cls, module.ProviderContract)


def _load(place: str) -> type:
    where, _, name = place.rpartition(":")
    try:
        if where.endswith(".py"):
            path = Path(where).resolve()
            spec = importlib.util.spec_from_file_location(f"contract_provider_{path.stem}", path)
            if spec is None or spec.loader is None:
                raise pytest.UsageError(f"--contract-provider: {where} is no Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(where)
        found = getattr(module, name)
    except (ImportError, OSError, ValueError, AttributeError) as exc:
        raise pytest.UsageError(f"--contract-provider takes FILE.py:CLASS or MODULE:CLASS; {place}: {exc}") from None
    if not isinstance(found, type):
        raise pytest.UsageError(f"--contract-provider: {place} is no class")
    return found


@pytest.fixture(scope="class")
def _contract_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    from .contract.bench import Bench
    from .faults import FaultGateway

    sandbox = request.cls.make_sandbox()
    try:
        with FaultGateway(upstream=sandbox.url) as between:
            yield Bench(request.cls, sandbox, between)
    finally:
        sandbox.close()


@pytest.fixture
def bench(_contract_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A contract's workbench: the sandbox of its class, with a fault gateway in between that works at first."""
    # Retries are made, and not waited for.
    monkeypatch.setattr("payments_core.engine._FIRST_PAUSE", 0.001)
    _contract_bench.heal()
    yield _contract_bench
    _contract_bench.heal()


@pytest.fixture
def fault_gateway() -> Iterator[Callable[[str | None], FaultGateway]]:
    """Open fault gateways: `fault_gateway(upstream_url)`, or `fault_gateway(None)`; they end with the test."""
    from .faults import FaultGateway

    with contextlib.ExitStack() as opened:

        def open_(upstream: str | None = None) -> FaultGateway:
            return opened.enter_context(FaultGateway(upstream=upstream))

        yield open_


@pytest.fixture
def webhook_listener() -> Iterator[WebhookListener]:
    """An endpoint on this machine that keeps what is delivered to its `url`."""
    from .server import WebhookListener

    with WebhookListener() as listener:
        yield listener


@pytest.fixture
def replay_cassette() -> Callable[[Path, CassettePolicy], AbstractContextManager[Recording]]:
    """`payments_core.testing.cassettes.replay`, which answers what a block sends from a cassette."""
    from .cassettes import replay

    return replay


@pytest.fixture
def fake_sandbox() -> Iterator[FakeSandbox]:
    """The gateway behind `fake_gateway`: to pay, cancel and refund as its shoppers do."""
    from .fake_gateway import FakeSandbox

    with FakeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def fake_gateway(fake_sandbox: FakeSandbox) -> Iterator[Gateway]:
    """A gateway of the fake provider; magic order ids, such as `declined-1`, decide what happens."""
    with fake_sandbox.open() as gateway:
        yield gateway
