"""Keep what is said twice in step: versions, and what CI, pre-commit and the pages run."""

import re
import tomllib
from pathlib import Path

import yaml

from payments_core.transport import USER_AGENT

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [ROOT / "pyproject.toml", *sorted(ROOT.glob("providers/*/pyproject.toml"))]
PROJECTS += sorted(ROOT.glob("examples/*/pyproject.toml"))


def text(name):
    return (ROOT / name).read_text("utf-8")


def projects():
    return {str(path.relative_to(ROOT)): tomllib.loads(path.read_text("utf-8"))["project"] for path in PROJECTS}


def test_all_distributions_have_one_version():
    assert len(projects()) >= 4
    (version,) = {project["version"] for project in projects().values()}
    major, minor = map(int, version.split(".")[:2])
    assert f"payments-core/{major}.{minor}" == USER_AGENT
    for name, project in projects().items():
        extras = project.get("optional-dependencies", {}).values()
        for needed in (*project.get("dependencies", ()), *(each for extra in extras for each in extra)):
            if needed.startswith("payments-"):
                assert needed.endswith(f">={major}.{minor},<{major}.{minor + 1}"), (name, needed)


def test_changelog_begins_with_what_is_unreleased():
    assert re.findall(r"^## (.+)$", text("CHANGELOG.md"), re.MULTILINE)[0] == "[Unreleased]"


def test_workflow_runs_the_targets_of_the_ci_script():
    steps = [step for job in yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"].values() for step in job["steps"]]
    targets = re.findall(r"^make (?:--no-print-directory )?([\w-]+)", text(".ci/run"), re.MULTILINE)
    assert [step["run"] for step in steps if "run" in step] == [f"make {target}" for target in targets]
    assert len(targets) == 3


def test_hooks_run_the_tools_of_make_check():
    (repository,) = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    check = text("Makefile").partition("\ncheck:")[2].partition("\n\n")[0]
    wanted = [line.removesuffix(" --check") for line in re.findall(r"^\t(.+)$", check, re.MULTILINE)]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in repository["hooks"]] == wanted


def test_paths_that_contributing_names_exist():
    paths = re.findall(
        r"`((?:payments_core|docs|tests|scripts|requirements|\.ci)/[\w./-]*|[\w.-]+\.(?:toml|md|yaml))`",
        text("CONTRIBUTING.md"),
    )
    assert len(paths) > 15
    for path in paths:
        assert (ROOT / path).exists(), path
