"""docs/testing.md cannot drift: its blocks are tests that run, and its tables are the kit's."""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import textwrap
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from payments_alipayhk import sandbox as alipayhk
from payments_core.cli import main
from payments_core.testing import cassettes, courier, faults, masking, plugin, sandbox_app, sandbox_page
from payments_core.testing.contract import ProviderContract, Refusal
from payments_core.testing.contract.rules import Rules
from payments_core.testing.fake_machine import MAGIC
from payments_core.testing.sandbox import ContractSandbox, SandboxCharge
from payments_core.testing.stories import Published, Story
from payments_stripe import sandbox as stripe

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


def test_page_and_tutorial_document_other_bodies():
    """Name the attribute and its file."""
    assert "`request_body=VERBATIM`" in section("Cassettes")
    assert "(of `payments_core.testing.cassettes`)" in section("Cassettes")
    assert "VERBATIM" in cassettes.__all__
    assert "`VERBATIM`" in (ROOT / "docs" / "writing-a-provider.md").read_text("utf-8").partition("## Limits")[2]


def fault_rows():
    """Return the table of faults from the classes: arguments with defaults, and the docstring's first line."""
    kinds = [getattr(faults, name) for name in faults.__all__ if hasattr(getattr(faults, name), "play")]
    for kind in kinds:
        if kind is not faults.Fault:
            yield f"| `{kind.__name__}({', '.join(map(argument, dataclasses.fields(kind)))})` | {first_line(kind)} |"


def argument(field):
    """One argument of a fault; a default that is long is left out."""
    if field.default is dataclasses.MISSING:
        return field.name
    shown = repr(field.default)
    return f"{field.name}={shown}" if len(shown) < 30 else f"{field.name}=..."


def first_line(kind):
    return inspect.getdoc(kind).splitlines()[0]


def test_the_table_of_faults_is_made_from_the_classes():
    found = re.findall(r"^\| `[A-Z]\w+\(.*$", section("A gateway that fails on purpose"), re.MULTILINE)
    assert found == list(fault_rows()), "run python tests/docs/test_testing.py"
    assert len(found) > 20


def controls():
    """The rows of the table of controls: method, path, fields, sandboxes, what it is called in Python."""
    for line in re.findall(r"^\| `(?:GET|POST) /.*$", section("The controls of the sandboxes"), re.MULTILINE):
        route, fields, of, python, _ = [cell.strip() for cell in line.strip("| ").split(" |", 4)]
        for name in of.split(", "):
            yield (
                name,
                *route.strip("`").split(" "),
                tuple(fields.replace("`", "").split(", ") if fields else ()),
                python,
            )


@pytest.mark.parametrize("sandbox", [alipayhk, stripe], ids=["alipayhk", "stripe"])
def test_the_controls_of_the_sandboxes_are_those_of_the_page(sandbox):
    """Each route, its fields, and its name in Python."""
    name = sandbox.__name__.split(".")[0].removeprefix("payments_")
    said = {(method, path): (fields, python) for of, method, path, fields, python in controls() if of == name}
    with sandbox.make() as running:
        (mount,) = [each for each in running.app._app.routes if each.path == "/_sandbox"]
        existing = {
            (method, re.sub(r"\{\w+\}", "ID", route.path))
            for route in mount.routes
            for method in route.methods - {"HEAD"}
        }
        assert set(said) == existing
        for (method, path), (fields, python) in said.items():
            if python:
                assert hasattr(running, re.match(r"`(\w+)", python)[1]), python
            if method == "POST":
                assert fields_taken(running, path) == {field.strip("[]") for field in fields}, path
    parameters = set(inspect.signature(sandbox.make).parameters)
    options = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \| ([a-z, ]+) \|", section("The controls of the sandboxes"), re.MULTILINE
    )
    assert {each for names, of in options if name in of.split(", ") for each in re.findall(r"\w+", names)} == parameters


def fields_taken(running, path):
    """Which fields a control takes: it says so itself to whoever gives another one, and all that it requires."""
    given = {}
    for _ in range(5):
        request = urllib.request.Request(
            f"{running.url}/_sandbox{path}",
            json.dumps({**given, "nonsense": 1}).encode(),
            {"Content-Type": "application/json"},
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)
        with refused.value as answer:
            said = json.loads(answer.read())["error"]
        if required := re.fullmatch(r"(\w+) is required", said):
            given[required[1]] = "x"
        elif wrong := re.fullmatch(r"(\w+) must be int", said):
            given[wrong[1]] = 1
        else:
            break
    return set(re.search("it has (.*)", said)[1].split(", ")) - {"none"}


