"""Alipay, WeChat Pay and cards, through Stripe. What it documents, and what nobody knows, is in the README."""

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
    """The hooks of Stripe: pure, so one instance serves any number of sync and async callers."""

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
        """A confirmed PaymentIntent for a wallet, a Checkout Session for cards; one key for one order."""
        path, form = forms.create(request)
        response = yield self._post(path, form, forms.key("create", request.order_id))
        return mapping.charge(self.info.id, response, creating=True)

    @hookimpl
    def get_status(self, reference: Reference) -> Flow[Charge]:
        """Either object, with what it says of the money."""
        response = yield self._ask(reference)
        return mapping.charge(self.info.id, response)

    @hookimpl
    def capture_charge(self, request: CaptureRequest) -> Flow[Charge]:
        """docs.stripe.com/api/payment_intents/capture: once, and what is left of the amount is released."""
        form = forms.capture(request)
        intent, _ = yield from self._taken_from(request.reference, request.amount)
        key = forms.key("capture", request.capture_id, intent)
        response = yield self._post(f"{wire.INTENTS}/{segment(intent)}/capture", form, key)
        return mapping.charge(self.info.id, response, of=request.reference, intent=intent)

    @hookimpl
    def cancel_charge(self, reference: Reference) -> Flow[Charge]:
        """A PaymentIntent is canceled and an open session expired; where it is too late, the charge as it stands.

        Of a session's PaymentIntent only held money is let go (docs.stripe.com/api/payment_intents/cancel).
        """
        intent = reference.provider_id
        if forms.is_session(reference):
            response = yield self._ask(reference)
            session = mapping.session(response, reference, self._livemode)
            if session.status == "open":
                return (yield from self._ended(self._expire(reference.provider_id), reference))
            if not mapping.is_held(session):
                return mapping.charge(self.info.id, response)
            intent = mapping.intent_of(session)
        return (yield from self._ended(self._cancel(intent), reference, intent))

    @hookimpl
    def refund_charge(self, request: RefundRequest) -> Flow[Refund]:
        """docs.stripe.com/api/refunds/create, where the charge has no refund with this refund_id yet.

        The key alone would not do: Stripe forgets it after a day, and the money would go back a second time.
        """
        form = forms.refund(request)
        intent, order_id = yield from self._taken_from(request.reference, request.amount)
        asked = RefundReference(request.refund_id, reference=request.reference)
        made, namesake = yield from self._find_refund(asked, intent)
        if made is not None:
            return refunds.same(made, request)
        if namesake:
            raise refunds.perhaps_made(request.refund_id, namesake)
        key = forms.key("refund", request.refund_id, intent)
        response = yield self._post(wire.REFUNDS, (*forms.refund_of(intent, order_id), *form), key)
        return refunds.read(self.info.id, response, request.reference, intent)

    @hookimpl
    def get_refund(self, reference: RefundReference) -> Flow[Refund]:
        """By Stripe's id; or by ours, among the refunds of the charge."""
        charge = reference.reference
        intent = (yield from self._paid_by(charge)) if charge is not None and charge.provider_id else ""
        if reference.provider_id:
            response = yield self._get(f"{wire.REFUNDS}/{segment(reference.provider_id)}")
            return refunds.read(self.info.id, response, charge, intent)
        if not intent:
            raise InvalidRequest("Stripe finds a refund_id among the refunds of a charge: name it", field="reference")
        found, _ = yield from self._find_refund(reference, intent)
        if found is None:
            raise NotFound("Stripe has no refund of this charge with this refund_id")
        return found

    @hookimpl
    def parse_webhook(self, context: Context, delivery: WebhookDelivery) -> Notification:
        """Verify the bytes, then read them; nothing is asked."""
        webhook.verify(delivery, self._keys, context.now)
        return events.notification(self.info.id, delivery, livemode=self._livemode)

    @hookimpl
    def read_request_id(self, response: Response) -> str:
        """docs.stripe.com/api/request_ids."""
        return mapping.request_id(response)

    @hookimpl
    def read_retry_advice(self, response: Response) -> bool | None:
        """docs.stripe.com/error-low-level: `Stripe-Should-Retry`."""
        return {"true": True, "false": False}.get(response.header("stripe-should-retry") or "")

    def _taken_from(self, reference: Reference, amount: Money) -> Flow[tuple[str, str]]:
        """The PaymentIntent of a charge and its order id, asked for: Stripe takes no currency with what follows."""
        intent, order_id = mapping.taken_from((yield self._ask(reference)), reference, amount, self._livemode)
        if not intent:
            raise _nothing_paid()
        return intent, order_id

    def _paid_by(self, reference: Reference) -> Flow[str]:
        """The PaymentIntent of a charge: of a session, as the session says."""
        if not forms.is_session(reference):
            return reference.provider_id
        intent = mapping.intent_of(mapping.session((yield self._ask(reference)), reference, self._livemode))
        if not intent:
            raise _nothing_paid()
        return intent

    def _find_refund(self, reference: RefundReference, intent: str) -> Flow[tuple[Refund | None, str]]:
        """Return the refund with the caller's own id among those of a PaymentIntent, or the id of a namesake of it."""
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

    def _ended(self, request: Request, reference: Reference, intent: str = "") -> Flow[Charge]:
        """Send what ends a charge. Where it is refused, ask: it may have ended already."""
        response = yield request
        if mapping.is_success(response):
            return mapping.charge(self.info.id, response, of=reference, intent=intent)
        refusal = mapping.too_late(response)
        try:
            charge = yield from self.get_status(reference)
        except (Rejected, NotFound):
            raise refusal from None  # the answer to the question says nothing about the cancellation
        if charge.status.is_final:
            return charge
        raise refusal

    def _ask(self, reference: Reference) -> Request:
        path = wire.SESSIONS if forms.is_session(reference) else wire.INTENTS
        return self._get(f"{path}/{segment(reference.provider_id)}", forms.expansion(reference))

    def _get(self, path: str, query: forms.Pairs = ()) -> Request:
        return Request("GET", path, query=query, headers=self._headers, safe=True)

    def _post(self, path: str, form: forms.Pairs = (), key: str = "") -> Request:
        """A POST with one effect: by its key; or without one, because what has ended cannot end once more.

        A key would also keep a refusal: for a day nothing could be cancelled that was refused once.
        """
        headers = (*self._headers, _FORM, *((("idempotency-key", key),) if key else ()))
        return Request("POST", path, headers=headers, body=forms.encode(form), idempotent=True)


def _nothing_paid() -> Rejected:
    return Rejected(
        "the Checkout Session has no PaymentIntent: nothing was paid", code=RejectionCode.INVALID, definitive=True
    )
