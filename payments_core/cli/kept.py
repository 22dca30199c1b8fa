"""A sandbox's section of a payments.toml that is kept: the next start has the same credentials and the same address."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from payments_core.config import read_gateways

from .exits import Exit, Stop

__all__ = ["keep", "kept_section", "port_of", "toml_of"]

_ABOVE = "# Written by `payments sandbox`. The credentials are made up, and no money moves.\n"


def kept_section(file: Path, name: str) -> dict[str, Any] | None:
    """Return what a file keeps for the sandbox `name`; None where it has no such section yet."""
    section = (read_gateways(file) or {}).get(name)
    if section is None:
        return None
    problem = ""
    if not isinstance(section, dict) or section.get("provider", name) != name:
        problem = "is of another provider"
    elif not _is_here(str(section.get("base_url", ""))):
        problem = "is no sandbox's: its base_url is not http://127.0.0.1:PORT"
    if problem:
        raise Stop(
            f"[gateways.{name}] of {file} {problem}",
            "Nothing was changed. Keep the sandbox in a file of its own.",
            code=Exit.USAGE,
        )
    return {field: value for field, value in section.items() if field != "provider"}


def port_of(section: Mapping[str, Any]) -> int:
    """Return the port that a kept sandbox had."""
    return urlsplit(str(section["base_url"])).port or 0


def keep(file: Path, name: str, config: Mapping[str, Any]) -> None:
    """Write the section to a new file that nobody else may read, or behind what the file holds."""
    text = f"{_ABOVE}{toml_of(name, config)}\n"
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="utf-8") as opened:
            opened.write(f"\n\n{text}" if opened.tell() else text)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    else:
        return
    raise Stop(
        f"{file} cannot be written: {problem}", "Name a file of an existing folder with --keep.", code=Exit.USAGE
    )


def toml_of(name: str, config: Mapping[str, Any]) -> str:
    """Return the section as TOML, without what is blank."""
    # JSON's strings and numbers are TOML's too.
    values = (f"{field} = {json.dumps(value)}" for field, value in config.items() if value != "")
    return "\n".join([f"[gateways.{name}]", *values])


def _is_here(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        return parts.scheme == "http" and parts.hostname == "127.0.0.1" and bool(parts.port)
    except ValueError:
        return False
