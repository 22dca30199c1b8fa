"""Compare the Stripe page's tables with the code, and try its rows."""

import inspect
import json
import re
import shlex
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import pytest
import stripe.params._webhook_endpoint_create_params as endpoints

import payments_core
from payments_core import (
    ChargeRequest,
    ConfigurationError,
    Context,
    Gateway,
    InvalidRequest,
    Money,
    OutcomeUnknown,
    PaymentError,
    Redirect,
    Reference,
    RefundRequest,
    Rejected,
    Response,
    Secret,
    Shopper,
    ShowQRCode,
    WebhookDelivery,
    WebhookRejected,
)
from payments_core.testing.server import WebhookListener
from payments_stripe import StripeConfig, StripeProvider, amounts, forms, mapping, refunds, refusals, webhook, wire
from payments_stripe.sandbox import make

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "providers" / "stripe" / "README.md").read_text("utf-8")
INFO = StripeProvider.info
CONFIG = {"api_key": "sk_test_of-the-tests", "webhook_key": "whsec_of-the-tests"}
HKD = Money.of("88.00", "HKD")
NOW = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def section(title):
    """The part of the page under a heading of any level, without its subsections."""
    return re.split(r"^##", PAGE.partition(f"# {title}\n")[2], flags=re.MULTILINE)[0]


def rows(title):
    """The first two cells of a section's tables where both are one name in code."""
    return re.findall(r"^\| `([\w:.]+)` \| `(\w+)` \|", section(title), re.MULTILINE)


def order(**changes):
    return ChargeRequest(
        **{"order_id": "P1", "amount": HKD, "description": "Tea", "return_url": "https://shop.example/back"} | changes
    )


# Tables of the code.


def test_the_fields_of_the_configuration_are_all_there():
    """And whether each is required."""
    said = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", section("Configure"), re.MULTILINE))
    assert said == {field.name: "yes" if field.required else "no" for field in msgspec.structs.fields(StripeConfig)}
    default = next(field.default for field in msgspec.structs.fields(StripeConfig) if field.name == "base_url")
    assert f"(`{default}`)" in section("Configure")


def test_the_prefixes_of_the_keys_are_the_plugin_s():
    for prefix in re.findall(r"`([sr]k_\w+_)`", section("Configure")):
        assert StripeConfig(api_key=Secret(f"{prefix}1"), webhook_key=Secret("w")).livemode is ("live" in prefix)


def test_the_pinned_version_is_the_plugin_s():
    """Wherever the page names one."""
    assert set(re.findall(r"\b20\d\d-\d\d-\d\d\.\w+", PAGE)) == {wire.VERSION}


def test_the_buttons_are_the_plugin_s():
    """In the order in which a page shows them."""
    said = re.findall(r"^\| `(\w+)`[^|]*\| (\w[\w ]*?) \| a", section("Three buttons"), re.MULTILINE)
    assert said == [(method.id, method.title) for method in INFO.methods]
    assert {f"`{channel.value}`" for channel in INFO.channels} == {"`WEB`", "`MOBILE_WEB`"}
    assert INFO.charge_options == {"capture"}


@pytest.mark.parametrize("method", [method.id for method in INFO.methods])
def test_what_is_said_to_be_sent_is_sent(method):
    """And nothing of what is said not to be."""
    (what,) = re.findall(
        rf"^\| `{method}`[^|]*\| [^|]* \| [^|]*?`(\w+_)…` \| `(\w+)\(", section("Three buttons"), re.MULTILINE
    )
    assert what == (("cs_", "Redirect") if method == "card" else ("pi_", what[1]))
    shopper = Shopper(id="S-71", email="a@shop.example", ip="203.0.113.9")
    path, pairs = forms.create(order(method=method, shopper=shopper, notify_url="https://shop.example/notify"))
    assert path == (wire.SESSIONS if method == "card" else wire.INTENTS)
    sent = dict(pairs)
    cells = [line.strip("| ").split(" | ") for line in section("Three buttons").splitlines() if line.startswith("| `")]
    for given, wallet, card in (cell for cell in cells if len(cell) == 3):
        for name in re.findall(r"`([a-z_]+(?:\[\w+\])?)`", card if method == "card" else wallet):
            assert name in sent, given
    assert ("customer_email" in sent) is (method == "card")
    assert not any(value in text for text in sent.values() for value in ("notify", "S-71", "203.0.113.9"))


