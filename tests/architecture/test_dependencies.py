"""Check from the sources that dependencies point one way: platform → payments_core ← provider."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import payments_core

ROOT = Path(__file__).resolve().parents[2]
CORE = "payments_core"
PROVIDERS = {
    "payments_alipayhk": ROOT / "providers" / "alipayhk" / "payments_alipayhk",
    "payments_stripe": ROOT / "providers" / "stripe" / "payments_stripe",
    "payments_lantern": ROOT / "examples" / "payments-lantern" / "payments_lantern",
}
PACKAGES = {CORE: ROOT / CORE} | PROVIDERS

# The siblings that each module of a provider may import. No arrow leads back.
INSIDE_A_PROVIDER = {
    "__init__": {"config", "provider"},
    "provider": {"amounts", "config", "events", "forms", "mapping", "refunds", "refusals", "webhook", "wire"},
    # A notification that carries a status is mapped as an answer is.
    "events": {"amounts", "mapping", "refunds", "wire"},
    "forms": {"amounts", "wire"},
    "mapping": {"amounts", "refusals", "wire"},
    "refunds": {"amounts", "mapping", "refusals", "wire"},
    "refusals": {"wire"},
    "webhook": {"wire"},
    "amounts": set(),
    "config": set(),
    "wire": set(),
}


class Import(NamedTuple):
    """One name that a module imports; `lazy` inside a function, `typing` where only a type checker looks."""

    module: str
    name: str
    lazy: bool
    typing: bool


def imports(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """List what `module` imports, with relative imports spelled out."""
    package = module if is_package else module.rpartition(".")[0]
    yield from _imports(ast.parse(source), package, lazy=False, typing=False)


def _imports(node: ast.AST, package: str, *, lazy: bool, typing: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, "", lazy, typing)
        elif isinstance(child, ast.ImportFrom):
            base = package.rsplit(".", child.level - 1)[0] if child.level > 1 else package
            origin = ".".join(part for part in (base if child.level else "", child.module or "") if part)
            for alias in child.names:
                yield Import(origin, alias.name, lazy, typing)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                yield from _imports(ast.Module([statement], []), package, lazy=lazy, typing=True)
            for statement in child.orelse:
                yield from _imports(ast.Module([statement], []), package, lazy=lazy, typing=typing)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imports(child, package, lazy=lazy or inside, typing=typing)


class Module(NamedTuple):
    """One source file."""

    name: str
    source: str
    is_package: bool = False

    def imports(self) -> list[Import]:
        return list(imports(self.source, self.name, is_package=self.is_package))


def modules() -> list[Module]:
    """List every module of the core and of the providers."""
    found = []
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            found.append(Module(".".join(parts[:-1] if is_package else parts), path.read_text("utf-8"), is_package))
    assert len(found) > 30
    return found


def is_in(module: str, package: str) -> bool:
    """Return whether a module is that package, or inside it."""
    return module == package or module.startswith(f"{package}.")


def httpx_elsewhere(module: Module) -> list[str]:
    """Forbid httpx outside the transport and its sockets."""
    allowed = module.name in {"payments_core.transport", "payments_core.network", "payments_core.tls"}
    return [
        f"{module.name} imports {each.module}"
        for each in module.imports()
        if each.module.split(".")[0] in {"httpx", "httpcore"} and not allowed
    ]


def private_names_in_a_provider(module: Module) -> list[str]:
    """Forbid names beyond the public API; a provider's sandbox may also use payments_core.testing."""
    package = module.name.split(".")[0]
    if package not in PROVIDERS:
        return []
    in_sandbox = is_in(module.name, f"{package}.sandbox")
    return [
        f"{module.name} imports {each.module}.{each.name}"
        for each in module.imports()
        if is_in(each.module, CORE)
        and not (each.module == CORE and each.name in payments_core.__all__)
        and not (in_sandbox and is_in(each.module, f"{CORE}.testing"))
    ]


