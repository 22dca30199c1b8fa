"""Record HTTP exchanges with vcrpy, masked by an allow-list, and replay them strictly.

    with record(path, policy, Provenance("sandbox", "acme"), {"order_id": "P1"}, base_url=url, secrets={"key": key}):
        Gateway.open("acme", config).create_charge(request)

    with replay(path, policy) as recording:              # a gateway whose base_url is BASE_URL; no network
        gateway.create_charge(...recording.parameters["order_id"]...)

Both serve sync and async gateways. vcrpy replaces the transport of the whole process, so only one cassette is open at a
time. The files are in vcrpy's own format, with the provenance in its `metadata`.
"""

from __future__ import annotations

import contextlib
import http
import ipaddress
import logging
import socket
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import vcr
import vcr.stubs.httpx_stubs  # its logger has to exist before it can be silenced
from vcr.persisters.filesystem import CassetteNotFoundError
from vcr.record_mode import RecordMode
from vcr.request import Request

from ._matching import differences, name_of
from .cassette_file import CassetteError, Exchange, Kind, Provenance, Recording, parse, read, render, write
from .leaks import scan
from .masking import BASE_URL, MASK, VERBATIM, CassettePolicy, Fields, MaskedRequest, Masker, Refused, Rule

__all__ = [
    "BASE_URL",
    "MASK",
    "VERBATIM",
    "CassetteError",
    "CassetteMiss",
    "CassettePolicy",
    "Fields",
    "Kind",
    "Provenance",
    "Recording",
    "Rule",
    "is_this_machine",
    "read",
    "record",
    "replay",
]


class CassetteMiss(AssertionError):
    """A replay does not match its recording: a request differs, or one was never sent."""


class _Halt(BaseException):
    """End the exchange at once. A `BaseException`, because a gateway would map an `Exception` and continue."""


@contextlib.contextmanager
def record(
    path: Path | str,
    policy: CassettePolicy,
    provenance: Provenance,
    parameters: Mapping[str, str] | None = None,
    *,
    base_url: str,
    secrets: Mapping[str, str],
    repeats: Collection[str] = (),
    command: str = "",
) -> Iterator[None]:
    """Record what the block sends, and write the masked exchanges to `path` when the block ends without an error.

    * `base_url`: the gateway's address, which the cassette replaces by BASE_URL
    * `secrets`: values that must not be written, in any encoding; those that the policy masks by name are added
    * `repeats`: paths, as in the policy, to which the same request may be sent again: elsewhere it would be a hidden
      retry
    * `command`: how to record it again

    Raise `CassetteError`, and write nothing, for a secret or an undeclared repeat, for a request that the policy does
    not cover (which is not sent), for one that was never answered, and for `live` where this machine answered.
    """
    target = Path(path)
    recording = Recording(provenance, dict(parameters or {}), command, ())
    persister = _Persister()
    refused: list[str] = []
    hosts: list[str] = []
    trial = Masker(policy, base_url)
    with _exclusive():
        with _cassette(persister, RecordMode.ALL) as cassette:

            def admit(request: Request) -> bool:
                try:
                    _masked(trial, request)
                except Refused as exc:
                    refused.append(str(exc))
                    raise _Halt from None
                hosts.append(request.host or "")
                return False

            cassette.can_play_response_for = admit
            try:
                yield
            except BaseException as exc:
                if refused and not _ends_program(exc):
                    raise CassetteError(f"{target.name}: {refused[0]}") from None
                raise
        if refused:
            raise CassetteError(f"{target.name}: {refused[0]}")
        _check_answered(target, len(hosts), len(cassette))
        if provenance.kind == "live" and any(is_this_machine(host) for host in set(hosts)):
            raise CassetteError(f"{target.name}: answers from this machine are not live: record it as sandbox")
        exchanges = list(zip(cassette.requests, cassette.responses, strict=True))
        masker = Masker(policy, base_url)
        text = render(recording, _masked_exchanges(target, exchanges, masker, repeats))
        leaks = scan(text.encode(), {**secrets, **masker.hidden})
        if leaks:
            found = "; ".join(dict.fromkeys(f"{leak.secret} ({leak.form})" for leak in leaks))
            raise CassetteError(f"{target.name}: not written, because it would hold {found}")
        write(target, text, provenance)


