"""Write docs/reference.md from signatures and docstrings of every public value: `python scripts/reference.py`.

A class explains its fields, enum members and attributes in lines of its docstring, "* `name`: meaning"; a string below
a constant or an alias explains it. If any name lacks a description, nothing is written.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec

import payments_core
from payments_core import AsyncGateway, Gateway, PaymentError

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

INTRODUCTION: Final = """\
# Reference

Every public name of `payments_core`, and the names of `payments_core.testing` that the author of a plugin meets.
Lists name fields with their types and defaults, in the order of the constructor, then methods with their signatures.
[Hooks](hooks.md) explains what each hook gets, returns and may raise; [Glossary](glossary.md) explains the words.

This page is generated: change the docstrings, and run `make reference`.
"""

SECTIONS: Final = {
    "Open and call": "Gateway AsyncGateway Retries Secret installed_providers InstalledProvider Transport"
    " AsyncTransport HTTPTransport AsyncHTTPTransport Clock SystemClock",
    "Requests": "Money CURRENCY_EXPONENTS ChargeRequest Channel Shopper Reference CaptureRequest RefundRequest"
    " RefundReference",
    "Answers": "Charge PaymentStatus RejectionCode Refund RefundStatus Authorization",
    "Next actions": "NextAction Redirect ShowQRCode SubmitForm CallSDK AwaitShopper Complete",
    "Notifications": "WebhookDelivery Notification WebhookEvent Subject Acknowledgement",
    "Declarations": "ProviderInfo Method Limits Notifications Duplicates",
    "Provider hooks": "ProviderHooks hookimpl hookspec Context",
    "Observer hooks": "ObserverHooks OperationRecord ExchangeRecord",
    "Flow values": "Flow Request Response segment unify same_hex_digest same_base64_digest tap drive drive_async",
    "Errors": "Accepted PaymentError ConfigurationError ProviderNotFound ProviderContractError InvalidRequest"
    " UnsupportedOperation AuthorizationRejected Rejected NotFound RateLimited GatewayUnavailable OutcomeUnknown"
    " ProtocolViolation Mismatch WebhookRejected",
}
HOW_TO_EXPLAIN: Final = (
    "give each a docstring, or a line '* `name`: meaning' in its class's, and remove lines of no field"
)
TESTING: Final = "contract sandbox stories cassettes opening courier server sandbox_app sandbox_page"


class Raw:
    """A piece of a signature that is shown as it is."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def shown(value: Any) -> str:
    """Write a default as a reader would."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"({', '.join(map(shown, value))}{',' * (len(value) == 1)})"
    if isinstance(value, frozenset):
        return f"frozenset({{{', '.join(sorted(map(shown, value)))}}})" if value else "frozenset()"
    if isinstance(value, msgspec.Struct):
        usual = {each.name: each.default for each in msgspec.structs.fields(value)}
        changed = [name for name in usual if getattr(value, name) != usual[name]]
        return f"{type(value).__name__}({', '.join(f'{name}={shown(getattr(value, name))}' for name in changed)})"
    if inspect.isroutine(value) or isinstance(value, type):
        return "..." if value.__name__ == "<lambda>" else value.__name__
    return repr(value).replace("'", '"')


@functools.cache
def assignments(module: str) -> dict[str, tuple[str, str, str]]:
    """Find the top-level assignments of a module: the annotation, the source of the value, and the string below."""
    source = inspect.getsource(import_module(module))
    body = ast.parse(source).body
    found = {}
    for node, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        kind = ast.unparse(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        words = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
        value = " ".join((ast.get_source_segment(source, node.value) or "").split())
        found[ast.unparse(target)] = (kind, value, words if isinstance(words, str) else "")
    return found


def typed(annotation: Any, module: str) -> str:
    """Write a type as its source does, without ClassVar, and with private aliases resolved."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"^(?:ClassVar|Final)\[(.*)\]$", r"\1", text)
    public = getattr(import_module(module), "__all__", ())
    aliases = {name: each[1] for name, each in assignments(module).items() if name not in public and "[" in each[1]}
    return re.sub(r"\w+", lambda word: aliases.get(word[0], word[0]), text)


