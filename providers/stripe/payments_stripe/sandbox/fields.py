"""Read one request's parameters by type, and refuse bad ones by name, as Stripe does."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from .refusals import invalid

__all__ = ["Fields"]

_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class Fields:
    """The parameters of one object: `taken` are used, `ignored` are Stripe's too but have no effect here.

    Any other parameter is refused, as Stripe does.
    """

    def __init__(
        self, values: Mapping[str, Any], taken: Collection[str], ignored: Collection[str] = (), prefix: str = ""
    ) -> None:
        self._values = values
        self._prefix = prefix
        if "payment_method_types" in values:  # removed by Endive; the answers still have it
            raise invalid(
                "payment_method_types is no longer supported in this API version; use allowed_payment_method_types.",
                "payment_method_types_no_longer_supported",
                self.name("payment_method_types"),
            )
        for name in values:
            if name not in taken and name not in ignored:
                raise invalid(f"Received unknown parameter: {self.name(name)}", "parameter_unknown", self.name(name))
        self.ignored = tuple(self.name(name) for name in values if name not in taken)

    def name(self, field: str) -> str:
        """Format a name as in `line_items[0][quantity]`."""
        return f"{self._prefix}[{field}]" if self._prefix else field

    def __contains__(self, field: str) -> bool:
        return field in self._values

    def text(self, field: str, *, needed: bool = False, longest: int = 0) -> str:
        value = self._values.get(field)
        if value is None:
            if needed:
                raise self._missing(field)
            return ""
        if not isinstance(value, str):
            raise invalid(
                f"Invalid string: {self.name(field)}", "parameter_invalid_string", self.name(field), invented=True
            )
        if not value:
            raise invalid(
                f"You passed an empty string for '{self.name(field)}'.", "parameter_invalid_empty", self.name(field)
            )
        if longest and len(value) > longest:
            raise invalid(
                f"Invalid string: {self.name(field)} must be at most {longest} characters", param=self.name(field)
            )
        return value

    def one_of(self, field: str, allowed: Collection[str], default: str = "") -> str:
        value = self.text(field)
        if value and value not in allowed:
            raise invalid(f"Invalid {self.name(field)}: must be one of {', '.join(allowed)}", param=self.name(field))
        return value or default

    def integer(self, field: str, *, needed: bool = False, least: int = 1) -> int | None:
        text = self.text(field, needed=needed)
        if not text:
            return None
        if _INTEGER.fullmatch(text) is None:
            raise invalid(f"Invalid integer: {text[:32]}", "parameter_invalid_integer", self.name(field))
        if int(text) < least:
            raise invalid(
                f"This value must be greater than or equal to {least}.", "parameter_invalid_integer", self.name(field)
            )
        return int(text)

    def whole(self, field: str) -> int:
        """Return a required integer."""
        found = self.integer(field, needed=True)
        if found is None:
            raise self._missing(field)
        return found

    def boolean(self, field: str) -> bool:
        return self.one_of(field, ("true", "false"), "false") == "true"

    def words(self, field: str) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self._values.get(field, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise invalid("Invalid array", param=self.name(field))
        return tuple(values)

    def objects(self, field: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Return a required list of objects, each with its name."""
        values = self._values.get(field)
        if values is None:
            raise self._missing(field)
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise invalid("Invalid array", param=self.name(field))
        return [(f"{self.name(field)}[{number}]", value) for number, value in enumerate(values)]

    def inner(
        self, field: str, taken: Collection[str], ignored: Collection[str] = (), *, needed: bool = False
    ) -> Fields:
        value = self._values.get(field)
        if value is None and needed:
            raise self._missing(field)
        if not isinstance(value, dict | None):
            raise invalid("Invalid object", param=self.name(field))
        return Fields(value or {}, taken, ignored, self.name(field))

    def metadata(self, field: str = "metadata") -> dict[str, str]:
        """Read the metadata: at most 50 keys of 40 characters, with values of 500 (docs.stripe.com/api/metadata)."""
        values = self._values.get(field, {})
        if isinstance(values, list):  # keys that are numbers
            values = {str(number): value for number, value in enumerate(values)}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise invalid("Invalid metadata: keys and values are strings", param=self.name(field))
        if len(values) > 50:
            raise invalid("Metadata can have at most 50 keys", param=self.name(field))
        for key, value in values.items():
            if len(key) > 40 or len(value) > 500:
                raise invalid(
                    "Metadata keys have at most 40 characters, values 500", param=f"{self.name(field)}[{key[:40]}]"
                )
        return {key: value for key, value in values.items() if value}

    def url(self, field: str, *, needed: bool = False) -> str:
        value = self.text(field, needed=needed, longest=5000)
        try:
            parts = urlsplit(value)
            good = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and value.isprintable() and " " not in value
            )
        except ValueError:
            good = False
        if value and not good:
            raise invalid("Not a valid URL", "url_invalid", self.name(field))
        return value

    def _missing(self, field: str) -> Exception:
        name = self.name(field)
        return invalid(f"Missing required param: {name}.", "parameter_missing", name)
