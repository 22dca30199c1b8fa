"""Drive Debian's Chromium with Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

# Disable Chromium's sandbox, which refuses root, and everything that makes network calls.
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGUMENTS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start Chromium for one module at most: Playwright keeps an event loop running, which blocks any other."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open a page that must finish without an error in its console."""
    context = browser.new_context(viewport={"width": 420, "height": 720})
    opened = context.new_page()
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    if folder := os.environ.get("PAYMENTS_SCREENSHOTS"):
        opened.screenshot(path=f"{folder}/{request.node.name}-{os.urandom(4).hex()}.png")
    context.close()
    assert problems == []
