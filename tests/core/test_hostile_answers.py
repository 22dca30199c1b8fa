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


@pytest.mark.parametrize("kind", ["gzip bomb", "too long", "dripped headers", "dripped body", "hang", "deep JSON"])
def test_a_hostile_answer_costs_neither_time_nor_memory(script: Any, kind: str) -> None:
    """`python scripts/hostile_answers.py` plays all kinds 50 times."""
    (measured,) = script.measure(1, {kind: script.KINDS[kind]})
    assert measured.problems(1) == []


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
