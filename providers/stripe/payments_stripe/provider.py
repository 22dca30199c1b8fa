"""Alipay, WeChat Pay and cards, through Stripe. What it sends, and what each answer means, is in the README."""

from __future__ import annotations

from typing import Final

from payments_core import (
    CaptureRequest,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    InvalidRequest,
    Limits,
    Method,
    NotFound,
    Notification,
    ProtocolViolation,
    ProviderInfo,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    Rejected,
    RejectionCode,
    Response,
    Secret,
    WebhookDelivery,
    hookimpl,
    segment,
)

from . import mapping, refusals, requests, webhook, wire
from .amounts import CURRENCIES
from .config import StripeConfig

__all__ = ["StripeProvider"]

_MODES: Final = {"sk_live_": True, "rk_live_": True, "sk_test_": False, "rk_test_": False}
_MOST_PAGES: Final = 20  # of a hundred refunds each


class StripeProvider:
    """The hooks of Stripe: pure, so one instance serves any number of sync and async callers.

    A charge is a PaymentIntent (`pi_...`) for the wallets and a Checkout Session (`cs_...`) for cards. The key is static,
    so there is no `authorize`.
    """

    config_type = StripeConfig
    info = ProviderInfo(
        id="stripe",
        title="Stripe",
        contract=1,
        operations=frozenset({"capture_charge", "cancel_charge", "refund_charge", "get_refund"}),
        currencies=CURRENCIES,
        methods=(Method("alipay", "Alipay"), Method("wechat_pay", "WeChat Pay"), Method("card", "Card")),
        channels=requests.CHANNELS,
        limits=Limits(order_id_length=200),  # CS: client_reference_id
        raw_statuses=mapping.STATUSES,
        query_by=frozenset({"provider_id"}),
        key_lifetime=24 * 3600,  # ID: keys are kept for 24 hours at least
        charge_options=frozenset({"capture"}),
        authoritative_webhooks=True,
    )

    def __init__(self, config: StripeConfig) -> None:
        key = config.api_key.reveal()
        self._key = Secret(f"Bearer {key}")
        self._live = _MODES.get(key[:8])
        self._webhook_keys = tuple(each for each in (config.webhook_key, config.previous_webhook_key) if each)

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Flow[Charge]:
        """PI and CS: one order has one key, so it is one charge."""
        card = request.method == "card"
        path, body = (wire.SESSIONS, requests.page(request)) if card else (wire.INTENTS, requests.wallet(request))
        response = yield requests.post(path, body, self._key, "create", request.order_id)
        if (declined := refusals.charge_of(self.info.id, response)) is not None:
            return declined
        return self._session(response) if card else self._intent(response, strict=True)

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        """PI and CS: by Stripe's own id, because nothing else finds a charge at once and for certain."""
        response = yield requests.find(reference, self._key)
        return self._session(response) if requests.is_session(reference) else self._intent(response)

    @hookimpl
    def capture_charge(self, request: CaptureRequest) -> Flow[Charge]:
        """PI: takes held money, or a part of it; Stripe releases the rest."""
        body, asked = requests.capture(request), request.reference.provider_id
        intent_id = yield from self._intent_of(request.reference)
        path = f"{wire.INTENTS}/{segment(intent_id)}/capture"
        response = yield requests.post(path, body, self._key, "capture", asked, request.capture_id)
        return self._intent(response, provider_id=asked)

    @hookimpl
    def cancel_charge(self, reference: Reference) -> Flow[Charge]:
        """PI: cancels; CS: expires the page while it is open, and later cancels what it has held."""
        asked = reference.provider_id
        path = f"{wire.INTENTS}/{segment(asked)}/cancel"
        if requests.is_session(reference):
            session = self._read_session((yield requests.find(reference, self._key)))
            path = f"{wire.SESSIONS}/{segment(asked)}/expire"
            if session.status != "open" and (intent_id := _intent_id(session)):
                path = f"{wire.INTENTS}/{segment(intent_id)}/cancel"
        response = yield requests.post(path, b"", self._key, "cancel", path)
        if path.startswith(wire.SESSIONS):
            return self._session(response)
        return self._intent(response, provider_id=asked)

    @hookimpl
    def refund_charge(self, request: RefundRequest) -> Flow[Refund]:
        """RE: gives all or a part back; a wallet's refund is pending at first, and may still fail."""
        intent_id = yield from self._intent_of(request.reference)
        body, asked = requests.refund(request, intent_id), request.reference.provider_id
        response = yield requests.post(wire.REFUNDS, body, self._key, "refund", asked, request.refund_id)
        return self._refund(response)

    @hookimpl
    def get_refund(self, reference: RefundReference) -> Flow[Refund]:
        """RE: by Stripe's id; by ours it is looked for among the charge's refunds."""
        if reference.provider_id:
            return self._refund((yield requests.get(f"{wire.REFUNDS}/{segment(reference.provider_id)}", self._key)))
        return (yield from self._search(reference))

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        """EV: verify the bytes and the time, then read them."""
        webhook.verify(delivery, self._webhook_keys, context.now)
        return webhook.notification(self.info.id, delivery, live=self._live)

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """ER: in a header of every answer."""
        return mapping.request_id(response)

    @hookimpl
    def read_retry_advice(self, response: Response) -> bool | None:
        """`Stripe-Should-Retry`, where Stripe sends it."""
        return {"true": True, "false": False}.get(response.header("stripe-should-retry") or "")

    def _intent(self, response: Response, *, provider_id: str = "", strict: bool = False) -> Charge:
        if response.status != 200:
            raise refusals.refused(response)
        intent, rid = response.decode(wire.INTENT), mapping.request_id(response)
        return mapping.intent_charge(self.info.id, intent, rid, provider_id=provider_id, strict=strict)

    def _read_session(self, response: Response) -> wire.Session:
        if response.status != 200:
            raise refusals.refused(response)
        return response.decode(wire.SESSION)

    def _session(self, response: Response) -> Charge:
        return mapping.session_charge(self.info.id, self._read_session(response), mapping.request_id(response))

    def _refund(self, response: Response) -> Refund:
        if response.status != 200:
            raise refusals.refused(response)
        return mapping.refund(self.info.id, response.decode(wire.REFUND), mapping.request_id(response))

    def _intent_of(self, reference: Reference) -> Flow[str]:
        """The PaymentIntent that has the charge's money."""
        if not requests.is_session(reference):
            return reference.provider_id
        session = self._read_session((yield requests.find(reference, self._key)))
        if session.id != reference.provider_id:
            raise ProtocolViolation("Stripe answered about another session")
        if not (found := _intent_id(session)):
            raise Rejected(
                "nothing was paid on this page yet, so there is nothing to take or to give back",
                code=RejectionCode.INVALID,
                definitive=True,
            )
        return found

    def _search(self, reference: RefundReference) -> Flow[Refund]:
        if reference.reference is None:
            raise _no_charge()
        intent_id = yield from self._intent_of(reference.reference)
        query = [("payment_intent", intent_id), ("limit", "100")]
        for _ in range(_MOST_PAGES):
            response = yield requests.get(wire.REFUNDS, self._key, *query)
            if response.status != 200:
                raise refusals.refused(response)
            found = response.decode(wire.REFUND_LIST)
            for each in found.data:
                if each.metadata.get("refund_id") == reference.refund_id:
                    return mapping.refund(self.info.id, each, mapping.request_id(response))
            if not found.has_more or not found.data:
                raise NotFound("Stripe has no refund of this charge with this refund_id")
            query = [*query[:2], ("starting_after", found.data[-1].id)]
        raise ProtocolViolation(f"this charge has more than {_MOST_PAGES * 100} refunds: ask by provider_id")


def _intent_id(session: wire.Session) -> str:
    intent = session.payment_intent
    return intent.id if isinstance(intent, wire.Intent) else intent or ""


def _no_charge() -> InvalidRequest:
    return InvalidRequest(
        "Stripe finds a refund by its provider_id, or by refund_id among those of a charge: give its reference too",
        field="reference",
    )
