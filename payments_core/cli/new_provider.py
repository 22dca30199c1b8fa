"""`payments new-provider`: scaffold a distribution for another gateway, with tests that say what is still missing."""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import shlex
import tempfile
import tomllib
from argparse import SUPPRESS, Namespace
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Final

from payments_core.discovery import PROVIDER_GROUP, SANDBOX_GROUP

from .console import Console
from .exits import Exit, Stop
from .parser import Commands

__all__ = ["add"]

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)
_LONGEST: Final = 30
_EXAMPLE: Final = "For example: payments new-provider acme-pay"
_RESERVED: Final = {
    "core": "payments-core is the framework itself",
    "payments": "every distribution's name begins with it",
    "fake": "that is the provider for platforms' own tests",
}
_GUIDE: Final = "writing-a-provider.md"
_SUFFIX: Final = ".txt"  # so that no tool takes a template for code
# The parts that a gateway may not have, each marked in the templates: `# >>> part X` … `# <<< part X` around lines,
# `# part X` behind one line, and `# without X` behind a line that takes the place of a part that is left out.
_PARTS: Final = {
    "token": "a token, for which the API key is exchanged",
    "two-requests": "a second request that confirms a charge",
    "list": "a query by order id in a list of several pages",
    "refunds": "refunds, and queries for them",
    "endpoint": "an address for notifications that the merchant registers, instead of one with each charge",
}
_MARK: Final = re.compile(r"# (?P<mark>>>>|<<<) part (?P<part>\S+)$")
_LINE: Final = re.compile(r"  # (?P<kind>part|without) (?P<part>\S+)$")


def add(commands: Commands) -> None:
    """Register the command."""
    parser = commands.new(
        "new-provider",
        _run,
        "begin a plugin for another gateway",
        "Makes the distribution payments-NAME in the current folder, or under providers/ inside the repository of\n"
        "payments-core. Its tests run at once: what is still to be written fails by name, and closed. Then follow\n"
        "docs/writing-a-provider.md, which --guide prints.",
    )
    parser.add_argument(
        "name",
        metavar="NAME",
        nargs="?",
        help="the provider's id: lower-case letters and digits, words joined by - or _",
    )
    parser.add_argument("--guide", action="store_true", help="print docs/writing-a-provider.md, and make nothing")
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="PART",
        help=f"leave out what the gateway does not have: {', '.join(_PARTS)} or all; may be given several times",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="the folder in which to make it")
    parser.add_argument("--into", dest="output", type=Path, help=SUPPRESS)  # its name until 0.1
    parser.add_argument("--force", action="store_true", help="write over the files of a folder that is there already")


@dataclass(frozen=True)
class _Names:
    """One name in all the forms that it takes."""

    id: str

    @property
    def distribution(self) -> str:
        return f"payments-{self.id.replace('_', '-')}"

    @property
    def package(self) -> str:
        return f"payments_{self.id}"

    @property
    def title(self) -> str:
        return " ".join(word.capitalize() for word in self.id.split("_"))

    @property
    def prefix(self) -> str:
        return self.title.replace(" ", "")

    def fill(self, text: str, without: Collection[str]) -> str:
        """Fill the names into a template, and leave parts out."""
        fields = {name: getattr(self, name) for name in ("id", "distribution", "package", "title", "prefix")}
        token = "token" not in without
        fields["auth_arg"] = "authorization: Authorization, " if token else ""
        fields["auth"] = "authorization, " if token else ""
        filled = Template(_cut(text, without)).substitute(fields, versions=_versions())
        return _sorted_imports(filled)


