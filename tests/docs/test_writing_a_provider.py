"""Check docs/writing-a-provider.md: its blocks are in the tutorial's plugin, and its five steps work, one by one."""

import ast
import builtins
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from payments_core.cli import main
from payments_core.cli.new_provider import _Names
from payments_lantern.mapping import REFUSALS, STATUSES
from payments_lantern.provider import LanternProvider
from payments_lantern.webhook import TOLERANCE

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "writing-a-provider.md").read_text("utf-8")
LANTERN = ROOT / "examples" / "payments-lantern"
TEMPLATES = ROOT / "payments_core" / "cli" / "templates"
BLOCK = re.compile(r"^([^\n]*)\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def quoted(page):
    """Each block, with the file that the line above it names; None where it names none."""
    for line, _, block in BLOCK.findall(page):
        name = re.fullmatch(r"`([\w./]+)`:", line)
        yield (name[1] if name else None), block


def misquoted(page):
    """The blocks that do not stand in their files, line for line: at the margin, or as part of a class."""
    return [(name, block.splitlines()[0]) for name, block in quoted(page) if name is None or not stands_in(name, block)]


def stands_in(name, block):
    """Return whether the file contains the whole block."""
    text = "\n" + (LANTERN / name).read_text("utf-8")
    return any(f"\n{textwrap.indent(block, margin)}" in text for margin in ("", "    "))


def test_every_block_of_the_page_stands_in_the_file_that_it_names():
    assert len(list(quoted(PAGE))) == PAGE.count("```") // 2 >= 12
    assert misquoted(PAGE) == []


def test_a_block_that_drifts_is_noticed():
    """The positive control: one character, and a block without a file."""
    row = '"paid": PaymentStatus.SUCCEEDED,  # STATES'
    assert row in PAGE
    assert len(misquoted(PAGE.replace(row, row.replace("SUCCEEDED", "FAILED")))) == 1
    assert misquoted("Look:\n\n```python\nx = 1\n```\n") == [(None, "x = 1")]


def files_of_the_steps():
    """Return the files of each step, from the table at the top."""
    rows = re.findall(r"^\| (\d) \| (.*) \|$", PAGE.partition("are excerpts")[2].partition("\n## ")[0], re.MULTILINE)
    return {step: re.findall(r"`([\w/]+\.\w+)`", files) for step, files in rows}


def test_every_block_is_of_a_file_that_its_step_says_to_compare():
    """And every file of the plugin that the steps change is in the table."""
    files = files_of_the_steps()
    assert list(files) == ["1", "2", "3", "4", "5"]
    assert all((LANTERN / name).is_file() for names in files.values() for name in names)
    for step, text in re.findall(r"^## Step (\d): .+?\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL):
        assert {name for name, _ in quoted(text) if name} <= set(files[step]), step


def names_that_nobody_has(page):
    """Return the names in a block that neither it, the scaffold's file, an import nor the core's front door defines."""
    blocks = [(name, ast.parse(block)) for name, block in quoted(page) if name and name.endswith(".py")]
    shown = {
        (name, each)
        for name, tree in blocks
        for node in ast.walk(tree)
        for each in [getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)]
        if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store)
    }
    return sorted(
        {
            (name, node.id)
            for name, tree in blocks
            for node in ast.walk(tree)
            if isinstance(node, ast.Name)
            and (name, node.id) not in shown
            and not hasattr(builtins, node.id)
            and node.id not in there_already(name)
        }
    )


