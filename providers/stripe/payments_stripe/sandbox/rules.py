"""Check each request as Stripe does, before it is executed. Refusals here are not kept for an idempotency key.

Written from docs.stripe.com/api alone, without the provider's `wire` module on purpose: a second reading of the same
pages finds a mistake that a shared one would hide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .currencies import check_amount, check_currency, supports
from .fields import Fields
from .refusals import invalid

__all__ = [
    "Cancel",
    "Capture",
    "Confirm",
    "Intend",
    "MakeRefund",
    "Page",
    "read_cancel",
    "read_capture",
    "read_confirm",
    "read_intent",
    "read_page",
    "read_refund",
]

METHODS: Final = ("card", "alipay", "wechat_pay")
"""The payment methods that are enabled in this sandbox's dashboard."""

_IGNORED_BY_INTENT: Final = (
    "amount_details application_fee_amount confirmation_method customer customer_account error_on_requires_action"
    " excluded_payment_method_types hooks mandate mandate_data off_session on_behalf_of payment_details"
    " payment_method_configuration radar_options receipt_email setup_future_usage shipping statement_descriptor"
    " statement_descriptor_suffix transfer_data transfer_group use_stripe_sdk"
).split()
_CONFIRMING: Final = ("payment_method", "payment_method_data", "payment_method_options", "return_url", "expand")


