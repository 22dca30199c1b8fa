"""Check that hooks are pure: stateless, without I/O, and the same in every process and event loop."""

from __future__ import annotations

import contextlib
import functools
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from payments_core import PaymentError, Secret, WebhookRejected
from payments_core.hookspecs import ProviderHooks
from payments_core.testing import _subprocess_worker
from payments_core.testing._exchanges import FrozenClock, Recorder, masked
from payments_core.testing.opening import open_provider

from .bench import Bench
from .forgeries import Genuine
from .io_watch import watched
from .rules import Rules, essential

__all__ = ["Purity"]

# Two hash seeds, for two orders of a set.
_SEEDS: Final = ("1", "2")


class Purity(Rules):
    """Check that equal arguments make equal requests, whatever happened before."""

    @essential
    def test_every_hook_is_marked(self) -> None:
        """Without `@hookimpl` a hook is never called, and its tests are left out."""
        names = [name for name in vars(ProviderHooks) if not name.startswith("_")]
        methods = {name: getattr(self.provider, name, None) for name in names}
        lost = [name for name, each in methods.items() if callable(each) and not hasattr(each, "payments_core_impl")]
        assert not lost, f"never called: {', '.join(lost)}; mark each hook with @hookimpl"

    def test_a_hook_keeps_nothing(self, bench: Bench) -> None:
        """One provider serves every thread of a shop, so state kept by one call reaches another."""
        with bench.open() as gateway:
            provider = self._instance(gateway)
            before = dict(self._kept(provider))
            self._everything(bench, gateway)
            now = dict(self._kept(provider))
        changed = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
        assert not changed, f"the hooks have changed {', '.join(changed)}: a hook must not keep state"

    def _instance(self, gateway: Any) -> object:
        """Return the provider behind a gateway: the one that answers its creates, not a wrapper."""
        hooks = gateway._hooks._manager.hook.create_charge.get_hookimpls()  # noqa: SLF001 - the core shows it to nobody
        return next(each.plugin for each in hooks if isinstance(each.plugin, self.provider))

    def test_two_accounts_do_not_touch_each_other(self, bench: Bench) -> None:
        """A platform opens a gateway for each of its shops, in one process."""
        with bench.open() as alone:
            bench.create(alone)
        with (
            contextlib.closing(self.make_sandbox()) as sandbox,
            bench.open() as first,
            open_provider(self.provider, dict(sandbox.config)) as second,
        ):
            for gateway in (first, second, first):
                try:
                    bench.create(gateway)
                except PaymentError as exc:
                    raise AssertionError(f"two accounts in one process are confused: {exc!r}") from exc
            if self.has("parse_webhook"):
                genuine = Genuine.paid(bench, first)
                try:
                    assert first.parse_webhook(genuine.with_()).events
                except WebhookRejected:
                    raise AssertionError(
                        "with two accounts in one process, one verifies with the other's key"
                    ) from None

    def test_no_hook_reads_the_environment_or_does_io(self, bench: Bench) -> None:
        """I/O in a hook blocks the event loop, and nobody sees a switch in the environment."""
        with bench.open() as gateway, watched(self.provider) as seen:
            self._everything(bench, gateway)
        assert not seen, f"{'; '.join(sorted(seen))}: hooks only compute, and take the time from context"

    def _everything(self, bench: Bench, gateway: Any) -> None:
        """Call every operation, query a charge that has ended, and read a notification."""
        for name in bench.operations():
            bench.prepare(name, gateway).call()
        if self.has("get_status"):
            order_id = bench.new_order()
            gateway.get_status(bench.reference(bench.paid(gateway, order_id), order_id))
        if self.has("parse_webhook"):
            gateway.parse_webhook(Genuine.paid(bench, gateway).with_())

    def _kept(self, provider: object) -> Iterator[tuple[str, str]]:
        """Yield the state of an instance, its classes and their modules, without `cached_property` values."""
        classes = [each for each in type(provider).__mro__ if each is not object]
        cached = {name for kind in classes for name, each in vars(kind).items() if _is_cached(each)}
        slots = [name for kind in classes for name in _slots(kind)]
        held = {**getattr(provider, "__dict__", {}), **{name: getattr(provider, name, None) for name in slots}}
        yield from ((f"self.{name}", _text(value)) for name, value in held.items() if name not in cached)
        for kind in classes:
            own = ((name, value) for name, value in vars(kind).items() if not name.startswith("__"))
            yield from ((f"{kind.__name__}.{name}", _text(value)) for name, value in own if not callable(value))
        for module in {kind.__module__ for kind in classes} & sys.modules.keys():
            for name, value in vars(sys.modules[module]).items():
                if isinstance(value, dict | list | set) and not name.startswith("__"):
                    yield f"{module}.{name}", _text(value)

    def test_another_process_on_another_day_sends_the_same_bytes(self, bench: Bench) -> None:
        """After a crash another process repeats the call; with another key it would be another charge."""
        recorder, clock = Recorder(), FrozenClock()
        request = self.request(bench.new_order(), bench.amount, **bench.usual_fields())
        with contextlib.closing(recorder), bench.open(transport=recorder, clock=clock) as gateway:
            gateway.create_charge(request)
        job = {
            "module": self.provider.__module__,
            "name": self.provider.__qualname__,
            "file": inspect.getfile(self.provider),
            "config": msgspec.to_builtins(bench.config, enc_hook=_revealed),
            "request": msgspec.to_builtins(request, enc_hook=_revealed),
            "answers": [(each.status, each.headers, each.body.decode("latin-1")) for _, each in recorder.exchanges],
            "now": clock.now().isoformat(),
            "nonce": clock.nonce(),
        }
        sent = json.loads(json.dumps([masked(each) for each, _ in recorder.exchanges]))
        with ThreadPoolExecutor(len(_SEEDS)) as pool:
            for made in pool.map(functools.partial(_made_again, json.dumps(job)), _SEEDS):
                assert made["sent"] == sent, (
                    "another process encodes the same call differently, so repeating it after a crash makes another "
                    "charge: "
                    f"{_first_difference(sent, made['sent'])} {made['error']}"
                )

    def test_sync_and_async_agree_in_every_operation(self, bench: Bench) -> None:
        """An async gateway gets the answers of a sync one, operation by operation."""
        for name in bench.operations():
            recorded = bench.record(name, FrozenClock())
            replayed = bench.replay(recorded)
            assert replayed.outcome == recorded.outcome, f"{name}: sync and async read the answer differently"
            assert replayed.requests == recorded.requests, f"{name}: sync and async send different requests"


