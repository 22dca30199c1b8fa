"""docs/commands.md cannot drift: its reference is made from the parser, by `python tests/docs/test_commands.py`."""

import re
from argparse import SUPPRESS
from pathlib import Path

from payments_core.cli.app import build_parser
from payments_core.cli.exits import MEANINGS

PATH = Path(__file__).resolve().parents[2] / "docs" / "commands.md"
BEGINNING = "## Exit codes\n"
COMMON = {"--json", "--config", "--help"}


def commands(parser):
    """Every command of a parser, with its name, in the order of the help."""
    (action,) = [each for each in parser._actions if each.choices and hasattr(each.choices, "values")]
    for each in action.choices.values():
        if each.get_default("run") is None:
            yield from commands(each)
        else:
            yield each


def reference():
    """The generated part of the page."""
    lines = [BEGINNING, "| code | meaning |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items()]
    lines += [
        "",
        "## Reference",
        "",
        "Every command takes `--json` and `--help`; each that needs a gateway takes `--config FILE`.",
    ]
    for command in commands(build_parser()):
        rows = [
            row(each)
            for each in command._actions
            if not COMMON & set(each.option_strings) and each.help is not SUPPRESS
        ]
        lines += ["", f"### {command.prog}", "", *command.description.splitlines()]
        lines += ["", "| argument | |", "|---|---|", *rows] if rows else []
    return "\n".join(lines) + "\n"


def row(action):
    """One argument."""
    value = action.metavar or ("" if action.nargs == 0 else "\\|".join(action.choices or ()))
    name = " ".join(filter(None, (*action.option_strings, value)))
    needed = ", required" if action.option_strings and action.required else ""
    return f"| `{name}`{needed} | {action.help} |"


def test_the_reference_is_the_parser_s():
    page = PATH.read_text("utf-8")
    assert page[page.index(BEGINNING) :] == reference(), "run python tests/docs/test_commands.py"


def test_every_command_is_in_the_table_at_the_top():
    top = PATH.read_text("utf-8").partition("\n## ")[0]
    said = set(re.findall(r"`(payments [a-z-]+(?: (?:verify|sign))?)", top))
    assert {each.prog for each in commands(build_parser())} == said


def test_every_check_of_the_doctor_is_in_its_table():
    from payments_core.cli import doctor, examine, notify

    page = PATH.read_text("utf-8").partition("the doctor\n")[2].partition("\n## ")[0]
    sources = "".join(Path(module.__file__).read_text("utf-8") for module in (doctor, examine, notify))
    checks = set(re.findall(r'Finding\(\s*"(\w+)"', sources))
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == checks
    assert len(checks) == 8


if __name__ == "__main__":
    written = PATH.read_text("utf-8")
    PATH.write_text(written.partition(BEGINNING)[0] + reference(), "utf-8")
