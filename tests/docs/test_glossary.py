"""docs/glossary.md and the other pages name what exists."""

import functools
import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import payments_core
from payments_core import Channel, Gateway, PaymentError, PaymentStatus, RefundStatus, testing

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "providers" / "alipayhk" / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
# Names in code that belong to Python, to msgspec or to a provider.
ELSEWHERE = {
    "KeyboardInterrupt",
    "MemoryError",
    "KeyError",
    "TypeError",
    "None",
    "True",
    "False",
    "Decimal",
    "AssertionError",
} | {
    "Signature",
}


def section(title):
    """The part of the glossary under a heading."""
    return GLOSSARY.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(text):
    """The first cell of every row that is a name in code."""
    return re.findall(r"^\| `(\w+)`", text, re.MULTILINE)


def unknown_names(text):
    """The public-looking names in code that payments_core does not have."""
    names = set(re.findall(r"`([A-Z][a-z]\w+)(?:\([^`]*\))?`", text)) - ELSEWHERE
    return {name for name in names if name not in payments_core.__all__ and name not in kit_names()}


@functools.cache
def kit_names():
    """Return the public names of the testing kit's modules, which pages use too."""
    found = set()
    for module in pkgutil.walk_packages(testing.__path__, f"{testing.__name__}."):
        found.update(getattr(importlib.import_module(module.name), "__all__", ()))
    return found


def test_every_status_and_channel_is_explained():
    """In the order of the code."""
    assert rows(section("Statuses")) == list(PaymentStatus.__members__)
    assert rows(section("Channels")) == list(Channel.__members__)
    last_line = section("Statuses").strip().splitlines()[-1]
    assert set(re.findall(r"`([A-Z]+)`", last_line)) == set(RefundStatus.__members__)


def test_every_error_is_named():
    """None is missing, and none is made up."""
    errors = {
        name
        for name in payments_core.__all__
        if inspect.isclass(value := getattr(payments_core, name)) and issubclass(value, PaymentError)
    }
    assert set(re.findall(r"`(\w+)`", section("Errors"))) - {"RejectionCode"} == errors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_public_name_in_a_page_exists(page):
    """Every name that looks like a class of payments_core must be one."""
    assert unknown_names(page.read_text("utf-8")) == set()


def test_a_made_up_name_is_noticed():
    """The check can fail."""
    assert unknown_names("`Charge` and `PaymentIntent` and `Redirect(url)`") == {"PaymentIntent"}


def test_every_word_says_what_it_is_not():
    """Three cells a row, none of them empty."""
    table = GLOSSARY.partition("| word |")[2].partition("\n\n")[0].splitlines()[2:]
    assert len(table) > 30
    for row in table:
        cells = [cell.strip() for cell in row.strip("|").split(" | ")]
        assert len(cells) == 3, row
        assert all(cells), row


def test_every_call_of_a_gateway_is_in_the_pages():
    """A public method that no page mentions is one that nobody finds."""
    text = "".join(page.read_text("utf-8") for page in PAGES if page.name != "reference.md")
    calls = {name for name in vars(Gateway) if not name.startswith("_")} - {"close"}
    assert {name for name in calls if name not in text} == set()


def test_idempotent_has_one_definition():
    """In the glossary, in the tutorial, in the page of hooks and in the code."""
    said = re.compile(
        r"the gateway documents one effect, however often the same request is sent with the same key, and (?:that )?"
        r"the hook then ends with what the first one made"
    )
    texts = [payments_core.Request.__doc__] + [
        (ROOT / "docs" / page).read_text("utf-8") for page in ("glossary.md", "writing-a-provider.md", "hooks.md")
    ]
    for text in texts:
        assert said.search(" ".join(text.split()).replace("Lantern Pay", "")), text[:80]