def back_edges_in_a_provider(module: Module) -> list[str]:
    """Allow provider → mapping, webhook → wire; only the sandbox may import the sandbox."""
    package, _, inner = module.name.partition(".")
    if package not in PROVIDERS or inner.split(".")[0] == "sandbox":
        return []
    allowed = INSIDE_A_PROVIDER[inner or "__init__"]
    reached = {(each, sibling) for each in module.imports() for sibling in siblings(each, package)}
    return [f"{module.name} imports {each.module}.{each.name}" for each, sibling in reached if sibling not in allowed]


def siblings(each: Import, package: str) -> list[str]:
    """Return which of a provider's own modules an import is about."""
    if each.module == package:
        return [each.name]
    return [each.module.split(".")[1]] if is_in(each.module, package) else []


def sandbox_reads_the_plugin(module: Module) -> list[str]:
    """Allow the sandbox to import only the configuration's type: it is a second reading of the documentation."""
    package = module.name.split(".")[0]
    if package not in PROVIDERS or not is_in(module.name, f"{package}.sandbox"):
        return []
    return [
        f"{module.name} imports {each.module}.{each.name}"
        for each in module.imports()
        for sibling in siblings(each, package)
        if sibling not in {"sandbox", "config"}
    ]


def core_imports_a_provider(module: Module) -> list[str]:
    """Forbid the core to import providers: it knows them by their entry points alone."""
    if not is_in(module.name, CORE):
        return []
    return [
        f"{module.name} imports {each.module}" for each in module.imports() if each.module.split(".")[0] in PROVIDERS
    ]


def core_imports_its_tools(module: Module) -> list[str]:
    """Code that runs in a shop needs neither the test tools nor the command line."""
    outer = {f"{CORE}.testing", f"{CORE}.cli"}
    if not is_in(module.name, CORE) or any(is_in(module.name, package) for package in outer):
        return []
    return [
        f"{module.name} imports {each.module}.{each.name}"
        for each in module.imports()
        if any(is_in(each.module, package) or is_in(f"{each.module}.{each.name}", package) for package in outer)
    ]


def tools_import_the_command_line(module: Module) -> list[str]:
    """And the tools need no command line."""
    if not is_in(module.name, f"{CORE}.testing"):
        return []
    return [f"{module.name} imports {each.module}" for each in module.imports() if is_in(each.module, f"{CORE}.cli")]


