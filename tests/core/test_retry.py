"""Check the retry policy: how often a hook is run, and how long the call waits in between."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from payments_core import (
    Channel,
    ConfigurationError,
    GatewayUnavailable,
    Method,
    ProviderInfo,
    Reference,
    Request,
    Response,
    Retries,
    hookimpl,
)


class Config(msgspec.Struct):
    base_url: str = "https://pay.example"


class Asked:
    """A provider whose query is safe, so that it may be repeated."""

    config_type = Config
    info = ProviderInfo(
        id="asked",
        title="Asked",
        currencies=frozenset({"HKD"}),
        methods=(Method("card", "Card"),),
        channels=frozenset({Channel.WEB}),
        raw_statuses={},
    )

    def __init__(self, config: Config) -> None:
        pass

    @hookimpl
    def create_charge(self) -> Any:
        yield Request("POST", "/create")

    @hookimpl
    def get_status(self) -> Any:
        yield Request("GET", "/status", safe=True)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the longest that each pause could have been, and wait for none."""
    seen: list[float] = []

    def shortest(low: float, high: float) -> float:
        seen.append(high)
        return low

    monkeypatch.setattr("payments_core.retry.random.uniform", shortest)
    return seen


@pytest.mark.parametrize(("retries", "expected"), [
    (None, [0.2, 0.4]),
    (Retries(runs=1), []),
    (Retries(runs=2), [0.2]),
    (Retries(runs=5, first_pause=1, longest_pause=3), [1, 2, 3, 3]),
])  # fmt: skip
def test_a_gateway_out_of_order_is_tried_as_often_as_retries_says(
    install: Any, opening: Any, pauses: list[float], retries: Retries | None, expected: list[float]
) -> None:
    install("asked", Asked)
    options = {} if retries is None else {"retries": retries}
    gateway = opening("asked", {}, transport=lambda request: Response(503), **options)
    with pytest.raises(GatewayUnavailable, match="HTTP 503"):
        gateway.get_status(Reference("P1"))
    assert pauses == expected
    assert len(gateway.script.requests) == len(expected) + 1


@pytest.mark.parametrize("wrong", [
    {"runs": 0}, {"runs": True}, {"runs": 2.0}, {"first_pause": 0}, {"longest_pause": -1}, {"first_pause": "1"},
])  # fmt: skip
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="Retries"):
        Retries(**wrong)


def test_retries_of_another_type_are_refused(install: Any, opening: Any) -> None:
    install("asked", Asked)
    with pytest.raises(ConfigurationError, match=r"Retries\(runs=1\)"):
        opening("asked", {}, retries=3)
