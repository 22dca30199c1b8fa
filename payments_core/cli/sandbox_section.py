"""Read and write a sandbox's section of payments.toml, which keeps its credentials and address between starts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from payments_core.config import read_gateways

from .exits import Exit, Stop

__all__ = ["append_section", "read_section", "section_port", "to_toml"]

_COMMENT = "# Written by `payments sandbox`. The credentials are random, and no money moves.\n"


def read_section(file: Path, name: str) -> dict[str, Any] | None:
    """Return the section of sandbox `name` without `provider`, or None if the file has none."""
    section = (read_gateways(file) or {}).get(name)
    if section is None:
        return None
    problem = ""
    if not isinstance(section, dict) or section.get("provider", name) != name:
        problem = "is of another provider"
    elif not _is_on_loopback(str(section.get("base_url", ""))):
        problem = "is not a sandbox's: its base_url is not http://127.0.0.1:PORT"
    if problem:
        raise Stop(
            f"[gateways.{name}] of {file} {problem}",
            "Nothing was changed. Give --keep another file.",
            code=Exit.USAGE,
        )
    return {field: value for field, value in section.items() if field != "provider"}


def section_port(section: Mapping[str, Any]) -> int:
    """Return the port in the section's `base_url`."""
    return urlsplit(str(section["base_url"])).port or 0


def append_section(file: Path, name: str, config: Mapping[str, Any]) -> None:
    """Append the section to the file; create it readable by its owner alone if it does not exist."""
    text = f"{_COMMENT}{to_toml(name, config)}\n"
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as opened:
            opened.write(f"\n\n{text}" if opened.tell() else text)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        return
    raise Stop(
        f"{file} cannot be written: {problem}", "Name a file in an existing folder with --keep.", code=Exit.USAGE
    )


def to_toml(name: str, config: Mapping[str, Any]) -> str:
    """Return the section as TOML, without blank values."""
    # JSON's strings and numbers are valid TOML.
    values = (f"{field} = {json.dumps(value)}" for field, value in config.items() if value != "")
    return "\n".join([f"[gateways.{name}]", *values])


def _is_on_loopback(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        return parts.scheme == "http" and parts.hostname == "127.0.0.1" and bool(parts.port)
    except ValueError:
        return False
