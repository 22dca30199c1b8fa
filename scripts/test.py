"""Run the checks and the tests.

`make test` runs the checks and the whole suite once, in parallel, on this Python. `make test-wheels` installs the
wheels on every supported Python found here, and runs the tests that another Python or installation could break. A test
that was skipped or expected to fail counts as a failure (tests that this machine cannot run are deselected), and so
does a run without tests.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / ".build"
LOCK = ROOT / "requirements" / "dev.txt"
PYTHONS = ("3.11", "3.12", "3.13")
# Tests that depend on the Python or the installation; the others are the same everywhere.
ON_WHEELS = (
    "tests/core",
    "tests/cli",
    "tests/packaging",
    "tests/alipayhk/test_contract.py",
    "tests/stripe/test_contract.py",
    "tests/testing/test_contract_fake.py",
)
SUITE_TIMEOUT = 1800.0
# Most of a run is waiting, so there may be more workers than processors.
PARALLEL = ("-n", str(max(4, 2 * (os.cpu_count() or 1))), "--dist", "worksteal")

# Variables of the caller's shell that would change a run, and make's own for its children.
LEFT_OUT = {"PYTHONPATH", "PYTHONHOME", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "MAKEFLAGS", "MFLAGS", "MAKELEVEL"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}


class Failed(Exception):
    """A step failed; the message says which, and why."""


def main() -> int:
    """Run the steps that the command line names; return 0 if all succeed."""
    failures = []
    for step in (wheels,) if sys.argv[1:] == ["wheels"] else (check, suite):
        try:
            step()
        except Failed as failed:
            failures.append(str(failed))
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr, flush=True)
    return 1 if failures else 0


def check() -> None:
    """Run ruff and mypy."""
    announce("checks: ruff, mypy")
    if subprocess.run(["make", "check"], cwd=ROOT, env=ENVIRONMENT, check=False).returncode:
        raise Failed("make check")


def wheels() -> None:
    """Build the wheels, and run the tests that depend on them on every Python found."""
    announce("wheels: building")
    built = build_wheels()
    failures = []
    for version in PYTHONS:
        python = find_python(version)
        if python is None:
            announce(f"wheels, Python {version}: not found")
            continue
        try:
            announce(f"wheels, Python {version}: {wheel_suite(version, python, built)}")
        except Failed as failed:
            announce(f"wheels, Python {version}: FAILED\n{failed}")
            failures.append(version)
    if failures:
        raise Failed(f"the wheels on Python {', '.join(failures)}")


def suite() -> None:
    """Run the suite on the source tree; print nothing after pytest's summary."""
    announce(f"suite: source tree, Python {sys.version.split()[0]}")
    report = new_report("suite")
    command = [sys.executable, "-m", "pytest", "-q", *PARALLEL, f"--junitxml={report}"]
    try:
        code = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, check=False, timeout=SUITE_TIMEOUT).returncode
    except subprocess.TimeoutExpired:
        raise Failed(f"the suite took more than {SUITE_TIMEOUT:.0f} s") from None
    if fault := fault_of(code, report):
        raise Failed(f"the suite: {fault}")


def wheel_suite(version: str, python: str, built: list[Path]) -> str:
    """Run tests against installed wheels, without access to the source tree; return pytest's summary."""
    began = time.monotonic()
    inside = environment(version, python)
    pip(inside, "install", "--no-deps", "--no-index", "--force-reinstall", *map(str, built))
    pip(inside, "check")
    ready = time.monotonic() - began
    report = new_report(f"wheels-{version}")
    # -I: neither the current directory nor PYTHON* variables add to sys.path.
    command = [str(inside), "-I", "-m", "pytest", "-q", "-x", *PARALLEL, "-c", str(ROOT / "pyproject.toml")]
    command += [f"--rootdir={ROOT}", f"--junitxml={report}", *(str(ROOT / each) for each in ON_WHEELS)]
    with tempfile.TemporaryDirectory() as elsewhere:
        output = run(command, cwd=elsewhere, env=ENVIRONMENT | {"PAYMENTS_EXPECT_WHEELS": "1"}, accept=None)
    if fault := fault_of(output.returncode, report):
        raise Failed(f"{output.stdout}\n{fault}")
    return f"{output.stdout.strip().splitlines()[-1].strip('= ')} (made ready in {ready:.1f}s)"


