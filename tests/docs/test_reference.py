"""docs/reference.md is what the code says, and names everything that is public."""

import importlib
import re
from pathlib import Path

import msgspec
import pytest

import payments_core
from payments_core import Limits, PaymentError, Reference
from payments_core.hookspecs import PROVIDER_HOOKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")


@pytest.fixture
def reference(monkeypatch):
    """Import scripts/reference.py."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    return importlib.import_module("reference")


def section(name):
    """The part of the page under the heading of a name."""
    return re.split(r"^#{2,4} ", PAGE.partition(f"## {name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def test_page_is_up_to_date(reference):
    text, missing = reference.page()
    assert missing == [], reference.HOW_TO_EXPLAIN
    assert text == PAGE, "run make reference"


def test_every_public_name_has_one_heading():
    core, _, kit = PAGE.partition("## Testing\n")
    assert sorted(re.findall(r"^### (\w+)$", core, re.MULTILINE)) == sorted(payments_core.__all__)
    modules = re.findall(r"^### (payments_core\.testing\.\w+)$", kit, re.MULTILINE)
    names = [name for module in modules for name in importlib.import_module(module).__all__]
    assert len(modules) > 5
    assert re.findall(r"^#### (\w+)$", kit, re.MULTILINE) == names


@pytest.mark.parametrize("name", payments_core.__all__)
def test_every_field_of_a_struct_is_explained(name):
    value = getattr(payments_core, name)
    names = getattr(value, "__struct_fields__", ())
    listed = re.findall(r"^\* `(\w+): [^`]+`: \S", section(name), re.MULTILINE)
    assert listed[: len(names)] == list(names)


def test_types_and_defaults_are_written_as_in_the_source():
    assert "* `payment_token: Secret | None = None`: " in section("ChargeRequest")
    assert "* `channel: Channel = Channel.WEB`: " in section("ChargeRequest")
    assert "* `headers: tuple[tuple[str, str | Secret], ...] = ()`: " in section("Request")
    assert "* `limits: Limits = Limits()`: " in section("ProviderInfo")
    assert "* `refusal_statuses: frozenset[int] = frozenset({401, 429})`: " in section("ProviderInfo")
    assert "* `Money.of(text: str | Decimal, currency: str) -> Money`: " in section("Money")
    assert not re.search(r"<\w+|typing\.|payments_core\.\w+\.[A-Z]", PAGE.replace("PAYMENTS_<NAME>_<FIELD>", ""))


def test_every_hook_and_error_is_listed_with_its_use():
    assert set(re.findall(r"^\* `(\w+)\(", section("ProviderHooks"), re.MULTILINE)) == set(PROVIDER_HOOKS)
    errors = {name for name in payments_core.__all__ if isinstance(value := getattr(payments_core, name), type)
              and issubclass(value, PaymentError)}  # fmt: skip
    assert set(re.findall(r"^\| `(\w+)` \| [A-Z][^|]+\. \|$", section("Errors"), re.MULTILINE)) == errors


class Slower(Limits, frozen=True, kw_only=True):
    """Limits with a rate.

    * `rate`: the most calls
      in a second
    """

    rate: int = 1
    burst: int

    def halved(self) -> int:
        return self.rate // 2


def test_what_has_no_words_is_named(reference):
    missing = []
    list(reference.described("Slower", Slower, missing))
    assert {"Slower.burst", "Slower.halved"} <= set(missing)
    assert {"Slower.rate", "Slower.order_id_length", "Slower.order_id_pattern", "Slower"}.isdisjoint(missing)


def test_words_for_no_field_are_named(reference):
    made = msgspec.defstruct(
        "Made",
        [("size", int)],
        module="payments_core.info",
        namespace={"__doc__": "A size.\n\n* `size`: big\n* `sise`: gone"},
    )
    missing = []
    list(reference.described("Made", made, missing))
    assert missing == ["Made.sise"]


def test_fields_that_are_given_by_name_are_named(reference):
    assert "All fields are given by name.\n" in section("ProviderInfo")
    assert "given by name" not in section("ChargeRequest")

    class Mixed(Reference, frozen=True, kw_only=True):
        """An id and a size.

        * `size`: big
        """

        size: int = 1

    assert "Given by name: size." in list(reference.described("Mixed", Mixed, []))


def test_continued_lines_and_defaults_are_joined(reference):
    text = "\n".join(reference.described("Slower", Slower, []))
    assert "* `rate: int = 1`: the most calls in a second" in text
    assert "* `burst: int`: " in text


def test_page_is_not_written_while_words_are_missing(reference, monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "PAGE", tmp_path / "reference.md")
    monkeypatch.setattr(Limits, "__doc__", "What the gateway takes.")
    with pytest.raises(SystemExit, match=r"Limits\.order_id_length, Limits\.order_id_pattern"):
        reference.main()
    assert list(tmp_path.iterdir()) == []
