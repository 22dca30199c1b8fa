"""Accept ids unchanged or refuse them, normalize text for people, and store a `str` subclass as plain `str`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum, StrEnum
from typing import Any
from unicodedata import category

import msgspec
import pytest

from payments_core import (
    Acknowledgement,
    Authorization,
    CallSDK,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    InvalidRequest,
    Money,
    PaymentStatus,
    Redirect,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Request,
    Secret,
    Shopper,
    ShowQRCode,
    Subject,
    SubmitForm,
    WebhookDelivery,
    WebhookEvent,
    segment,
)

HKD = Money.of("88.00", "HKD")
REFERENCE = Reference("P1")

IDS: dict[str, Callable[[Any], Any]] = {
    "order_id": lambda text: ChargeRequest(text, HKD, "tea").order_id,
    "method": lambda text: ChargeRequest("P1", HKD, "tea", method=text).method,
    "reference.order_id": lambda text: Reference(order_id=text).order_id,
    "reference.provider_id": lambda text: Reference(provider_id=text).provider_id,
    "capture_id": lambda text: CaptureRequest(REFERENCE, text, HKD).capture_id,
    "refund_id": lambda text: RefundRequest(REFERENCE, text, HKD).refund_id,
    "refund_reference.refund_id": lambda text: RefundReference(refund_id=text).refund_id,
    "refund_reference.provider_id": lambda text: RefundReference(provider_id=text).provider_id,
}

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 17.0.
IGNORABLE = (
    "00AD 034F 061C 115F-1160 17B4-17B5 180B-180F 200B-200F 202A-202E 2060-206F 3164 FE00-FE0F FEFF FFA0 FFF0-FFF8"
    " 1BCA0-1BCA3 1D173-1D17A E0000-E0FFF"
)


def unseen() -> set[str]:
    """Every character that an id must not have."""
    found = {"\u2800"}
    for part in IGNORABLE.split():
        first, _, last = part.partition("-")
        found |= {chr(point) for point in range(int(first, 16), int(last or first, 16) + 1)}
    bad = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"}
    found |= {chr(point) for point in range(sys.maxunicode + 1) if category(chr(point)) in bad}
    return found - {" "}


def test_id_with_any_unseen_character_is_refused() -> None:
    """By category and not by a list of examples; and no other character is."""
    bad = sorted(unseen())
    seen = sorted(set(map(chr, range(sys.maxunicode + 1))) - set(bad))
    for first in range(0, len(seen), 253):
        Reference(f"a{''.join(seen[first : first + 253])}b")
    assigned = [each for each in bad if category(each) not in {"Cn", "Co", "Cs"}]
    for character in (*assigned, *bad[::53]):
        with pytest.raises(InvalidRequest):
            Reference(f"a{character}b")


@pytest.mark.parametrize("make", IDS.values(), ids=IDS)
@pytest.mark.parametrize(
    "character",
    [
        "\u200b", "\u202e", "\u2066", "\u00ad", "\ufe0f", "\u034f", "\u3164", "\ue000", "\u0378", "\ud800",
        "\u00a0", "\u3000", "\u2028", "\n",
    ],
    ids=ascii,
)  # fmt: skip
def test_every_id_refuses_what_nobody_sees(make: Callable[[Any], Any], character: str) -> None:
    """Two ids that look alike would be two orders; the message names the character."""
    with pytest.raises(InvalidRequest, match=f"U\\+{ord(character):04X}") as caught:
        make(f"P{character}1")
    assert caught.value.field.rpartition(".")[2] in {"order_id", "provider_id", "method", "capture_id", "refund_id"}
    assert make("訂單 é-1") == "訂單 é-1"


FREE: dict[str, Callable[[Any], Any]] = {
    "description": lambda text: ChargeRequest("A1", HKD, text).description,
    "reason": lambda text: RefundRequest(REFERENCE, "r1", HKD, text).reason,
}


@pytest.mark.parametrize("make", FREE.values(), ids=FREE)
@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("Chef's menu \U0001f469\u200d\U0001f373", None),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", None),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3", None),
        ("\u05ea\u05d4\u200f 1", None),
        ("tea\u200e 1", None),
        ("\u2764\ufe0f \U0001f3f4\U000e0067\U000e0062\U000e007f", None),
        ("for \u2068Ann\u2069", None),  # what Fluent writes around a name
        ("\u202bשלום\u202c", None),
        ("\U0001fae9", None),  # newer than some Pythons' tables
        (" tea ", None),
        ("\ufefftea", "tea"),
        ("te\ufeffa", "tea"),
        ("2 x tea\n1 x cake", "2 x tea 1 x cake"),
        ("Wrong size.\r\nAgreed by phone.", "Wrong size. Agreed by phone."),
        ("a\t\tb\vc\fd\x85e\u2028f\u2029\ng", "a b c d e f g"),
        ("pay \u202e00.1\u202c or \u202d88\u202c", "pay 00.1\u202c or 88\u202c"),
    ],
    ids=ascii,
)
def test_text_for_people_is_normalized(make: Callable[[Any], Any], text: str, stored: str | None) -> None:
    """Joiners, marks and isolates pass. An override is dropped: it could make an amount read backwards."""
    made = make(text)
    assert made == (text if stored is None else stored)
    assert make(made) == made, "what is stored is stored again unchanged, so a repeated request has equal bytes"


@pytest.mark.parametrize("make", FREE.values(), ids=FREE)
@pytest.mark.parametrize("character", ["\x00", "\x08", "\x1b", "\x7f", "\x80", "\ud800"], ids=ascii)
def test_text_for_people_with_a_control_character_is_refused(make: Callable[[Any], Any], character: str) -> None:
    """A terminal or a database would act on it."""
    with pytest.raises(InvalidRequest, match=f"U\\+{ord(character):04X}") as caught:
        make(f"tea{character}")
    assert caught.value.field in FREE


@pytest.mark.parametrize(
    "text", ["", " ", "\n\t", "\u200b", "\ufeff", "\u202e", "\ufe0f", "\u3164", "\u3000"], ids=ascii
)
def test_description_that_shows_nothing_is_refused(text: str) -> None:
    """The shopper would not know what is paid for."""
    with pytest.raises(InvalidRequest, match=r"blank|1 to 5000"):
        ChargeRequest("A1", HKD, text)


def test_length_of_text_is_that_of_what_is_stored() -> None:
    """A byte-order mark does not push a description over its limit."""
    assert len(ChargeRequest("A1", HKD, "\ufeff" + "é" * 5000).description) == 5000
    for text in ("é" * 5001, "e" * 5001):
        with pytest.raises(InvalidRequest, match="5001"):
            ChargeRequest("A1", HKD, text)


@pytest.mark.parametrize("field", Shopper.__struct_fields__)
def test_what_is_known_of_a_shopper_is_cleaned_and_cut(field: str) -> None:
    """A browser may send anything, and a charge must not fail for it."""

    def stored(given: Any) -> str:
        shopper = Shopper(**{field: given})
        assert msgspec.structs.replace(shopper) == shopper
        assert msgspec.json.decode(msgspec.json.encode(shopper), type=Shopper) == shopper
        return str(getattr(shopper, field))

    assert stored("a\r\nBcc: b\x00\x1b") == "a Bcc: b"
    assert stored("\ufeff10.0.0.1\n") == "10.0.0.1"
    assert stored("a\ud800b\x7f") == "ab"
    assert stored("x" * 513) == "x" * 512
    assert stored("é" * 511 + "  é") == "é" * 511
    assert stored(None) == ""
    assert stored("漢字 \u200d") == "漢字 \u200d"
    with pytest.raises(InvalidRequest) as caught:
        stored(5)
    assert caught.value.field == f"shopper.{field}"


class Word(StrEnum):
    A = "https://x/a"


class Choice(str, Enum):  # noqa: UP042 - what Django's TextChoices are, and what str() writes as Choice.A
    A = "https://x/a"


class Safe(str):
    """A str subclass, as template libraries return."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