def test_the_limits_are_the_plugin_s():
    text = section("Three buttons")
    assert f"`order_id`, 1 to {INFO.limits.order_id_length} characters" in text
    assert f"`description`, 1 to {INFO.limits.description_length} characters" in text
    assert INFO.query_by == {"provider_id"}
    assert INFO.key_lifetime == 24 * 3600
    assert f"more than {webhook.TOLERANCE} seconds" in section("Notifications")
    assert "(500 characters)" in section("Capture, cancel, refund")
    assert forms._LONGEST_VALUE == 500


def test_the_traps_of_the_currencies_are_the_plugin_s():
    """Each row names exactly the currencies that are counted so; its examples come out as it says."""
    said = re.findall(r"^\| ((?:`[A-Z]{3}` ?)+) \|", section("Amounts and currencies"), re.MULTILINE)
    deviating, zero, last_digit = (set(re.findall(r"[A-Z]{3}", cell)) for cell in said)
    assert deviating == {code for code, exponent in amounts._DEVIATING.items() if exponent == 2}
    assert zero == {code for code, exponent in amounts._DEVIATING.items() if exponent == 0}
    assert last_digit == amounts._LAST_DIGIT_ZERO
    assert amounts.units(Money.of("8800", "ISK")) == 880000
    assert amounts.units(Money.of("88.120", "KWD")) == 88120
    for amount in (Money.of("88.123", "KWD"), Money.of("8800.50", "MGA")):
        with pytest.raises(InvalidRequest):
            amounts.units(amount)
    assert {"ANG", "STD"}.isdisjoint(INFO.currencies)


def test_the_statuses_are_the_table_of_the_plugin():
    """Each row of it, in its order."""
    assert rows("Statuses") == [(raw, status.value) for raw, status in mapping.STATUSES.items()]


def test_the_statuses_of_refunds_are_the_table_of_the_plugin():
    assert rows("Capture, cancel, refund") == [(raw, status.value) for raw, status in refunds.STATUSES.items()]


def test_the_declines_are_the_table_of_the_plugin():
    assert rows("Declines") == [(raw, code.value) for raw, code in refusals.REASONS.items()]


def test_the_reasons_of_a_refund_are_the_plugin_s():
    said = re.search(r"Stripe's where it is (.*?), else", section("Capture, cancel, refund"), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", said[1])) == forms._REASONS


def test_the_operations_are_told():
    assert INFO.operations == {"capture_charge", "cancel_charge", "refund_charge", "get_refund"}
    for word in ("**Capture**", "**Cancel**", "**Refund**", "**Ask for a refund**"):
        assert word in section("Capture, cancel, refund")


# Answers.


def intent(**changes):
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "amount": 8800,
        "amount_received": 8800,
        "currency": "hkd",
        "status": "succeeded",
        "metadata": {"payments_core_order_id": "P1"},
    } | changes


def ok(**changes):
    return Response(200, body=json.dumps(intent(**changes)).encode())


def error(status, kind, **fields):
    return Response(status, body=json.dumps({"error": {"type": kind} | fields}).encode())


