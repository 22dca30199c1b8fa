"""Expire a token by the gateway's clock, whatever ours says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from payments_core import Authorization, InvalidRequest, Secret, SystemClock, hookimpl
from payments_core.authorization import lifetime
from payments_core.testing.fake import FakeProvider
from payments_core.testing.fake_gateway import FakeSandbox, FakeTransport
from payments_core.testing.opening import open_provider

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = 3600.0


def token(**fields):
    return Authorization(Secret("a token"), **fields)


def at(seconds):
    return NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, float("inf")),
        ({"expires_at": at(HOUR)}, HOUR),
        ({"expires_at": at(HOUR).astimezone(timezone(timedelta(hours=8)))}, HOUR),
        ({"expires_at": at(HOUR), "expires_in": 1800}, 1800.0),
        ({"expires_at": at(1800), "expires_in": HOUR}, 1800.0),
        ({"expires_at": at(30)}, 60.0),
        ({"expires_at": at(-HOUR)}, 60.0),  # our clock is ahead: no storm of token calls
        ({"expires_at": at(7 * 86_400)}, 86_400.0),  # our clock is behind
    ],
)
def test_token_lifetime_is_measured_by_our_clock(fields, seconds):
    assert lifetime(token(**fields), NOW) == seconds


@pytest.mark.parametrize("wrong", [datetime(2026, 11, 27), "2026-11-27T12:00:00Z", 1_800_000_000])  # noqa: DTZ001
def test_a_time_that_names_no_instant_is_refused(wrong):
    with pytest.raises(InvalidRequest, match="expires_at is an aware datetime"):
        token(expires_at=wrong)


class Clock(SystemClock):
    """Stands still until it is moved."""

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return at(self.seconds)

    def monotonic(self):
        return self.seconds


class Absolute(FakeProvider):
    """Its gateway says when a token ends, and not how long it lives."""

    left = HOUR

    @hookimpl
    def authorize(self, context):
        found = yield from super().authorize()
        return Authorization(found.token, expires_at=NOW + timedelta(seconds=self.left))


class Skewed(Absolute):
    """Its gateway's clock is an hour and more behind ours."""

    left = -HOUR


@pytest.mark.parametrize(("provider", "kept", "renewed"), [(Absolute, 2800.0, 2900.0), (Skewed, 40.0, 50.0)])
def test_a_token_is_renewed_before_it_ends_and_not_on_every_call(provider, kept, renewed):
    sandbox, clock = FakeSandbox(), Clock()
    with open_provider(provider, sandbox.config, transport=FakeTransport(sandbox), clock=clock) as gateway:
        asked = []
        for clock.seconds in (0.0, kept, renewed):
            gateway.authorize()
            asked.append(sandbox.requests.count("POST /token"))
    assert asked == [1, 1, 2]
