"""Record a provider's stories: from its sandbox, from documented answers, or live.

Every recording is replayed before it is kept, so every cassette in the folder works.
"""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from payments_core import ConfigurationError, Gateway, PaymentError, ProviderContractError, Secret
from payments_core.account import load_account
from payments_core.discovery import SANDBOX_GROUP, load_entry

from .cassette_file import write
from .cassettes import BASE_URL, CassetteError, Provenance, is_this_machine, record, replay
from .server import LoopbackServer
from .stories import Actor, HumanActor, Published, ReplayActor, SandboxActor, Story, run

__all__ = ["Account", "record_live", "record_sandbox", "record_story", "sandbox_stories"]


_UNIQUE_DIGITS: Final = 20
_MIN_UNIQUE: Final = 8  # hexadecimal digits: enough for years of recordings on one test account


class Sandbox(Protocol):
    """The part of a provider's sandbox that recording needs; its options are those that its stories name."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Return the configuration of a gateway against it."""

    def stories(self) -> Sequence[Story]:
        """Return the stories that can be recorded."""

    def close(self) -> None:
        """End the sandbox."""


class Account:
    """A gateway's name, provider and complete configuration, to be opened for a recording or a replay."""

    def __init__(self, name: str, config: Mapping[str, Any] | Path | None = None) -> None:
        account = load_account(name, config)
        self.name = name
        self.provider = account.provider
        self._values = msgspec.structs.asdict(account.config)
        self._connection = {name: value for name, value in msgspec.structs.asdict(account.connection).items() if value}

    @property
    def base_url(self) -> str:
        """Return the gateway's address, or `""` if the provider does not configure it."""
        return str(self._values.get("base_url", ""))

    @property
    def order_id_length(self) -> int:
        """Return the maximum length of an order id."""
        with self.open() as gateway:
            return gateway.info.limits.order_id_length

    @property
    def secrets(self) -> dict[str, str]:
        """Return the account's secrets, by the names of their fields."""
        settings = {**self._connection, **self._values}
        return {name: value.reveal() for name, value in settings.items() if isinstance(value, Secret) and value}

    def open(self) -> Gateway:
        """Open the gateway."""
        return Gateway.open(self.name, {**self._connection, **self._values, "provider": self.provider})

    def open_for_replay(self) -> Gateway:
        """Open the gateway at the address that cassettes use."""
        place = {"base_url": BASE_URL} if "base_url" in self._values else {}
        return Gateway.open(self.name, {**self._values, **place, "provider": self.provider})


def record_sandbox(name: str, folder: Path | str, only: Collection[str] = ()) -> list[Path]:
    """Record the stories of provider `name`, or `only` some: into `sandbox/` and `documentation/` of `folder`.

    The same stories make the same bytes. Return the files; raise `CassetteError`, or a `PaymentError` if the provider
    or its sandbox is not installed.
    """
    made = []
    for story in _chosen(sandbox_stories(name), only):
        kind, detail = ("documentation", story.source) if story.published else ("sandbox", name)
        path = Path(folder) / kind / f"{story.name}.yaml"
        with _sandbox(name, story.options) as played, contextlib.ExitStack() as served:
            config = dict(played.config)
            if story.published:
                config["base_url"] = served.enter_context(LoopbackServer(_answering(story.published))).url
            record_story(
                story,
                path,
                Account(name, {**config, "provider": name}),
                SandboxActor(played),
                Provenance(kind, detail),  # type: ignore[arg-type]
                story.values(),
                f"payments record {name}",
            )
        made.append(path)
    return made


