"""docs/testing.md cannot drift: its blocks are tests that run, and its tables are the kit's."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from payments_core.testing import courier, faults, plugin, sandbox_app, sandbox_page
from payments_core.testing.contract import ProviderContract, Refusal
from payments_core.testing.contract.rules import Rules
from payments_core.testing.fake_machine import MAGIC
from payments_core.testing.sandbox import ContractSandbox

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text("utf-8")


def section(title):
    """The part of the page under a heading."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(title):
    """The names in the first column of a section's tables."""
    return re.findall(r"^\| `([\w-]+)`", section(title), re.MULTILINE)


def test_every_block_is_a_test_that_passes(tmp_path):
    """As a stranger's test file each, with nothing but what is installed."""
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    for number, block in enumerate(blocks):
        (tmp_path / f"test_block_{number}.py").write_text(block)
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout
    written = sum(len(re.findall(r"^def test_", block, re.MULTILINE)) for block in blocks)
    assert f"{written} passed" in ran.stdout
    assert len(blocks) == PAGE.count("```") // 2 >= 6


def test_the_magic_words_are_the_fake_gateway_s():
    assert tuple(rows("A shop's tests: the fake gateway")) == MAGIC


def test_every_fault_is_in_the_table():
    said = {
        name
        for line in section("A gateway that fails on purpose").splitlines()
        for name in re.findall(r"`(\w+)`", line)
    }
    kinds = {name for name in faults.__all__ if hasattr(getattr(faults, name), "play")} - {"Fault"}
    assert kinds - said == set()
    assert len(kinds) > 20


def test_the_attributes_and_methods_are_the_contract_s():
    """In three tables: what is given, what is overridden, and what a refusal is made of."""
    attributes = {name for name in Rules.__annotations__ if not name.startswith("_")}
    methods = {name for name in rows("The contract") if name not in attributes}
    assert attributes <= set(rows("The contract"))
    assert all(inspect.isfunction(getattr(ProviderContract, name)) for name in methods)
    own = {name for name, value in vars(Rules).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert own <= methods
    fields = re.search(r"`Refusal\(([^`]*)\)`", section("The contract"))[1]
    assert tuple(re.findall(r"(\w+)=", fields)) == Refusal.__struct_fields__


def test_the_members_are_the_sandbox_s():
    wanted = {name for name in vars(ContractSandbox) if not name.startswith("_")}
    assert set(rows("The sandbox that the contract wants")) == wanted


def test_the_parts_are_the_kit_s():
    text = section("What a sandbox is made of")
    said = set(re.findall(r"`(\w+)`", text))
    for module in (courier, sandbox_app, sandbox_page):
        name = module.__name__.rpartition(".")[2]
        assert set(re.findall(rf"^\| `(\w+)` \| `{name}` ", text, re.MULTILINE)) == set(module.__all__) - {"BadRequest"}
        assert set(module.__all__) <= said


def test_the_fixtures_are_the_plugin_s():
    found = {name for name, value in vars(plugin).items() if "fixture" in type(value).__name__.lower()}
    assert set(rows("Fixtures")) == {name for name in found if not name.startswith("_")}
