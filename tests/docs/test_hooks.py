"""docs/hooks.md cannot drift: its signatures are the code's, its examples run, and every hook is tested somewhere."""

import ast
import hmac
import inspect
import json
import re
from pathlib import Path

import pytest

from payments_core import (
    Authorization,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    InvalidRequest,
    Limits,
    Method,
    Mismatch,
    Money,
    NotFound,
    Notification,
    ObserverHooks,
    OutcomeUnknown,
    PaymentStatus,
    ProtocolViolation,
    ProviderContractError,
    ProviderHooks,
    ProviderInfo,
    RateLimited,
    Redirect,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    RefundStatus,
    Rejected,
    Request,
    Response,
    Secret,
    Subject,
    UnsupportedOperation,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    drive,
    hookimpl,
)
from payments_core.hookspecs import OBSERVER_HOOKS, OPTIONAL_OPERATIONS, PROVIDER_HOOKS

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "hooks.md").read_text("utf-8")
SPECS = {name: getattr(ProviderHooks, name) for name in PROVIDER_HOOKS} | {
    name: getattr(ObserverHooks, name) for name in OBSERVER_HOOKS
}
ORDER = ChargeRequest("P1", Money.of("8.00", "EUR"), "Tea")


def without_self(function):
    """A hook's signature as its callers see it."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def headings(page):
    """Each heading that is a signature, with the first line of code under it."""
    return {
        name: (f"{name}({arguments})", code)
        for name, arguments, code in re.findall(r"^### (\w+)\(([^)]*)\)\n\n    (.+)$", page, re.MULTILINE)
    }


def wanted(name):
    """Return the content that the code requires of the page."""
    signature = without_self(SPECS[name])
    typed = f"{name}{signature}".replace("'", "")
    return f"{name}({', '.join(signature.parameters)})", typed


def drift(page):
    """Compare a page with the code's hooks, both ways."""
    said = headings(page)
    return {name for name in SPECS.keys() | said.keys() if name not in SPECS or said.get(name) != wanted(name)}


def test_every_hook_has_a_heading_with_its_signature():
    """Names of arguments in the heading, types below it."""
    assert drift(PAGE) == set()


@pytest.mark.parametrize(
    ("before", "after", "name"),
    [
        ("### get_status(context, authorization, reference)", "### get_status(authorization, reference)", "get_status"),
        ("get_status(context: Context,", "get_status(context: Clock,", "get_status"),
        ("### get_status(context", "### ask_status(context", "ask_status"),
    ],
)
def test_drift_is_noticed(before, after, name):
    """The check can fail."""
    assert before in PAGE
    assert name in drift(PAGE.replace(before, after))


def implementations(source):
    """The names of the functions that a source marks as hookimpl."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks = [mark.func if isinstance(mark, ast.Call) else mark for mark in node.decorator_list]
            if any(isinstance(mark, ast.Name) and mark.id == "hookimpl" for mark in marks):
                yield node.name


def test_every_hook_is_implemented_by_some_test():
    """A hook that no test implements is a hook that nobody has called."""
    found = {name for path in (ROOT / "tests").rglob("*.py") for name in implementations(path.read_text("utf-8"))}
    assert set(SPECS) <= found
    assert set(implementations("class A:\n @hookimpl(wrapper=True)\n def a(self): ...\n def b(self): ...")) == {"a"}


def examples():
    """The page's blocks of Python, in order: a create of two requests, an observer, a wrapper, a provider."""
    found = []
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        namespace = {"__name__": __name__}
        exec(compile(block, "docs/hooks.md", "exec"), namespace)
        found.append(namespace)
    return found


ACME = {"base_url": "https://acme.example", "api_key": "made-up", "webhook_key": "made-up-too"}
BILL = {
    "id": "B1",
    "order": "P1",
    "cents": 800,
    "currency": "EUR",
    "state": "open",
    "pay_at": "https://acme.example/pay",
}


