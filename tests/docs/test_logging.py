"""docs/logging.md: every row of its table happens, and every line says whose it is."""

import json
import logging
import re
from pathlib import Path

import pytest

from payments_core import ChargeRequest, Mismatch, Money, PaymentError, WebhookDelivery, WebhookRejected, hookimpl
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox, make
from payments_core.testing.opening import open_provider

PAGE = (Path(__file__).parents[2] / "docs" / "logging.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| ([\w ]*\w)", PAGE, re.MULTILINE)
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


# By the words of the page: what makes it happen, what its line says, and of which order it is.
HAPPENS = {
    "a request was answered": (exchange, r"POST /charges -> 20\d in \d+ ms", "order-1"),
    "a call failed": (failure, "failed: Rejected, accepted NO", "declined-1"),
    "a notification was rejected": (rejection, "a notification was rejected: ", ""),
    "a status that is not in the provider": (strange_status, "status not in its table: 'strange'", "strange-1"),
    "no money moves": (no_money, "no money moves", None),
    "a mismatch": (mismatch, "not paid", "mismatch-1"),
    "a possible bug of the provider": (bug, "possible bug of the provider: KeyError", "order-1"),
    "an observer failed": (observer, "failed in operation_finished: ValueError", None),
}


def test_the_page_has_a_row_for_each_line_and_no_other():
    assert [words for _, _, words in ROWS] == list(HAPPENS)


@pytest.mark.parametrize(("logger", "level", "words"), ROWS, ids=lambda cell: cell.replace(" ", "-"))
def test_every_row_of_the_page_happens(caplog, logger, level, words):
    happen, said, order_id = HAPPENS[words]
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