ANSWERS = {
    "Create": {
        "402 `card_error` without one": [error(402, "card_error", code="card_declined")],
        "400 `invalid_request_error`": [error(400, "invalid_request_error", code="odd")],
        "400 `payment_method_provider_timeout`": [
            error(400, "invalid_request_error", code="payment_method_provider_timeout")
        ],
        "402 `invalid_request_error`": [error(402, "invalid_request_error")],
        "`idempotency_error`": [error(400, "idempotency_error")],
        "409": [error(409, "idempotency_error"), error(409, "invalid_request_error")],
        "404 `resource_missing`": [error(404, "invalid_request_error", code="resource_missing")],
        "200: another order id, amount, currency or mode": [
            ok(metadata={"payments_core_order_id": "P2"}),
            ok(livemode=True),
            ok(amount=1),
            ok(currency="usd"),
        ],
        "200: a `next_action` that cannot be understood": [ok(status="requires_action", next_action={"type": "dance"})],
        "any other 404, another `type` of error, HTML, bad JSON": [
            error(404, "invalid_request_error"),
            error(400, "api_error"),
            Response(404, body=b"<html>"),
            Response(200, body=b"{"),
        ],
        "401": [Response(401)],
        "403": [Response(403)],
        "429": [Response(429)],
        "3xx, 5xx": [Response(302), Response(500), Response(503)],
    },
    "Query": {
        "other ids than those asked about": [ok(id="pi_2"), ok(metadata={"payments_core_order_id": "P2"})],
        "another mode than the key's": [ok(livemode=True)],
        "another amount or currency than the order's": [ok(amount=1), ok(currency="usd")],
        "404 `resource_missing`": [error(404, "invalid_request_error", code="resource_missing")],
        "400 `invalid_request_error`": [error(400, "invalid_request_error", code="odd")],
        "409, any other 404, another `type` of error, HTML, bad JSON": [
            error(409, "idempotency_error"),
            Response(404, body=b"<html>"),
            error(400, "api_error"),
            Response(200, body=b"{"),
        ],
        "401, 403": [Response(401), Response(403)],
        "429": [Response(429)],
        "3xx, 5xx": [Response(302), Response(500)],
    },
}
ROWS = [(title, row, each) for title, found in ANSWERS.items() for row, answers in found.items() for each in answers]


def cells_of(title, row):
    (found,) = [line.strip("| ").split(" | ") for line in section(title).splitlines() if line.startswith(f"| {row} |")]
    return found


@pytest.mark.parametrize(("title", "row", "answer"), ROWS, ids=[f"{title}: {row}" for title, row, _ in ROWS])
def test_each_answer_ends_as_the_table_says(opening, monkeypatch, title, row, answer):
    """The second cell names the error, its code, and whether it is definitive or repeatable; sync and async."""
    monkeypatch.setattr("payments_core.retry.random.uniform", lambda low, high: 0.0)
    said = cells_of(title, row)[1]
    words = set(re.findall(r"`(\w+)`", said))
    gateway = opening("stripe", CONFIG, transport=lambda request: answer)
    call = (
        (lambda: gateway.create_charge(order()))
        if title == "Create"
        else (lambda: gateway.confirm("P1", HKD, provider_id="pi_1"))
    )
    with pytest.raises(PaymentError) as caught:
        call()
    assert type(caught.value).__name__ in words
    if isinstance(caught.value, Rejected):
        assert caught.value.definitive is ("never `definitive`" not in said)
        assert caught.value.code.value in words | {"DECLINED"}
        assert "definitive" in words
    if isinstance(caught.value, OutcomeUnknown):
        assert caught.value.repeatable
        assert "repeatable" in words


def test_an_error_with_a_charge_ends_as_the_table_says(opening):
    """Not an error at all."""
    cells = cells_of("Create", "an error with a PaymentIntent in it (a decline, mostly)")
    made = intent(status="requires_payment_method", last_payment_error={"code": "card_declined"})
    answer = error(402, "card_error", payment_intent=made)
    charge = opening("stripe", CONFIG, transport=lambda request: answer).create_charge(order())
    assert {charge.status.value, "Charge", "reason"} <= set(re.findall(r"`(\w+)`", cells[1]))
    assert charge.reason is not None


def test_every_row_about_a_failure_is_tried():
    """A row that names an error has an answer above, but for those that need a socket."""
    untried = {"no answer in time, a connection that broke", "no connection at all"}
    for title, found in ANSWERS.items():
        for line in section(title).splitlines():
            cells = line.strip("| ").split(" | ")
            if len(cells) == 3 and re.search(r"`[A-Z]\w+`", cells[1]) and not cells[1].startswith("a `Charge`"):
                assert cells[0] in untried | set(found), cells[0]


# Notifications.


def event(kind, found, **changes):
    body = {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "api_version": wire.VERSION,
        "livemode": False,
        "data": {"object": found},
    }
    return json.dumps(body | changes).encode()


