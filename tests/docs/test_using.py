"""Run the blocks of docs/using.md, in order, against the sandbox over HTTP."""

import ast
import asyncio
import http.server
import inspect
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
import threading
import types
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import structs

import payments_core
from payments_alipayhk.sandbox import make
from payments_core import (
    Acknowledgement,
    Gateway,
    Mismatch,
    Money,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    PaymentStatus,
    Redirect,
    Reference,
    Subject,
    WebhookEvent,
    WebhookRejected,
)
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox
from payments_core.testing.faults import FaultGateway, LoseAnswer
from payments_core.testing.opening import open_provider

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "using.md").read_text("utf-8")
HOOK_URL = "https://shop.example/webhooks/alipayhk"


def blocks(language):
    """Every fenced block of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def execute(source, namespace):
    """Run one block unchanged; top-level `await` is allowed, as in the asyncio REPL."""
    code = compile(source, "docs/using.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)


@pytest.fixture
def sandbox(monkeypatch, tmp_path):
    """A sandbox that the environment configures as the page tells."""
    monkeypatch.chdir(tmp_path)
    with make(port=0, time_scale=0) as running:
        for field, value in running.config.items():
            if value:
                monkeypatch.setenv(f"PAYMENTS_ALIPAYHK_{field.upper()}", value)
        yield running


@pytest.mark.once
def test_page_works_when_followed_from_the_beginning(tmp_path):
    """Copy the sandbox's section as printed, then run the commands and every Python block in that folder."""
    section = PAGE.partition("## A gateway for this page\n")[2].partition("\n## ")[0]
    first, second = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    (sandbox,) = re.findall(r"^    payments (sandbox .*)$", first, re.MULTILINE)
    began = [sys.executable, "-m", "payments_core.cli", *re.sub(r"--port \d+", "--port 0", sandbox).split()]
    with subprocess.Popen(began, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        printed = "".join(iter(process.stdout.readline, "\n")) + "".join(iter(process.stdout.readline, "\n"))
        printed += "".join(iter(process.stdout.readline, "\n"))
        (tmp_path / "payments.toml").write_text(textwrap.dedent(printed[printed.index("    [gateways") :]))
        try:
            for line in re.findall(r"^    payments (.*)$", second, re.MULTILINE):
                ran = run_in(tmp_path, "-m", "payments_core.cli", *shlex.split(line))
                assert (ran.returncode, ran.stderr) == (0, ""), line
            assert "    python -m asyncio\n" in second
            # As that Python does with what is pasted; not every release does it with what comes from a pipe.
            pasted = "\n\n".join([*blocks("python"), "print(charge.status)\n"])
            ran = run_in(tmp_path, "-c", TOP_LEVEL_AWAIT, stdin=pasted)
            assert (ran.returncode, ran.stderr, ran.stdout) == (0, "", "PENDING\n")
        finally:
            process.send_signal(signal.SIGINT)


TOP_LEVEL_AWAIT = """
import ast, asyncio, sys
asyncio.run(eval(compile(sys.stdin.read(), "using.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {}))
"""


def run_in(folder, *words, stdin=""):
    """A Python of its own, in that folder, with nothing configured but what is there."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PAYMENTS_")}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=kept,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class Listener:
    """A shop's webhook endpoint: calls the page's `receive`, and answers what the page says."""

    def __init__(self, receive):
        self.statuses = []
        self.delivered = threading.Event()
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                try:
                    acknowledgement = receive(body, self.headers)
                except WebhookRejected:
                    acknowledgement = Acknowledgement(400)
                except PaymentError:
                    acknowledgement = Acknowledgement(503)
                listener.statuses.append(acknowledgement.status)
                self.send_response(acknowledgement.status)
                self.end_headers()
                self.wfile.write(acknowledgement.body)
                listener.delivered.set()

            def log_message(self, *args):
                """Quiet."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/alipayhk"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def shop(sandbox):
    """The page's blocks, executed in order, with a listener where the example shop would be."""
    charge, receive, settle, confirm, create_once = blocks("python")
    namespace = {}
    listener = Listener(lambda body, headers: namespace["receive"](body, headers))
    execute(charge.replace(HOOK_URL, listener.url), namespace)
    for source in (receive, settle):
        execute(source, namespace)
    yield namespace, listener, confirm, create_once
    namespace["gateway"].close()
    listener.close()


def test_blocks_charge_receive_and_confirm(sandbox, shop):
    """From the create to `is_paid`, by nothing but what the page shows."""
    namespace, listener, confirm, _ = shop
    charge = namespace["charge"]
    assert charge.status is PaymentStatus.REQUIRES_ACTION
    assert charge.amount == Money.of("88.00", "HKD")
    assert isinstance(charge.next_action, Redirect)
    assert namespace["todo"] == f"send the shopper's browser to {sandbox.wallet_url(charge.reference.provider_id)}"

    sandbox.pay(charge.reference.provider_id)
    event = namespace["inbox"].get(timeout=10)
    assert listener.delivered.wait(10)
    assert listener.statuses == [200]
    assert not event.authoritative
    assert namespace["settle"](event) is True

    execute(confirm, namespace)
    assert namespace["charge"].is_paid
    assert [request.path.rpartition("/")[2] for request in sandbox.received] == [
        "auth",
        "create",
        "query",
        "auth",
        "query",
    ]


def test_order_is_unpaid_before_payment_and_after_a_mismatch(sandbox, shop):
    """A notification comes early, then the answer is about other money."""
    namespace, listener, _, _ = shop
    provider_id = namespace["charge"].reference.provider_id
    assert sandbox.deliver(provider_id) == 200
    early = namespace["inbox"].get(timeout=10)
    assert namespace["settle"](early) is False
    sandbox.pay(provider_id, notify=False)
    sandbox.set_amount(provider_id, "50", "TWD")
    with pytest.raises(Mismatch):
        namespace["settle"](early)
    assert listener.statuses == [200]


def test_a_refund_settles_nothing(sandbox, shop):
    """Its event names no charge, and the page's code does not stumble over that."""
    namespace, _, _, _ = shop
    provider_id = namespace["charge"].reference.provider_id
    sandbox.pay(provider_id, notify=False)
    assert sandbox.refund(provider_id) == 200
    event = namespace["inbox"].get(timeout=10)
    assert event.reference is None
    assert namespace["settle"](event) is False


def test_settle_is_the_same_for_whole_events_and_for_hints_with_either_id():
    """The page's code as it stands, whatever a gateway's notifications carry."""
    (settle,) = [block for block in blocks("python") if "def settle" in block]
    due = Money.of("88.00", "HKD")
    with (
        FakeSandbox() as fake,
        open_provider(FakeProvider, fake.config, transport=fake._transport(type(None))) as gateway,
    ):
        made = gateway.create_charge(payments_core.ChargeRequest("paid-1", due, "Tea"))
        provider_id = made.reference.provider_id
        (whole,) = gateway.parse_webhook(fake.notification(provider_id)).events
        refund = gateway.refund_charge(payments_core.RefundRequest(made.reference, "R1", Money.of("1.00", "HKD")))
        (refunded,) = gateway.parse_webhook(fake.notification(refund.provider_id)).events
        namespace = {"gateway": gateway, "request": types.SimpleNamespace(amount=due), "charge": made}
        execute(settle.replace("P1001", "paid-1"), namespace)
        assert whole.authoritative
        hints = [
            structs.replace(whole, charge=None, reference=reference)
            for reference in (made.reference, Reference("paid-1"), Reference(provider_id=provider_id))
        ]
        assert [namespace["settle"](event) for event in (whole, *hints, refunded)] == [True] * 4 + [False]
        for amount, known in ((Money.of("88.01", "HKD"), provider_id), (due, "X1")):
            namespace["orders"]["paid-1"] = (amount, known)
            for event in (whole, hints[0]):
                with pytest.raises((Mismatch, NotFound)):
                    namespace["settle"](event)


def test_a_forged_notification_is_answered_400_and_stored_nowhere(shop):
    """As the page says of WebhookRejected."""
    namespace, _, _, _ = shop
    body = b'{"notify_type":"payment_success","data":{"merchant_order_id":"P1001"}}'
    with pytest.raises(WebhookRejected):
        namespace["receive"](body, {"Signature": "0" * 64})
    assert namespace["inbox"].empty()


def test_a_lost_answer_is_asked_about_and_not_sent_again(sandbox, shop):
    """The create arrives at the gateway, its answer is lost, and one create is all there is."""
    namespace, _, _, create_once = shop
    execute(create_once, namespace)
    request = payments_core.ChargeRequest("P1002", Money.of("12.00", "HKD"), "Tea")
    with FaultGateway(upstream=sandbox.url) as between:
        namespace["gateway"].close()
        namespace["gateway"] = Gateway.open("alipayhk", {**sandbox.config, "base_url": between.url})
        with between.inject(LoseAnswer(), method="POST", path="/create", times=1) as rule:
            charge = namespace["create_once"](request)
        assert rule.hits == 1
    assert charge.reference.order_id == "P1002"
    assert charge.status is PaymentStatus.PENDING
    assert charge.next_action is None
    created = [request for request in sandbox.received if request.path.endswith("/create")]
    assert [request.json["merchant_order_id"] for request in created] == ["P1001", "P1002"]


def test_a_lost_answer_of_a_keyed_gateway_is_repeated_with_its_first_time(shop):
    """One that cannot be asked by the order id, and keeps keys."""
    namespace, _, _, create_once = shop
    execute(create_once, namespace)
    lost = OutcomeUnknown("the answer was lost", repeatable=True)
    lost.first_sent_at = datetime(2026, 11, 27, tzinfo=UTC)
    sent = []

    class Keyed:
        info = types.SimpleNamespace(query_by={"provider_id"})

        def create_charge(self, request, *, first_sent_at=None):
            sent.append((request, first_sent_at))
            if first_sent_at is None:
                raise lost
            return "the same charge"

        close = staticmethod(lambda: None)

    namespace["gateway"].close()
    namespace["gateway"] = Keyed()
    request = namespace["request"]
    assert namespace["create_once"](request) == "the same charge"
    assert sent == [(request, None), (request, lost.first_sent_at)]
    lost.repeatable = False
    with pytest.raises(OutcomeUnknown):
        namespace["create_once"](request)
    assert len(sent) == 3


@pytest.mark.parametrize(
    ("subject", "reference"),
    [
        (Subject.CHARGE, Reference("OTHER")),
        (Subject.CHARGE, Reference(provider_id="unheard-of")),
        (Subject.CHARGE, Reference("OTHER", "unheard-of")),
        (Subject.CHARGE, None),
        (Subject.REFUND, Reference("P1001")),
        (Subject.DISPUTE, Reference("P1001")),
        (Subject.OTHER, None),
    ],
)
def test_an_event_about_no_order_of_the_shop_settles_nothing(sandbox, shop, subject, reference):
    """Nobody is asked, and nothing is raised."""
    namespace, _, _, _ = shop
    before = len(sandbox.received)
    assert namespace["settle"](WebhookEvent("alipayhk", subject, "x", reference, "1")) is False
    assert len(sandbox.received) == before


def test_the_receiver_asks_nothing_and_keeps_hints_with_one_id(sandbox, shop):
    """The gateway waits for the answer; a second hint is a second reason to ask."""
    namespace, _, _, _ = shop
    provider_id = namespace["charge"].reference.provider_id
    before = len(sandbox.received)
    assert [sandbox.deliver(provider_id) for _ in range(2)] == [200, 200]
    hints = [namespace["inbox"].get(timeout=10) for _ in range(2)]
    assert len({each.event_id for each in hints}) == 1
    assert len(sandbox.received) == before
    sandbox.pay(provider_id, notify=False)
    assert [namespace["settle"](each) for each in hints] == [True, True]


@pytest.mark.once
def test_blocks_pass_mypy_strict(tmp_path):
    """One after the other, as they are pasted; what awaits stands in a coroutine."""
    parts = blocks("python")
    awaits = [part for part in parts if "await " in part]
    assert len(awaits) == 1
    (tmp_path / "page.py").write_text(
        "\n".join(
            f"async def later() -> None:\n{textwrap.indent(part, '    ')}" if part in awaits else part for part in parts
        )
    )
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--config-file=",
            "--cache-dir",
            str(tmp_path),
            tmp_path / "page.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert checked.stdout == "Success: no issues found in 1 source file\n"


def test_page_has_no_block_that_is_not_run():
    """Five of Python; what is not fenced is not code."""
    assert len(blocks("python")) == 5
    assert PAGE.count("```") == 2 * 5