@functools.lru_cache
def there_already(name):
    """The names of the scaffold's file, and what the plugin's file imports."""
    template = TEMPLATES / f"{name.replace('payments_lantern', 'package')}.txt"
    scaffold = ast.parse(_Names("lantern").fill(template.read_text("utf-8"), without=()))
    found = {each.name for each in ast.walk(scaffold) if isinstance(each, ast.FunctionDef | ast.ClassDef)}
    found |= {each.id for each in ast.walk(scaffold) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    found |= {each.arg for each in ast.walk(scaffold) if isinstance(each, ast.arg)}
    written = ast.parse((LANTERN / name).read_text("utf-8"))
    imports = [each for each in ast.walk(written) if isinstance(each, ast.Import | ast.ImportFrom)]
    return found | {alias.asname or alias.name for each in imports for alias in each.names}


def test_no_block_uses_a_name_that_neither_the_page_nor_the_scaffold_has():
    assert names_that_nobody_has(PAGE) == []


def test_undefined_name_in_a_block_is_noticed():
    """The positive control: a constant of the page is taken away."""
    assert ("payments_lantern/webhook.py", "_TIME") in names_that_nobody_has(
        PAGE.replace("_TIME: Final =", "OTHER: Final =")
    )


def documentation():
    """Return Lantern Pay's documentation, without the quotation marks."""
    text = PAGE.partition("## Lantern Pay, the whole of it")[2].partition("\n## ")[0]
    return "\n".join(line.removeprefix(">").strip() for line in text.splitlines() if line.startswith(">"))


def section(title):
    """One paragraph of it, up to the next title."""
    return re.split(r"^\*\*[A-Z]+\.\*\*", documentation().partition(f"**{title}.**")[2], flags=re.MULTILINE)[0]


def test_the_plugin_is_written_from_the_page():
    """Its words, limits and tolerance are those that the half page documents, and each section is a source."""
    assert set(re.findall(r"`(\w+)`:", section("STATES"))) == set(STATUSES)
    assert set(re.findall(r"`(\w+)`", section("REFUSALS"))) - {"merchant_ref", "no_such_payment"} == set(REFUSALS)
    assert f"more than {TOLERANCE} seconds" in " ".join(section("NOTIFY").split())
    limits = LanternProvider.info.limits
    create = " ".join(section("CREATE").split())
    assert f"1 to {limits.order_id_length} letters" in create
    assert f"at most {limits.description_length} characters" in create
    assert all(f"at most {most.decimal.normalize():f}" in create for most in limits.maximum)
    assert all(currency in create for currency in LanternProvider.info.currencies)
    sources = {
        name for path in LANTERN.rglob("*.py") for name in re.findall(r"\b[A-Z]{3,}\b(?=[:, ])", path.read_text())
    }
    assert set(re.findall(r"\*\*([A-Z]+)\.\*\*", documentation())) <= sources


def test_the_published_example_is_recorded_letter_for_letter():
    """The cassette of provenance `documentation` holds the page's own answer."""
    from payments_lantern.sandbox.stories import STORIES

    (story,) = [story for story in STORIES if story.published]
    examples = [
        json.loads(text) for text in re.findall(r"^\{\"payment_id.*?\}$", documentation(), re.MULTILINE | re.DOTALL)
    ]
    assert [json.loads(each.body) for each in story.published] == examples


# The steps.


def files_in(folder):
    """The names of a plugin's files; cassettes are recorded, and not written."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("cassettes/") and "__pycache__" not in name)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """The scaffold, as it is made on a machine where nobody has this plugin yet."""
    folder = tmp_path_factory.mktemp("afternoon")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("payments_core.cli.new_provider._taken", lambda _: "")
        assert main(["new-provider", "lantern", "--without", "all", "--output", str(folder)]) == 0
    return Afternoon(folder / "payments-lantern")


class Afternoon:
    """A folder in which the steps are taken: each copies what is to be written in it from the tutorial's plugin."""

    def __init__(self, folder):
        self.folder = folder
        self.scaffold = files_in(folder)

    def write(self, *names):
        for name in names:
            shutil.copy(LANTERN / name, self.folder / name)

    def run(self, *arguments, cwd=None):
        """In a process that finds this folder's package before any other."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def test(self, *arguments):
        """Return the failures with their messages; collection must succeed."""
        report = self.folder.parent / "report.xml"
        ran = self.run("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *arguments, "tests")
        cases = list(ET.parse(report).iter("testcase"))
        assert cases, ran.stdout
        assert [case.get("name") for case in cases if case.find("error") is not None] == []
        return {
            case.get("name"): case.find("failure").get("message") + (case.find("failure").text or "")
            for case in cases
            if case.find("failure") is not None
        }


@pytest.mark.once
def test_the_five_steps_lead_from_the_scaffold_to_the_whole_plugin(steps):
    """After each step what fails is named by a later one; after the last nothing does."""
    assert steps.scaffold == files_in(LANTERN), "the tutorial's plugin has the scaffold's files"

    failed = steps.test("-k", "method_and_channel or genuine or table")
    assert "step 3" in failed["test_every_method_and_channel_takes_a_charge"]

    package, files = "payments_lantern", files_of_the_steps()
    steps.write(*files["2"], *files["3"])
    failed = steps.test("-k", "method_and_channel or genuine or currency or header")
    assert failed, "the webhook is not written yet"
    assert all("verify() in webhook.py, step 4" in message for message in failed.values())
    assert "test_every_method_and_channel_takes_a_charge" not in failed

    steps.write(*files["4"])
    demo = steps.run("-m", "payments_core.cli", "demo", "--provider", "lantern")
    assert demo.returncode == 0, demo.stderr
    assert "Every step happened." in demo.stdout

    failed = steps.test("-k", "refusal or table or cassette")
    assert {
        "test_there_is_a_documented_refusal_to_test_with",
        "test_the_table_of_statuses_is_the_documented_one",
    } <= set(failed)
    steps.write(*files["5"])
    where = f"payments record lantern --output {steps.folder / 'cassettes'}"
    assert where in steps.test("-k", "each_cassette")["test_each_cassette_is_replayed[paid]"], "the whole command"
    (command,) = re.findall(r"`payments (record lantern --output \S+)`", PAGE)
    recorded = steps.run("-m", "payments_core.cli", *command.split(), cwd=steps.folder.parent)
    assert recorded.returncode == 0, recorded.stderr
    assert steps.test() == {}

    live = steps.folder / "cassettes" / "live" / "paid.yaml"
    live.parent.mkdir()
    text = (steps.folder / "cassettes" / "sandbox" / "paid.yaml").read_text()
    assert "provenance: 'sandbox: lantern'" in text
    live.write_text(text.replace("'sandbox: lantern'", "'live: lantern, 2026-11-01'"))
    assert steps.test("-k", "cassette") == {}, "a live one beside it is replayed too"
    shutil.rmtree(live.parent)

    steps.write(
        "pyproject.toml",
        "README.md",
        *(f"{package}/{name}.py" for name in ("__init__", "config", "sandbox/__init__")),
        "tests/test_cassettes.py",
    )
    for name in files_in(LANTERN):
        assert (steps.folder / name).read_bytes() == (LANTERN / name).read_bytes()
    for path in (LANTERN / "cassettes").rglob("*.yaml"):
        assert (steps.folder / path.relative_to(LANTERN)).read_bytes() == path.read_bytes(), (
            "recorded again, the same bytes"
        )


def test_what_the_scaffold_has_already_is_kept(steps):
    """These files of the tutorial's plugin are the scaffold's own, to the letter: nobody had to touch them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("payments_core.cli.new_provider._taken", lambda _: "")
        other = steps.folder.parent / "untouched"
        other.mkdir()
        assert main(["new-provider", "lantern", "--without", "all", "--output", str(other)]) == 0
    for name in (
        "pyproject.toml",
        "payments_lantern/__init__.py",
        "payments_lantern/config.py",
        "payments_lantern/py.typed",
        "payments_lantern/sandbox/__init__.py",
        "tests/test_cassettes.py",
    ):
        assert (other / "payments-lantern" / name).read_text() == (LANTERN / name).read_text().replace(
            "Lantern Pay", "Lantern"
        ), name


@pytest.mark.once
def test_the_mistake_of_the_page_is_noticed(tmp_path):
    """In one command, by tests whose names say what is wrong."""
    text = PAGE.partition("accepts every delivery:\n\n")[2].partition("\n\nSaved as")[0]
    (tmp_path / "broken.py").write_text("\n".join(line.removeprefix("    ") for line in text.splitlines()))
    command = [sys.executable, "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "header or limits"]
    command += [str(LANTERN / "tests" / "test_contract.py"), "--contract-provider", "broken.py:Credulous"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 1, ran.stdout
    failed = re.findall(r"^FAILED .*::(\w+)\[(\S+)\]", ran.stdout, re.MULTILINE)
    assert {name for name, _ in failed} == {"test_a_forged_delivery_is_refused"}
    assert {"header-missing", "header-empty", "header-doubled"} <= {forgery for _, forgery in failed}


def test_every_step_says_when_it_is_done():
    steps = re.findall(r"^## (Step \d: .+?)\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert [title[:6] for title, _ in steps] == ["Step 1", "Step 2", "Step 3", "Step 4", "Step 5"]
    assert all("**Done when**" in text for _, text in steps)
