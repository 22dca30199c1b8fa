"""Test the sandbox's wallet page in a real browser: each click decides the gateway's answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page

from payments_alipayhk.sandbox import Sandbox, make
from payments_core import ChargeRequest, Gateway, Money, PaymentStatus, Redirect

pytestmark = [pytest.mark.browser, pytest.mark.once]

HKD = Money.of("88.00", "HKD")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with make() as running:
        yield running


@pytest.fixture
def gateway(sandbox: Sandbox) -> Iterator[Gateway]:
    with Gateway.open("alipayhk", sandbox.config) as opened:
        yield opened


def wallet(gateway: Gateway, description: str = "A cup of tea") -> str:
    """Return the address that the shopper is sent to."""
    action = gateway.create_charge(ChargeRequest("P1", HKD, description)).next_action
    assert isinstance(action, Redirect)
    return action.url


@pytest.mark.parametrize(
    ("button", "status", "said"),
    [
        ("Approve", PaymentStatus.SUCCEEDED, "Paid."),
        ("Cancel", PaymentStatus.CANCELLED, "Nothing was paid."),
        ("Let it time out", PaymentStatus.CANCELLED, "Nothing was paid."),
    ],
)
def test_what_the_shopper_clicks_is_what_the_gateway_answers(
    gateway: Gateway, page: Page, button: str, status: PaymentStatus, said: str
) -> None:
    """The amount is shown before and the result after; then there is nothing left to click."""
    page.goto(wallet(gateway))
    assert "88.00" in page.inner_text("main")
    assert "A cup of tea" in page.inner_text("main")
    assert gateway.confirm("P1", HKD).status is PaymentStatus.PENDING
    page.get_by_role("button", name=button, exact=True).click()
    assert said in page.get_by_role("status").inner_text()
    charge = gateway.confirm("P1", HKD)
    assert (charge.status, charge.is_paid) == (status, status is PaymentStatus.SUCCEEDED)
    page.reload()
    assert page.get_by_role("button").count() == 0


def test_the_page_can_be_paid_with_the_keyboard_alone(gateway: Gateway, page: Page) -> None:
    """The first stop is Approve."""
    page.goto(wallet(gateway))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Paid.")
    assert gateway.confirm("P1", HKD).is_paid


def test_a_description_is_text_and_never_a_script(gateway: Gateway, page: Page) -> None:
    """The shop's text is shown as it is."""
    evil = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    page.goto(wallet(gateway, evil))
    assert evil in page.inner_text("main")
    assert page.title() != "owned"
    assert page.locator("main script, main img").count() == 0


def test_an_unknown_order_is_said_to_be_unknown(sandbox: Sandbox, browser: Any) -> None:
    """With a 404, which the console of the browser reports by itself."""
    page = browser.new_page()
    answer = page.goto(f"{sandbox.url}/wallet/C0")
    assert answer.status == 404
    assert "no such order" in page.inner_text("main").lower()
    page.close()
