"""Test the page that plays Alipay, WeChat's code and the hosted Checkout in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from payments_core import Charge, ChargeRequest, Gateway, Money, PaymentStatus, Redirect, Reference, ShowQRCode
from payments_stripe.sandbox import Sandbox, make

pytestmark = [pytest.mark.browser, pytest.mark.once]

HKD = Money.of("88.00", "HKD")
ELSEWHERE = "https://shop.example/paid"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[Gateway]:
    with Gateway.open("stripe", sandbox.config) as opened:
        yield opened


@pytest.fixture
def shop() -> Iterator[str]:
    """Serve a shop on this machine that shoppers return to."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (
                b'<!doctype html><html lang="en"><title>Shop</title><link rel="icon" href="data:,"><h1>Thank you</h1>'
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/paid"
        server.shutdown()


def charge_of(gateway: Gateway, method: str, return_url: str = ELSEWHERE, description: str = "A cup of tea") -> Charge:
    return gateway.create_charge(ChargeRequest("P1", HKD, description, method, return_url=return_url))


def address(charge: Charge) -> str:
    """Return the address that the shopper is sent to, or that WeChat reads from the code."""
    action = charge.next_action
    if isinstance(action, ShowQRCode):
        return action.content
    assert isinstance(action, Redirect)
    return action.url


def asked(gateway: Gateway, charge: Charge) -> Charge:
    return gateway.get_status(Reference("P1", charge.reference.provider_id))


def confirmed(gateway: Gateway, charge: Charge) -> Charge:
    return gateway.confirm("P1", HKD, provider_id=charge.reference.provider_id)


@pytest.mark.parametrize(("method", "title"), [("alipay", "Alipay"), ("wechat_pay", "WeChat Pay"), ("card", "a card")])
@pytest.mark.parametrize(
    ("button", "status", "said"),
    [
        ("Approve", PaymentStatus.SUCCEEDED, "You can go back to the shop."),
        ("Cancel", PaymentStatus.CANCELLED, "Nothing was paid."),
    ],
)
def test_what_the_shopper_clicks_is_what_the_gateway_answers(
    gateway: Gateway, page: Page, method: str, title: str, button: str, status: PaymentStatus, said: str
) -> None:
    """The amount is shown before and the result after; then there is nothing left to click."""
    charge = charge_of(gateway, method)
    page.goto(address(charge))
    for shown in (f"Pay with {title}", "88.00", "A cup of tea"):
        assert shown in page.inner_text("main")
    assert not asked(gateway, charge).status.is_final
    page.get_by_role("button", name=button, exact=True).click()
    assert said in page.get_by_role("status").inner_text()
    after = asked(gateway, charge)
    assert after.status is status
    assert confirmed(gateway, charge).is_paid is (status is PaymentStatus.SUCCEEDED)
    page.reload()
    assert page.get_by_role("button").count() == 0


def test_a_declined_card_can_be_tried_again(gateway: Gateway, page: Page) -> None:
    """As on Stripe's own page: it stays, and so does the charge."""
    charge = charge_of(gateway, "card")
    page.goto(address(charge))
    page.get_by_role("button", name="Decline").click()
    assert not asked(gateway, charge).status.is_final
    page.get_by_role("button", name="Approve").click()
    assert confirmed(gateway, charge).is_paid


@pytest.mark.parametrize("method", ["alipay", "card"])
def test_a_shopper_who_has_paid_is_back_in_the_shop(gateway: Gateway, page: Page, shop: str, method: str) -> None:
    """Through the browser's own rules about where a form may lead."""
    charge = charge_of(gateway, method, shop)
    page.goto(address(charge))
    page.get_by_role("button", name="Approve").click()
    page.wait_for_selector("text=Thank you")
    assert page.url.startswith(shop)
    if method == "alipay":
        query = parse_qs(urlsplit(page.url).query)
        assert query["payment_intent"] == [charge.reference.provider_id]
        assert query["redirect_status"] == ["succeeded"]
    assert confirmed(gateway, charge).is_paid


def test_a_shop_elsewhere_is_a_link_and_not_visited(gateway: Gateway, page: Page) -> None:
    """Nothing is fetched from the internet unless a person clicks."""
    visited: list[str] = []
    page.on("request", lambda request: visited.append(urlsplit(request.url).hostname or ""))
    page.goto(address(charge_of(gateway, "alipay")))
    page.get_by_role("button", name="Approve").click()
    link = page.get_by_role("link", name="Back to the shop").get_attribute("href")
    assert (link or "").startswith(f"{ELSEWHERE}?payment_intent=pi_")
    assert set(visited) == {"127.0.0.1"}


def test_the_page_can_be_paid_with_the_keyboard_alone(gateway: Gateway, page: Page) -> None:
    """The first stop is Approve."""
    charge = charge_of(gateway, "alipay")
    page.goto(address(charge))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Paid.")
    assert confirmed(gateway, charge).is_paid


def test_a_description_is_text_and_never_a_script(gateway: Gateway, page: Page) -> None:
    """The shop's text is shown as it is."""
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    page.goto(address(charge_of(gateway, "alipay", description=evil)))
    assert evil in page.inner_text("main")
    assert page.title() != "owned"
    assert page.locator("main script, main img").count() == 0