def test_the_attributes_and_methods_are_the_contract_s():
    """In three tables: what is given, what is overridden, and what a refusal is made of."""
    attributes = {name for name in Rules.__annotations__ if not name.startswith("_")}
    methods = {name for name in rows("The contract") if name not in attributes}
    assert attributes <= set(rows("The contract"))
    assert all(inspect.isfunction(getattr(ProviderContract, name)) for name in methods)
    own = {name for name, value in vars(Rules).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert own <= methods
    for name, said in re.findall(r"^\| `(\w+)` \| `\((self[^`]*)\)` \|", section("The contract"), re.MULTILINE):
        parameters = [each.split(":")[0].strip(" *") for each in said.split(",")]
        assert parameters == list(inspect.signature(getattr(Rules, name)).parameters), name
    fields = re.search(r"`Refusal\(([^`]*)\)`", section("The contract"))[1]
    assert tuple(re.findall(r"(\w+)=", fields)) == Refusal.__struct_fields__


def test_the_members_are_the_sandbox_s():
    wanted = {name for name in vars(ContractSandbox) if not name.startswith("_")}
    assert set(rows("The sandbox that the contract wants")) == wanted


class Watched:
    """Passes everything on, and remembers the names that it was asked for."""

    def __init__(self, inner, asked, **instead):
        self._inner, self._asked, self._instead = inner, asked, instead

    def __call__(self, port=0, *, time_scale=None, seed=None, public_url=""):
        more = {"time_scale": time_scale} if time_scale is not None else {}
        self._asked |= {f"make({name}=)" for name in more}
        made = self._inner(port, seed=seed, public_url=public_url, **more)
        return Watched(
            made,
            self._asked,
            wallet_url=lambda found: (made.pay(found), made.wallet_url(found))[1],
            register_endpoint=lambda url: None,
        )

    def __getattr__(self, name):
        if not name.startswith("_"):
            self._asked.add(f"make.{name}" if name == "sign" else name)
        return self._instead.get(name) or getattr(self._inner, name)


def test_command_line_uses_only_the_documented_attributes(monkeypatch, tmp_path, capsys):
    """Each of its commands is run with a sandbox that remembers what it was asked for."""
    asked = set()
    monkeypatch.setattr(alipayhk, "make", Watched(alipayhk.make, asked))
    monkeypatch.setattr("threading.Event.wait", wait_no_longer(threading.Event.wait))
    monkeypatch.chdir(tmp_path)
    commands = [
        ("demo", "--provider", "alipayhk"),
        ("demo", "--provider", "alipayhk", "--browser"),
        ("record", "alipayhk", "--story", "pending"),
        ("sandbox", "alipayhk", "--time-scale", "2"),
    ]
    for words in commands:
        assert main(list(words)) == 0, capsys.readouterr().err
    assert main(["sandbox", "alipayhk", "--endpoint", "http://127.0.0.1:9/"]) == 0
    toml = re.search(r"^    (\[gateways(?:.*\n)+?)\n", capsys.readouterr().out, re.MULTILINE)[1]
    (tmp_path / "payments.toml").write_text(textwrap.dedent(f"    {toml}"))
    (tmp_path / "body").write_text("{}")
    assert main(["webhook", "sign", "alipayhk", "--body", "body"]) == 0
    said = re.findall(r"^\| `([\w.]+(?:\(\w+=\))?)", section("What the command line looks for"), re.MULTILINE)
    wanted = {name for name in vars(ContractSandbox) if not name.startswith("_")}
    assert asked - wanted == set(said)
    needed = re.search(r"they need (.*?) of the table above", section("What the command line looks for"))[1]
    assert asked & wanted == set(re.findall(r"`(\w+)`", needed))


def test_the_routes_that_the_sandbox_command_tells_of_are_those_of_the_page(capsys, monkeypatch):
    monkeypatch.setattr("threading.Event.wait", wait_no_longer(threading.Event.wait))
    assert main(["sandbox", "lantern"]) == 0
    told = set(re.findall(r"/_sandbox/orders(?:/ID/\w+)?", capsys.readouterr().out))
    text = section("What the command line looks for")
    acts = re.search(r"`/_sandbox/orders/ID/(\w+)`, `(\w+)` and `(\w+)`", text).groups()
    assert told == {"/_sandbox/orders"} | {f"/_sandbox/orders/ID/{act}" for act in acts}


def wait_no_longer(wait):
    """`Event.wait`, but whoever would wait for good is interrupted, as by Ctrl-C."""

    def waiting(event, timeout=None):
        if timeout is None and sys._getframe(1).f_globals["__name__"] == "payments_core.cli.sandbox":
            raise KeyboardInterrupt
        return wait(event, timeout)

    return waiting


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


def test_every_field_of_a_story_and_of_what_a_sandbox_holds_is_on_the_page():
    told = set(re.findall(r"`(\w+)`", section("Cassettes")))
    assert set(Story.__struct_fields__) <= told
    for kind in (Published, SandboxCharge, masking.Fields):
        (fields,) = set(re.findall(rf"`{kind.__name__}\(([^`]*)\)`", PAGE))
        assert tuple(each.split("=")[0].strip() for each in fields.split(",")) == kind.__struct_fields__
    (inject,) = set(re.findall(r"`between\.inject\(([^`]*)\)`", PAGE))
    wanted = list(inspect.signature(faults.FaultGateway.inject).parameters)[1:]
    assert [each.split("=")[0].strip() for each in inject.split(",")] == wanted


def test_what_more_a_sandbox_may_have_is_what_the_contract_looks_for():
    told = set(re.findall(r"^\* `(\w+)\(", section("The sandbox that the contract wants"), re.MULTILINE))
    folder = Path(inspect.getfile(ProviderContract)).parent
    code = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    looked_for = set(re.findall(r'sandbox_has\("(\w+)"\)|getattr\(self\.sandbox, "(\w+)"', code))
    assert told == {name for pair in looked_for for name in pair if name}


if __name__ == "__main__":
    path = ROOT / "docs" / "testing.md"
    head, _, rest = path.read_text("utf-8").partition("| what is done |\n|---|---|\n")
    rest = rest.partition("\n\n")[2]
    path.write_text("\n".join([head + "| what is done |", "|---|---|", *fault_rows(), "", rest]), "utf-8")