def parsed(body, key=CONFIG["webhook_key"], at=NOW):
    config = StripeConfig(**{name: Secret(value) for name, value in CONFIG.items()})
    delivery = WebhookDelivery(body, {webhook.SIGNATURE_HEADER: webhook.sign(body, Secret(key), at)})
    (found,) = StripeProvider(config).parse_webhook(Context(NOW, "0" * 32), delivery).events
    return found


SESSION = {
    "id": "cs_test_1",
    "object": "checkout.session",
    "status": "complete",
    "payment_status": "paid",
    "amount_total": 8800,
    "currency": "hkd",
    "metadata": {"payments_core_order_id": "P1"},
}
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 1,
    "currency": "hkd",
    "status": "failed",
    "payment_intent": "pi_1",
}
OBJECTS = {
    "payment_intent": intent(),
    "checkout.session": SESSION,
    "refund": REFUND,
    "charge": {"id": "ch_1", "object": "charge", "payment_intent": "pi_1"},
    "charge.dispute": {"id": "dp_1", "object": "dispute", "payment_intent": "pi_1"},
}
EVENTS = re.findall(r"^\| `([a-z_.]+)` \| `(\w+)` \| (.*) \|$", section("Notifications"), re.MULTILINE)


def about(kind):
    found = OBJECTS[kind.rpartition(".")[0]]
    return found | {"status": "expired"} if kind == "checkout.session.expired" else found


@pytest.mark.parametrize(("kind", "subject", "carries"), EVENTS, ids=[kind for kind, _, _ in EVENTS])
def test_each_event_carries_what_the_table_says(kind, subject, carries):
    """In the plugin's version; in any other it is a hint with the same ids. Stripe knows every name."""
    found = parsed(event(kind, about(kind)))
    assert found.subject.value == subject
    assert (found.charge is not None) is carries.startswith("the charge")
    assert (found.refund is not None) is carries.startswith("the refund")
    older = parsed(event(kind, about(kind), api_version="2025-09-30.clover"))
    assert (older.subject, older.reference, older.authoritative) == (found.subject, found.reference, False)
    assert f'"{kind}"' in inspect.getsource(endpoints)


def test_the_exceptions_of_the_table_are_hints():
    """A page's PaymentIntent, a session not paid or held, one that expired with a PaymentIntent, an organization's."""
    assert len(EVENTS) == 12
    of_a_page = intent(
        status="canceled", metadata={"payments_core_order_id": "P1", "payments_core_checkout": "session"}
    )
    for kind, found in (
        ("payment_intent.canceled", of_a_page),
        ("payment_intent.succeeded", of_a_page | {"status": "succeeded"}),
        (
            "checkout.session.completed",
            SESSION | {"metadata": {"payments_core_order_id": "P1", "payments_core_capture": "manual"}},
        ),
        ("checkout.session.completed", SESSION | {"payment_status": "unpaid"}),
        ("checkout.session.expired", SESSION | {"status": "expired", "payment_intent": "pi_1"}),
    ):
        assert not parsed(event(kind, found)).authoritative
    paid = parsed(event("payment_intent.succeeded", of_a_page | {"status": "succeeded"}))
    assert paid.reference == Reference("P1")
    assert parsed(event("customer.created", {})).subject.value == "OTHER"
    organization = parsed(event("payment_intent.succeeded", intent(), context="acct_1"))
    assert (organization.authoritative, organization.account) == (False, "acct_1")
    connected = parsed(event("payment_intent.succeeded", intent(), account="acct_1"))
    assert (connected.subject.value, connected.account) == ("OTHER", "acct_1")


@pytest.mark.parametrize(
    ("row", "reason", "body", "options"),
    [
        ("no signature, two headers, or a wrong one", "signature", event("x", {}), {"key": "whsec_other"}),
        ("signed more than 300 seconds ago, or ahead", "stale", event("x", {}), {"at": NOW.replace(hour=11)}),
        ("signed, but unreadable, or of the other mode", "malformed", event("x", {}, livemode=True), {}),
        ("signed, but unreadable, or of the other mode", "malformed", b"{", {}),
    ],
)
def test_each_refusal_of_a_notification_is_the_table_s(row, reason, body, options):
    assert f'`WebhookRejected("{reason}")`' in cells_of("Notifications", row)[1]
    with pytest.raises(WebhookRejected) as caught:
        parsed(body, **options)
    assert caught.value.reason == reason


