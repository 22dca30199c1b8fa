"""Every story has a cassette, which is replayed without a network by both gateways."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path

import pytest

from payments_core import AsyncGateway, Gateway
from payments_core.testing.cassettes import BASE_URL, read, replay
from payments_core.testing.stories import ReplayActor, Story, run, run_async
from payments_lantern.sandbox.stories import POLICY, STORIES

CASSETTES = Path(__file__).parents[1] / "cassettes"
# Nothing of it was there when the cassettes were recorded: secrets are masked on both sides. Where config.py has other
# fields, so has this.
CONFIG = {"base_url": BASE_URL, "api_key": "key-of-the-replay", "webhook_key": "webhook-key-of-the-replay"}


def file_of(story: Story) -> Path:
    """Return the story's cassette, which step 5 records."""
    path = CASSETTES / ("documentation" if story.published else "sandbox") / f"{story.name}.yaml"
    command = f"payments record lantern --output {shlex.quote(str(CASSETTES))}"
    assert path.exists(), f"{path.name} is not recorded yet: {command} (step 5 of docs/writing-a-provider.md)"
    return path


def files_of(story: Story) -> list[Path]:
    """Return a story's cassettes: the one that each has, and the live one if it exists."""
    live = CASSETTES / "live" / f"{story.name}.yaml"
    return [file_of(story), *([live] if live.exists() else [])]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cassette_is_replayed(story: Story) -> None:
    for path in files_of(story):
        with replay(path, POLICY) as recording, Gateway.open("lantern", CONFIG) as gateway:
            run(story, gateway, ReplayActor(), recording.parameters)
        with replay(path, POLICY) as recording:
            asyncio.run(replayed(story, recording.parameters))


async def replayed(story: Story, parameters: dict[str, str]) -> None:
    async with AsyncGateway.open("lantern", CONFIG) as gateway:
        await run_async(story, gateway, ReplayActor(), parameters)


def test_there_is_a_cassette_for_each_story_and_each_says_who_answered() -> None:
    files = [path for story in STORIES for path in files_of(story)]
    assert sorted(files) == sorted(CASSETTES.glob("*/*.yaml"))
    for path in files:
        assert read(path).provenance.kind == path.parent.name
