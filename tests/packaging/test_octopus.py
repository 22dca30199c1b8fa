"""A stranger's plugin: made outside of this repository, built, installed from wheels alone, discovered, tested.

Nothing is downloaded. The new environment has third-party packages by links to those of the environment that runs this;
everything of this project is in it only as the wheels that are built here.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LANTERN = ROOT / "examples" / "payments-lantern"

pytestmark = pytest.mark.once


def run(*command: object, cwd: Path, accept: int = 0) -> str:
    """Run a command as a stranger would: nothing of this process's paths and settings takes part."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PAYMENTS_", "PYTEST_"))
    }
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=kept, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == accept, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments: object, cwd: Path) -> str:
    return run(sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments, cwd=cwd)


class Environment:
    """A new virtual environment with nothing of this project in it."""

    def __init__(self, home: Path) -> None:
        venv.create(home, with_pip=False, symlinks=True)
        self.python = home / "bin" / "python"
        self.payments = home / "bin" / "payments"
        paths = json.loads(
            run(self.python, "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))", cwd=home)
        )
        self.site = Path(paths["purelib"])
        for name in ("purelib", "platlib"):
            for path in Path(sysconfig.get_path(name)).iterdir():
                if not is_ours(path.name) and not (self.site / path.name).exists():
                    (self.site / path.name).symlink_to(path)

    def install(self, *wheels: Path) -> None:
        pip("--python", self.python, "install", "-q", "--no-index", "--no-deps", "--no-compile", *wheels, cwd=self.site)

    def pytest(self, folder: Path, *, accept: int) -> list[ET.Element]:
        """The cases of a run of the tests in a folder, from a place where no source can be imported."""
        report = self.site.parent / "report.xml"
        report.unlink(missing_ok=True)
        options = ("-q", "-p", "no:cacheprovider", "--rootdir", folder, f"--junitxml={report}")
        run(self.python, "-I", "-m", "pytest", *options, folder / "tests", cwd=self.site.parent, accept=accept)
        return list(ET.parse(report).iter("testcase"))


def is_ours(name: str) -> bool:
    """This project, installed or editable, and whatever else adds to the path."""
    return (
        name.endswith(".pth")
        or name == "__pycache__"
        or re.match(r"_*(editable_|_editable_impl_)*payments_", name) is not None
    )


