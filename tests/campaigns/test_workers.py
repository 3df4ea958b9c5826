"""Several workers, and workers that die or freeze: every recipient is handed over exactly once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph_kit.testing import ServiceProcess, eventually
from tests.campaigns.builders import SEGMENT, treatments
from tests.campaigns.conftest import Service, Start, people
from tests.campaigns.crowd import Crowd
from tests.campaigns.post import Post

PEOPLE = 20_000


@pytest.fixture
def worker(values: dict[str, Any], tmp_path: Path) -> Iterator[ServiceProcess]:
    """A worker in a process of its own, not started yet; its lease is a second, its pages are 200."""
    shared = ("database_url", "nats_url", "internal_secret", "peer_segments", "peer_messaging", "peer_projects")
    process = ServiceProcess(
        "heliograph_campaigns.main",
        service="campaigns",
        directory=tmp_path,
        arguments=("--role", "worker"),
        environment={
            **{f"HELIOGRAPH_{name.upper()}": str(values[name]) for name in shared},
            "HELIOGRAPH_CAMPAIGNS_LEASE_SECONDS": "1",
            "HELIOGRAPH_CAMPAIGNS_POLL_SECONDS": "0.05",
            "HELIOGRAPH_CAMPAIGNS_PAGE_SIZE": "200",
            "HELIOGRAPH_MIGRATE_ON_START": "false",
        },
    )
    yield process
    process.kill()


async def test_eight_workers_hand_a_due_campaign_over_once(start: Start, crowd: Crowd, post: Post) -> None:
    """reliability P4: no leader, the same campaign due for all of them."""
    crowd.segments[SEGMENT] = people(1_500)
    front = await start(role="api")
    await asyncio.gather(*(start(role="worker", database_pool_size=2, page_size=100) for _ in range(8)))
    post.accepting = True
    campaign = await front.create(paused=True, additional_treatments=treatments(30), holdout_percent=10)
    await front.stub.ResumeCampaign(pb.ResumeCampaignRequest(name=campaign.name))
    run = await front.ended(campaign.name, timedelta(seconds=30))
    assert (run.state, run.total.produced_count, run.total.holdout_count) == (pb.Run.STATE_COMPLETED, 1_500, 150)
    reached = post.reached(campaign.name)
    assert (len(reached), set(reached.values())) == (1_350, {1})
    assert len(crowd.freezes) == 1
    started = "SELECT count(*) FROM campaigns.outbox WHERE type LIKE '%CampaignUpdated'"
    assert await front.rows(started) == [(4,)]  # PAUSED, SCHEDULED, EXECUTING, COMPLETED


async def test_a_killed_worker_is_followed_exactly_behind_its_last_page(
    idle: Service, worker: ServiceProcess, crowd: Crowd, post: Post
) -> None:
    crowd.segments[SEGMENT] = people(PEOPLE)
    crowd.pause = 0.01
    await asyncio.to_thread(lambda: worker.start().ready())
    campaign = await idle.create(additional_treatments=treatments(20, 20), holdout_percent=10)
    for share in (0.2, 0.6):
        wanted = int(PEOPLE * share)
        run = await idle.run_that(campaign.name, lambda run: run.total.produced_count >= wanted)  # noqa: B023
        worker.kill()
        assert run.total.produced_count < PEOPLE
        await asyncio.to_thread(lambda: worker.start().ready())
    crowd.pause = 0
    run = await idle.run_that(campaign.name, lambda run: run.dispatched, timedelta(seconds=30))
    total = run.total
    assert (total.produced_count, total.holdout_count, total.targeted_count) == (PEOPLE, 2_000, 18_000)
    await eventually(lambda: len(post.reached(campaign.name)) >= total.targeted_count, within=20)
    reached = post.reached(campaign.name)
    assert (len(reached), set(reached.values())) == (18_000, {1})
    per_treatment = Counter(
        {t.treatment_id: t.funnel.targeted_count for t in run.treatments},
    )
    for batch in post.of(campaign.name):
        per_treatment[batch.source.treatment_id] -= len(batch.recipients.endpoint_ids)
    assert set(per_treatment.values()) == {0}
    assert len(set(crowd.freezes)) == 1


async def test_a_worker_that_froze_over_its_lease_writes_nothing_more(
    idle: Service, start: Start, worker: ServiceProcess, crowd: Crowd, post: Post
) -> None:
    crowd.segments[SEGMENT] = people(2_000)
    crowd.hold_after = 800
    await asyncio.to_thread(lambda: worker.start().ready())
    campaign = await idle.create()
    await idle.run_that(campaign.name, lambda run: run.total.produced_count == 800)
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        # Its page is slower than its lease: another takes the run over and brings it to its end.
        await start(role="worker")
        await idle.run_that(campaign.name, lambda run: run.dispatched)
        before = await idle.rows("SELECT id FROM campaigns.outbox ORDER BY id")
    finally:
        os.kill(worker.pid, signal.SIGCONT)
    crowd.gate.set()
    await eventually(lambda: "was taken over or stopped" in worker.logs, within=15)
    assert await idle.rows("SELECT id FROM campaigns.outbox ORDER BY id") == before
    assert (await idle.run(campaign.name)).total.produced_count == 2_000
    await eventually(lambda: len(post.reached(campaign.name)) == 2_000)
    assert set(post.reached(campaign.name).values()) == {1}