@dataclass(frozen=True)
class Confirm:
    """The payment method of a PaymentIntent; `method` is `""` if none was given."""

    method: str = ""
    payment_method: str = ""
    return_url: str = ""
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Intend:
    """A PaymentIntent to create. `methods` are the requested ones that it can have."""

    amount: int
    currency: str
    methods: tuple[str, ...]
    metadata: dict[str, str]
    description: str
    capture_method: str
    confirm: bool
    how: Confirm
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Capture:
    amount: int | None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cancel:
    reason: str
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class MakeRefund:
    intent: str
    charge: str
    amount: int | None
    reason: str
    metadata: dict[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A page of a list."""

    limit: int
    starting_after: str
    filters: dict[str, str]


def read_intent(form: Mapping[str, Any]) -> Intend:
    """Read POST /v1/payment_intents."""
    own = ("amount", "currency", "confirm", "metadata", "description", "capture_method", "allowed_payment_method_types")
    fields = Fields(form, (*own, *_CONFIRMING, "automatic_payment_methods"), _IGNORED_BY_INTENT)
    amount = fields.whole("amount")
    currency = check_currency(fields.text("currency", needed=True))
    check_amount(amount, currency)
    if "allowed_payment_method_types" in fields and "automatic_payment_methods" in fields:
        raise invalid(
            "allowed_payment_method_types and automatic_payment_methods cannot be used together.",
            "parameters_exclusive",
            "allowed_payment_method_types",
            invented=True,
        )
    fields.inner("automatic_payment_methods", ("enabled", "allow_redirects"))
    confirm = fields.boolean("confirm")
    capture_method = fields.one_of("capture_method", ("automatic", "automatic_async", "manual"), "automatic_async")
    if "return_url" in fields and not confirm:
        raise invalid("return_url can only be used with confirm=true", param="return_url")
    return Intend(
        amount,
        currency,
        compatible(fields.words("allowed_payment_method_types") or METHODS, currency, capture_method),
        fields.metadata(),
        fields.text("description"),
        capture_method,
        confirm,
        _read_how(fields, confirm=confirm),
        fields.ignored,
    )


def compatible(asked: tuple[str, ...], currency: str, capture_method: str) -> tuple[str, ...]:
    """Return the compatible types; the others are dropped silently (docs.stripe.com/changelog/endive)."""
    return tuple(
        method
        for method in asked
        if method in METHODS
        and supports(method, currency)
        # docs.stripe.com/payments/alipay and /wechat-pay: "Manual capture support: No".
        and (method == "card" or capture_method != "manual")
    )


def read_confirm(form: Mapping[str, Any]) -> Confirm:
    """Read POST /v1/payment_intents/{id}/confirm."""
    ignored = (*_IGNORED_BY_INTENT, "confirmation_token", "capture_method", "amount_to_confirm")
    return _read_how(Fields(form, _CONFIRMING, ignored), confirm=True)


def _read_how(fields: Fields, *, confirm: bool) -> Confirm:
    data = fields.inner(
        "payment_method_data", ("type", "alipay", "wechat_pay"), ("billing_details", "metadata", "allow_redisplay")
    )
    method = data.text("type", needed="payment_method_data" in fields)
    payment_method = fields.text("payment_method")
    options = fields.inner("payment_method_options", METHODS)
    wechat = options.inner("wechat_pay", ("client",), ("app_id", "setup_future_usage"))
    client = wechat.one_of("client", ("web", "android", "ios"))
    return_url = fields.url("return_url")
    if method and payment_method:
        raise invalid(
            "Only one of payment_method and payment_method_data is taken.", "parameters_exclusive", "payment_method"
        )
    if method == "card":
        # docs.stripe.com/security/guide: numbers of cards belong to Stripe's own pages. Test PaymentMethods do here.
        raise invalid(
            "Card numbers are not taken; use a test PaymentMethod such as pm_card_visa.", param="payment_method_data"
        )
    if payment_method and not payment_method.startswith("pm_card_"):
        raise invalid(f"No such PaymentMethod: '{payment_method[:64]}'", "resource_missing", "payment_method")
    if confirm and method in ("alipay", "wechat_pay"):
        if not return_url:
            raise invalid(
                "A return_url must be provided to confirm with a redirect.", "parameter_missing", "return_url"
            )
        if method == "wechat_pay" and not client:
            name = "payment_method_options[wechat_pay][client]"
            raise invalid(f"Missing required param: {name}.", "parameter_missing", name)
    return Confirm(method or ("card" if payment_method else ""), payment_method, return_url, fields.ignored)


def read_capture(form: Mapping[str, Any]) -> Capture:
    """Read POST /v1/payment_intents/{id}/capture."""
    ignored = (
        "amount_details application_fee_amount final_capture hooks metadata payment_details statement_descriptor"
        " statement_descriptor_suffix transfer_data"
    ).split()
    fields = Fields(form, ("amount_to_capture", "expand"), ignored)
    return Capture(fields.integer("amount_to_capture"), fields.ignored)


def read_cancel(form: Mapping[str, Any]) -> Cancel:
    """Read POST /v1/payment_intents/{id}/cancel."""
    fields = Fields(form, ("cancellation_reason", "expand"))
    reasons = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
    return Cancel(fields.one_of("cancellation_reason", reasons), fields.ignored)


def read_refund(form: Mapping[str, Any]) -> MakeRefund:
    """Read POST /v1/refunds."""
    ignored = (
        "currency customer customer_account instructions_email origin refund_application_fee reverse_transfer".split()
    )
    fields = Fields(form, ("payment_intent", "charge", "amount", "reason", "metadata", "expand"), ignored)
    intent, charge = fields.text("payment_intent"), fields.text("charge")
    if not intent and not charge:
        raise invalid(
            "One of the following params should be provided: payment_intent or charge.",
            "parameter_missing",
            "payment_intent",
        )
    return MakeRefund(
        intent,
        charge,
        fields.integer("amount"),
        fields.one_of("reason", ("duplicate", "fraudulent", "requested_by_customer")),
        fields.metadata(),
        fields.ignored,
    )


def read_page(query: Mapping[str, Any], filters: tuple[str, ...], ignored: tuple[str, ...] = ("created",)) -> Page:
    """Read the parameters of a list (docs.stripe.com/api/pagination): a limit between 1 and 100, newest first."""
    fields = Fields(query, ("limit", "starting_after", "expand", *filters), ignored)
    limit = fields.integer("limit") or 10
    if limit > 100:
        raise invalid("This value must be less than or equal to 100.", "parameter_invalid_integer", "limit")
    return Page(
        limit,
        fields.text("starting_after"),
        {name: fields.text(name) for name in filters if name in fields},
    )
