"""Break the fake's hooks on purpose; the intended test of the contract must notice each mistake."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import cProfile
import functools
import hashlib
import hmac
import importlib.util
import inspect
import logging
import os
import re
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from payments_core import (
    Acknowledgement,
    Authorization,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    Money,
    Notification,
    PaymentStatus,
    ProtocolViolation,
    Redirect,
    Reference,
    Rejected,
    Request,
    Secret,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    WebhookRejected,
    hookimpl,
    same_hex_digest,
)
from payments_core.testing import fake
from payments_core.testing.contract import events
from payments_core.testing.contract.bench import Bench
from payments_core.testing.contract.forgeries import FORGERIES, Genuine
from payments_core.testing.contract.io_watch import watched
from payments_core.testing.contract.rules import applies
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import make
from payments_core.testing.faults import FaultGateway

log = logging.getLogger("payments_broken")
FLOAT = 100.0


pytestmark = pytest.mark.once

# Notifications.


class Verifying(FakeProvider):
    """The fake's verification in pieces."""

    def header(self, delivery: WebhookDelivery, name: str) -> str:
        return delivery.header(name) or ""

    def body(self, delivery: WebhookDelivery) -> bytes:
        return delivery.body

    def keys(self) -> list[bytes]:
        return [self._config.webhook_key.reveal().encode()]

    def same(self, given: str, expected: list[bytes]) -> bool:
        return same_hex_digest(given, expected)

    def now(self, context: Context, delivery: WebhookDelivery) -> float:
        return context.now.timestamp()

    def _verify(self, context: Context, delivery: WebhookDelivery) -> None:
        stamp, message = self.header(delivery, "fake-timestamp"), self.body(delivery)
        expected = [hmac.digest(key, b"%b.%b" % (stamp.encode(), message), "sha256") for key in self.keys()]
        if not self.same(self.header(delivery, "fake-signature"), expected):
            raise WebhookRejected("signature")
        if abs(self.now(context, delivery) - int(stamp)) > 300:
            raise WebhookRejected("stale")


class NeedsReceivedAt(Verifying):
    """Reads `received_at`, which is optional."""

    def now(self, context, delivery):
        return delivery.received_at.timestamp()


class UsesTheWallClock(Verifying):
    """Asks a clock of its own how old a delivery is."""

    def now(self, context, delivery):
        return time.time()


class StaleOnlyWithReceivedAt(Verifying):
    """Checks the age only if `received_at` is given."""

    def now(self, context, delivery):
        stamp = float(self.header(delivery, "fake-timestamp"))
        return delivery.received_at.timestamp() if delivery.received_at else stamp


class HeadersByExactCase(Verifying):
    """Looks headers up by their exact names."""

    def header(self, delivery, name):
        pairs = delivery.headers.items() if hasattr(delivery.headers, "items") else delivery.headers
        return dict(pairs).get(name.title(), "")


class AllButTheLastByte(Verifying):
    """Compares 62 digits of 64."""

    def same(self, given, expected):
        return len(given) == 64 and any(given[:62] == each.hex()[:62] for each in expected)


class StripsLeft(Verifying):
    """Verifies the body without its leading white space."""

    def body(self, delivery):
        return delivery.body.lstrip()


class LogsTheExpectedDigest(Verifying):
    """Logs what the signature should have been."""

    def same(self, given, expected):
        log.warning("expected %s", expected[0].hex())
        return same_hex_digest(given, expected)


class RaisesTheExpectedDigest(Verifying):
    """Says in the error what the signature should have been."""

    def same(self, given, expected):
        if not same_hex_digest(given, expected):
            raise WebhookRejected("signature", raw_code=expected[0].hex())
        return True


