"""Check the modules: no vendor names in the core, a bounded length, a front door of imports, working entry points."""

import ast
import importlib.metadata
import io
import os
import re
import sysconfig
import tokenize
import tomllib
from pathlib import Path

import pytest

import payments_core
from payments_core import InstalledProvider, installed_providers
from payments_core.discovery import PROVIDER_GROUP, SANDBOX_GROUP

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "payments_core"
SOURCES = sorted([*CORE.rglob("*.py"), *(ROOT / "providers").rglob("payments_*/**/*.py")])

# Companies, wallets and the terms of one gateway's API. Currency codes are not vendors: HKD may be an example.
VENDOR_WORDS = (
    "alipay|alipayhk|alipaycn|alipayplus|antom|cbtis|globalcbtis|aplus|wechat|wechatpay|weixin|unionpay|octopus|payme"
    "|stripe|adyen|paypal|braintree|klarna|worldpay|checkout_com|mollie|razorpay|visa|mastercard|amex"
    "|payment_intent|payment_intents|paymentintent|merchant_order_id|mch|psp_reference|pspreference"
)
VENDOR = re.compile(rf"(?<![A-Za-z0-9])({VENDOR_WORDS})(?![A-Za-z0-9])", re.IGNORECASE)

# Lines of code: without blank lines, comments and docstrings. More than this is two modules, unless a reason is given.
MOST_LINES = 400
LONGER = {
    "payments_core/testing/faults.py": (620, "a catalogue: one small class for each way in which a gateway fails"),
    "payments_core/testing/leaks.py": (480, "a catalogue: one small function for each form in which a secret can leak"),
}


def vendor_words(text: str) -> list[str]:
    """Return every vendor name in a text, as written."""
    return VENDOR.findall(text)


