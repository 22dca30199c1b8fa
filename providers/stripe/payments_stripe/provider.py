"""Accept Alipay, WeChat Pay and cards through Stripe. The README lists what is documented and what is not known."""

from __future__ import annotations

from typing import Final

import msgspec

from payments_core import (
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Context,
    Flow,
    InvalidRequest,
    Limits,
    Method,
    Money,
    NotFound,
    Notification,
    ProviderInfo,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    Rejected,
    RejectionCode,
    Request,
    Response,
    Secret,
    WebhookDelivery,
    hookimpl,
    segment,
)

from . import amounts, events, forms, mapping, refunds, webhook, wire
from .config import StripeConfig

__all__ = ["StripeProvider"]

_FORM: Final = ("content-type", "application/x-www-form-urlencoded")


class StripeProvider:
    """Implement the hooks for Stripe. Hooks are pure: one instance serves any number of sync and async callers."""

    config_type = StripeConfig
    info = ProviderInfo(
        id="stripe",
        title="Stripe",
        contract=1,
        operations=frozenset({"capture_charge", "cancel_charge", "refund_charge", "get_refund"}),
        currencies=amounts.CURRENCIES,
        methods=(Method("alipay", "Alipay"), Method("wechat_pay", "WeChat Pay"), Method(forms.CARD, "Card")),
        channels=frozenset({Channel.WEB, Channel.MOBILE_WEB}),
        limits=Limits(order_id_length=wire.LONGEST_ID, description_length=wire.LONGEST_DESCRIPTION),
        raw_statuses=mapping.STATUSES,
        query_by=frozenset({"provider_id"}),
        # docs.stripe.com/api/idempotent_requests: removed "after they're at least 24 hours old".
        key_lifetime=24 * 3600,
        charge_options=frozenset({"capture"}),
        authoritative_webhooks=True,
    )

    def __init__(self, config: StripeConfig) -> None:
        self._keys = tuple(key for key in (config.webhook_key, config.previous_webhook_key) if key)
        self._livemode = config.livemode
        self.info = msgspec.structs.replace(type(self).info, moves_money=config.livemode)
        self._headers = (
            ("authorization", Secret(f"Bearer {config.api_key.reveal()}")),
            ("stripe-version", wire.VERSION),
        )

    @hookimpl
    def create_charge(self, request: ChargeRequest) -> Flow[Charge]:
        """Create a confirmed PaymentIntent for a wallet, a Checkout Session for cards; one key per order."""
        path, form = forms.create(request)
        response = yield self._post(path, form, forms.key("create", request.order_id))
        return mapping.charge(self.info.id, response, creating=True)

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        """Query either object, with its amounts."""
        response = yield self._ask(reference)
        return mapping.charge(self.info.id, response)

    @hookimpl
    def capture_charge(self, request: CaptureRequest) -> Flow[Charge]:
        """Capture once; the rest of the amount is released (docs.stripe.com/api/payment_intents/capture)."""
        form = forms.capture(request)
        intent, _ = yield from self._fetch_payment(request.reference, request.amount)
        key = forms.key("capture", request.capture_id, intent)
        response = yield self._post(f"{wire.INTENTS}/{segment(intent)}/capture", form, key)
        return mapping.charge(self.info.id, response, of=request.reference, intent=intent)

    @hookimpl
    def cancel_charge(self, reference: Reference) -> Flow[Charge]:
        """Cancel a PaymentIntent, or expire an open session; if it is too late, return the charge as it is.

        A session's PaymentIntent is canceled only if its money is held (docs.stripe.com/api/payment_intents/cancel).
        """
        intent = reference.provider_id
        if forms.is_session(reference):
            response = yield self._ask(reference)
            session = mapping.session(response, reference, self._livemode)
            if session.status == "open":
                return (yield from self._end_charge(self._expire(reference.provider_id), reference))
            if not mapping.is_held(session):
                return mapping.charge(self.info.id, response)
            intent = mapping.intent_of(session)
        return (yield from self._end_charge(self._cancel(intent), reference, intent))

    @hookimpl
    def refund_charge(self, request: RefundRequest) -> Flow[Refund]:
        """Refund, unless the charge already has a refund with this refund_id (docs.stripe.com/api/refunds/create).

        The key alone isn't enough: Stripe forgets it after a day, and the money would be refunded twice.
        """
        form = forms.refund(request)
        intent, order_id = yield from self._fetch_payment(request.reference, request.amount)
        asked = RefundReference(request.refund_id, reference=request.reference)
        made, namesake = yield from self._find_refund(asked, intent)
        if made is not None:
            return refunds.same(made, request)
        if namesake:
            raise refunds.possible_duplicate(request.refund_id, namesake)
        key = forms.key("refund", request.refund_id, intent)
        response = yield self._post(wire.REFUNDS, (*forms.refund_of(intent, order_id), *form), key)
        return refunds.read(self.info.id, response, request.reference, intent)

    @hookimpl
    def get_refund(self, reference: RefundReference) -> Flow[Refund]:
        """Get a refund by Stripe's id, or find ours among the refunds of the charge."""
        charge = reference.reference
        intent = (yield from self._fetch_intent_id(charge)) if charge is not None and charge.provider_id else ""
        if reference.provider_id:
            response = yield self._get(f"{wire.REFUNDS}/{segment(reference.provider_id)}")
            return refunds.read(self.info.id, response, charge, intent)
        if not intent:
            raise InvalidRequest(
                "Stripe finds a refund_id only among its charge's refunds: set reference", field="reference"
            )
        found, _ = yield from self._find_refund(reference, intent)
        if found is None:
            raise NotFound("Stripe has no refund of this charge with this refund_id")
        return found

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        """Verify the bytes, then read them, without any request."""
        webhook.verify(delivery, self._keys, context.now)
        return events.notification(self.info.id, delivery, livemode=self._livemode)

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """Return the request id (docs.stripe.com/api/request_ids)."""
        return mapping.request_id(response)

    @hookimpl
    def read_retry_advice(self, response: Response) -> bool | None:
        """Read `Stripe-Should-Retry` (docs.stripe.com/error-low-level)."""
        return {"true": True, "false": False}.get(response.header("stripe-should-retry") or "")

    def _fetch_payment(self, reference: Reference, amount: Money) -> Flow[tuple[str, str]]:
        """Fetch the PaymentIntent of a charge and its order id: the calls that follow take no currency."""
        intent, order_id = mapping.taken_from((yield self._ask(reference)), reference, amount, self._livemode)
        if not intent:
            raise _nothing_paid()
        return intent, order_id

    def _fetch_intent_id(self, reference: Reference) -> Flow[str]:
        """Return the PaymentIntent of a charge; for a session, fetch the session first."""
        if not forms.is_session(reference):
            return reference.provider_id
        intent = mapping.intent_of(mapping.session((yield self._ask(reference)), reference, self._livemode))
        if not intent:
            raise _nothing_paid()
        return intent

    def _find_refund(self, reference: RefundReference, intent: str) -> Flow[tuple[Refund | None, str]]:
        """Return the refund with the caller's own id on a PaymentIntent, or the id of one that may be the same."""
        after = namesake = ""
        while True:
            response = yield self._get(wire.REFUNDS, forms.page(intent, after))
            found, other, after = refunds.find(self.info.id, response, reference, intent, after)
            namesake = namesake or other
            if found is not None or not after:
                return found, namesake

    def _expire(self, session: str) -> Request:
        return self._post(f"{wire.SESSIONS}/{segment(session)}/expire")

    def _cancel(self, intent: str) -> Request:
        return self._post(f"{wire.INTENTS}/{segment(intent)}/cancel")

    def _end_charge(self, request: Request, reference: Reference, intent: str = "") -> Flow[Charge]:
        """Send the request that ends a charge. If it is refused, query: the charge may have ended already."""
        response = yield request
        if mapping.is_success(response):
            return mapping.charge(self.info.id, response, of=reference, intent=intent)
        refusal = mapping.too_late(response)
        try:
            charge = yield from self.get_status(reference)
        except (Rejected, NotFound):
            raise refusal from None  # the answer to the query says nothing about the cancellation
        if charge.status.is_final:
            return charge
        raise refusal

    def _ask(self, reference: Reference) -> Request:
        path = wire.SESSIONS if forms.is_session(reference) else wire.INTENTS
        return self._get(f"{path}/{segment(reference.provider_id)}", forms.expansion(reference))

    def _get(self, path: str, query: forms.Pairs = ()) -> Request:
        return Request("GET", path, query=query, headers=self._headers, safe=True)

    def _post(self, path: str, form: forms.Pairs = (), key: str = "") -> Request:
        """Build a POST with one effect: by its key; or without one, if the charge cannot end twice anyway.

        A key would also keep a refusal: nothing that was refused once could be cancelled for a day.
        """
        headers = (*self._headers, _FORM, *((("idempotency-key", key),) if key else ()))
        return Request("POST", path, headers=headers, body=forms.encode(form), idempotent=True)


def _nothing_paid() -> Rejected:
    return Rejected(
        "the Checkout Session has no PaymentIntent: nothing was paid", code=RejectionCode.INVALID, definitive=True
    )