@contextlib.contextmanager
def replay(path: Path | str, policy: CassettePolicy, *, base_url: str = BASE_URL) -> Iterator[Recording]:
    """Answer everything that the block sends from the cassette; nothing leaves the machine.

    A request is answered if its method, path, query, named headers and body equal the recorded ones: JSON strictly,
    secrets masked on both sides. Raise `CassetteMiss` for a request that differs, even if the block handled the
    failure, and for recorded requests that were never sent, unless the block raised.
    """
    source = Path(path)
    masker = Masker(policy, base_url)
    misses: list[str] = []
    with _exclusive():
        recording, exchanges = _load(source, policy)
        with _cassette(_Persister(exchanges), RecordMode.NONE, masker) as cassette:
            playable = cassette.can_play_response_for

            def answer(request: Request) -> bool:
                problem = ""
                try:
                    sent = _masked(masker, request)
                except Refused as exc:
                    problem = str(exc)
                else:
                    if playable(request):
                        return True
                    problem = _describe_miss(sent, cassette)
                misses.append(problem)
                raise _Halt

            cassette.can_play_response_for = answer
            try:
                yield recording
            except BaseException as exc:
                if misses and not _ends_program(exc):
                    raise CassetteMiss(_report(source, misses)) from (None if isinstance(exc, _Halt) else exc)
                raise
        if misses:
            raise CassetteMiss(_report(source, misses))
        unplayed = [name for number, name in enumerate(recording.requests) if not cassette.play_counts[number]]
        if unplayed:
            count = f"{len(unplayed)} of {len(recording.requests)} recorded requests never came"
            raise CassetteMiss(f"{source.name}: {count}: {', '.join(unplayed)}")


def is_this_machine(host: str) -> bool:
    """Return True if a host's name or number leads to a loopback address."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None) or address
        if mapped.is_loopback or mapped.is_unspecified:
            return True
    return False


# Using vcrpy.


class _Persister:
    """Persist nothing: exchanges are taken from the cassette, since vcrpy saves before it restores the transport."""

    def __init__(self, exchanges: list[Exchange] | None = None) -> None:
        self._exchanges = exchanges

    def load_cassette(self, _path: str, serializer: object) -> tuple[list[Request], list[dict[str, Any]]]:  # noqa: ARG002
        if self._exchanges is None:
            raise CassetteNotFoundError
        return [request for request, _ in self._exchanges], [response for _, response in self._exchanges]

    def save_cassette(self, _path: str, _cassette: object, serializer: object) -> None:
        pass


def _cassette(persister: _Persister, mode: RecordMode, masker: Masker | None = None) -> Any:
    def masked(request: Request) -> Request:
        return request if masker is None else _as_vcr(_masked(masker, request))

    recorder = vcr.VCR(record_mode=mode, match_on=("strictly",), before_record_request=masked)
    recorder.register_matcher("strictly", _match)
    recorder.register_persister(persister)
    return recorder.use_cassette("cassette")


def _match(sent: Request, recorded: Request) -> None:
    problem = next(iter(differences(recorded, sent)), "")
    if problem:
        raise AssertionError(problem)


_open: Final = threading.Lock()


@contextlib.contextmanager
def _exclusive() -> Iterator[None]:
    """Allow one cassette at a time, and silence vcrpy's loggers: they print whole URLs, secrets included."""
    if not _open.acquire(blocking=False):
        raise CassetteError("a cassette is open already: two at once would answer each other's requests")
    try:
        with contextlib.ExitStack() as restored:
            top = logging.getLogger("vcr")
            restored.callback(top.setLevel, top.level)
            top.setLevel(logging.CRITICAL + 1)  # for loggers created meanwhile
            for name, logger in list(logging.root.manager.loggerDict.items()):
                if f"{name}.".startswith("vcr.") and isinstance(logger, logging.Logger):
                    restored.callback(setattr, logger, "disabled", logger.disabled)
                    logger.disabled = True
            yield
    finally:
        _open.release()


