"""`payments record`: record a provider's stories as cassettes, from its sandbox or a real gateway."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from payments_core import ConfigurationError

from .console import Console
from .exits import Exit, Stop
from .opening import provider_name
from .parser import Commands, add_config

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "record",
        _run,
        "record a provider's cassettes",
        "Play a provider's stories over HTTP, and record the exchanges as cassettes with secrets masked: "
        "against the provider's sandbox, or with --live against the configured gateway NAME (with its test "
        "account).",
    )
    parser.add_argument(
        "name", metavar="NAME", help="a provider (- is read as _); with --live, a gateway of the configuration"
    )
    parser.add_argument("--live", action="store_true", help="record from a real gateway")
    parser.add_argument("--story", action="append", default=[], metavar="S", help="only this story; repeat for each")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: cassettes/NAME")
    add_config(parser)


def _run(args: Namespace, console: Console) -> Exit:
    try:
        from payments_core.testing import cassettes, recording
    except ImportError as exc:
        missing = exc.name or "something"
        raise ConfigurationError(f"recording needs {missing}: pip install 'payments-core[testing]'") from None
    name = args.name if args.live else provider_name(args.name)
    folder = args.output or Path("cassettes") / name
    try:
        if args.live:
            made = recording.record_live(
                name, folder, args.config, tuple(args.story), _asking(console), console.note, console.note_code
            )
        else:
            made = recording.record_sandbox(name, folder, tuple(args.story))
    except cassettes.CassetteError as error:
        raise Stop(str(error), "Nothing of that story was saved.") from None
    console.result({"recorded": [str(path) for path in made]}, [f"recorded {path}" for path in made])
    return Exit.OK


def _asking(console: Console) -> Callable[[str], object]:
    def ask(prompt: str) -> object:
        console.note(prompt)  # `input` would write it to stdout, which is for the result
        return input()

    return ask