def signature(function: Callable[..., Any], module: str, *, bound: bool = False) -> str:
    """Write the parameters and the result of a function; without the first one if it is `bound`."""
    told = inspect.signature(function)
    empty, parameters = told.empty, []
    for each in list(told.parameters.values())[bound:]:
        kind = empty if each.annotation is empty else Raw(typed(each.annotation, module))
        default = empty if each.default is empty else Raw(shown(each.default))
        parameters.append(each.replace(annotation=kind, default=default))
    result = "" if told.return_annotation in {empty, "None"} else typed(told.return_annotation, module)
    shape = f"{told.replace(parameters=parameters, return_annotation=empty)}"
    if is_context_manager(function):
        result = result.removeprefix("Iterator[").removesuffix("]").replace("None", "")
        return f"{shape} as {result}" if result else shape
    return f"{shape} -> {result}" if result else shape


def is_context_manager(function: Callable[..., Any]) -> bool:
    """Return whether a function is a generator under `contextmanager`."""
    return inspect.isgeneratorfunction(inspect.unwrap(function)) and not inspect.isgeneratorfunction(function)


def prefix(function: Callable[..., Any]) -> str:
    """Return the word before a call of the function."""
    return "await " if inspect.iscoroutinefunction(function) else "with " if is_context_manager(function) else ""


def code(text: str) -> str:
    """Return a block of code, split into several lines if it is long."""
    glued = re.sub(r"(?<!,) ", "\0", text)  # lines end behind commas
    wrapped = textwrap.fill(glued, 110, initial_indent="    ", subsequent_indent=" " * 8, break_on_hyphens=False)
    return wrapped.replace("\0", " ")


def split(documentation: str | None) -> tuple[str, dict[str, str]]:
    """Split a docstring into its prose and its lines "* `name`: meaning"."""
    text = inspect.cleandoc(documentation or "")
    lines = r"^\* `(\w+)`: (.+(?:\n  .+)*)\n?"
    words = {name: " ".join(meaning.split()) for name, meaning in re.findall(lines, text, re.MULTILINE)}
    return re.sub(lines, "", text, flags=re.MULTILINE).strip(), words


def ours(cls: type) -> list[type]:
    """List a class and its bases, without those of libraries, base first; an error alone."""
    if issubclass(cls, PaymentError):
        return [cls]
    return [each for each in reversed(cls.__mro__) if each is cls or each.__module__.startswith("payments_core")]


def fields(cls: type) -> Iterator[tuple[str, str]]:
    """List the public fields, members or declared attributes of a class: name, and `name: type = default`."""
    if issubclass(cls, enum.Enum):
        yield from ((name, name) for name in cls.__members__)
        return
    usual: dict[str, Any] = {}
    if is_struct := issubclass(cls, msgspec.Struct):
        for each in msgspec.structs.fields(cls):
            made = each.default if each.default_factory is msgspec.NODEFAULT else each.default_factory()
            usual |= {} if made is msgspec.NODEFAULT else {each.name: made}
    for base in ours(cls):
        for name, told in inspect.get_annotations(base).items():
            if name.startswith("_"):
                continue
            if not is_struct and hasattr(cls, name):
                usual[name] = getattr(cls, name)
            default = f" = {shown(usual[name])}" if name in usual else ""
            yield name, f"{name}: {typed(told, base.__module__)}{default}"


def methods(cls: type) -> Iterator[tuple[str, str, str]]:
    """List the public methods and properties of a class: name, signature and docstring."""
    found = {name: (base, value) for base in ours(cls) for name, value in vars(base).items()}
    for name, (base, value) in found.items():
        if name.startswith(("_", "test_")):
            continue
        if isinstance(value, property):
            told = inspect.signature(value.fget).return_annotation  # type: ignore[arg-type]
            yield name, f"{name}: {typed(told, base.__module__)}", inspect.cleandoc(value.__doc__ or "")
        elif inspect.isfunction(function := getattr(value, "__func__", value)):
            owner = f"{cls.__name__}." if isinstance(value, classmethod | staticmethod) else ""
            told = signature(function, base.__module__, bound=not isinstance(value, staticmethod))
            yield name, f"{prefix(function)}{owner}{name}{told}", inspect.cleandoc(function.__doc__ or "")