@pytest.mark.parametrize(
    "path", [path for path in SOURCES if CORE in path.parents], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_core_knows_no_vendor(path):
    """Not in its code, its docstrings, its comments, nor the names of its files."""
    assert vendor_words(path.read_text("utf-8")) == []
    assert vendor_words(str(path.relative_to(ROOT))) == []


@pytest.mark.parametrize(
    "text",
    [
        'Gateway.open("alipayhk")',
        "import payments_alipayhk",
        "STRIPE_KEY",
        "# as Adyen does",
        "/v1/payment_intents",
        "x = 'PayPal'",
    ],
)
def test_a_vendor_s_word_is_found(text):
    """In any case, and between underscores."""
    assert len(vendor_words(text)) == 1


@pytest.mark.parametrize("text", ["striped", "HKD 88.00", "checkout platform", "merchant id"])
def test_other_words_are_not_taken_for_a_vendor_s(text):
    """A word is a whole word."""
    assert vendor_words(text) == []


def code_lines(source: str) -> int:
    """Count the lines of code in a source."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            documented.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    silent = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
    }  # fmt: skip
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in silent:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_is_too_long_to_read(path):
    """Each module has one reason to change; exceptions are explained in the table above."""
    most, _ = LONGER.get(str(path.relative_to(ROOT)), (MOST_LINES, ""))
    assert code_lines(path.read_text("utf-8")) <= most


def test_the_exceptions_are_still_needed():
    """A module that has shrunk loses its exception."""
    assert {name for name in LONGER if code_lines((ROOT / name).read_text("utf-8")) <= MOST_LINES} == set()


def test_lines_of_code_are_counted():
    """The positive control: neither prose nor blank lines are code, and a string that is used is."""
    assert code_lines('"""Doc.\n\nMore."""\n\n# why\nx = 1\n') == 1
    assert code_lines('def f():\n    """Doc."""\n    return """a\nb"""\n') == 3
    assert code_lines("x = 1\n" * 401) > MOST_LINES


def besides_imports(source: str) -> list[str]:
    """Return the statements of a front door other than imports, `__all__`, the null handler and the lazy transport."""
    allowed = (ast.Import, ast.ImportFrom)
    found = []
    for position, node in enumerate(ast.parse(source).body):
        text = ast.unparse(node)
        if isinstance(node, allowed) or (position == 0 and isinstance(node, ast.Expr)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            found += [ast.unparse(each) for each in node.body if not isinstance(each, allowed)]
        elif not (
            text.startswith("__all__ = ")
            or (isinstance(node, ast.FunctionDef) and node.name == "__getattr__" and "transport" in text)
            or "NullHandler()" in text
        ):
            found.append(text)
    return found


def test_the_front_door_is_imports_and_a_list():
    """`payments_core/__init__.py` shows the public API, and nothing else."""
    assert besides_imports((CORE / "__init__.py").read_text("utf-8")) == []
    assert besides_imports("x = 1\ndef helper(): ...\nclass A: ...") == [
        "x = 1",
        "def helper():\n    ...",
        "class A:\n    ...",
    ]


def test_the_front_door_lists_what_it_has():
    """Sorted, without repetition, and every name leads to something."""
    listed = payments_core.__all__
    assert len(listed) == len(set(listed))
    assert [name for name in listed if not hasattr(payments_core, name)] == []
    # Names with @ are pytest's: it rewrites the asserts of every distribution that has a pytest plugin.
    public = {name for name in vars(payments_core) if not name.startswith(("_", "@"))}
    modules = {path.stem for path in CORE.iterdir()}
    assert public - set(listed) - modules == set()


def test_a_name_that_is_not_there_is_an_attribute_error():
    """The lazy transport answers for its own names only."""
    with pytest.raises(AttributeError):
        _ = payments_core.NoSuchName


@pytest.mark.parametrize("name", ["alipayhk", "stripe"])
@pytest.mark.parametrize("group", [PROVIDER_GROUP, SANDBOX_GROUP])
def test_the_entry_points_are_installed(group, name):
    """Exactly one distribution claims the name, and what it names can be loaded."""
    (entry,) = importlib.metadata.entry_points(group=group, name=name)
    assert entry.dist is not None
    assert entry.dist.name == f"payments-{name}"
    assert callable(entry.load())


def test_the_installed_provider_is_whole():
    """As `payments providers` shows it."""
    (found,) = [each for each in installed_providers() if each.name == "alipayhk"]
    assert isinstance(found, InstalledProvider)
    assert (found.problem, found.distribution) == ("", "payments-alipayhk")
    assert found.info is not None


def contracts(pattern: str) -> set[str]:
    """Return the packages whose provider a class in these test files tests against the contract."""
    found = set()
    for path in ROOT.glob(pattern):
        tree = ast.parse(path.read_text("utf-8"))
        origins = {
            alias.name: (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for each in tree.body:
            if (
                isinstance(each, ast.ClassDef)
                and each.name.startswith("Test")
                and "ProviderContract" in map(ast.unparse, each.bases)
            ):
                found |= {
                    origins.get(ast.unparse(line.value), "")
                    for line in each.body
                    if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "provider"
                }
    return found


def test_every_provider_is_held_against_the_contract():
    """By a test class that is collected: in one of the folders where `make test` looks."""
    folders = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]["testpaths"]
    assert folders == ["tests", "providers/*/tests"]
    held = set().union(*(contracts(f"{folder}/**/test_*.py") for folder in folders))
    providers = {path.parent.name for path in ROOT.glob("providers/*/payments_*/provider.py")}
    assert len(providers) == len(list(ROOT.glob("providers/*/pyproject.toml"))) >= 2
    assert providers - held == set()


def test_a_provider_without_a_contract_is_found(tmp_path, monkeypatch):
    """The positive control."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    body = "from payments_x.provider import X\nclass {}(ProviderContract):\n    provider = X\n"
    (tmp_path / "test_x.py").write_text(body.format("TestX"))
    assert contracts("test_*.py") == {"payments_x"}
    (tmp_path / "test_x.py").write_text(body.format("X"))
    assert contracts("test_*.py") == set()


def test_both_distributions_are_typed():
    """`py.typed` is shipped beside the sources."""
    assert (CORE / "py.typed").is_file()
    assert all((path.parent / "py.typed").is_file() for path in (ROOT / "providers").glob("*/payments_*/provider.py"))


def comes_from(package: str) -> Path:
    """Return the folder that a package is imported from."""
    return Path(importlib.import_module(package).__file__ or "").resolve().parent


@pytest.mark.parametrize("package", ["payments_core", "payments_alipayhk"])
def test_the_packages_under_test_are_the_ones_meant(package):
    """Expect wheels if PAYMENTS_EXPECT_WHEELS is set (an editable install hides missing files), else this checkout."""
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    if os.environ.get("PAYMENTS_EXPECT_WHEELS") == "1":
        assert comes_from(package).parent in installed
    else:
        assert ROOT in comes_from(package).parents
        assert comes_from(package).parent not in installed
