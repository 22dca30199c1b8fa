"""Every story has a cassette, which is replayed without a network by both gateways."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from payments_core import AsyncGateway, Gateway
from payments_core.testing.cassettes import BASE_URL, read, replay
from payments_core.testing.stories import ReplayActor, Story, run, run_async
from payments_lantern.sandbox.stories import POLICY, STORIES

CASSETTES = Path(__file__).parents[1] / "cassettes"
# Nothing of it was there when the cassettes were recorded: secrets are masked on both sides.
CONFIG = {"base_url": BASE_URL, "api_key": "key-of-the-replay", "webhook_key": "webhook-key-of-the-replay"}


def file_of(story: Story) -> Path:
    """Where `payments record lantern --output cassettes` puts it; that is step 5."""
    path = CASSETTES / ("documentation" if story.published else "sandbox") / f"{story.name}.yaml"
    assert path.exists(), f"{path.name} is not recorded yet: payments record, step 5 of docs/writing-a-provider.md"
    return path


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_each_cassette_is_replayed(story: Story) -> None:
    with replay(file_of(story), POLICY) as recording, Gateway.open("lantern", CONFIG) as gateway:
        run(story, gateway, ReplayActor(), recording.parameters)
    with replay(file_of(story), POLICY) as recording:
        asyncio.run(replayed(story, recording.parameters))


async def replayed(story: Story, parameters: dict[str, str]) -> None:
    async with AsyncGateway.open("lantern", CONFIG) as gateway:
        await run_async(story, gateway, ReplayActor(), parameters)


def test_there_is_a_cassette_for_each_story_and_each_says_who_answered() -> None:
    assert sorted(map(file_of, STORIES)) == sorted(CASSETTES.glob("*/*.yaml"))
    for story in STORIES:
        assert read(file_of(story)).provenance.kind == file_of(story).parent.name