def _masked(masker: Masker, request: Request) -> MaskedRequest:
    return masker.request(request.method, request.uri, request.headers, request.body or b"")


def _as_vcr(request: MaskedRequest) -> Request:
    return Request(request.method, request.url, request.body, request.headers)


def _ends_program(exc: BaseException) -> bool:
    return isinstance(exc, KeyboardInterrupt | SystemExit | GeneratorExit)


# Recording.


def _check_answered(target: Path, sent: int, answered: int) -> None:
    if not sent:
        raise CassetteError(f"{target.name}: nothing was sent: a transport that does not use httpx is not recorded")
    if sent != answered:
        raise CassetteError(f"{target.name}: {sent} requests were sent and {answered} answered")


def _masked_exchanges(
    target: Path, exchanges: list[Exchange], masker: Masker, repeats: Collection[str]
) -> list[Exchange]:
    made: list[Exchange] = []
    for request, response in exchanges:
        shown = _masked(masker, request)
        wanted = _as_vcr(shown)
        if shown.rule.path not in repeats and any(not list(differences(earlier, wanted)) for earlier, _ in made):
            raise CassetteError(
                f"{target.name}: {name_of(wanted)} was sent again: declare it in `repeats`, unless it is a retry"
            )
        status = response["status"]["code"]
        answer = masker.response(shown.rule, status, response["headers"], response["body"]["string"])
        made.append((wanted, {"status": _status(status), "headers": answer.headers, "body": {"string": answer.body}}))
    return made


def _status(code: int) -> dict[str, Any]:
    # The reason phrase is free text, so the standard one is kept.
    known = code in {each.value for each in http.HTTPStatus}
    return {"code": code, "message": http.HTTPStatus(code).phrase if known else ""}


# Replaying.


def _load(source: Path, policy: CassettePolicy) -> tuple[Recording, list[Exchange]]:
    """Return a cassette that holds exactly what the policy keeps."""
    recording, exchanges = parse(source)
    masker = Masker(policy)
    for number, (request, response) in enumerate(exchanges, 1):
        where = f"{source.name}: exchange {number}, {name_of(request)}"
        try:
            shown = _masked(masker, request)
        except Refused as exc:
            raise CassetteError(f"{where}: {exc}") from None
        problems = list(differences(request, _as_vcr(shown)))
        if dict(request.headers) != shown.headers:
            problems.append("headers")
        answer = masker.response(
            shown.rule, response["status"]["code"], response["headers"], response["body"]["string"]
        )
        if answer.headers != response["headers"] or answer.body != response["body"]["string"]:
            problems.append("answer")
        if problems:
            raise CassetteError(f"{where}: holds more than the policy keeps, or was edited by hand: record it again")
    return recording, exchanges


def _describe_miss(sent: MaskedRequest, cassette: Any) -> str:
    """Describe how the request differs from the nearest recorded one that is left."""
    wanted = _as_vcr(sent)
    found = [(list(differences(each, wanted)), number) for number, each in enumerate(cassette.requests)]
    spent = sum(1 for problems, _ in found if not problems)
    lines = [name_of(wanted)]
    if spent:
        lines.append(f"it was recorded {spent} time{'s' * (spent > 1)}, and asked for once more")
    left = [(len(problems), number, problems) for problems, number in found if not cassette.play_counts[number]]
    if left:
        _, number, problems = min(left)
        lines.append(f"the nearest that is left, number {number + 1}, {name_of(cassette.requests[number])}, differs in")
        lines += [f"  {problem}" for problem in problems]
    elif not spent:
        lines.append("every recorded request was played already")
    return "\n    ".join(lines)


def _report(source: Path, misses: list[str]) -> str:
    return "\n  ".join([f"{source.name} has no answer for", *dict.fromkeys(misses)])
