"""Accept payments through any gateway, with one Python API. Each gateway is a plugin.

Open one with `Gateway.open(name)`, or with `AsyncGateway.open(name)` for asyncio. The public API is listed here.
"""

import logging as _logging
from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from .async_gateway import AsyncGateway
from .clock import Clock, SystemClock
from .discovery import InstalledProvider, installed_providers
from .errors import (
    Accepted,
    AuthorizationRejected,
    ConfigurationError,
    GatewayUnavailable,
    InvalidRequest,
    Mismatch,
    NotFound,
    OutcomeUnknown,
    PaymentError,
    ProtocolViolation,
    ProviderContractError,
    ProviderNotFound,
    RateLimited,
    Rejected,
    RejectionCode,
    UnsupportedOperation,
    WebhookRejected,
)
from .flow import Flow, Request, Response, drive, drive_async, segment, tap
from .gateway import Gateway
from .hookspecs import ObserverHooks, ProviderHooks, hookimpl, hookspec
from .info import Duplicates, Limits, Method, Notifications, ProviderInfo
from .models import (
    Authorization,
    AwaitShopper,
    CallSDK,
    CaptureRequest,
    Channel,
    Charge,
    ChargeRequest,
    Complete,
    Context,
    NextAction,
    Redirect,
    Reference,
    Refund,
    RefundReference,
    RefundRequest,
    Shopper,
    ShowQRCode,
    SubmitForm,
)
from .money import CURRENCY_EXPONENTS, Money
from .observers import ExchangeRecord, OperationRecord
from .retry import Retries
from .secrets import Secret
from .status import PaymentStatus, RefundStatus, unify
from .webhooks import (
    Acknowledgement,
    Notification,
    Subject,
    WebhookDelivery,
    WebhookEvent,
    same_base64_digest,
    same_hex_digest,
)

if _TYPE_CHECKING:
    from .transport import AsyncHTTPTransport, AsyncTransport, HTTPTransport, Transport

__all__ = [
    "CURRENCY_EXPONENTS",
    "Accepted",
    "Acknowledgement",
    "AsyncGateway",
    "AsyncHTTPTransport",
    "AsyncTransport",
    "Authorization",
    "AuthorizationRejected",
    "AwaitShopper",
    "CallSDK",
    "CaptureRequest",
    "Channel",
    "Charge",
    "ChargeRequest",
    "Clock",
    "Complete",
    "ConfigurationError",
    "Context",
    "Duplicates",
    "ExchangeRecord",
    "Flow",
    "Gateway",
    "GatewayUnavailable",
    "HTTPTransport",
    "InstalledProvider",
    "InvalidRequest",
    "Limits",
    "Method",
    "Mismatch",
    "Money",
    "NextAction",
    "NotFound",
    "Notification",
    "Notifications",
    "ObserverHooks",
    "OperationRecord",
    "OutcomeUnknown",
    "PaymentError",
    "PaymentStatus",
    "ProtocolViolation",
    "ProviderContractError",
    "ProviderHooks",
    "ProviderInfo",
    "ProviderNotFound",
    "RateLimited",
    "Redirect",
    "Reference",
    "Refund",
    "RefundReference",
    "RefundRequest",
    "RefundStatus",
    "Rejected",
    "RejectionCode",
    "Request",
    "Response",
    "Retries",
    "Secret",
    "Shopper",
    "ShowQRCode",
    "Subject",
    "SubmitForm",
    "SystemClock",
    "Transport",
    "UnsupportedOperation",
    "WebhookDelivery",
    "WebhookEvent",
    "WebhookRejected",
    "drive",
    "drive_async",
    "hookimpl",
    "hookspec",
    "installed_providers",
    "same_base64_digest",
    "same_hex_digest",
    "segment",
    "tap",
    "unify",
]

# A library prints nothing by itself: the host's configuration decides where "payments_core" is logged.
_logging.getLogger("payments_core").addHandler(_logging.NullHandler())


def __getattr__(name: str) -> object:
    # httpx costs more to import than everything else here, and is not needed to read webhooks.
    if name in {"AsyncHTTPTransport", "AsyncTransport", "HTTPTransport", "Transport"}:
        return getattr(_import_module(".transport", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
