"""Provide fixtures, and run provider contracts, as the pytest plugin of payments-core.

It is active wherever the distribution is installed, and imports nothing heavy until a fixture is used. Fixtures:
`bench` (of a contract), `fault_gateway`, `webhook_listener`, `replay_cassette`, `fake_sandbox`, `fake_gateway`.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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
    "declaration", "movements", "answers", "refusals", "failures", "webhooks", "notifications", "events", "keys",
    "requests", "purity", "secrecy", "unsigned", "bench", "responses", "forgeries", "rules",
):  # fmt: skip
    pytest.register_assert_rewrite(f"payments_core.testing.contract.{_part}")

_UNWRITTEN = re.compile(r"(?:[\w.]+: )*not written yet: (.+?, step \d)")
_LEFT_OUT = pytest.StashKey[list[tuple[str, str]]]()
# The contracts whose usual create has failed, with the number of tests not run because of it.
_STOPPED = pytest.StashKey[dict[type, int]]()
_REPLACED = "another class was put in its place (--contract-provider)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--contract-provider`."""
    group = parser.getgroup("payments-core")
    group.addoption(
        "--contract-provider",
        metavar="FILE.py:CLASS",
        help="run every ProviderContract with this class (or MODULE:CLASS) in place of its `provider`",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests that do not apply to a contract's provider, and keep the reasons for the report."""
    contracts = [item for item in items if _is_contract(getattr(item, "cls", None))]
    if not contracts:
        return
    from .contract.rules import applies, is_essential

    place = config.getoption("--contract-provider")
    if place:
        provider = _load(place)
        for item in contracts:
            item.cls.provider = provider  # type: ignore[attr-defined]
    for cls in dict.fromkeys(item.cls for item in contracts):  # type: ignore[attr-defined]
        if problem := _untestable(cls):
            raise pytest.UsageError(f"{cls.__name__}: the contract cannot be run on {cls.provider.__name__}: {problem}")
    left_out: list[pytest.Item] = []
    reasons = config.stash.setdefault(_LEFT_OUT, [])
    for item in contracts:
        name = getattr(item, "originalname", item.name)
        reason = applies(item.cls, name)  # type: ignore[attr-defined]
        if place and name == "test_the_entry_point_leads_to_the_provider":
            reason = _REPLACED
        if reason:
            left_out.append(item)
            guards = " (this test guards money or secrets)" if is_essential(item.cls, name) else ""  # type: ignore[attr-defined]
            reasons.append((item.nodeid.partition("[")[0], f"{reason}{guards}"))
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Make the usual charge of a contract before its first test; its failure is then the only one."""
    bench: Any = pyfuncitem.funcargs.get("bench")
    if not _is_contract(pyfuncitem.cls) or bench is None or bench.works:
        return
    try:
        bench.begin()
    except AssertionError:
        pyfuncitem.config.stash.setdefault(_STOPPED, {})[pyfuncitem.cls] = 0
        raise


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Deselect tests that need the usual create, once it has failed."""
    stopped = item.config.stash.get(_STOPPED, {})
    cls = getattr(item, "cls", None)
    if cls not in stopped or "bench" not in getattr(item, "fixturenames", ()):
        return None
    stopped[cls] += 1
    item.config.hook.pytest_deselected(items=[item])
    item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001 - what the item before has left for this one
    return True


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List what is not written yet, and the tests that were left out, with the reasons."""
    for what, count in _unwritten(terminalreporter.stats.get("failed", [])):
        terminalreporter.line(f"not written yet: {what}: {count} {'test fails' if count == 1 else 'tests fail'}")
    for cls, count in config.stash.get(_STOPPED, {}).items():
        terminalreporter.line(f"{cls.__name__}: {count} tests were not run, because the usual create fails")
    left_out: list[tuple[str, str]] = config.stash.get(_LEFT_OUT, [])
    reasons = dict(left_out)
    if reasons and config.option.verbose >= -1:
        terminalreporter.section("left out of the provider contract")
        for name, reason in sorted(reasons.items()):
            terminalreporter.line(f"{name}: {reason}")


def _unwritten(failed: Sequence[pytest.TestReport]) -> list[tuple[str, int]]:
    """Return what a scaffold's errors name, such as `verify() in webhook.py, step 4`, by step, with counts."""
    messages = [getattr(getattr(report.longrepr, "reprcrash", None), "message", "") for report in failed]
    found = [match[1] for message in messages if (match := _UNWRITTEN.match(message))]
    return sorted(Counter(found).items(), key=lambda each: (each[0][-1], each[0]))


def _is_contract(cls: type | None) -> bool:
    # Do not import the contract into every run of pytest on a machine that has payments-core.
    module = sys.modules.get("payments_core.testing.contract")
    return cls is not None and module is not None and issubclass(cls, module.ProviderContract)


def _untestable(cls: Any) -> str:
    """Return the reason why the provider of a contract cannot be opened, in one line, or `""`."""
    from payments_core.plugins import check_class, check_info, implemented_hooks

    try:
        info = cls.info()
        implemented_hooks(info.id, cls.provider)
        check_class(info.id, cls.provider, check_info(info.id, cls.provider))
    except Exception as exc:  # noqa: BLE001 - looking at a stranger's class runs its code
        return _first_line(exc)
    return ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


def _load(place: str) -> type:
    where, _, name = place.rpartition(":")
    if not where or not name:
        raise pytest.UsageError(f"--contract-provider takes FILE.py:CLASS or MODULE:CLASS, and not {place}")
    try:
        found = getattr(_imported(where), name)
    except Exception as exc:  # noqa: BLE001 - whatever a stranger's file raises is told in one line
        said = f"{type(exc).__name__}: {_first_line(exc)}"
        raise pytest.UsageError(f"--contract-provider {place} cannot be loaded: {said}") from None
    if not isinstance(found, type):
        raise pytest.UsageError(f"--contract-provider: {place} is not a class")
    return found


def _imported(where: str) -> ModuleType:
    if not where.endswith(".py"):
        return importlib.import_module(where)
    path = Path(where).resolve()
    loader = SourceFileLoader(f"contract_provider_{path.stem}", str(path))
    module = ModuleType(loader.name)
    module.__file__ = str(path)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


@pytest.fixture(scope="class")
def _contract_bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    from .contract.bench import Bench
    from .faults import FaultGateway

    sandbox = request.cls.make_sandbox()
    try:
        place = urlsplit(str(dict(sandbox.config).get("base_url", sandbox.url)))
        with FaultGateway(upstream=f"{place.scheme}://{place.netloc}") as between:
            yield Bench(request.cls, sandbox, between)
    finally:
        sandbox.close()


@pytest.fixture
def bench(_contract_bench: Bench) -> Iterator[Bench]:
    """Return a contract's workbench: the sandbox of its class, with a healthy fault gateway in between."""
    _contract_bench.reset()
    yield _contract_bench
    _contract_bench.reset()


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
    """Open an endpoint on this machine that keeps what is delivered to its `url`."""
    from .server import WebhookListener

    with WebhookListener() as listener:
        yield listener


@pytest.fixture
def replay_cassette() -> Callable[[Path, CassettePolicy], AbstractContextManager[Recording]]:
    """Return `payments_core.testing.cassettes.replay`, which answers a block's requests from a cassette."""
    from .cassettes import replay

    return replay


@pytest.fixture
def fake_sandbox() -> Iterator[FakeSandbox]:
    """Open the sandbox behind `fake_gateway`: pay, cancel and refund as its shoppers do."""
    from .fake_gateway import FakeSandbox

    with FakeSandbox() as sandbox:
        yield sandbox


@pytest.fixture
def fake_gateway(fake_sandbox: FakeSandbox) -> Iterator[Gateway]:
    """Open a gateway of the fake provider; magic order ids, such as `declined-1`, decide what happens."""
    with fake_sandbox.open() as gateway:
        yield gateway
