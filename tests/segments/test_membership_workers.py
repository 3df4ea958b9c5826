"""Workers that follow segments in use: leases, trouble, and deaths."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from heliograph_kit.clock import SystemClock
from heliograph_kit.errors import Unavailable
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_segments.domain.endpoints import EndpointUpdate
from heliograph_segments.domain.segments import (
    BehaviorDimension,
    Dimensions,
    Rules,
)
from heliograph_segments.service import memberships
from heliograph_segments.service.endpoints import Endpoints
from heliograph_segments.service.writing import EndpointWriter, Limits
from heliograph_segments.store import memberships as membership_store
from tests.segments.conftest import SECRET
from tests.segments.house import GOLD, PROJECT, House, folded, rules


async def test_a_crash_between_the_pieces_of_a_large_change_loses_and_doubles_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    everybody = await house.segment(Rules())
    await house.use(everybody)
    await house.look()
    await house.endpoints.update(PROJECT, [EndpointUpdate(f"e{n}", "EMAIL", f"{n}@example.com") for n in range(10)])
    monkeypatch.setattr(memberships, "_PIECE", 3)
    pieces = 0
    kept = membership_store.store

    async def dying(*given: Any) -> None:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            raise ConnectionError("killed")
        await kept(*given)

    monkeypatch.setattr(membership_store, "store", dying)
    with pytest.raises(ConnectionError):
        await house.look()
    assert len(folded(await house.announced(everybody), set())) == 6
    await house.look()
    assert folded(await house.announced(everybody), set()) == {f"e{n}" for n in range(10)}


async def test_a_worker_whose_lease_ran_out_announces_nothing(
    database_of_segments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = House(database_of_segments), House(database_of_segments)
    gold = await slow.segment(rules(GOLD))
    await slow.use(gold)
    await slow.look()
    await slow.write("e1")
    evaluate = slow.reader.members

    async def overtaken(*given: Any) -> Any:
        found = await evaluate(*given)
        await fast.look()
        await fast.write("e2")
        await fast.look()
        return found

    monkeypatch.setattr(slow.reader, "members", overtaken)
    await slow.look()
    assert await slow.changes(gold) == [(["e1"], []), (["e2"], [])]
    await slow.close()
    await fast.close()


async def test_a_segment_that_somebody_looks_at_is_left_alone(database_of_segments: str) -> None:
    house = House(database_of_segments, lease=timedelta(seconds=30))
    gold = await house.segment(rules(GOLD))
    await house.use(gold)
    await house.look()
    async with house.database.transaction() as conn:
        [taken] = await membership_store.lease(conn, PROJECT, 10, timedelta(seconds=30), timedelta(0))
    await house.write("e1")
    await house.look()
    assert await house.changes(gold) == []
    async with house.database.transaction() as conn:
        await membership_store.release(conn, [taken])
    await house.look()
    assert await house.changes(gold) == [(["e1"], [])]
    await house.close()


async def test_a_segment_that_cannot_be_evaluated_keeps_no_other_waiting(house: House) -> None:
    gold = await house.segment(rules(GOLD))
    buyers = await house.segment(rules(Dimensions(behaviors=(BehaviorDimension("purchase"),))))
    base = await house.segment(rules(GOLD))
    outer = await house.segment(rules(sources=(base,)))
    await house.use(gold, buyers, outer)
    await house.look()

    async def away(*_: object) -> Any:
        raise Unavailable("analytics does not answer")

    behaviors, house.away = house.away, away
    await house.segments.delete(PROJECT, base)
    await house.write("e1")
    house.listed = {1}
    await house.look()
    assert await house.changes(gold) == [(["e1"], [])]
    assert await house.changes(buyers) == await house.changes(outer) == []
    house.away = behaviors
    await house.look()
    assert await house.changes(buyers) == [(["e1"], [])]


async def test_a_worker_looks_at_all_segments_in_use_in_each_round(
    database_of_segments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = timedelta(minutes=1)
    house = House(database_of_segments, changes=minute, lease=minute)
    await house.use(*[await house.segment(rules(GOLD)) for _ in range(5)])
    monkeypatch.setattr(memberships, "_AT_ONCE", 2)
    stopping = asyncio.Event()
    running = asyncio.create_task(house.worker.run(stopping))

    async def all_known() -> bool:
        async with house.database.transaction() as conn:
            statement = "SELECT count(*) FROM segments.memberships WHERE members IS NOT NULL AND lease_until IS NULL"
            return int((await conn.execute(text(statement))).scalar_one()) == 5

    await eventually(all_known)
    stopping.set()
    await running
    await house.close()


async def test_a_worker_killed_again_and_again_loses_and_doubles_nothing(
    database_of_segments: str, nats_url: str, tmp_path: Path
) -> None:
    async with AsyncExitStack() as stack:
        house = House(database_of_segments)
        stack.push_async_callback(house.close)
        house.endpoints = Endpoints(house.database, EndpointWriter(SystemClock(), Limits()))
        gold = await house.segment(rules(GOLD))
        await house.use(gold)
        await house.look()
        worker = ServiceProcess(
            "heliograph_segments.main",
            service="segments",
            directory=tmp_path / "worker",
            environment={
                "HELIOGRAPH_DATABASE_URL": database_of_segments,
                "HELIOGRAPH_NATS_URL": nats_url,
                "HELIOGRAPH_INTERNAL_SECRET": SECRET,
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_CHANGE_SECONDS": "0.05",
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_TIME_SECONDS": "0.1",
                "HELIOGRAPH_SEGMENTS_MEMBERSHIP_LEASE_SECONDS": "0.2",
            },
            arguments=["--role", "worker"],
        )
        stack.callback(worker.kill)
        members: set[str] = set()
        written = 0

        async def write(until: asyncio.Event) -> None:
            nonlocal written
            chance = Random(1)
            while not until.is_set():
                endpoint_id = f"e{chance.randrange(300)}"
                if endpoint_id in members and chance.random() < 0.3:
                    await house.endpoints.delete(PROJECT, endpoint_id)
                    members.discard(endpoint_id)
                else:
                    plan = chance.choice(["gold", "silver"])
                    await house.write(endpoint_id, plan)
                    (members.add if plan == "gold" else members.discard)(endpoint_id)
                written += 1

        enough = asyncio.Event()
        writing = asyncio.create_task(write(enough))
        for _ in range(4):
            before = len(await house.announced(gold))
            await asyncio.to_thread(lambda: worker.start().ready())

            async def going_on(before: int = before) -> bool:
                return len(await house.announced(gold)) >= before + 3

            await eventually(going_on)
            worker.kill()
        enough.set()
        await writing
        await asyncio.to_thread(lambda: worker.start().ready())

        async def all_told() -> bool:
            return folded(await house.announced(gold), set()) == members

        await eventually(all_told)
        assert written > 50