# A check, and a source that it must refuse, as the module of that name.
CHECKS = [
    (httpx_elsewhere, "payments_core.engine", "import httpx"),
    (httpx_elsewhere, "payments_alipayhk.wire", "def f():\n    from httpx import Client"),
    (httpx_elsewhere, "payments_core.flow", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpcore"),
    (private_names_in_a_provider, "payments_alipayhk.mapping", "from payments_core.engine import Engine"),
    (private_names_in_a_provider, "payments_alipayhk.mapping", "import payments_core.engine"),
    (private_names_in_a_provider, "payments_alipayhk.mapping", "from payments_core import engine"),
    (private_names_in_a_provider, "payments_alipayhk.provider", "from payments_core.testing import faults"),
    (private_names_in_a_provider, "payments_alipayhk.sandbox.app", "from payments_core.gateway import Gateway"),
    (back_edges_in_a_provider, "payments_alipayhk.wire", "from . import mapping"),
    (back_edges_in_a_provider, "payments_alipayhk.mapping", "from .provider import AlipayHKProvider"),
    (back_edges_in_a_provider, "payments_alipayhk.webhook", "from payments_alipayhk.mapping import charge"),
    (back_edges_in_a_provider, "payments_alipayhk.provider", "def f():\n    from .sandbox import make"),
    (sandbox_reads_the_plugin, "payments_alipayhk.sandbox.app", "from ..wire import Query"),
    (sandbox_reads_the_plugin, "payments_alipayhk.sandbox.app", "from payments_alipayhk import webhook"),
    (core_imports_a_provider, "payments_core.gateway", "def f():\n    import payments_alipayhk.wire"),
    (core_imports_its_tools, "payments_core.gateway", "from .testing import faults"),
    (core_imports_its_tools, "payments_core.gateway", "from . import cli"),
    (core_imports_its_tools, "payments_core", "from .cli import main"),
    (tools_import_the_command_line, "payments_core.testing.faults", "from ..cli.exits import Exit"),
]


@pytest.mark.parametrize("check", dict.fromkeys(check for check, _, _ in CHECKS), ids=lambda check: check.__name__)
def test_no_module_crosses_the_line(check):
    """Over every source file of the project."""
    assert [found for module in modules() for found in check(module)] == []


@pytest.mark.parametrize(("check", "name", "source"), CHECKS, ids=lambda value: getattr(value, "__name__", None))
def test_a_crossing_is_found(check, name, source):
    """The positive control: each check refuses a source that does what it forbids."""
    assert len(check(Module(name, source, is_package=name == CORE))) == 1


@pytest.mark.parametrize(
    ("check", "name", "source"),
    [
        (httpx_elsewhere, "payments_core.transport", "import httpx"),
        (private_names_in_a_provider, "payments_alipayhk.mapping", "from payments_core import Charge, Money"),
        (private_names_in_a_provider, "payments_alipayhk.sandbox.local", "from payments_core.testing import server"),
        (back_edges_in_a_provider, "payments_alipayhk.provider", "from . import mapping, webhook, wire"),
        (back_edges_in_a_provider, "payments_alipayhk.sandbox.app", "from .records import Order"),
        (core_imports_its_tools, "payments_core.cli.demo", "from payments_core.testing import server"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_allowed_is_not_found(check, name, source):
    """The other control: a check that refused everything would prove nothing."""
    assert check(Module(name, source)) == []


def test_every_module_of_a_provider_has_its_place():
    """A new file in a provider must be added to the table above."""
    for package in PROVIDERS:
        own = {module.name.partition(".")[2] or "__init__" for module in modules() if is_in(module.name, package)}
        assert {name for name in own if not is_in(name, "sandbox")} <= set(INSIDE_A_PROVIDER)


def graph(found: list[Module]) -> dict[str, set[str]]:
    """Return which modules need which at import time: imports in functions and for types don't count."""
    names = {module.name for module in found}
    needs: dict[str, set[str]] = {}
    for module in found:
        now = [each for each in module.imports() if not each.lazy and not each.typing]
        targets = {
            f"{each.module}.{each.name}" if f"{each.module}.{each.name}" in names else each.module for each in now
        }
        needs[module.name] = targets & names
    return needs


def test_imports_have_no_cycles():
    """So every module can be read, and imported, before those that use it."""
    list(TopologicalSorter(graph(modules())).static_order())


def test_a_cycle_is_found():
    """The positive control."""
    pair = [Module("payments_core.a", "from .b import x"), Module("payments_core.b", "from . import a")]
    with pytest.raises(CycleError):
        list(TopologicalSorter(graph(pair)).static_order())
    later = [pair[0], Module("payments_core.b", "def f():\n    from . import a")]
    assert list(TopologicalSorter(graph(later)).static_order()) == ["payments_core.b", "payments_core.a"]


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a fresh interpreter has imported after `statement`."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


def test_importing_the_core_loads_nothing_optional():
    """httpx costs more to import than everything else; code that only reads webhooks shouldn't pay for it."""
    loaded = loaded_by("import payments_core")
    assert "payments_core.gateway" in loaded
    unwanted = {"httpx", "httpcore", "payments_core.testing", "payments_core.cli", *PROVIDERS}
    assert loaded & unwanted == set()
    assert "httpx" in loaded_by("import payments_core; payments_core.HTTPTransport")


def test_importing_a_provider_loads_neither_httpx_nor_its_sandbox():
    """Nor anything of the server library that the sandbox is made from."""
    for package in PROVIDERS:
        loaded = loaded_by(f"import {package}")
        assert loaded & {"httpx", "starlette", "uvicorn", f"{package}.sandbox", "payments_core.testing"} == set()


def test_importing_the_command_line_loads_no_tools():
    """The command line imports payments_core.testing only in the commands that need it."""
    assert not any(is_in(name, "payments_core.testing") for name in loaded_by("import payments_core.cli"))