def _run(args: Namespace, console: Console) -> Exit:
    if args.guide:
        return _show_guide(console)
    if args.name is None:
        raise Stop("NAME is missing", _EXAMPLE, code=Exit.USAGE)
    names = _Names(_checked(args.name))
    without = _left_out(args.without)
    repository = _repository(Path.cwd()) if args.output is None else None
    parent = args.output or (repository / "providers" if repository else Path.cwd())
    target = parent / (names.id if repository else names.distribution)
    written = _write(names, target, without, force=args.force)
    shown = os.path.relpath(target)
    follow = (
        _in_repository(repository, target)
        if repository
        else [f"pip install --editable '{shown}[testing]'", f"pytest {shown}/tests"]
    )
    console.result(
        {
            "id": names.id,
            "distribution": names.distribution,
            "package": names.package,
            "provider": f"{names.package}.provider:{names.prefix}Provider",
            "folder": str(target),
            "files": written,
            "parts": [part for part in _PARTS if part not in without],
            "next": follow,
        },
        [
            f"{names.distribution} is in {shown}: {len(written)} files. The provider's id is {names.id}.",
            *_parts_in_words(without),
            "Its tests run, and say what is still to be written:",
            "",
            *(f"    {line}" for line in follow),
            "",
            "Then take the steps of docs/writing-a-provider.md, one after the other.",
            "`payments new-provider --guide` prints it.",
        ],
    )
    return Exit.OK


def _show_guide(console: Console) -> Exit:
    package = Path(str(files("payments_core")))
    # A wheel has the pages inside the package; in a clone they are beside it.
    folder = next((each for each in (package / "docs", package.parent / "docs") if (each / _GUIDE).is_file()), None)
    if folder is None:
        raise Stop(f"{_GUIDE} was not installed", "It is in the folder docs of payments-core's repository.")
    pages = sorted(str(page) for page in folder.glob("*.md"))
    console.note(f"{folder / _GUIDE}; beside it are the pages that it leads to.")
    console.result({"guide": str(folder / _GUIDE), "pages": pages}, (folder / _GUIDE).read_text("utf-8").splitlines())
    return Exit.OK


def _in_repository(root: Path, target: Path) -> list[str]:
    """Return the commands to run at the root, where make and its environment are."""
    there = [] if root == Path.cwd() else [f"cd {shlex.quote(os.path.relpath(root))}"]
    return [*there, "make setup", f".venv/bin/pytest {target.relative_to(root).as_posix()}/tests"]


def _checked(name: str) -> str:
    """Return the id, or raise `Stop` if the name is invalid or taken."""
    if _NAME.fullmatch(name) is None or len(name) > _LONGEST:
        raise Stop(
            "NAME is lower-case letters and digits, beginning with a letter, words joined by - or _, "
            f"at most {_LONGEST} characters",
            _suggestion(name),
            code=Exit.USAGE,
        )
    identifier = name.replace("-", "_")
    if identifier.startswith("payments_"):
        raise Stop(
            f"the distribution would be payments-{name}",
            f"Leave the beginning out: payments new-provider {name[9:]}",
            code=Exit.USAGE,
        )
    if owner := _RESERVED.get(identifier) or _project_s_own(identifier) or _taken(identifier):
        raise Stop(f"the name {name} is taken: {owner}", "Choose another one.", code=Exit.USAGE)
    return identifier


def _suggestion(name: str) -> str:
    words = re.findall(r"[a-z0-9]+", name.lower())
    tried = "-".join(words).lstrip("-0123456789")[:_LONGEST].strip("-")
    return f"For example: payments new-provider {tried}" if _NAME.fullmatch(tried) else _EXAMPLE


def _project_s_own(identifier: str) -> str:
    """Return the reason if this project has a plugin of that name, installed or not, else `""`."""
    own = (files(__package__) / "own_providers.txt").read_text("utf-8").split()
    return f"{_Names(identifier).distribution} is a plugin of this project" if identifier in own else ""


def _taken(identifier: str) -> str:
    """Say who has the name, or return `""`; two distributions with one name are both refused."""
    for group in (PROVIDER_GROUP, SANDBOX_GROUP):
        for entry in entry_points(group=group, name=identifier):
            return f"{entry.dist.name if entry.dist else entry.value} is installed"
    package = _Names(identifier).package
    return f"a package {package} can be imported" if importlib.util.find_spec(package) else ""


def _repository(folder: Path) -> Path | None:
    """Return the root of payments-core's own repository if `folder` is in it."""
    for each in (folder, *folder.parents):
        try:
            project = tomllib.loads((each / "pyproject.toml").read_text("utf-8")).get("project", {})
        except (OSError, ValueError):
            continue
        if project.get("name") == "payments-core":
            return each
    return None