@pytest.fixture(scope="module")
def octopus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plugin made by the command, in a folder that is not below this repository."""
    folder = tmp_path_factory.mktemp("elsewhere")
    assert ROOT not in folder.resolve().parents
    run(sys.executable, "-m", "payments_core.cli", "new-provider", "octopus", cwd=folder)
    return folder / "payments-octopus"


@pytest.fixture(scope="module")
def wheels(octopus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels of the core, of the tutorial's plugin and of the new one, by their distributions."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ("-q", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    pip("wheel", *options, ROOT, LANTERN, octopus, cwd=folder)
    return {path.name.partition("-")[0]: path for path in folder.iterdir()}


@pytest.fixture(scope="module")
def environment(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """With the three wheels, and no more of this project."""
    assert set(wheels) == {"payments_core", "payments_lantern", "payments_octopus"}
    made = Environment(tmp_path_factory.mktemp("environment") / "venv")
    made.install(*wheels.values())
    return made


def test_everything_of_this_project_is_imported_from_the_wheels(environment: Environment) -> None:
    """By path, and by name: no other distribution of ours is there."""
    names = ("payments_core", "payments_lantern", "payments_octopus")
    code = f"import {', '.join(names)}\nfor each in ({', '.join(names)}): print(each.__file__)"
    files = run(environment.python, "-I", "-c", code, cwd=environment.site).split()
    assert [Path(file).resolve() for file in files] == [
        environment.site.resolve() / name / "__init__.py" for name in names
    ]
    listed = pip("--python", environment.python, "list", "--format=json", cwd=environment.site)
    ours = {each["name"] for each in json.loads(listed) if each["name"].startswith("payments")}
    assert ours == {"payments-core", "payments-lantern", "payments-octopus"}


def test_a_source_tree_or_an_editable_installation_is_left_out() -> None:
    """The check can fail: what would bring the sources in is known by its name."""
    for name in (
        "payments_core",
        "_editable_impl_payments_core.pth",
        "payments_core-0.1.0.dist-info",
        "distutils-precedence.pth",
    ):
        assert is_ours(name)
    assert not any(map(is_ours, ("httpx", "msgspec", "pytest", "_pytest", "starlette-1.0.dist-info")))
    assert importlib.metadata.version("payments-core")


def test_both_plugins_are_discovered(environment: Environment) -> None:
    """`payments providers` lists them, whole: the new one too, which cannot do anything yet."""
    found = {
        each["id"]: each for each in json.loads(run(environment.payments, "providers", "--json", cwd=environment.site))
    }
    assert set(found) == {"lantern", "octopus"}
    assert [each["problem"] for each in found.values()] == ["", ""]
    new = found["octopus"]
    assert (new["distribution"], new["version"], new["title"]) == ("payments-octopus", "0.1.0", "Octopus")
    assert (new["usable"], new["sandbox"], new["contract"]) == (True, True, 1)


def test_the_new_plugin_s_contract_runs_and_fails_by_name(environment: Environment, octopus: Path) -> None:
    """Collected without an error; each test about a charge says what is not written yet, and none was believed."""
    cases = environment.pytest(octopus, accept=1)
    assert len(cases) > 100
    assert [
        case.get("name") for case in cases if case.find("error") is not None or case.find("skipped") is not None
    ] == []
    failures = {case.get("name"): case.find("failure") for case in cases if case.find("failure") is not None}
    told = {name: f"{failure.get('message')}\n{failure.text}" for name, failure in failures.items()}
    assert "step 3 of docs/writing-a-provider.md" in told["test_every_declared_operation_works"]
    assert "test_a_genuine_delivery_is_believed" in told
    assert "test_a_blank_key_opens_no_gateway" not in told
    named = [name for name, text in told.items() if "not written yet: " in text or "step 5" in text]
    assert len(named) > 0.9 * len(told)


def test_the_tutorial_s_plugin_passes_its_contract(environment: Environment) -> None:
    """And its cassettes are replayed."""
    cases = environment.pytest(LANTERN, accept=0)
    assert len(cases) > 100


def test_the_tutorial_s_plugin_plays_the_whole_life_of_a_charge(environment: Environment) -> None:
    said = run(environment.payments, "demo", "--provider", "lantern", cwd=environment.site)
    assert "Every step happened." in said


def test_the_guide_is_in_the_wheel_with_the_pages_that_it_leads_to(environment: Environment) -> None:
    printed = run(environment.payments, "new-provider", "--guide", cwd=environment.site)
    assert printed == (ROOT / "docs" / "writing-a-provider.md").read_text()
    told = json.loads(run(environment.payments, "new-provider", "--guide", "--json", cwd=environment.site))
    assert Path(told["guide"]).parent == environment.site / "payments_core" / "docs"
    assert {Path(page).name for page in told["pages"]} == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_command_makes_the_same_plugin_from_the_wheel(
    environment: Environment, octopus: Path, tmp_path: Path
) -> None:
    """The templates are shipped; there the name octopus is taken, so another one is made."""
    refused = run(environment.payments, "new-provider", "octopus", "--json", cwd=tmp_path, accept=2)
    assert refused == ""
    made = json.loads(run(environment.payments, "new-provider", "squid", "--json", cwd=tmp_path))
    names = sorted(path.relative_to(octopus).as_posix() for path in octopus.rglob("*") if path.is_file())
    assert made["files"] == [name.replace("octopus", "squid") for name in names if "__pycache__" not in name]
