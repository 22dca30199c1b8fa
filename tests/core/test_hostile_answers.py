"""Hostile answers end by the deadline and cost little memory: the script with the figures, run smaller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.linux


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`scripts/hostile_answers.py`, importable by the process that it starts too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "scripts"))
    import hostile_answers

    yield hostile_answers
    sys.modules.pop("hostile_answers")


@pytest.mark.parametrize(
    ("kind", "deadline"),
    [
        ("gzip bomb", 60),  # these end by what they are, and a busy machine needs its time to see it
        ("too long", 60),
        ("deep JSON", 60),
        ("dripped headers", 1),
        ("dripped body", 1),
        ("hang", 1),
    ],
)
def test_a_hostile_answer_costs_neither_time_nor_memory(script: Any, kind: str, deadline: float) -> None:
    """`make hostile` plays all kinds 50 times, and counts half a second after the deadline as late."""
    (measured,) = script.measure(1, {kind: script.KINDS[kind]}, deadline)
    assert measured.problems(1, most_overrun=10) == []


def test_the_peak_is_really_measured(script: Any) -> None:
    """The positive control of the memory figure."""
    before = script._forget_peak()
    held = bytearray(50_000_000)
    assert script._peak() - before > 40_000_000
    del held


def test_a_wrong_ending_is_a_problem(script: Any) -> None:
    """And of all the others."""
    bad = script.Measured("x", "GatewayUnavailable", {"no error": 2}, {"ProtocolViolation": 2}, 0.6, 17 * 2**20)
    assert len(bad.problems(1)) == 4