def record_live(
    name: str,
    folder: Path | str,
    config: Mapping[str, Any] | Path | None = None,
    only: Collection[str] = (),
    ask: Callable[[str], object] = input,
    out: Callable[[str], object] = print,
    draw: Callable[[str], str] | None = None,
) -> list[Path]:
    """Record the stories that need no sandbox from the configured gateway `name`, into `live/` of `folder`.

    A person plays the shopper, instructed by `out` and awaited by `ask`. Answers from this machine are recorded as
    `sandbox`, and never replace a live recording. Raise as `record_sandbox` does.
    """
    account = Account(name, config)
    kind, detail = "live", f"{account.provider}, {datetime.now(UTC):%Y-%m-%d}"
    if is_this_machine(urlsplit(account.base_url).hostname or ""):
        kind, detail = "sandbox", f"{account.provider}, in a rehearsal of live"
        out(f"{name} is on this machine: recorded as {kind}, and not as live")
    most = account.order_id_length
    made = []
    for story in _chosen(sandbox_stories(account.provider), only):
        if not story.live:
            out(f"skipped {story.name}: {'it is published' if story.published else 'only a sandbox can play it'}")
            continue
        out(f"recording {story.name}")
        path = Path(folder) / "live" / f"{story.name}.yaml"
        record_story(
            story,
            path,
            account,
            HumanActor(ask, out, draw),
            Provenance(kind, detail),  # type: ignore[arg-type]
            story.values(_unique(story, most)),
            f"payments record {name} --live",
        )
        made.append(path)
    return made


def record_story(
    story: Story,
    path: Path,
    account: Account,
    actor: Actor,
    provenance: Provenance,
    parameters: Mapping[str, str],
    command: str = "",
) -> None:
    """Run a story over HTTP, replay the recording, and write it to `path` if that works."""
    problem = ""
    with tempfile.TemporaryDirectory() as folder:
        unproved = Path(folder) / path.name
        try:
            with (
                record(
                    unproved,
                    story.policy,
                    provenance,
                    parameters,
                    base_url=account.base_url,
                    secrets=account.secrets,
                    repeats=story.repeats,
                    command=command,
                ),
                account.open() as gateway,
            ):
                run(story, gateway, actor, parameters)
            with replay(unproved, story.policy) as recording, account.open_for_replay() as gateway:
                run(story, gateway, ReplayActor(), recording.parameters)
        except (AssertionError, PaymentError) as exc:
            problem = str(exc) or type(exc).__name__
        except EOFError:
            problem = "nobody answered: recording live needs a terminal"
        if not problem:
            write(path, unproved.read_text(encoding="utf-8"), provenance)
    if problem:
        raise CassetteError(f"{story.name}: {problem}")


def sandbox_stories(name: str) -> tuple[Story, ...]:
    """Return the stories that can be recorded of provider `name`."""
    with _sandbox(name, {}) as played:
        return tuple(played.stories())


@contextlib.contextmanager
def _sandbox(name: str, options: Mapping[str, Any]) -> Iterator[Sandbox]:
    factory: Any = load_entry(SANDBOX_GROUP, name)
    played: Sandbox = factory(**options)
    if not callable(getattr(played, "stories", None)):
        played.close()
        raise ProviderContractError(f"the sandbox of {name} has no stories to record")
    with contextlib.closing(played):
        yield played


def _unique(story: Story, most: int) -> str:
    """Return a new value for `{unique}`: 20 characters, or as many as an order id has room for."""
    given = story.parameters.get("order_id", "")
    times = given.count("{unique}")
    room = (most - len(given.replace("{unique}", ""))) // times if times else _UNIQUE_DIGITS
    if room < _MIN_UNIQUE:
        raise CassetteError(
            f"{story.name}: an order id of this gateway has at most {most} characters, which leaves {max(room, 0)} "
            f"for the {{unique}} in {given!r}, and {_MIN_UNIQUE} are needed so that no two recordings meet: "
            "shorten the story's parameters"
        )
    return secrets.token_hex(_UNIQUE_DIGITS)[: min(room, _UNIQUE_DIGITS)]


def _chosen(stories: Sequence[Story], only: Collection[str]) -> list[Story]:
    names = [story.name for story in stories]
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ConfigurationError(f"no story {', '.join(unknown)}; the stories are {', '.join(names)}")
    return [story for story in stories if not only or story.name in only]


def _answering(published: Sequence[Published]) -> ASGIApp:
    answers = {(each.method, each.path): each for each in published}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        await request.body()
        found = answers.get((request.method, request.url.path))
        if found is None:
            answer = Response(status_code=404)
        else:
            answer = Response(found.body, found.status, media_type="application/json")
        await answer(scope, receive, send)

    return app
