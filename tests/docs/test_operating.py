"""docs/operating.md: its figures are the code's, its table has every log line, and every line says whose it is."""

import ast
import json
import logging
import re
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path

import pytest

import payments_core
from payments_core import (
    ChargeRequest,
    Gateway,
    Mismatch,
    Money,
    PaymentError,
    Retries,
    SystemClock,
    WebhookDelivery,
    WebhookRejected,
    authorization,
    body,
    hookimpl,
    transport,
    webhooks,
)
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox, make
from payments_core.testing.opening import open_provider

CORE = Path(payments_core.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| `(.+?)` \|", PAGE, re.MULTILINE)
AMOUNT = Money.of("88.00", "HKD")


def ask(order_id):
    return ChargeRequest(order_id, AMOUNT, "Tea")


class Unreadable(FakeProvider):
    """A provider with a bug."""

    @hookimpl
    def create_charge(self, request):
        """Stumble."""
        raise KeyError(request.order_id)


class Raising:
    """An observer with a bug."""

    @hookimpl
    def operation_finished(self):
        """Stumble."""
        raise ValueError("no disk")


def exchange(sandbox):
    with sandbox.open() as gateway:
        gateway.create_charge(ask("order-1"))


def failure(sandbox):
    with sandbox.open() as gateway, pytest.raises(PaymentError):
        gateway.create_charge(ask("declined-1"))


def rejection(sandbox):
    with sandbox.open() as gateway, pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"{}", {}))


def strange_status(sandbox):
    with sandbox.open() as gateway:
        gateway.create_charge(ask("strange-1"))
        gateway.confirm("strange-1", AMOUNT)


def no_money(_):
    with make() as local, local.open():
        pass


def mismatch(sandbox):
    with sandbox.open() as gateway:
        gateway.create_charge(ask("mismatch-1"))
        with pytest.raises(Mismatch):
            gateway.confirm("mismatch-1", AMOUNT)


def bug(sandbox):
    with (
        open_provider(Unreadable, sandbox.config, transport=sandbox._transport(type(None))) as gateway,
        pytest.raises(PaymentError),
    ):
        gateway.create_charge(ask("order-1"))


def observer(sandbox):
    with sandbox.open(plugins=[Raising()]) as gateway:
        gateway.create_charge(ask("order-1"))


class BrokenClock(SystemClock):
    """A clock with a bug."""

    def now(self):
        """Stumble."""
        raise OSError("no clock")


def unforeseen(sandbox):
    with sandbox.open(clock=BrokenClock()) as gateway, pytest.raises(PaymentError):
        gateway.create_charge(ask("order-1"), first_sent_at=datetime.now(UTC))


# What makes each line of the page happen, and the order that it is about; None for a line that is about no call.
HAPPENS = {
    "METHOD PATH -> STATUS in TIME ms": (exchange, "order-1"),
    "failed: ERROR, accepted WHETHER": (failure, "declined-1"),
    "a notification was rejected: REASON": (rejection, ""),
    "the gateway answered a status not in its table: STATUS": (strange_status, "strange-1"),
    "no money moves: this is a test account, or a sandbox on this machine": (no_money, None),
    "the gateway's answer DIFFERS: not paid": (mismatch, "mismatch-1"),
    "possible bug of the provider: ERROR at FILE": (bug, "order-1"),
    "unforeseen: ERROR at FILE": (unforeseen, "order-1"),
    "OBSERVER failed in HOOK: ERROR": (observer, None),
}


def test_table_has_a_row_for_each_line_and_no_other():
    assert [line for _, _, line in ROWS] == list(HAPPENS)


@pytest.mark.parametrize(("logger", "level", "line"), ROWS, ids=lambda cell: cell.replace(" ", "-"))
def test_line_is_logged_as_its_row_says(caplog, logger, level, line):
    happen, order_id = HAPPENS[line]
    said = re.sub(r"[A-Z]{3,}", ".+", re.escape(line))
    caplog.set_level(logging.DEBUG)
    with FakeSandbox() as sandbox:
        happen(sandbox)
        hidden = [sandbox.client_secret.reveal(), sandbox.webhook_key.reveal()]
    found = [each for each in caplog.records if re.search(said, each.getMessage()) and each.name.startswith("payments")]
    assert found
    for each in found:
        assert (each.name, each.levelname) == (logger, level)
        if order_id is not None:
            assert each.gateway == "fake"
            assert each.getMessage().startswith("fake.")
    if order_id is not None:
        told = [each for each in found if each.order_id == order_id]
        assert told
        for each in told:
            ids = {"order": each.order_id, "request id": each.request_id}
            told_ids = ", ".join(f"{name} {value}" for name, value in ids.items() if value)
            assert each.getMessage().endswith(f"({told_ids})" if told_ids else each.getMessage()[-1])
    written = json.dumps([str(vars(each)) for each in caplog.records if each.name.startswith("payments")])
    assert not [each for each in hidden if each in written]


def call_sites():
    """Return file, first and last line of every call that logs; one with a stacklevel logs for its caller."""
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and not any(each.arg == "stacklevel" for each in node.keywords):
                called = ast.unparse(node.func)
                if re.search(r"\blog$|\blog(ger|ging)\.(debug|info|warning|error|exception)$", called):
                    yield str(path), node.lineno, node.end_lineno


def test_every_call_that_logs_is_in_the_table(caplog):
    caplog.set_level(logging.DEBUG)
    for happen, _ in HAPPENS.values():
        with FakeSandbox() as sandbox:
            happen(sandbox)
    logged = {(each.pathname, each.lineno) for each in caplog.records}
    sites = list(call_sites())
    assert len(sites) >= len(HAPPENS)
    for path, first, last in sites:
        assert any(path == where and first <= line <= last for where, line in logged), (path, first)


def test_figures_are_those_of_the_code():
    deadline = signature(Gateway.open).parameters["deadline"].default
    for said in (
        f"up to {transport._POOLS * transport._POOL_SIZE} connections",
        f"kept for {transport._POOL['keepalive_expiry']:.0f} seconds",
        f"{deadline:.0f} seconds, unless you pass `deadline=`",
        *(f"| `{field}` | {getattr(Retries(), field)} |" for field in Retries.__struct_fields__),
        f"capped** at {body.MAX_BODY_BYTES >> 20} MiB, webhook bodies at {webhooks.MAX_DELIVERY_BYTES >> 10} KiB",
        f"renewed after {authorization.RENEW_AT:.0%}".replace("%", " %"),
    ):
        assert said in PAGE, said
    assert "below a minute counts as a minute, and one above a day as a day" in PAGE
    assert (authorization.SHORTEST, authorization.LONGEST) == (60, 24 * 60 * 60)