def _left_out(given: Iterable[str]) -> frozenset[str]:
    """Return the parts that `--without` names, or raise `Stop` for one that does not exist."""
    parts = {part for each in given for part in each.split(",") if part}
    if unknown := sorted(parts - {*_PARTS, "all"}):
        known = "; ".join(f"{part} ({what})" for part, what in _PARTS.items())
        raise Stop(f"there is no part {unknown[0]}", f"The parts are {known}.", code=Exit.USAGE)
    return frozenset(_PARTS) if "all" in parts else frozenset(parts)


def _parts_in_words(without: Collection[str]) -> list[str]:
    kept = [part for part in _PARTS if part not in without]
    if not kept:
        return []
    return [f"It has these parts; cut what the gateway does not have, at the marks `# part X`: {', '.join(kept)}."]


def _cut(text: str, without: Collection[str]) -> str:
    """Return a template without some parts; the marks of the others stay, to be cut by hand."""
    lines: list[str] = []
    cutting = ""
    for line in text.splitlines(keepends=True):
        mark, end = _MARK.search(line.rstrip("\n")), _LINE.search(line.rstrip("\n"))
        if cutting:
            cutting = "" if mark and (mark["mark"], mark["part"]) == ("<<<", cutting) else cutting
        elif mark and mark["part"] in without:
            cutting = mark["part"]
        elif end is None:
            lines.append(line)
        elif (end["part"] in without) == (end["kind"] == "without"):
            lines.append(line if end["kind"] == "part" else f"{line[: end.start()]}\n")
    # A cut leaves the blank lines on both of its sides.
    return re.sub(r"\n{3,}(?=    )", "\n\n", re.sub(r"\n{4,}", "\n\n\n", "".join(lines)))


def _write(names: _Names, target: Path, without: Collection[str], *, force: bool) -> list[str]:
    """Write all files or none, and return them."""
    problem = ""
    try:
        there = target.is_symlink() or (any(target.iterdir()) if target.is_dir() else target.exists())
        if there and not target.is_dir():
            raise Stop(f"{target} is there already, and is no folder", "Nothing was written. Choose another name.")
        if there and not force:
            advice = "Nothing was written. Choose another name, or write over its files with --force."
            raise Stop(f"{target} is there already", advice)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder:
            made = Path(folder) / target.name
            for path, text in _rendered(names, without):
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8", newline="\n")
            written = sorted(str(path.relative_to(made).as_posix()) for path in made.rglob("*") if path.is_file())
            if there:
                for path in written:
                    (target / path).parent.mkdir(parents=True, exist_ok=True)
                    (made / path).replace(target / path)
            else:
                made.rename(target)
    except OSError as exc:
        problem = exc.strerror or type(exc).__name__
    else:
        return written
    raise Stop(f"{target} cannot be made: {problem}", "Nothing was written.")


def _rendered(names: _Names, without: Collection[str]) -> Iterator[tuple[str, str]]:
    for path, template in _templates(files(__package__) / "templates"):
        place = path.removesuffix(_SUFFIX)
        if place.startswith("package/"):
            place = names.package + place.removeprefix("package")
        yield place, names.fill(template.read_text("utf-8"), without)


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, Traversable]]:
    for each in folder.iterdir():
        if each.is_dir():
            yield from _templates(each, f"{path}{each.name}/")
        elif each.name.endswith(_SUFFIX):
            yield path + each.name, each


def _versions() -> str:
    """Return the releases with the contract that the templates were written for."""
    major, minor = (int(part) for part in version("payments-core").split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def _sorted_imports(text: str) -> str:
    """Sort the imports of payments_*: the position of the plugin's own depends on its name."""
    lines: list[str] = []
    for ours, group in itertools.groupby(
        text.splitlines(keepends=True), lambda line: line.startswith("from payments_")
    ):
        run = list(group)
        lines += (
            sorted(run, key=lambda line: line.split()[1])
            if ours and all("import (" not in line for line in run)
            else run
        )
    return "".join(lines)