# The rest of the page.


def test_the_example_of_the_sandbox_runs():
    """As it stands, with a charge in the place of the dots, by every method."""
    code = section("The sandbox").partition("In Python:\n\n")[2].partition("\n\nAll its messages")[0]
    source = "\n".join(line[4:] for line in code.splitlines()).replace("...", "request")
    for method, action in (("alipay", Redirect), ("wechat_pay", ShowQRCode), ("card", Redirect)):
        namespace = {"Gateway": Gateway, "request": order(method=method)}
        confirmed = (
            "\n    paid = gateway.confirm('P1', charge.amount, provider_id=charge.reference.provider_id).is_paid"
        )
        exec(compile(source + confirmed, "README.md", "exec"), namespace)
        assert namespace["paid"] is True
        assert namespace["make"] is make
        assert isinstance(namespace["charge"].next_action, action)


def test_the_keys_of_the_metadata_are_the_plugin_s():
    """Each row of the table, and nothing else that a create or a refund writes."""
    said = re.findall(r"^\| `(\w+)` \|", section("Metadata"), re.MULTILINE)
    marks = {wire.OF_SESSION_MARK[0]: wire.OF_SESSION_MARK[1], wire.HELD_MARK[0]: wire.HELD_MARK[1]}
    assert said == [wire.ORDER_ID, wire.REFUND_ID, wire.REASON, *marks]
    for key, value in marks.items():
        assert re.search(rf"^\| `{key}` \|.*\| `{value}` \|$", section("Metadata"), re.MULTILINE)
    reference = Reference("P1", "cs_test_1")
    sent = {name for method in INFO.methods for name, _ in forms.create(order(method=method.id))[1]}
    sent |= {name for name, _ in forms.create(order(method="card", capture=False))[1]}
    sent |= {name for name, _ in forms.refund(RefundRequest(reference, "R1", HKD, "broken"))}
    sent |= {name for name, _ in forms.refund_of("pi_1", "P1")}
    assert {name for text in sent for name in re.findall(r"metadata\]?\[(\w+)\]", text)} == set(said)


def test_a_live_key_is_refused_where_the_page_says_so(opening):
    with pytest.raises(ConfigurationError):
        opening("stripe", CONFIG | {"api_key": "sk_live_1", "base_url": "http://127.0.0.1:1"})
    assert "A live key is refused when `base_url` is not Stripe's" in section("Configure")


def test_the_endpoint_of_the_page_is_registered_in_a_running_sandbox():
    """By the very command, which is curl's: what it asks for is asked for here."""
    (line,) = re.findall(r"^    (curl .*\\\n.*)$", section("The sandbox"), re.MULTILINE)
    _, _, header, _, data, url = shlex.split(line.replace("\\\n", ""))
    with make() as sandbox, WebhookListener() as listener, Gateway.open("stripe", sandbox.config) as gateway:
        answer = httpx.post(
            url.replace("URL", sandbox.url, 1),
            headers=[tuple(header.split(": "))],
            content=data.replace("http://127.0.0.1:8000/webhooks", listener.url),
        )
        assert answer.status_code == 200, answer.text
        sandbox.pay(gateway.create_charge(order()).reference.provider_id)
        assert listener.wait(1)


def test_every_public_name_in_the_page_exists():
    """Every name that looks like a class of payments_core must be one."""
    names = set(re.findall(r"`([A-Z][a-z]\w+)(?:\([^`]*\))?`", PAGE))
    assert names - {"None", "True", "False"} <= set(payments_core.__all__)


def test_every_link_leads_somewhere():
    """To a heading of the page, or to a file."""
    headings = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        path, _, anchor = target.partition("#")
        assert (ROOT / "providers" / "stripe" / path).exists() if path else anchor in headings, target


def test_the_package_has_no_other_needs():
    """As the page says of the official one."""
    project = tomllib.loads((ROOT / "providers" / "stripe" / "pyproject.toml").read_text("utf-8"))["project"]
    assert not [each for each in project["dependencies"] if re.match(r"stripe\b", each)]
