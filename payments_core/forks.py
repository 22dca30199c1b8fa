"""Reset objects in a forked child: connections, locks, slots and token calls belong to the parent."""

from __future__ import annotations

import contextlib
import os
from typing import Protocol
from weakref import WeakSet

__all__ = ["reset_in_children"]


class _Resettable(Protocol):
    def reset(self) -> None:
        """Begin anew, without touching a lock that a thread of the parent may hold."""


_things: WeakSet[_Resettable] = WeakSet()


def reset_in_children(thing: _Resettable) -> None:
    """Call `thing.reset()` in every child that this process forks, before anything else runs there."""
    _things.add(thing)


def _reset_all() -> None:
    for thing in list(_things):
        with contextlib.suppress(Exception):  # one that cannot begin anew must not keep the next from it
            thing.reset()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_reset_all)
