"""Each seeded bug turns the checker red: one that stayed green would not see the bug in the product either."""

from __future__ import annotations

import contextlib
from typing import Any

import psycopg
import pytest

from heliograph_kit.ids import derived_ids
from tests.chaos.harness import Installation, laws, running
from tests.chaos.seeded import BUGS

pytestmark = pytest.mark.acceptance
_SUPPRESS = (
    "INSERT INTO messaging.suppressions (project, channel, address_hash, address, cause, detail, added_by, create_time) "
    "SELECT 'shop', kind, hash::uuid, address, 'MANUAL', '', 'tests', now() "
    "FROM unnest(%s::text[], %s::text[]) AS x (hash, address), (VALUES (%s)) AS y (kind)"
)


async def killed_in_the_middle(there: Installation) -> None:
    """Kill the worker when a third is sent, start it again, and wait for an end that may never come."""
    there.plan(12)
    await there.sent(0.3)
    await _killed(there)


async def killed_at_the_beginning(there: Installation) -> None:
    """Kill the worker while its first calls are under way."""
    there.plan(12)
    await there.begun()
    await _killed(there)


async def _killed(there: Installation) -> None:
    there.workers[0].kill()
    there.workers[0].start().ready(60)
    with contextlib.suppress(AssertionError):
        await there.over(within=20)


async def slow(there: Installation) -> None:
    """Let two workers meet the same slow sends: a lease that nobody renews runs out under them."""
    there.worker("no fencing")
    there.plan(4)
    with contextlib.suppress(AssertionError):
        await there.over(within=40)


async def stopped_on_the_way(there: Installation) -> None:
    """Suppress everybody's address while a third is sent."""
    there.plan(12)
    await there.sent(0.2)
    with psycopg.connect(there.dsn) as conn:
        for kind in ("EMAIL", "CUSTOM"):
            addresses = [f"e{n:06d}@example.com" for n in range(there.planned)]
            hashes = derived_ids(("suppression", "shop", kind), addresses)
            conn.execute(_SUPPRESS, (hashes, addresses, kind))
    await there.over(within=60)


CASES = {
    "ack before commit": (killed_at_the_beginning, 3.0, {"O1"}),
    "cursor at fetch": (killed_in_the_middle, 0.3, {"O1", "O7"}),
    "no fencing": (slow, 8.0, {"O1"}),
    "dedupe off": (killed_in_the_middle, 0.3, {"O1", "O2"}),
    "opt-out only at planning": (stopped_on_the_way, 0.3, {"O4"}),
}


def test_every_bug_has_a_case() -> None:
    assert set(CASES) == set(BUGS)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("bug", CASES)
async def test_a_seeded_bug_turns_the_checker_red(bug: str) -> None:
    play, latency, expected = CASES[bug]
    found: list[dict[str, Any]] = []
    # A kill can miss the moment in which a bug does harm; it does not miss three times.
    for _ in range(3):
        async with running(bug=bug, latency=latency) as there:
            await play(there)
            found = there.verdict("--over")
        if laws(found) & expected:
            break
    assert laws(found) & expected, f"{bug}: the checker found {found[:3]}"


@pytest.mark.parametrize("play", [killed_at_the_beginning, stopped_on_the_way], ids=["killed", "stopped on the way"])
async def test_without_a_bug_the_same_treatment_leaves_it_green(play: object) -> None:
    async with running(latency=0.3) as there:
        await play(there)  # type: ignore[operator]
        assert there.verdict("--over", "--bus", there.nats.url) == []
