"""Read and write cassette files: vcrpy's format, as YAML that can be reviewed, with the provenance at the top."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, get_args

import msgspec
import vcr.serialize
import yaml
from vcr.request import Request

from ._matching import name_of

__all__ = ["CassetteError", "Exchange", "Kind", "Provenance", "Recording", "parse", "read", "render", "write"]

Exchange: TypeAlias = tuple[Request, dict[str, Any]]
"""A request and an answer, as vcrpy represents them."""
Kind: TypeAlias = Literal["documentation", "sandbox", "live"]
"""The origin of an answer: the gateway's documentation, its sandbox on this machine, or the gateway."""


class CassetteError(Exception):
    """A cassette cannot be written or used; the message says why."""


class Provenance(msgspec.Struct, frozen=True):
    """The origin of a cassette's answers; written `sandbox: acme`.

    * `kind`: who answered
    * `detail`: more about it, in free text
    """

    kind: Kind
    detail: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise CassetteError(
                f"the provenance of a cassette is one of {', '.join(get_args(Kind))}, not {self.kind!r}"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the provenance that is written in a cassette."""
        kind, _, detail = text.partition(":")
        return cls(kind, detail.strip())  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}" if self.detail else self.kind


class Recording(msgspec.Struct, frozen=True):
    """A cassette's metadata.

    * `provenance`: where its answers come from
    * `parameters`: the parameters of its story
    * `command`: how to record it again
    * `requests`: the recorded requests, as method and path
    """

    provenance: Provenance
    parameters: dict[str, str]
    command: str
    requests: tuple[str, ...]


def read(path: Path | str) -> Recording:
    """Return a cassette's metadata; raise `CassetteError` without a known provenance."""
    return parse(Path(path))[0]


def write(target: Path, text: str, provenance: Provenance) -> None:
    """Write the whole file or leave it as it was; replace a live recording only by another live one."""
    if target.exists() and provenance.kind != "live" and parse(target)[0].provenance.kind == "live":
        raise CassetteError(f"{target.name}: is live, and is not replaced by one from {provenance}")
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def render(recording: Recording, exchanges: list[Exchange]) -> str:
    """Return the text of a cassette: the same for the same exchanges, on every machine."""
    metadata: dict[str, Any] = {"provenance": str(recording.provenance)}
    if recording.command:
        metadata["command"] = recording.command
    cassette = {
        "requests": [request for request, _ in exchanges],
        "responses": [copy.deepcopy(response) for _, response in exchanges],
        "metadata": {**metadata, "parameters": recording.parameters},
    }
    return str(vcr.serialize.serialize(cassette, _YAML))


def parse(source: Path) -> tuple[Recording, list[Exchange]]:
    """Return a cassette's metadata and its exchanges."""
    problem = ""
    exchanges: list[Exchange] = []
    metadata: Any = {}
    try:
        requests, responses, *rest = vcr.serialize.deserialize(source.read_text(encoding="utf-8"), _YAML)
        exchanges = list(zip(requests, responses, strict=True))
        metadata = rest[0] if rest else {}
        problem = _problem(responses, metadata)
    except FileNotFoundError:
        raise CassetteError(f"there is no cassette {source}: record it") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as exc:
        problem = f"is no cassette ({type(exc).__name__})"
    if problem:
        raise CassetteError(f"{source.name}: {problem}")
    try:
        provenance = Provenance.parse(metadata["provenance"])
    except CassetteError as exc:
        raise CassetteError(f"{source.name}: {exc}") from None
    names = tuple(name_of(request) for request, _ in exchanges)
    return Recording(provenance, metadata.get("parameters", {}), metadata.get("command", ""), names), exchanges


def _problem(responses: list[dict[str, Any]], metadata: Any) -> str:
    if not isinstance(metadata, dict) or type(metadata.get("provenance")) is not str:
        return "does not say who answered: a cassette without provenance is not used"
    parameters = metadata.get("parameters", {})
    texts = [metadata.get("command", ""), *parameters.keys(), *parameters.values()]
    if any(type(text) is not str for text in texts):
        return "its command and parameters must be strings"
    for response in responses:
        body, status = response["body"]["string"], response["status"]["code"]
        if type(body) is not bytes or type(status) is not int or not isinstance(response["headers"], dict):
            return "has an invalid answer"
    return ""


class _Dumper(yaml.SafeDumper):
    """Dump bodies as blocks and short lists on one line; in pure Python, so that every machine writes the same."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML reads Unicode line ends back as \n, unless they are escaped.
    style = '"' if set(text) & {"\x85", "\u2028", "\u2029"} else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    flow = all(isinstance(item, str) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=flow)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)


class _Serializer:
    """Write vcrpy's cassettes as YAML, with the metadata first."""

    deserialize: Callable[[str], Any] = staticmethod(yaml.safe_load)

    @staticmethod
    def serialize(cassette: dict[str, Any]) -> str:
        ordered = {name: cassette[name] for name in ("version", "metadata")}
        ordered["interactions"] = [
            {
                "request": {name: each["request"][name] for name in ("method", "uri", "headers", "body")},
                "response": {name: each["response"][name] for name in ("status", "headers", "body")},
            }
            for each in cassette["interactions"]
        ]
        return yaml.dump(ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


_YAML: Final = _Serializer()
