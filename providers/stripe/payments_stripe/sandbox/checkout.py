"""Check a Checkout Session as Stripe does: hosted, paid once, with prices given inline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from .currencies import check_amount, check_currency
from .fields import Fields
from .refusals import invalid
from .rules import METHODS, compatible

__all__ = ["LIFETIME", "Open", "read_session"]

LIFETIME: Final = 24 * 3600
"""docs.stripe.com/api/checkout/sessions/create, `expires_at`: "By default, this value is 24 hours from creation"."""

_IGNORED: Final = (
    "after_expiration allow_promotion_codes automatic_tax billing_address_collection branding_settings"
    " consent_collection custom_fields custom_text customer customer_account customer_creation customer_update"
    " discounts excluded_payment_method_types integration_identifier invoice_creation locale managed_payments"
    " name_collection optional_items origin_context payment_method_collection payment_method_configuration"
    " payment_method_data payment_method_options permissions phone_number_collection saved_payment_method_options"
    " shipping_address_collection shipping_options submit_type tax_id_collection wallet_options"
).split()
_OF_INTENT: Final = (
    "application_fee_amount on_behalf_of receipt_email setup_future_usage shipping statement_descriptor"
    " statement_descriptor_suffix transfer_data transfer_group"
).split()


@dataclass(frozen=True)
class Open:
    """A Checkout Session to create; `expires` is None for the default lifetime."""

    amount: int
    currency: str
    methods: tuple[str, ...]
    name: str
    success_url: str
    cancel_url: str
    metadata: dict[str, str]
    client_reference_id: str
    customer_email: str
    intent_metadata: dict[str, str]
    intent_description: str
    capture_method: str
    expires: int | None
    adaptive_pricing: bool = True
    ignored: tuple[str, ...] = ()


def read_session(form: Mapping[str, Any]) -> Open:
    """Read POST /v1/checkout/sessions."""
    taken = (
        "mode ui_mode line_items success_url cancel_url metadata client_reference_id customer_email"
        " payment_intent_data allowed_payment_method_types currency expires_at adaptive_pricing expand"
    ).split()
    fields = Fields(form, taken, _IGNORED)
    if fields.one_of("mode", ("payment", "setup", "subscription"), "payment") != "payment":
        raise invalid("This sandbox has sessions of mode=payment only.", param="mode", invented=True)
    if fields.one_of("ui_mode", ("hosted_page", "embedded_page", "elements"), "hosted_page") != "hosted_page":
        raise invalid("This sandbox has sessions of ui_mode=hosted_page only.", param="ui_mode", invented=True)
    amount, currency, name = _total(fields)
    data = fields.inner("payment_intent_data", ("metadata", "description", "capture_method"), _OF_INTENT)
    capture_method = data.one_of("capture_method", ("automatic", "automatic_async", "manual"), "automatic_async")
    adaptive = fields.inner("adaptive_pricing", ("enabled",))
    methods = compatible(fields.words("allowed_payment_method_types") or METHODS, currency, capture_method)
    if not methods:
        raise invalid(
            "No payment method types are available for this Checkout Session.",
            param="allowed_payment_method_types",
            invented=True,
        )
    return Open(
        amount,
        currency,
        methods,
        name,
        fields.url("success_url", needed=True),
        fields.url("cancel_url"),
        fields.metadata(),
        fields.text("client_reference_id", longest=200),
        _email(fields),
        data.metadata(),
        data.text("description"),
        capture_method,
        fields.integer("expires_at"),
        # "Defaults to your dashboard setting", which this account has on.
        adaptive.boolean("enabled") if "enabled" in adaptive else True,
        fields.ignored + data.ignored,
    )


def _total(fields: Fields) -> tuple[int, str, str]:
    """Return the amount, the currency and the first product's name."""
    total, currencies, names = 0, [], []
    for shown, item in fields.objects("line_items"):
        line = Fields(
            item, ("quantity", "price_data"), ("adjustable_quantity", "metadata", "price", "tax_rates"), shown
        )
        price = line.inner(
            "price_data", ("currency", "unit_amount", "product_data"), ("tax_behavior", "recurring"), needed=True
        )
        product = price.inner(
            "product_data", ("name",), ("description", "images", "metadata", "tax_code", "tax_details", "unit_label"),
            needed=True,
        )  # fmt: skip
        total += price.whole("unit_amount") * line.whole("quantity")
        currencies.append(check_currency(price.text("currency", needed=True), price.name("currency")))
        names.append(product.text("name", needed=True))
    if len(set(currencies)) != 1:
        raise invalid("All line items must have the same currency.", param="line_items")
    return check_amount(total, currencies[0], "line_items"), currencies[0], names[0]


def _email(fields: Fields) -> str:
    address = fields.text("customer_email", longest=512)
    if address and (address.count("@") != 1 or address.startswith("@") or address.endswith("@") or " " in address):
        raise invalid("Invalid email address", "email_invalid", "customer_email")
    return address
