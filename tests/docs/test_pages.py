"""The pages as a whole: their links lead somewhere, and whoever starts at README finds them all."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FRONT = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG")]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PLUGINS = sorted([*ROOT.glob("providers/*/README.md"), *ROOT.glob("examples/*/README.md")])
PAGES = [*FRONT, *DOCS, *PLUGINS]


def links(page):
    """Return the targets of a page's relative links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if not target.startswith(("http://", "https://")):
            path, _, fragment = target.partition("#")
            yield (page.parent / path if path else page).resolve(), fragment


def anchors(page):
    """The fragments that a page's headings make."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    """Inside the repository, headings included."""
    for target, fragment in links(page):
        assert target.exists(), target
        assert not fragment or fragment in anchors(target), fragment


def test_every_page_is_within_two_clicks_of_the_readme():
    near = {README}
    for _ in range(2):
        near |= {target for page in near if page.suffix == ".md" for target, _ in links(page)}
    moved = ROOT / "docs" / "logging.md"  # kept for old links alone
    assert {page for page in PAGES if page not in near} == {moved}


def test_every_command_that_a_front_page_names_exists():
    """Of make, and of payments."""
    from payments_core.cli import main

    makefile = (ROOT / "Makefile").read_text("utf-8")
    text = "".join(page.read_text("utf-8") for page in (README, ROOT / "CONTRIBUTING.md", ROOT / "docs" / "using.md"))
    targets = set(re.findall(r"(?:`|^    )make ([a-z-]+)", text, re.MULTILINE))
    assert targets >= {"demo", "setup", "test"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for line in re.findall(r"^    payments ([a-z ]+?)(?= [A-Z]|  | alipayhk| stripe)", text, re.MULTILINE):
        assert not main([*line.split(), "--help"]), line


def test_no_page_tells_to_install_by_a_name_what_is_not_published():
    """An index name could belong to anyone, who would receive the credentials; so name a folder, with a `/` in it."""
    found = {
        page.relative_to(ROOT).as_posix(): re.findall(
            r"^    pip install (.*?)(?:  +#.*)?$", page.read_text("utf-8"), re.MULTILINE
        )
        for page in PAGES
    }
    assert all(found[f"{page}.md"] for page in ("README", "docs/testing", "docs/writing-a-provider"))
    for page, lines in found.items():
        for word in [word for line in lines for word in shlex.split(line) if not word.startswith("--")]:
            folder = word.partition("[")[0].replace("path/to/clone", str(ROOT))
            assert "/" in word or word.startswith((".", "payments-lantern[")), (page, word)
            assert not word.startswith("path") or (Path(folder) / "pyproject.toml").is_file(), (page, word)