class PreviousKeyConfig(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    client_secret: Secret
    webhook_key: Secret
    previous_webhook_key: Secret = Secret("")
    base_url: str = "https://fake.invalid"


class PreviousKey(Verifying):
    """Knows the key before this one."""

    config_type = PreviousKeyConfig

    def keys(self):
        config = self._config
        return [each.reveal().encode() for each in (config.webhook_key, config.previous_webhook_key) if each]


class PreviousKeyWithoutTime(PreviousKey):
    """Ignores the age of deliveries signed with the previous key."""

    def _verify(self, context, delivery):
        try:
            super()._verify(context, delivery)
        except WebhookRejected as exc:
            if exc.reason != "stale" or not self._config.previous_webhook_key:
                raise


class ReadsBeforeItVerifies(FakeProvider):
    """Reads bytes that anybody may have sent."""

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        events = delivery.decode(msgspec.json.Decoder(list[fake._Event]).decode)
        self._verify(context, delivery)
        return Notification(tuple(self._event(event) for event in events))


class SkipsBadEvents(FakeProvider):
    """A bad event of a batch is left out, and the rest acknowledged."""

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        self._verify(context, delivery)
        events = []
        for each in delivery.decode(msgspec.json.Decoder(list[msgspec.Raw]).decode):
            try:
                events.append(self._event(msgspec.json.decode(each, type=fake._Event)))
            except msgspec.DecodeError:
                continue
        return Notification(tuple(events))


class Afterwards(FakeProvider):
    """Lets subclasses change the parsed result."""

    def after(self, notification: Notification, delivery: WebhookDelivery) -> Notification:
        return notification

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        return self.after(FakeProvider.parse_webhook(self, context, delivery), delivery)


class EventIdPerDelivery(Afterwards):
    """The id of an event holds the time of its delivery."""

    def after(self, notification, delivery):
        stamp = delivery.header("fake-timestamp")
        return replace(
            notification,
            events=tuple(replace(each, event_id=f"{each.event_id}:{stamp}") for each in notification.events),
        )


class Acknowledges500(Afterwards):
    """Answers 500 to what it has believed."""

    def after(self, notification, delivery):
        return replace(notification, acknowledgement=Acknowledgement(500))


class AcknowledgesWithTheKey(Afterwards):
    """Answers with the key that signs notifications."""

    def after(self, notification, delivery):
        headers = (("x-debug", self._config.webhook_key.reveal()),)
        return replace(notification, acknowledgement=Acknowledgement(200, headers))


class LogsTheKey(Afterwards):
    """Logs the key when a genuine delivery arrives."""

    def after(self, notification, delivery):
        log.debug("verified with %s", self._config.webhook_key.reveal())
        return notification


class CachesSignatures(Verifying):
    """Remembers which signatures were right."""

    def __init__(self, config):
        super().__init__(config)
        self._right = set()

    def _verify(self, context, delivery):
        super()._verify(context, delivery)
        self._right.add(self.header(delivery, "fake-signature"))


class Events(FakeProvider):
    """The charge of an event can be changed."""

    def changed(self, charge: Charge, event: Any) -> Charge:
        return charge

    def _event(self, event):
        read = super()._event(event)
        return replace(read, charge=self.changed(read.charge, event)) if read.charge is not None else read


class EventIdIsTheCharge(FakeProvider):
    """An event has the id of its charge."""

    def _event(self, event):
        return replace(super()._event(event), event_id=(event.charge or event.refund).id)


class UnknownIsPaid(Events):
    """In a notification, a word that is in no table is a payment."""

    def changed(self, charge, event):
        unknown = charge.status is PaymentStatus.UNKNOWN
        return replace(charge, status=PaymentStatus.SUCCEEDED) if unknown else charge


class FailedIsPaid(Events):
    """In a notification, what has failed is a payment."""

    def changed(self, charge, event):
        ended = charge.raw_status in {"failed", "cancelled", "expired"}
        return replace(charge, status=PaymentStatus.SUCCEEDED) if ended else charge


class AlwaysPaid(Events):
    """In a notification every charge is paid, by its word too."""

    def changed(self, charge, event):
        return replace(charge, status=PaymentStatus.SUCCEEDED, raw_status="paid", captured=None)


class FloatsForMoney(Events):
    """In a notification amounts are cut to what a float made of them."""

    def changed(self, charge, event):
        return replace(
            charge, amount=Money(minor=int(event.charge.amount / FLOAT * FLOAT), currency=event.charge.currency)
        )


class WrongYen(Events):
    """In a notification the yen has cents."""

    def changed(self, charge, event):
        yen = event.charge.currency == "JPY"
        return replace(charge, amount=Money(minor=event.charge.amount // 100, currency="JPY")) if yen else charge


class RefundReadAsPaid(FakeProvider):
    """A refund's event is told as a paid charge."""

    def _event(self, event):
        refund = event.refund
        if not refund:
            return super()._event(event)
        reference, amount = (
            Reference(refund.order_id, refund.charge),
            Money(minor=refund.amount, currency=refund.currency),
        )
        charge = Charge("fake", reference, PaymentStatus.SUCCEEDED, refund.status, amount)
        return WebhookEvent("fake", Subject.CHARGE, event.type, reference, event.id, charge)


# Requests.


class Asking(FakeProvider):
    """The request of a create can be changed."""

    def asked(self, request: ChargeRequest) -> ChargeRequest:
        return request

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        return (yield from FakeProvider.create_charge(self, authorization, self.asked(request)))


class IgnoresMethod(Asking):
    """Always the wallet."""

    def asked(self, request):
        return replace(request, method="wallet")


class CardAlwaysCaptures(Asking):
    """With the second method, money that was to be held is taken."""

    def asked(self, request):
        return replace(request, capture=True) if request.method == "card" else request


class DeclaresExpiresIn(FakeProvider):
    """Declares `expires_in`, and does not send it."""

    info = replace(FakeProvider.info, charge_options=frozenset({"capture", "expires_in"}))


class DeclaresPaymentToken(FakeProvider):
    """Declares `payment_token`, and does not send it."""

    info = replace(FakeProvider.info, charge_options=frozenset({"payment_token"}))


class ForgetsNotifyUrl(Asking):
    """Sends no address for notifications."""

    def asked(self, request):
        return replace(request, notify_url="")


class SwapsUrls(Asking):
    """Sends the address of the shop's page for notifications, and the other way round."""

    def asked(self, request):
        return replace(request, notify_url=request.return_url, return_url=request.notify_url)


class Posting(FakeProvider):
    """Lets subclasses change what is posted."""

    def posted(self, request: Request, key: str, authorization: Authorization) -> Request:
        return request

    def _post(self, path, body, authorization, *, key):
        return self.posted(super()._post(path, body, authorization, key=key), key, authorization)


def keyed(request: Request, key: str) -> Request:
    return replace(
        request, headers=[(name, key if name == "idempotency-key" else each) for name, each in request.headers]
    )


class KeyByHash(Posting):
    """The key is Python's `hash()`, which is another one in each process."""

    def posted(self, request, key, authorization):
        return keyed(request, f"{hash(key) & 2**64 - 1:x}")


class KeyOfTheProcess(Posting):
    """The key begins with what was drawn when the module was imported."""

    drawn = os.urandom(4).hex()

    def posted(self, request, key, authorization):
        return keyed(request, hashlib.sha256(f"{self.drawn}{key}".encode()).hexdigest())


class SetOrderedBody(FakeProvider):
    """The fields of a body come in the order of a set."""

    def _post(self, path, body, authorization, *, key):
        return super()._post(path, {name: body[name] for name in set(body)}, authorization, key=key)


class KeyOfTheDay(Posting):
    """The key holds the date."""

    def posted(self, request, key, authorization):
        return keyed(request, hashlib.sha256(f"{datetime.now(UTC):%Y%m%d}{key}".encode()).hexdigest())


class AsyncDiffers(Posting):
    """On an event loop refunds have no key."""

    def posted(self, request, key, authorization):
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return request
        unkeyed = [pair for pair in request.headers if pair[0] != "idempotency-key"]
        return replace(request, headers=unkeyed) if request.path == "/refunds" else request


# Purity.


class KeepsTheLastOrder(Asking):
    """Keeps what was asked for last."""

    def asked(self, request):
        self._last = request.order_id
        return request


class CachesTheEnd(FakeProvider):
    """Keeps what has ended in the class, for all accounts."""

    ended: dict[str, Any] = {}

    @hookimpl
    def get_status(self, authorization, reference):
        charge = yield from super().get_status(authorization, reference)
        if charge.status.is_final:
            self.ended[charge.reference.order_id] = charge
        return charge


class OneTokenForAll(FakeProvider):
    """The token is kept in the class, for every account."""

    tokens: dict[str, Authorization] = {}

    def __init__(self, config):
        super().__init__(config)
        self.tokens.clear()

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        if "" not in self.tokens:
            self.tokens[""] = yield from FakeProvider.authorize(self)
        return self.tokens[""]


class FirstTokenForAll(FakeProvider):
    """The first token of the process is everybody's."""

    tokens: dict[str, Authorization] = {}

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        if "" not in self.tokens:
            self.tokens[""] = yield from FakeProvider.authorize(self)
        return self.tokens[""]


class LastKeyVerifiesForAll(FakeProvider):
    """The key of the account that was opened last is everybody's."""

    shared: list[Any] = [None]

    def __init__(self, config):
        super().__init__(config)
        self.shared[0] = config

    def _verify(self, context, delivery):
        mine = self._config
        self._config = self.shared[0]
        try:
            super()._verify(context, delivery)
        finally:
            self._config = mine


class LastAccountSignsForAll(FakeProvider):
    """The configuration of the account that was opened last is everybody's."""

    shared: list[Any] = [None]

    def __init__(self, config):
        self.shared[0] = config

    @property
    def _config(self):
        return self.shared[0]


class ReadsEnvironment(FakeProvider):
    """A variable of the environment turns verification off."""

    def _verify(self, context, delivery):
        if not os.environ.get("FAKE_SKIP_SIGNATURES"):
            super()._verify(context, delivery)


class TellsStatistics(Asking):
    """A create also tells a server of its own."""

    def asked(self, request):
        try:
            urllib.request.urlopen("http://127.0.0.1:9/", timeout=0.1)
        except OSError:
            return request
        return request


class WritesAFile(Posting):
    """Writes every request to a file."""

    def posted(self, request, key, authorization):
        with Path(os.devnull).open("ab") as file:
            file.write(request.body)
        return request


class Sleeps(Asking):
    """Waits in a hook."""

    def asked(self, request):
        time.sleep(0.001)
        return request


class ForgotHookimpl(FakeProvider):
    """Nobody calls what is not marked."""

    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        events = delivery.decode(msgspec.json.Decoder(list[fake._Event]).decode)
        return Notification(tuple(self._event(event) for event in events))


# Secrets.


class PlainConfig(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    client_secret: str
    webhook_key: Secret
    base_url: str = "https://fake.invalid"


class PlainSecret(FakeProvider):
    """A secret of the configuration is text."""

    config_type = PlainConfig


class TellingConfig(msgspec.Struct, frozen=True, kw_only=True):
    client_id: str
    client_secret: Secret
    webhook_key: Secret
    base_url: str = "https://fake.invalid"

    def __repr__(self):
        return f"TellingConfig({self.client_secret.reveal()[:12]}...)"


class APartInARepr(FakeProvider):
    """The repr of the configuration shows a third of a secret."""

    config_type = TellingConfig


class LogsTheToken(Posting):
    """Logs the token of each request."""

    def posted(self, request, key, authorization):
        log.debug("with %s", authorization.token.reveal())
        return request


class Prints(Posting):
    """Writes to the terminal the token of each request."""

    def posted(self, request, key, authorization):
        sys.stderr.write(authorization.token.reveal())
        return request


class Warns(Verifying):
    """Warns with the key."""

    def keys(self):
        warnings.warn(f"verifying with {self._config.webhook_key.reveal()}", stacklevel=1)
        return super().keys()


class TokenInARefusal(FakeProvider):
    """A refusal says with which token it was asked."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        try:
            return (yield from FakeProvider.create_charge(self, authorization, request))
        except Rejected as exc:
            raise Rejected(f"{exc.message}: {authorization.token.reveal()}", code=exc.code) from None


class EncodedTokenInARefusal(FakeProvider):
    """A refusal says with which token it was asked, in a form that the core does not mask."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        try:
            return (yield from FakeProvider.create_charge(self, authorization, request))
        except Rejected as exc:
            told = base64.b64encode(authorization.token.reveal().encode()).decode()
            raise Rejected(f"{exc.message}: {told}", code=exc.code) from None


class TokenInAPage(FakeProvider):
    """The page's address carries the token."""

    @hookimpl
    def create_charge(self, authorization: Authorization, request: ChargeRequest) -> Flow[Charge]:
        charge = yield from FakeProvider.create_charge(self, authorization, request)
        action = charge.next_action
        page = Redirect(f"{action.url}?t={authorization.token.reveal()}") if isinstance(action, Redirect) else None
        return replace(charge, next_action=page)


class SecretInATokenError(FakeProvider):
    """A token answer that cannot be read is told with the secret."""

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        try:
            return (yield from FakeProvider.authorize(self))
        except ProtocolViolation:
            raise ProtocolViolation(f"no token for {self._config.client_secret.reveal()}") from None


class EncodedSecretInATokenError(FakeProvider):
    """A token answer that cannot be read is told with the secret, in a form that the core does not mask."""

    @hookimpl
    def authorize(self) -> Flow[Authorization]:
        try:
            return (yield from FakeProvider.authorize(self))
        except ProtocolViolation:
            told = base64.b64encode(self._config.client_secret.reveal().encode()).decode()
            raise ProtocolViolation(f"no token for {told}") from None


class LogsStaleDeliveries(Verifying):
    """Logs the key with a delivery that is too old."""

    def _verify(self, context, delivery):
        try:
            super()._verify(context, delivery)
        except WebhookRejected as exc:
            if exc.reason == "stale":
                log.info("stale: %s", self._config.webhook_key.reveal())
            raise


class TokenInTheQuery(Posting):
    """The token is in the address, as text."""

    def posted(self, request, key, authorization):
        return replace(request, query=[("access_token", authorization.token.reveal())])


class TokenAsText(Posting):
    """The credentials are a header of plain text."""

    def posted(self, request, key, authorization):
        pairs = [(name, value.reveal() if isinstance(value, Secret) else value) for name, value in request.headers]
        return replace(request, headers=pairs)


class SendsTheWebhookKey(FakeProvider):
    """The key of notifications is sent with each charge."""

    def _post(self, path, body, authorization, *, key):
        more = {"webhook_key": self._config.webhook_key.reveal()} if path == "/charges" else {}
        return super()._post(path, body | more, authorization, key=key)


TOLD = "test_no_token_or_secret_leaks_from_any_call"
PURE = "test_no_hook_reads_the_environment_or_does_io"
ELSEWHERE = "test_another_process_on_another_day_sends_the_same_bytes"
CLOCK = "test_a_delivery_without_its_time_of_receipt_is_judged_by_the_core_s_clock"
OPTION = "test_every_charge_option_that_is_declared_is_sent"
URL = "test_no_secret_is_in_a_url_or_sent_as_text"
FORGED = "test_a_forged_delivery_is_refused"
STATUS = "test_a_status_in_a_notification_is_read_as_documented"
AMOUNT = "test_no_digit_of_an_amount_is_lost_in_a_notification"

# The broken class, the test that notices it, and what that says.
NOTICED = [
    (NeedsReceivedAt, "test_a_delivery_without_its_time_of_receipt_is_believed", "without received_at is refused"),
    (UsesTheWallClock, CLOCK, "received_at is not used as the present time"),
    (StaleOnlyWithReceivedAt, CLOCK, "too old is accepted if received_at is missing"),
    (HeadersByExactCase, "test_headers_are_read_as_servers_give_them", "lower-case bytes (ASGI) are not found"),
    (
        EventIdIsTheCharge,
        "test_two_states_of_a_charge_are_two_events",
        "charge.open and charge.paid of one charge share",
    ),
    (
        EventIdPerDelivery,
        "test_a_redelivery_signed_anew_has_the_same_event_ids",
        "the event_id depends on the delivery",
    ),
    (UnknownIsPaid, STATUS, "unheard_of is reported as SUCCEEDED, not UNKNOWN"),
    (FailedIsPaid, STATUS, "failed is reported as SUCCEEDED, not FAILED"),
    (AlwaysPaid, STATUS, "cancelled is reported as paid"),
    (FloatsForMoney, AMOUNT, "was paid, and the notification is read as"),
    (WrongYen, AMOUNT, "88 JPY was paid, and the notification is read as 0 JPY"),
    (SkipsBadEvents, "test_a_batch_with_one_bad_event_is_refused_whole", "one of 4 events is bad, and 3 are accepted"),
    (
        RefundReadAsPaid,
        "test_every_event_of_a_batch_agrees_with_a_query",
        "refund.succeeded: succeeded is reported as SUCCEEDED, not UNKNOWN",
    ),
    (Acknowledges500, "test_a_genuine_delivery_is_acknowledged", "is answered 500"),
    (AcknowledgesWithTheKey, "test_a_genuine_delivery_is_acknowledged", "webhook_key is in the acknowledgement"),
    (LogsTheExpectedDigest, "test_the_expected_signature_is_never_revealed", "in a log or an error"),
    (RaisesTheExpectedDigest, "test_the_expected_signature_is_never_revealed", "in a log or an error"),
    (
        PreviousKeyWithoutTime,
        "test_a_stale_delivery_of_the_previous_key_is_refused",
        "an old delivery, signed with the previous key, is accepted",
    ),
    (AllButTheLastByte, "test_every_digit_of_a_signature_counts", "digit 63 of the signature is not compared"),
    (StripsLeft, f"{FORGED}[body-space-first]", "a forged delivery is accepted"),
    (StripsLeft, f"{FORGED}[body-newline-first]", "a forged delivery is accepted"),
    (ReadsBeforeItVerifies, "test_nothing_is_read_before_it_is_verified", "parsed before it was verified: malformed"),
    (IgnoresMethod, "test_each_method_is_asked_for", "wallet and card send the same request"),
    (CardAlwaysCaptures, OPTION, "capture is declared in charge_options, but changes no request with card"),
    (DeclaresExpiresIn, OPTION, "expires_in is declared in charge_options, but changes no request"),
    (DeclaresPaymentToken, OPTION, "payment_token is declared in charge_options, but changes no request"),
    (ForgetsNotifyUrl, "test_the_notify_url_is_sent", "notify_url is not sent"),
    (SwapsUrls, "test_a_notification_arrives_at_the_notify_url", "nothing is delivered to the notify_url"),
    (CachesSignatures, "test_a_hook_keeps_nothing", "the hooks have changed self._right"),
    (KeepsTheLastOrder, "test_a_hook_keeps_nothing", "the hooks have changed self._last"),
    (CachesTheEnd, "test_a_hook_keeps_nothing", "the hooks have changed CachesTheEnd.ended"),
    (OneTokenForAll, "test_a_hook_keeps_nothing", "the hooks have changed OneTokenForAll.tokens"),
    (FirstTokenForAll, "test_two_accounts_do_not_touch_each_other", "are confused"),
    (LastAccountSignsForAll, "test_two_accounts_do_not_touch_each_other", "are confused"),
    (LastKeyVerifiesForAll, "test_two_accounts_do_not_touch_each_other", "one verifies with the other's key"),
    (ReadsEnvironment, PURE, "parse_webhook reads os.environ"),
    (TellsStatistics, PURE, "create_charge calls socket.connect()"),
    (WritesAFile, PURE, "calls open()"),
    (Sleeps, PURE, "create_charge calls sleep()"),
    (UsesTheWallClock, PURE, "asks time()"),
    (KeyOfTheDay, PURE, "asks datetime.now()"),
    (KeyByHash, ELSEWHERE, "POST /charges, headers"),
    (KeyOfTheProcess, ELSEWHERE, "after a crash makes another charge"),
    (SetOrderedBody, ELSEWHERE, "POST /charges, body"),
    (AsyncDiffers, "test_sync_and_async_agree_in_every_operation", "refund_charge: sync and async send different"),
    (ForgotHookimpl, "test_every_hook_is_marked", "never called: parse_webhook"),
    (PlainSecret, "test_every_secret_of_the_configuration_is_a_secret", "client_secret of the configuration is text"),
    (APartInARepr, TOLD, "a part of client_secret is in a result"),
    (LogsTheToken, TOLD, "token "),
    (LogsTheKey, TOLD, "webhook_key is in"),
    (Prints, TOLD, "on the terminal"),
    (Warns, TOLD, "webhook_key is in"),
    (EncodedTokenInARefusal, TOLD, "token "),
    (TokenInAPage, TOLD, "token "),
    (EncodedSecretInATokenError, TOLD, "client_secret is in"),
    (LogsStaleDeliveries, TOLD, "webhook_key is in"),
    (TokenInTheQuery, URL, "is sent as text in access_token"),
    (TokenAsText, URL, "is sent as text in authorization"),
    (SendsTheWebhookKey, URL, "webhook_key is sent in the body"),
]
TESTS = sorted({name for _, name, _ in NOTICED})


# Honest, and of another shape: no test of the table above fails with them.


class OnlyHints(FakeProvider):
    """Tells that a charge has changed, and nothing else: whatever happens to it, it is the same hint."""

    info = replace(FakeProvider.info, authoritative_webhooks=False)

    def _event(self, event):
        reference = super()._event(event).reference
        return WebhookEvent("fake", Subject.CHARGE, "changed", reference, f"changed:{reference.provider_id}")


class BusyAndPure(PreviousKey):
    """Logs, imports late, computes a key once, drives a flow with its own slots, and answers with a custom body."""

    __slots__ = ("_once",)

    @functools.cached_property
    def digest_of_the_key(self) -> bytes:
        return hashlib.sha256(self._config.webhook_key.reveal().encode()).digest()

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        import this_is_not_there_yet  # noqa: F401

        notification = FakeProvider.parse_webhook(self, context, delivery)
        assert self.digest_of_the_key
        try:
            raise LookupError
        except LookupError:
            log.exception("a shop may want to know")
        return replace(notification, acknowledgement=Acknowledgement(202, (), b"thanks"))


class OneMethodNoQuestion(Posting):
    """One method, no options, nothing can be asked about, and no key."""

    info = replace(
        FakeProvider.info,
        methods=FakeProvider.info.methods[:1],
        charge_options=frozenset(),
        operations=frozenset(),
        key_lifetime=None,
    )
    get_status = capture_charge = cancel_charge = refund_charge = get_refund = None

    def posted(self, request, key, authorization):
        return replace(
            request, headers=[each for each in request.headers if each[0] != "idempotency-key"], idempotent=False
        )


HONEST = [FakeProvider, PreviousKey, OnlyHints, BusyAndPure, OneMethodNoQuestion]
# The core masks the output of these before anyone reads it.
MASKED = [TokenInARefusal, SecretInATokenError]


def fake_contract() -> Any:
    """The fake's contract, from the file beside this one."""
    spec = importlib.util.spec_from_file_location(
        "contract_of_the_fake", Path(__file__).with_name("test_contract_fake.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TestFake


@contextmanager
def benched(provider: type, **attributes: Any) -> Iterator[tuple[Any, Bench]]:
    contract = type("TestChanged", (fake_contract(),), {"provider": provider, **attributes})
    with make() as sandbox, FaultGateway(sandbox.url) as between:
        yield contract, Bench(contract, sandbox, between)


@pytest.fixture
def run(request, monkeypatch):
    """Call one test of a contract as pytest does, with the fixtures that it names."""

    def call(contract: Any, bench: Bench, name: str) -> None:
        name, _, parameter = name.rstrip("]").partition("[")
        test = getattr(contract(), name)
        known = {"bench": bench, "forgery": parameter}
        wanted = inspect.signature(test).parameters
        test(**{each: known[each] if each in known else request.getfixturevalue(each) for each in wanted})

    return call


@pytest.mark.parametrize(
    ("provider", "name", "said"), NOTICED, ids=[f"{provider.__name__}-{name}" for provider, name, _ in NOTICED]
)
def test_a_breakage_is_noticed(provider, name, said, run):
    """By the test that is meant to, in words that name it."""
    with benched(provider) as (contract, bench):
        assert not applies(contract, name.partition("[")[0])
        with pytest.raises(AssertionError, match=re.escape(said)):
            run(contract, bench, name)


@pytest.mark.parametrize("provider", [*HONEST, *MASKED])
def test_what_is_honest_passes(provider, run, monkeypatch, tmp_path):
    """Every one of these tests that applies to it, in one bench."""
    (tmp_path / "this_is_not_there_yet.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "this_is_not_there_yet", raising=False)
    with benched(provider) as (contract, bench):
        ran = [name for name in TESTS if not applies(contract, name.partition("[")[0])]
        for name in ran:
            bench.reset()
            run(contract, bench, name)
    assert len(ran) >= len(TESTS) - 9, set(TESTS) - set(ran)


def test_a_signature_of_fields_may_be_verified_after_reading_them():
    """If the order of the fields isn't signed, there is no other way to verify."""

    def sign(config: Any, body: bytes, *, at: datetime | None = None) -> tuple[tuple[str, str], ...]:
        fields = b"&".join(sorted(body.strip().split(b"&")))
        return (("Signature", hmac.new(config.webhook_key.reveal().encode(), fields, "sha256").hexdigest()),)

    with benched(FakeProvider) as (contract, bench):
        assert Genuine.of(bench, WebhookDelivery(b"b=2&a=1", [])).covers_bytes()
        contract.make_sandbox = type("make", (), {"sign": staticmethod(sign)})
        assert not Genuine.of(bench, WebhookDelivery(b"b=2&a=1", [])).covers_bytes()


@pytest.mark.parametrize(
    ("body", "spoilt"),
    [
        (b'{"events": [1, 2, 3]}', [b'{"events": [{}, 2, 3]}', b'{"events": [1, 2, null]}']),
        (b"1\n2\n3\n", [b"{}\n2\n3\n", b"1\n2\n{}\n"]),
        (b"<events><event/><event/><event/></events>", [b"<events><event/><event/><event/></events"]),
    ],
)
def test_a_batch_gets_an_invalid_event_in_its_own_format(body, spoilt):
    """JSON, lines of it, or anything else."""
    made = list(events._with_invalid_event(body, 3))
    assert set(spoilt) <= set(made)
    assert body not in made


def test_the_watch_leaves_the_profiler_as_it_was():
    """Whatever happens in its block; and outside of a hook nothing is noted."""
    before = sys.getprofile()
    with contextlib.suppress(LookupError), watched(FakeProvider) as seen:
        time.time()
        os.environ.get("HOME")
        raise LookupError
    assert sys.getprofile() is before
    assert not seen


def test_a_profile_of_the_tests_goes_on_after_the_watch():
    """Whatever Python it is taken with."""
    profile = cProfile.Profile()
    profile.enable()
    with watched(FakeProvider):
        pass
    time.localtime()
    profile.disable()
    assert any("localtime" in str(each.code) for each in profile.getstats())


def test_white_space_before_a_body_is_among_the_forgeries():
    """A verifier that strips the body accepts what nobody has signed."""
    assert {"body-space-first", "body-newline-first"} <= FORGERIES.keys()
