"""A value that is used but never shown."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn

__all__ = ["Secret"]


class Secret:
    """A credential: `.reveal()` is the only way in, and every other way out shows `Secret('***')`.

    It cannot be pickled, copied into JSON or formatted by accident. Two secrets compare in constant time.
    """

    __slots__ = ("__value",)
    __value: str

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError("a Secret is made from str")
        # Plain text: a subclass could show it in a representation of its own.
        object.__setattr__(self, "_Secret__value", str.__str__(value))

    def reveal(self) -> str:
        """Return the secret itself. Keep it out of variables that outlive the line."""
        return self.__value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self.__value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self.__value), _bytes(other.reveal()))

    def __hash__(self) -> int:
        return hash((Secret, self.__value))

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __getstate__(self) -> NoReturn:
        # object's own would hand out the slot, to copyreg and to whoever walks objects for a dump.
        raise TypeError("a Secret has no state to hand out")

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
