"""Workers are killed in the middle of a run: everybody is in the ledger once, and the provider was called once each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from heliograph_kit.testing import eventually
from heliograph_suite.demo.stage import Clients
from tests.acceptance.conftest import RunningSuite
from tests.acceptance.story import (
    a_project,
    an_email_template,
    completed_run,
    everybody,
    imported,
    people_csv,
    run_of,
    start_campaign,
    use_simulator,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(450)]
PEOPLE = 20_000


@pytest.mark.parametrize(
    "idempotent",
    [
        pytest.param(True, id="a provider that knows a message again is asked again"),
        pytest.param(False, id="any other is not asked again and leaves messages in doubt"),
    ],
)
async def test_killed_workers_lose_nobody_and_send_nothing_twice(
    suite: RunningSuite,
    clients: Clients,
    write_import: Callable[[str, str], str],
    tmp_path: Path,
    idempotent: bool,
) -> None:
    project = await a_project(clients, f"crash-{'again' if idempotent else 'doubt'}")
    job = await imported(clients, project, write_import(f"{project.rpartition('/')[2]}.csv", people_csv(PEOPLE)))
    assert job.created_count == PEOPLE
    journal = tmp_path / "journal.ndjson"
    await use_simulator(clients, project, journal_path=str(journal), idempotent=idempotent, latency=0.05)
    segment = await everybody(clients, project)
    template = await an_email_template(clients, project)
    campaign = await start_campaign(clients, project, segment, template, holdout_percent=5)

    for victim, share in (("campaigns", 0.2), ("messaging", 0.5), ("messaging", 0.75)):

        async def far_enough(victim: str = victim, share: float = share) -> bool:
            if victim == "messaging":
                return lines_of(journal) >= share * PEOPLE
            run = await run_of(clients, campaign.name)
            return run is not None and run.total.produced_count >= share * PEOPLE

        await eventually(far_enough, within=60, every=0.01)
        killed = suite.kill(victim)
        done = produced_for(suite, project) if victim == "campaigns" else lines_of(journal)
        assert done < 0.95 * PEOPLE, f"{victim} was through before the kill"

        async def back(victim: str = victim, killed: int = killed) -> bool:
            return suite.state()["services"][victim]["state"] == "ready" and suite.pid_of(victim) != killed

        await eventually(back, within=90)

    run = await completed_run(clients, campaign.name, within=120)
    total = run.total
    assert total.produced_count == PEOPLE
    assert total.produced_count == total.targeted_count + total.holdout_count
    ended = total.accepted_count + total.failed_count + total.in_doubt_count + sum(total.skipped_counts.values())
    assert ended == total.targeted_count
    assert total.failed_count == 0

    ledger = ledger_of(suite, project)
    assert len(ledger) == len(set(ledger)) == total.targeted_count

    await asyncio.sleep(0.5)
    calls = Counter(json.loads(line)["message_id"] for line in journal.read_text().splitlines())
    assert max(calls.values()) == 1
    if idempotent:
        assert total.in_doubt_count == 0
        assert len(calls) == total.targeted_count
    else:
        # What was in flight at a kill may or may not have arrived, and is told as such.
        assert total.accepted_count <= len(calls) <= total.accepted_count + total.in_doubt_count


def lines_of(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def ledger_of(suite: RunningSuite, project: str) -> list[str]:
    """Return the endpoint of every row in messaging's ledger."""
    return [row[0] for row in rows_of(suite, "SELECT endpoint_id FROM messaging.messages WHERE project = %s", project)]


def produced_for(suite: RunningSuite, project: str) -> int:
    """Return how many recipients campaigns has handed over, as of its last commit."""
    return int(rows_of(suite, "SELECT produced FROM campaigns.runs WHERE project = %s", project)[0][0])


def rows_of(suite: RunningSuite, query: LiteralString, project: str) -> list[tuple[Any, ...]]:
    url = suite.installation.postgres.dsn.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url) as connection:
        return connection.execute(query, [project.rpartition("/")[2]]).fetchall()
