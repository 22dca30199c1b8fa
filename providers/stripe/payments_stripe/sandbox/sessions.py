"""Open, pay and expire Checkout Sessions (docs.stripe.com/payments/checkout/how-checkout-works)."""

from __future__ import annotations

from . import payments, views
from .checkout import LIFETIME, Open
from .gateway import LocalGateway
from .records import Intent, Session
from .refusals import invalid

__all__ = ["complete", "create", "end", "expire", "expire_due", "make_intent"]


def create(gateway: LocalGateway, asked: Open) -> Session:
    """Play POST /v1/checkout/sessions; there is no PaymentIntent yet, and no event."""
    now = gateway.now()
    if asked.expires is not None and not now + 1800 <= asked.expires <= now + LIFETIME:
        raise invalid("expires_at must be between 30 minutes and 24 hours from now.", param="expires_at")
    session = Session(
        gateway.new_id("objects", "cs_test_a1", 56),
        asked.amount,
        asked.currency,
        now,
        asked.expires or now + LIFETIME,
        asked.success_url,
        asked.cancel_url,
        asked.methods,
        asked.name,
        asked.metadata,
        asked.client_reference_id,
        asked.customer_email,
        asked.adaptive_pricing,
        asked.intent_metadata,
        asked.intent_description,
        asked.capture_method,
    )
    gateway.sessions[session.id] = session
    return session


def make_intent(gateway: LocalGateway, session: Session) -> Intent:
    """Return the session's PaymentIntent; make it when the shopper confirms for the first time."""
    if session.intent:
        intent = gateway.intents[session.intent]
        intent.payment_method = intent.payment_method or gateway.new_id("objects", "pm_1", 23)
        return intent
    made = gateway.new_id("objects", "pi_3", 23)
    intent = Intent(
        made,
        gateway.new_id("secrets", f"{made}_secret_", 25),
        session.amount,
        session.currency,
        gateway.now(),
        session.methods,
        dict(session.intent_metadata),
        session.intent_description,
        capture_method=session.capture_method,
        method="card" if "card" in session.methods else session.methods[0],
        payment_method=gateway.new_id("objects", "pm_1", 23),
        session=session.id,
    )
    gateway.intents[made] = intent
    session.intent = made
    payments.publish(gateway, "payment_intent.created", intent)
    return intent


def complete(gateway: LocalGateway, session: Session) -> None:
    """Complete a paid or authorized session; it is paid only if the money has moved."""
    intent = gateway.intents[session.intent]
    session.status = "complete"
    session.payment_status = "paid" if intent.status == "succeeded" else "unpaid"
    publish(gateway, "checkout.session.completed", session)


def expire(gateway: LocalGateway, session: Session) -> None:
    """Play POST /v1/checkout/sessions/{id}/expire."""
    if session.status != "open":
        # The status of the refusal is documented, its code is not.
        raise invalid(f'Only Checkout Sessions with a status in ["open"] can be expired. It is {session.status}.')
    end(gateway, session)


def end(gateway: LocalGateway, session: Session) -> None:
    """End the session, and cancel the PaymentIntent that an attempt has left."""
    session.status = "expired"
    if session.intent and gateway.intents[session.intent].status in payments.CANCELLABLE:
        payments.close(gateway, gateway.intents[session.intent], "automatic")
    publish(gateway, "checkout.session.expired", session)


def expire_due(gateway: LocalGateway, now: int) -> None:
    """Expire every session that is due."""
    for session in list(gateway.sessions.values()):
        if session.status == "open" and now >= session.expires:
            end(gateway, session)


def publish(gateway: LocalGateway, kind: str, session: Session) -> None:
    """Publish an event about this session."""
    gateway.publish(kind, session.id, views.session(gateway, session))
