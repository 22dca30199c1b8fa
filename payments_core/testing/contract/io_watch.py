"""Watch a provider's hooks for I/O, clocks and the environment, with a profiler in the test's thread.

The profiler is removed when the block ends, and an earlier one restored. Tracers, such as coverage and debuggers, are
not affected.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, Final

__all__ = ["watched"]

# Builtins that reach out of the process or wait, by their qualified names.
_IO: Final = {
"open", "socket.connect", "socket.connect_ex", "socket.sendto", "getaddrinfo", "gethostbyname", "fork_exec",
    "system", "posix_spawn", "start_new_thread", "start_joinable_thread", "sleep",
}  # fmt: skip
# Builtins whose result changes with each call: watched in the plugin's own modules, not in its libraries.
_CLOCKS: Final = {
    "time", "time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today", "localtime", "gmtime",
    "urandom", "getpid", "getrandbits", "Random.random",
}  # fmt: skip
_MODULES_OF_CLOCKS: Final = {"time", "datetime", "posix", "nt", "random"}
# Modules that may read files on behalf of a caller: imports, logs, source lines and time zones.
_ALLOWED: Final = ("importlib", "logging", "linecache", "tokenize", "traceback", "warnings", "zoneinfo", "encodings")
_ENVIRONMENT: Final = os.environ.__class__.__getitem__.__code__
_MAPPINGS: Final = ("os", "collections.abc", "_collections_abc")


@contextmanager
def watched(provider: type) -> Iterator[set[str]]:
    """Collect, until the block ends, what the provider's hooks do besides computing."""
    watch = _Watch(provider)
    earlier = sys.getprofile()
    sys.setprofile(watch.see)
    try:
        yield watch.seen
    finally:
        sys.setprofile(earlier if callable(earlier) else None)
        # Before Python 3.12, cProfile is a profiler of this kind but not a function.
        getattr(earlier, "enable", lambda: None)()


class _Watch:
    def __init__(self, provider: type) -> None:
        classes = [each for each in provider.__mro__ if each is not object]
        self._hooks = {code: name for each in classes for name, code in _methods(each)}
        self._own = {each.__module__ for each in classes}
        self._packages = tuple(
            f"{module.rpartition('.')[0]}."
            for module in self._own
            if "." in module and not module.startswith("payments_core.")
        )
        self.seen: set[str] = set()

    def see(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call":
            if frame.f_code is _ENVIRONMENT:
                self._environment(frame)
            return
        if event != "c_call":
            return
        name = getattr(arg, "__qualname__", "")
        if name in _IO:
            self._io(frame, name)
        elif name in _CLOCKS and self._is_own(frame) and _module_of(arg) in _MODULES_OF_CLOCKS:
            self._note(frame, f"asks {name}()")

    def _io(self, frame: FrameType, name: str) -> None:
        within = itertools.takewhile(lambda each: each.f_code not in self._hooks, _stack(frame))
        modules = {_module(each) for each in within}
        if not any(module == each or module.startswith(f"{each}.") for module in modules for each in _ALLOWED):
            self._note(frame, f"calls {name}()")

    def _environment(self, frame: FrameType) -> None:
        asking = next((each for each in _stack(frame) if _module(each) not in _MAPPINGS), frame)
        if self._is_own(asking):
            self._note(frame, "reads os.environ")

    def _note(self, frame: FrameType, what: str) -> None:
        hooks = [self._hooks[each.f_code] for each in _stack(frame) if each.f_code in self._hooks]
        if hooks:
            self.seen.add(f"{hooks[-1]} {what}")

    def _is_own(self, frame: FrameType) -> bool:
        module = _module(frame)
        return module in self._own or module.startswith(self._packages)


def _methods(kind: type) -> Iterator[tuple[str, CodeType]]:
    """Yield the code of a class's methods, except constructors, which may prepare what the hooks need."""
    for name, value in vars(kind).items():
        function = inspect.unwrap(value.fget if isinstance(value, property) and value.fget else value)
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        if isinstance(code, CodeType) and name not in {"__init__", "__new__", "__post_init__", "__init_subclass__"}:
            yield name, code


def _stack(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _module(frame: FrameType) -> str:
    name = str(frame.f_globals.get("__name__", ""))
    return "importlib" if frame.f_code.co_filename.startswith("<frozen importlib") else name


def _module_of(function: Any) -> str:
    """Return the module of a builtin, or of the class or object that it is a method of."""
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return owner.__module__
    return getattr(function, "__module__", None) or type(owner).__module__