def _made_again(job: str, seed: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", _subprocess_worker.__name__]
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(  # noqa: S603 - this Python, and a module of ours
        command, input=job, capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    assert done.returncode == 0, f"the provider cannot be opened in another process: {done.stderr[-2000:]}"
    return json.loads(done.stdout.rpartition("\n")[2])  # type: ignore[no-any-return]


def _first_difference(ours: list[Any], theirs: list[Any]) -> str:
    parts = ("method", "path", "query", "headers", "body", "idempotent", "safe")
    for one, other in zip(ours, theirs, strict=False):
        for part, first, second in zip(parts, one, other, strict=True):
            if first != second:
                return f"{one[0]} {one[1]}, {part}: {first} and {second}"
    return f"{len(ours)} requests and {len(theirs)}"


def _revealed(value: object) -> str:
    """Reveal a secret, to be piped to the subprocess and nowhere else."""
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError


def _is_cached(value: object) -> bool:
    return isinstance(value, functools.cached_property)


def _slots(kind: type) -> list[str]:
    slots = vars(kind).get("__slots__", ())
    return [name for name in ([slots] if isinstance(slots, str) else slots) if name not in {"__dict__", "__weakref__"}]


def _text(value: object) -> str:
    try:
        return repr(value)
    except Exception as exc:  # noqa: BLE001 - a stranger's repr
        return type(exc).__name__