def test_the_page_s_create_of_two_requests_never_makes_a_second_charge():
    """After "duplicate", of either request, the run goes on with what is there, unless it is of other money."""
    (two,) = [each["TwoRequests"] for each in examples() if "TwoRequests" in each]
    two.charge = lambda _, response: json.loads(response.body)
    taken = Response(409, (), b'{"code": "duplicate"}')
    created = Response(200, (), b'{"id": "I1", "amount": 8.00, "currency": "EUR", "state": "created"}')
    waiting = Response(200, (), b'{"id": "I1", "amount": 8.00, "currency": "EUR", "state": "waiting"}')
    dearer = Response(200, (), b'{"id": "I1", "amount": 80.00, "currency": "EUR", "state": "created"}')
    foreign = Response(200, (), b'{"id": "I1", "amount": 8.00, "currency": "USD", "state": "created"}')
    create, ask, confirm, look = "POST /intents", "GET /intents", "POST /intents/I1/confirm", "GET /intents/I1"
    for answers, wanted in (
        ([created, waiting], [create, confirm]),
        ([taken, created, waiting], [create, ask, confirm]),
        ([taken, waiting], [create, ask]),
        ([created, taken, waiting], [create, confirm, look]),
        ([taken, dearer], [create, ask]),
        ([taken, foreign], [create, ask]),
    ):
        sent = []

        def answer(request, sent=sent, answers=answers):
            sent.append(request)
            return answers[len(sent) - 1]

        ended = drive(two().create_charge(ORDER), answer)
        assert ended == json.loads(answers[-1].body), "what is answered last is told, and the core compares its amount"
        assert [f"{each.method} {each.path}" for each in sent] == wanted
        assert [each.safe for each in sent] == [each.method == "GET" for each in sent]
        ids = [json.loads(each.body)["request_id"] for each in sent if each.body]
        assert ids == [{create: "create:P1", confirm: "confirm:P1"}[each] for each in wanted if each.startswith("POST")]
    assert b'"amount":8.00' in sent[0].body


def acme(install, opening, answer, plugins=()):
    """A gateway of the page's provider, with an answer for every request."""
    *_, provider = examples()
    install("acme", provider["AcmeProvider"])
    return opening("acme", ACME, transport=answer, plugins=plugins)


def bill(request):
    """The bill is open when it is made, and paid when it is asked about."""
    state = {"state": "paid", "pay_at": ""} if request.method == "GET" else {}
    return Response(200, body=json.dumps(BILL | state).encode())


def test_the_page_s_provider_charges_asks_and_believes(install, opening):
    """A provider in a page is a whole one."""
    gateway = acme(install, opening, bill)
    charge = gateway.create_charge(ORDER)
    assert (charge.status, charge.next_action) == (PaymentStatus.REQUIRES_ACTION, Redirect("https://acme.example/pay"))
    assert gateway.confirm("P1", ORDER.amount, provider_id="B1").is_paid
    assert [(request.method, request.path) for request in gateway.script.requests] == [
        ("POST", "/bills"),
        ("GET", "/bills"),
    ]
    body = b'{"id":"N1","bill":"B1"}'
    signature = hmac.digest(b"made-up-too", body, "sha256").hex()
    (event,) = gateway.parse_webhook(WebhookDelivery(body, {"X-Signature": signature})).events
    assert (event.reference, event.authoritative) == (Reference(provider_id="B1"), False)
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(body + b" ", {"X-Signature": signature}))


@pytest.mark.parametrize(
    ("status", "create", "query"),
    [
        (404, NotFound, NotFound),
        (400, Rejected, Rejected),
        (500, OutcomeUnknown, None),
        (429, RateLimited, RateLimited),
    ],
)
def test_the_page_s_provider_leaves_the_positions_to_the_core(install, opening, status, create, query):
    """It never mentions OutcomeUnknown, and yet gives it where it is due."""
    gateway = acme(install, opening, lambda request: Response(status))
    with pytest.raises(create):
        gateway.create_charge(ORDER)
    if query is not None:
        with pytest.raises(query):
            gateway.get_status(Reference("P1"))


