"""Kills in the middle of runs: nobody is lost, nobody is written to twice, and the checker says so."""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.chaos.harness import CONCURRENCY, PAGE, running

pytestmark = pytest.mark.acceptance
SEED = int(os.environ.get("HELIOGRAPH_CHAOS_SEED", time.time_ns() % 1_000_000))


async def chaos(*, batches: int, kills: int, workers: int, minutes: float) -> None:
    chance = random.Random(SEED)
    async with running(workers=workers, latency=0.2) as there:
        there.plan(batches)
        story = await there.ill_treat(kills, chance, until=time.monotonic() + 60 * minutes)
        await there.over(within=60 * minutes)
        findings = there.verdict("--over", "--bus", there.nats.url, "--in-flight", str(_in_flight(story, workers)))
    assert findings == [], f"seed {SEED}, killed {story}"
    # A run that was over before anything was killed would prove nothing.
    assert there.kills == kills, f"seed {SEED}: {there.kills} of {kills}"


def _in_flight(story: list[str], workers: int) -> int:
    """Return the most messages that may be in doubt: what a killed worker had in hand; a killed database is all of them."""
    each = CONCURRENCY * PAGE
    return sum(each * (workers if victim == "postgres" else 1) for victim in story)


async def test_six_kills_lose_nobody_and_double_nobody() -> None:
    await chaos(batches=40, kills=6, workers=2, minutes=2)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_thirty_kills_lose_nobody_and_double_nobody() -> None:
    await chaos(batches=50_000 // PAGE, kills=30, workers=2, minutes=5)


async def test_a_run_that_nobody_disturbs_is_in_order() -> None:
    """What the checker says of an ordinary run, the event log included: nothing."""
    async with running(latency=0.05) as there:
        there.plan(6)
        await there.over(within=60)
        assert there.verdict("--over", "--in-flight", "0", "--bus", there.nats.url) == []
