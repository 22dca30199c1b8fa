"""README.md: short, its blocks run as pasted, its picture is the demo's, and every page is two clicks away."""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from payments_alipayhk.sandbox import make
from payments_core import Redirect

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "README.md"
README = PATH.read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_readme_is_short():
    assert len(README.splitlines()) <= 120
    assert len(README.split()) <= 900
    assert "no live gateway has been reached" in README


@pytest.mark.once
def test_picture_is_the_demo(monkeypatch):
    assert "](docs/demo.svg)" in README
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    picture = importlib.import_module("picture")
    assert picture.PAGE.read_text("utf-8") == picture.picture(), "run python scripts/picture.py"


def requirements(name):
    """Return the distributions that one needs, without extras, and what those need."""
    found = set()
    for line in importlib.metadata.requires(name) or ():
        needed = Requirement(line)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            found |= {needed.name} | requirements(needed.name)
    return found


@pytest.mark.once
def test_first_block_runs_as_pasted_after_the_install_line(tmp_path):
    """In a new environment with what the line installs, and nothing else. Requirements are links, not downloads."""
    (line,) = re.findall(r"^    pip install (.*)$", README, re.MULTILINE)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    offline = ("--quiet", "--no-index", "--no-deps")
    run(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", tmp_path, *line.split(), cwd=ROOT)
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    for name in requirements("payments-core"):
        needed = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in needed.files} - {"..", "__pycache__"}:
            (site / top).symlink_to(needed.locate_file(top))
    run(*pip, "--python", python, "install", *offline, *tmp_path.glob("*.whl"), cwd=tmp_path)
    assert run(python, cwd=tmp_path, stdin=BLOCKS[0]).splitlines()[-1] == "True"


def run(*command, cwd, stdin=""):
    """Run a command without this process's settings, and return what it printed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PAYMENTS_", "PIP_"))}
    words = [str(word) for word in command]
    ran = subprocess.run(
        words, cwd=cwd, env=kept, input=stdin, capture_output=True, text=True, timeout=200, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stdout
    return ran.stdout


def test_blocks_take_a_payment_and_settle_it_through_either_gateway(monkeypatch, capsys):
    """The fake gateway first; then the last block swaps it for a real plugin, and the rest stays as it is."""
    names = {}
    first, *others, swap = BLOCKS
    for block in (first, *others):
        exec(compile(block, "README.md", "exec"), names)
    assert re.fullmatch(r"Redirect\(url='.+'\)\nTrue\n", capsys.readouterr().out)
    delivery = names["sandbox"].notification(names["charge"].reference.provider_id)
    assert settles(names, delivery.body, delivery.headers)

    with make(port=0, time_scale=0) as sandbox:
        for field, value in sandbox.config.items():
            if value:
                monkeypatch.setenv(f"PAYMENTS_ALIPAYHK_{field.upper()}", value)
        exec(compile(swap, "README.md", "exec"), names)
        with names["gateway"] as gateway:
            charge = gateway.create_charge(names["ChargeRequest"]("P1001", names["amount"], "Tea"))
            assert isinstance(charge.next_action, Redirect)
            sandbox.pay(charge.reference.provider_id)
            delivery = sandbox.notification(charge.reference.provider_id)
            assert settles(names, delivery.body, delivery.headers)


def settles(names, body, headers):
    """Deliver a notification, and confirm the one event that was stored."""
    assert names["receive"](body, dict(headers)).status == 200
    (event,) = names["inbox"]
    names["inbox"].clear()
    return names["is_paid"](event, "P1001", names["amount"])


@pytest.mark.once
def test_blocks_pass_mypy_strict(tmp_path):
    (tmp_path / "page.py").write_text("\n".join(BLOCKS))
    options = ("--strict", "--config-file=", "--cache-dir", tmp_path / "cache")
    assert "Success" in run(sys.executable, "-m", "mypy", *options, tmp_path / "page.py", cwd=ROOT)