def described(name: str, value: Any, problems: list[str]) -> Iterator[str]:
    """Describe one public name, in paragraphs; add names without a description to `problems`."""
    if isinstance(value, type):
        yield from described_class(value, problems)
        return
    if inspect.isfunction(value):
        yield code(f"{prefix(value)}{name}{signature(value, value.__module__)}")
        words = inspect.cleandoc(value.__doc__ or "")
    else:
        modules = sorted(each for each in sys.modules if each.startswith("payments_core"))
        same = [each for each in modules if vars(sys.modules[each]).get(name) is value and name in assignments(each)]
        kind, source, words = assignments(same[0])[name] if same else ("", "", "")
        yield code(f"{name} = {source}" if len(source) < 150 else f"{name}: {typed(kind, same[0])}")
    if not words:
        problems.append(name)
    yield words


def described_class(cls: type, problems: list[str]) -> Iterator[str]:
    """Describe a class: its constructor, unless that is its fields, then prose, fields and methods."""
    prose = split(cls.__doc__)[0]
    words = {name: text for base in ours(cls) for name, text in split(base.__doc__)[1].items()}
    is_made_of_fields = issubclass(cls, msgspec.Struct | enum.Enum) or dataclasses.is_dataclass(cls)
    is_made = issubclass(cls, PaymentError) or any("__init__" in vars(each) for each in ours(cls))
    if is_made and not is_made_of_fields and not getattr(cls, "_is_protocol", False) and not hasattr(cls, "open"):
        yield code(f"{cls.__name__}{signature(cls, cls.__module__)}")
    yield prose
    declared = dict(fields(cls))
    parameters = inspect.signature(cls).parameters.items() if issubclass(cls, msgspec.Struct) else ()
    if named := [name for name, each in parameters if each.kind is each.KEYWORD_ONLY]:
        yield f"Given by name: {', '.join(named)}." if len(named) < len(declared) else "All fields are given by name."
    items = [(declared.get(name, name), words.get(name, "")) for name in declared | words]
    same = {(name, text) for name, _, text in methods(Gateway)} if cls is AsyncGateway else set()
    calls = [(name, head, text) for name, head, text in methods(cls) if (name, text) not in same]
    unexplained = [name for name in declared if name not in words]
    if is_made_of_fields or issubclass(cls, PaymentError):
        unexplained += [name for name in words if name not in declared]
    problems += [f"{cls.__name__}.{name}" for name in unexplained]
    problems += [f"{cls.__name__}.{name}" for name, _, text in calls if not text]
    problems += [] if prose else [cls.__name__]
    items += [(head, text) for _, head, text in calls]
    yield "\n".join(f"* `{head}`: {text}".replace("\n", "\n  ").replace("\n  \n", "\n\n") for head, text in items)


def ladder(names: list[str]) -> str:
    """Put the errors into a table, each with the first sentence of its docstring."""
    rows = ["| error | do this |", "|---|---|"]
    for name in names[names.index("PaymentError") :]:
        sentence = re.split(r"(?<=\.)\s", split(getattr(payments_core, name).__doc__)[0])[0]
        rows.append(f"| `{name}` | {sentence} |")
    return "\n".join(rows)


def page() -> tuple[str, list[str]]:
    """Write the page; the second value lists the names without a description."""
    problems: list[str] = []
    parts = [INTRODUCTION.strip()]
    titles = [*SECTIONS, "Testing"]
    parts.append("\n".join(f"* [{each}](#{each.lower().replace(' ', '-')})" for each in titles))
    for title, listed in SECTIONS.items():
        names = listed.split()
        parts += [f"## {title}", *([ladder(names)] if title == "Errors" else [])]
        for name in names:
            parts += [f"### {name}", *described(name, getattr(payments_core, name), problems)]
    parts.append("## Testing")
    for module in (import_module(f"payments_core.testing.{each}") for each in TESTING.split()):
        parts += [f"### {module.__name__}", (module.__doc__ or "").partition("\n\n")[0]]
        for name in module.__all__:
            parts += [f"#### {name}", *described(name, getattr(module, name), problems)]
    return "\n\n".join(filter(None, parts)) + "\n", problems


def main() -> None:
    """Write the page, or list the names without a description."""
    text, missing = page()
    if missing:
        sys.exit(f"{HOW_TO_EXPLAIN}: {', '.join(missing)}")
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