TEXT = "https://x/a"  # a URL is a fine id, name and text as well
SUBCLASSES = [Word.A, Choice.A, Safe(TEXT)]


def made_of(text: str) -> list[Any]:
    """Every value that has text, with `text` in all of its fields."""
    everything = [
        ChargeRequest(
            text,
            HKD,
            text,
            method=text,
            notify_url=text,
            return_url=text,
            shopper=Shopper(id=text, email=text, ip=text, user_agent=text, locale=text),
        ),
        Reference(text, text),
        CaptureRequest(REFERENCE, text, HKD),
        RefundRequest(REFERENCE, text, HKD, text),
        RefundReference(text, text),
        Authorization(Secret("t"), scheme=text),
        Redirect(text),
        ShowQRCode(text),
        SubmitForm(text, ((text, text),)),
        CallSDK({text: [text, {text: text}]}),
        Charge(text, REFERENCE, PaymentStatus.PENDING, text, None, request_id=text, raw_reason=text),
        Refund(text, text, text, None, RefundStatus.PENDING, text, None, request_id=text),
        WebhookEvent(text, Subject.CHARGE, text, REFERENCE, text, account=text),
        WebhookDelivery(b"", {text: text}, method=text, url=text),
        Acknowledgement(200, ((text, text),)),
        Request("GET", text, query=((text, text),)),
        Request("GET", "/a", headers=(("a", text),)),
    ]
    return [each for value in everything for each in (value, *([value.shopper] if hasattr(value, "shopper") else ()))]


def texts(value: object) -> list[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        return [] if isinstance(value, PaymentStatus | RefundStatus | Subject | Channel) else [value]
    if isinstance(value, msgspec.Struct):
        return [each for name in value.__struct_fields__ for each in texts(getattr(value, name))]
    if isinstance(value, dict):
        return [each for pair in value.items() for part in pair for each in texts(part)]
    return [each for part in value for each in texts(part)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("text", SUBCLASSES, ids=lambda each: type(each).__name__)
def test_str_subclass_is_stored_as_plain_str_everywhere(text: str) -> None:
    """A type checker accepts a str subclass as `str`, so it is stored as its content, not as what it prints."""
    plain, given = made_of(TEXT), made_of(text)
    assert plain == given
    for value in given:
        found = texts(value)
        assert TEXT in found
        assert [each for each in found if type(each) is not str] == []


@pytest.mark.parametrize("text", SUBCLASSES, ids=lambda each: type(each).__name__)
def test_str_subclass_is_a_secret_and_a_segment(text: str) -> None:
    """Configuration and routes are made of them too."""
    assert type(Secret(text).reveal()) is str
    assert Secret(text) == Secret(TEXT)
    assert (type(segment("a")), segment(Safe("ü"))) == (str, "%C3%BC")


@pytest.mark.parametrize("verb", [Safe("POST"), StrEnum("Verb", {"POST": "POST"})("POST")])
def test_str_subclass_is_a_method_of_a_request(verb: str) -> None:
    """Its hash may be another than its text's."""
    assert type(Request(verb, "/a").method) is str


def test_str_subclass_is_compared_as_text() -> None:
    """An order id out of an enum is that order's."""
    charge = Charge("p", Reference("P1", "C1"), PaymentStatus.SUCCEEDED, "PAID", HKD)
    assert charge.require(Safe("P1"), HKD, provider_id=Safe("C1")).is_paid
    with pytest.raises(InvalidRequest):
        Reference(Safe(" \n"))