def test_the_page_s_observer_and_wrapper_see_what_they_should(install, opening):
    """Both beside one provider, neither changing anything."""
    _, observer, wrapper, _ = examples()
    counting, watching = observer["Counting"](), wrapper["Watching"]()
    gateway = acme(install, opening, bill, plugins=[counting, watching])
    assert gateway.create_charge(ORDER).reference.provider_id == "B1"
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"{}", {}))
    assert counting.seen == {
        ("create_charge", "ok"): 1,
        ("parse_webhook", "WebhookRejected"): 1,
        ("webhook_rejected", "signature"): 1,
    }
    assert watching.paths == ["/bills"]


class Everything:
    """A provider that has every hook there is, and remembers what each was given."""

    config_type = examples()[-1]["AcmeConfig"]
    info = ProviderInfo(
        id="everything",
        title="Everything",
        operations=OPTIONAL_OPERATIONS,
        currencies=frozenset({"EUR"}),
        methods=(Method("card", "Card"),),
        channels=frozenset(Channel),
        limits=Limits(),
        raw_statuses={"paid": PaymentStatus.SUCCEEDED},
        authoritative_webhooks=True,
    )

    def __init__(self, config):
        self.calls = []

    def _charge(self):
        return Charge("everything", Reference("P1", "B1"), PaymentStatus.SUCCEEDED, "paid", ORDER.amount)

    def _refund(self, refund_id):
        return Refund("everything", refund_id, "R1", None, RefundStatus.PENDING, "wait", ORDER.amount)

    @hookimpl
    def authorize(self, context):
        self.calls.append(("authorize", len(context.nonce)))
        return Authorization(Secret("made-up"))

    @hookimpl
    def create_charge(self, context, authorization, request):
        self.calls.append(("create_charge", authorization.credentials.reveal(), request.method))
        response = yield Request("POST", "/", safe=True)
        assert response.status == 200
        return self._charge()

    @hookimpl
    def get_status(self, context, authorization, reference):
        self.calls.append(("get_status", reference))
        return self._charge()

    @hookimpl
    def parse_webhook(self, context, authorization, delivery):
        self.calls.append(("parse_webhook", delivery.body))
        event = WebhookEvent("everything", Subject.CHARGE, "paid", Reference("P1"), "E1", charge=self._charge())
        return Notification((event,))

    @hookimpl
    def complete_charge(self, context, authorization, reference, returned):
        self.calls.append(("complete_charge", returned))
        return self._charge()

    @hookimpl
    def capture_charge(self, context, authorization, request):
        self.calls.append(("capture_charge", request.capture_id))
        return self._charge()

    @hookimpl
    def cancel_charge(self, context, authorization, reference):
        self.calls.append(("cancel_charge", reference))
        return self._charge()

    @hookimpl
    def refund_charge(self, context, authorization, request):
        self.calls.append(("refund_charge", request.reason))
        return self._refund(request.refund_id)

    @hookimpl
    def get_refund(self, context, authorization, reference):
        self.calls.append(("get_refund", reference.refund_id))
        return self._refund(reference.refund_id)

    @hookimpl
    def read_request_id(self, response):
        return response.header("request-id") or ""

    @hookimpl
    def read_retry_advice(self, response):
        self.calls.append(("read_retry_advice", response.status))
        return False


class Nosy:
    """An observer that has every hook of one, and shouts in each."""

    def __init__(self):
        self.seen = []

    @hookimpl
    def operation_finished(self, operation):
        self._tell("operation_finished", operation.name, operation.runs)

    @hookimpl
    def exchange_finished(self, exchange):
        self._tell("exchange_finished", exchange.path, exchange.status, exchange.request_id)

    @hookimpl
    def charge_observed(self, charge):
        self._tell("charge_observed", charge.raw_status)

    @hookimpl
    def webhook_observed(self, event):
        self._tell("webhook_observed", event.event_id)

    @hookimpl
    def webhook_rejected(self, provider, reason):
        self._tell("webhook_rejected", provider, reason)

    def _tell(self, *what):
        self.seen.append(what)
        raise SystemExit(str(what))