def build_wheels() -> list[Path]:
    """Build the distributions into .build/wheels, as `make wheels` does."""
    run(["make", "wheels"], cwd=ROOT)
    built = sorted((BUILD / "wheels").glob("*.whl"))
    parts = (path.parent for pattern in ("providers", "examples") for path in ROOT.glob(f"{pattern}/*/pyproject.toml"))
    projects = [ROOT, *parts]
    if len(built) != len(projects):
        raise Failed(f"{len(projects)} projects, but these wheels: {', '.join(path.name for path in built) or 'none'}")
    return built


def find_python(version: str) -> str | None:
    """Find a working interpreter of that version: a version manager's shim may exist and refuse to run."""
    program = "import ssl, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for candidate in candidates(version):
        try:
            answer = run([candidate, "-I", "-c", program], accept=None, timeout=60).stdout
        except (OSError, Failed):
            continue
        if answer.strip() == version:
            return candidate
    return None


def candidates(version: str) -> Iterator[str]:
    """List where an interpreter of that version may be: this one, PATH, pyenv's and uv's directories."""
    if sys.version.startswith(f"{version}."):
        yield sys.executable
    for directory in os.get_exec_path():
        if found := shutil.which(f"python{version}", path=directory):
            yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local" / "share" / "uv" / "python")
    for pattern in (f"versions/{version}.*/bin/python", f"cpython-{version}.*/bin/python{version}"):
        for root in (pyenv, uv):
            yield from map(str, sorted(root.glob(pattern), reverse=True))


def environment(version: str, python: str) -> Path:
    """Make a virtual environment with the locked requirements, or reuse one made from the same lock."""
    key = hashlib.sha256(LOCK.read_bytes() + os.path.realpath(python).encode()).hexdigest()[:12]
    home = BUILD / "venvs" / f"{version}-{key}"
    inside = home / "bin" / "python"
    if (home / ".ready").exists():
        return inside
    for old in home.parent.glob(f"{version}-*"):
        shutil.rmtree(old)
    run([python, "-m", "venv", "--without-pip", str(home)])
    pip(inside, "install", "--require-hashes", "-r", str(LOCK))
    (home / ".ready").touch()
    return inside


def pip(inside: Path, command: str, *arguments: str) -> None:
    """Run this environment's pip on another, which then needs neither pip nor ensurepip."""
    quiet = ["--disable-pip-version-check", "--no-input"]
    run([sys.executable, "-m", "pip", "--python", str(inside), command, *quiet, *arguments])


def new_report(name: str) -> Path:
    """Return a fresh path for pytest's report on each test."""
    report = BUILD / "reports" / f"{name}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    return report


def fault_of(code: int, report: Path) -> str:
    """Describe the fault of a pytest run; "" for none."""
    if not report.exists():
        return f"pytest ended with status {code} and no report"
    cases = list(ET.parse(report).iter("testcase"))
    skipped = [case for case in cases if case.find("skipped") is not None]
    if code:
        return f"pytest ended with status {code}" if cases else "no test ran"
    if skipped:
        names = ", ".join(f"{case.get('classname')}.{case.get('name')}" for case in skipped)
        return f"skipped, or expected to fail: {names}"
    return "" if cases else "no test ran"


def run(
    command: list[str],
    *,
    cwd: str | Path | None = None,
    env: dict[str, str] | None = None,
    accept: int | None = 0,
    timeout: float = SUITE_TIMEOUT,
) -> subprocess.CompletedProcess[str]:
    """Run a command quietly; show its output if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=env or ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as expired:
        said = (expired.output or b"").decode(errors="replace")
        raise Failed(f"{said}\n{' '.join(command)} took more than {timeout:.0f} s") from None
    if accept is not None and done.returncode != accept:
        raise Failed(f"{done.stdout}\n{' '.join(command)} ended with status {done.returncode}")
    return done


def announce(text: str) -> None:
    """Announce the next step before its output."""
    print(f"--- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
