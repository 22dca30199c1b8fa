"""The AlipayHK page says what the plugin and the sandbox do: its tables are compared with theirs."""

import re
from pathlib import Path

import msgspec
import pytest

from payments_alipayhk import AlipayHKConfig, AlipayHKProvider
from payments_alipayhk.mapping import FLOWS, STATUSES
from payments_alipayhk.sandbox import RETRY_DELAYS, make
from payments_alipayhk.sandbox.rules import Code
from payments_alipayhk.webhook import SIGNATURE_HEADER
from payments_core import ChargeRequest, Gateway, Money, PaymentError, Rejected, Response

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "providers" / "alipayhk" / "README.md").read_text("utf-8")


def section(title):
    """The part of the page under a heading of any level."""
    return re.split(r"^##", PAGE.partition(f"## {title}\n")[2], flags=re.MULTILINE)[0]


def test_the_fields_of_the_configuration_are_all_there():
    """And whether each is required."""
    said = dict(re.findall(r"^\| `(\w+)` \| (yes|no) \|", section("Configure"), re.MULTILINE))
    assert said == {field.name: "yes" if field.required else "no" for field in msgspec.structs.fields(AlipayHKConfig)}


def test_the_buttons_and_flows_are_the_plugin_s():
    """In the order in which a page shows them."""
    said = re.findall(r"^\| `([A-Z_]+)`", section("Offer two buttons"), re.MULTILINE)
    assert said == [method.id for method in AlipayHKProvider.info.methods] + [channel.value for channel in FLOWS]
    for channel, flow in FLOWS.items():
        assert re.search(rf"^\| `{channel}`[^|]*\| `{flow}` \|", PAGE, re.MULTILINE)


def test_the_statuses_are_the_table_of_the_plugin():
    """Each row of the table, and its unified status."""
    said = set(re.findall(r"^\| `(\w+)` \| `(\w+)` \|", section("Statuses"), re.MULTILINE))
    assert said == {(raw, status.value) for raw, status in STATUSES.items()}


def test_the_invented_codes_are_the_sandbox_s():
    """All of them, and no other."""
    said = re.findall(r"^\| (\d{5}) \|", section("The sandbox"), re.MULTILINE)
    assert said == [str(code.value) for code in Code]


def test_the_delivery_schedule_is_the_sandbox_s():
    """Ten deliveries: the first, and nine more."""
    said = re.search(r"after ([\d, and]+) seconds", section("Notification"))
    assert tuple(int(number) for number in re.findall(r"\d+", said[1])) == RETRY_DELAYS
    assert len(RETRY_DELAYS) == 9
    assert 7 < sum(RETRY_DELAYS) / 3600 < 9, "about eight hours"
    assert SIGNATURE_HEADER in section("Contradictions in the pages")


ANSWERS = {
    "Create: `POST /mch-api/v1/pa/payment_intents/create`": {
        "another order id, amount or currency": Response(
            200,
            body=b'{"code":0,"data":{"order_id":"C1","merchant_order_id":"P1",'
            b'"amount":"50","currency":"TWD","status":"PENDING"}}',
        ),
        "a `next_action` that cannot be understood": Response(
            200,
            body=b'{"code":0,"data":{"order_id":"C1","merchant_order_id":"P1",'
            b'"amount":"8","currency":"HKD","status":"PENDING","next_action":{"type":"dance"}}}',
        ),
        "any other `code`": Response(400, body=b'{"code":7,"message":"no","rid":"r1"}'),
        "401": Response(401),
        "403": Response(403),
        "429": Response(429),
        "3xx, 5xx, HTML": Response(200, body=b"<html>"),
    },
    "Query: `POST /mch-api/v1/pa/payment_intents/query`": {
        "other ids than those asked about": Response(
            200,
            body=b'{"code":0,"data":{"order_id":"C2","merchant_order_id":"P2",'
            b'"amount":"8","currency":"HKD","status":"SUCCEEDED"}}',
        ),
        "another amount or currency": Response(
            200,
            body=b'{"code":0,"data":{"order_id":"C1","merchant_order_id":"P1",'
            b'"amount":"50","currency":"TWD","status":"SUCCEEDED"}}',
        ),
        "any other `code`": Response(200, body=b'{"code":7,"message":"no","rid":"r1"}'),
        "401, 403": Response(401),
        "429": Response(429),
        "HTML with 200": Response(200, body=b"<html>"),
        "3xx, 5xx": Response(302),
    },
    "Token: `GET /mch-api/v1/auth`": {
        "200 without a usable token": Response(200, body=b"<html>"),
        "401, 403": Response(401),
        "429": Response(429),
        "any other 4xx": Response(404, body=b'{"access_token":"x"}'),
        "3xx, 5xx": Response(503),
    },
}  # fmt: skip
ROWS = [(title, row) for title, rows in ANSWERS.items() for row in rows]


@pytest.mark.parametrize(("title", "row"), ROWS, ids=[f"{title.split(':')[0]}: {row}" for title, row in ROWS])
def test_each_answer_ends_as_the_table_says(opening, alipayhk_config, title, row):
    """The third column names the error; it is raised, sync and async."""
    (cell,) = [
        line.split(" | ")[2]
        for line in section(title).splitlines()
        if line.startswith("| ") and row in line.split(" | ")[0]
    ]
    raised = re.findall(r"`(\w+)`", cell)
    call = title.partition(":")[0]

    def answer(request):
        if call != "Token" and request.path.endswith("/auth"):
            return Response(200, body=b'{"access_token":"t%d","expires_in":3600}' % len(gateway.script.requests))
        return ANSWERS[title][row]

    gateway = opening("alipayhk", alipayhk_config, transport=answer, deadline=3)
    amount = Money.of("8", "HKD")
    if call == "Query":
        with pytest.raises(PaymentError) as caught:
            gateway.confirm("P1", amount, provider_id="C1")
    else:
        with pytest.raises(PaymentError) as caught:
            gateway.create_charge(ChargeRequest("P1", amount, "Tea"))
    assert type(caught.value).__name__ in raised
    if isinstance(caught.value, Rejected):
        assert not caught.value.definitive


def test_every_row_about_a_failure_is_tried():
    """A row that names an error has an answer above, but for those that need a socket or a second order."""
    untried = {"no answer in time, a connection that broke", "no connection at all", "the same order id again"}
    for title, rows in ANSWERS.items():
        for line in section(title).splitlines():
            cells = line.strip("| ").split(" | ")
            if len(cells) >= 3 and re.search(r"`[A-Z]\w+`", cells[2]) and "a `Charge`" not in cells[2]:
                assert cells[0] in untried or any(row in cells[0] for row in rows), cells[0]


def test_the_example_of_the_sandbox_runs():
    """As it stands, with a charge in the place of the dots."""
    code = section("The sandbox").partition("In Python:\n\n")[2].partition("\n\nWhatever")[0]
    source = "\n".join(line[4:] for line in code.splitlines()).replace(
        "...", 'ChargeRequest("P1", Money.of("8", "HKD"), "Tea")'
    )
    namespace = {"Gateway": Gateway, "ChargeRequest": ChargeRequest, "Money": Money}
    exec(compile(source + "\n    paid = gateway.confirm('P1', charge.amount).is_paid", "README.md", "exec"), namespace)
    assert namespace["paid"] is True
    assert namespace["make"] is make