def test_every_hook_is_called_with_what_the_page_says(install, opening):
    """One call of each, and observers that reach nobody however they fail."""
    install("everything", Everything)
    nosy = Nosy()
    answer = Response(200, (("Request-Id", "r-1"),))
    gateway = opening("everything", ACME, transport=lambda request: answer, plugins=[nosy])
    reference = Reference("P1")
    assert gateway.create_charge(ORDER).require("P1", ORDER.amount).is_paid
    assert gateway.get_status(reference).require("P1", ORDER.amount).is_paid
    assert gateway.parse_webhook(WebhookDelivery(b"body", {})).events[0].authoritative
    assert gateway.complete_charge(reference, {"token": "x"}).require("P1", ORDER.amount).is_paid
    assert gateway.capture_charge(CaptureRequest(reference, "K1", ORDER.amount)).require("P1", ORDER.amount).is_paid
    assert gateway.cancel_charge(reference).require("P1", ORDER.amount).is_paid
    assert gateway.refund_charge(RefundRequest(reference, "F1", ORDER.amount, "cold")).status is RefundStatus.PENDING
    assert gateway.get_refund(RefundReference("F1")).provider_id == "R1"
    with pytest.raises(WebhookRejected):
        gateway.parse_webhook(WebhookDelivery(b"body", {}, method="PUT"))
    assert gateway._provider.calls == [
        ("authorize", 32),
        ("create_charge", "Bearer made-up", "card"),
        ("get_status", reference),
        ("parse_webhook", b"body"),
        ("complete_charge", (("token", "x"),)),
        ("capture_charge", "K1"),
        ("cancel_charge", reference),
        ("refund_charge", "cold"),
        ("get_refund", "F1"),
    ]
    assert ("exchange_finished", "/", 200, "r-1") in nosy.seen
    assert ("webhook_observed", "E1") in nosy.seen
    assert ("webhook_rejected", "everything", "malformed") in nosy.seen
    assert sum(what[0] == "charge_observed" for what in nosy.seen) == 5
    finished = [what[1] for what in nosy.seen if what[0] == "operation_finished"]
    assert finished == [
        "create_charge", "get_status", "parse_webhook", "complete_charge", "capture_charge", "cancel_charge",
        "refund_charge", "get_refund", "parse_webhook",
    ]  # fmt: skip


POSITIONS = {
    "`Rejected`, `NotFound`": [Rejected("no"), NotFound("no")],
    "`RateLimited`, `AuthorizationRejected`, `Mismatch`": [RateLimited("no"), Mismatch("no")],
    "`GatewayUnavailable`, `ProtocolViolation`": [ProtocolViolation("no")],
    "`InvalidRequest`": [InvalidRequest("no")],
    "`UnsupportedOperation`, `ConfigurationError`": [UnsupportedOperation("no")],
    "a result of the wrong type, any other exception": [KeyError("no"), None],
}
NAMES = {each.__name__: each for each in (OutcomeUnknown, ProtocolViolation, ProviderContractError)}


def positions():
    """Every cell of the page's table: what leaves the hook, where, and what becomes of it."""
    table = PAGE.partition("## Which error a failure becomes")[2].partition("\n*Got away*")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \| (.+?) \| (.+?) \|$", table, re.MULTILINE)[1:]
    assert [row[0] for row in rows] == list(POSITIONS)
    for name, *cells in rows:
        for raised in POSITIONS[name]:
            for position, cell in zip(("exposed", "asked", "before"), cells, strict=True):
                yield pytest.param(raised, position, cell.strip("`"), id=f"{type(raised).__name__}-{position}")


@pytest.mark.parametrize(("raised", "position", "cell"), list(positions()))
def test_the_table_of_positions_is_what_the_core_does(install, opening, raised, position, cell):
    """A hook that fails in each way, at each position."""

    class Failing(Everything):
        @hookimpl
        def create_charge(self, request):
            if position != "before":
                yield Request("POST", "/", safe=position == "asked")
            if raised is not None:
                raise raised

    Failing.info = Everything.info
    install("everything", Failing)
    gateway = opening("everything", ACME, transport=lambda request: Response(200))
    with pytest.raises(NAMES.get(cell, type(raised))) as caught:
        gateway.create_charge(ORDER)
    assert cell == "as it is" or type(caught.value).__name__ == cell
