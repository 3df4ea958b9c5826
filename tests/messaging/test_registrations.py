"""What the registry says of a number: kept as it is announced, obeyed by borrowers as by owners."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from sqlalchemy import text

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, origination_pb2
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.ids import derived_id
from heliograph_messaging.domain.numbers import Number, Registration
from heliograph_messaging.domain.origination import Originations
from heliograph_messaging.pipeline.allowances import Allowances
from heliograph_messaging.pipeline.leases import Hold
from heliograph_messaging.pipeline.pacing import Pacing
from heliograph_messaging.pipeline.right_of_way import next_round
from heliograph_messaging.pipeline.run import Run
from heliograph_messaging.store.allowances import AllowanceStore
from heliograph_messaging.store.channels import NumberStore, forget_project
from heliograph_messaging.store.originations import OriginationStore
from heliograph_messaging.store.records import BatchKey, Lease, Row
from heliograph_messaging.store.turns import TurnStore
from tests.messaging.conftest import PARENT, PROJECT, Service, a_batch
from tests.messaging.numbers import TEN, announce, name_of, set_number

pytestmark = pytest.mark.integration
A = origination_pb2
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
BORROWER = "branch"
USE_CASE, BRAND = f"{PARENT}/useCases/u", f"{PARENT}/brands/b"


def a_run(database: Database, project: str, name: str, *, transactional: bool = False) -> Run:
    """Return a batch in the hands of a worker."""
    key = BatchKey(project, derived_id(name))
    kind = dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL if transactional else dispatch_pb2.MESSAGE_CLASS_CAMPAIGN
    batch = dispatch_pb2.DispatchBatch(message_class=kind, channel="SMS")
    hold = Hold(Lease(key, 1, True, "scripted", 0, 0.0, 0), 1e12)
    return Run(cast(Any, None), "tests", batch, cast(Any, None), hold, frozenset(), database, next_round)


def rows(count: int, *, origination: str = TEN, parts: int = 1) -> list[Row]:
    """Return messages that are about to be sent."""
    return [
        Row(
            derived_id(str(n)),
            n,
            f"e{n}",
            "",
            f"+1206666{n:04}",
            "",
            "CLAIMED",
            "",
            "",
            origination,
            USE_CASE,
            parts,
            0,
        )
        for n in range(count)
    ]


async def test_what_the_registry_says_of_a_number_is_shown(service: Service) -> None:
    await announce(
        service, TEN, brand=BRAND, parts_per_day=2000, help_reply="Call us", stop_reply="Bye", voice_capable=True,
        message_type="PROMOTIONAL", lent_by="projects/parent", toll_free_registered=True,
    )  # fmt: skip
    found = await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(TEN)))
    assert (found.brand, found.lent_by, found.voice_capable) == (BRAND, "projects/parent", True)
    assert found.registered_message_type == contents_pb2.SMS_MESSAGE_TYPE_PROMOTIONAL
    async with service.runtime.database.transaction() as conn:
        kept = (await OriginationStore().of_project(conn, PROJECT))[0]
    assert kept.registration == Registration(BRAND, 2000, "PROMOTIONAL", "Call us", "Bye", "projects/parent", True)
    # An announcement of an older registry says nothing of all that.
    await announce(service, TEN)
    found = await service.numbers.GetOrigination(A.GetOriginationRequest(name=name_of(TEN)))
    assert (found.state, found.brand, found.voice_capable, found.registered_message_type) == ("READY", "", False, 0)


async def test_the_use_case_settles_what_a_number_is_for(service: Service) -> None:
    await announce(service, TEN, message_type="PROMOTIONAL")
    await set_number(service, TEN, message_type=contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL)
    await service.set_up("SMS")
    batch = a_batch(["+12065550123"], channel="SMS")
    batch.content.origination_number = TEN
    batch.content.sms_message_type = contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL
    await service.dispatch(batch)
    await service.done(1)
    assert "MESSAGE_TYPE_MISMATCH: +12065550100 carries PROMOTIONAL" in (await service.rows())[0].detail


async def test_a_row_of_before_the_upgrade_is_as_it_was(service: Service) -> None:
    """The code of before leaves the new columns out."""
    async with service.runtime.database.transaction() as conn:
        await conn.execute(
            text(
                """INSERT INTO messaging.numbers (project, number, kind, state, sms_capable, use_case, parts_per_second,
                revision) VALUES ('shop', '+18885550100', 'TOLL_FREE', 'READY', true, '', 3, 1)"""
            )
        )
        kept = (await OriginationStore().of_project(conn, PROJECT))[0]
    assert (kept.registration.toll_free, kept.voice_capable, kept.registration.brand) == (True, True, "")


async def test_a_use_case_has_one_calendar_whoever_sends_from_its_numbers(service: Service) -> None:
    database, clock = service.runtime.database, ManualClock(NOW)
    pacing = Pacing(TurnStore(), Allowances(AllowanceStore(), share=1), clock)
    number = Number(TEN, "TEN_DLC", "READY", True, USE_CASE, 2.0)
    own, lent = Originations([number]), Originations([number])
    first = await pacing.take(a_run(database, PROJECT, "own"), rows(4), own)
    assert (len(first.rows), first.wait_seconds) == (4, None)
    second = await pacing.take(a_run(database, BORROWER, "lent"), rows(2), lent)
    assert (len(second.rows), second.wait_seconds) == (0, 2.0)
    # A direct send of the borrower holds back the owner's campaign.
    assert (
        await pacing.take(a_run(database, BORROWER, "direct", transactional=True), rows(2), lent)
    ).wait_seconds is None
    third = await pacing.take(a_run(database, PROJECT, "own again"), rows(1), own)
    assert third.wait_seconds == 4.0
    async with database.transaction() as conn:
        kept = (await conn.execute(text("SELECT project, key FROM messaging.calendars ORDER BY key"))).all()
        assert {row.project for row in kept} == {PROJECT}
        assert [row.key for row in kept] == [f"direct:{USE_CASE}", USE_CASE]
        # The borrower's turns go with the borrower, its lender's calendar stays.
        await forget_project(conn, BORROWER)
        assert {row.project for row in await conn.execute(text("SELECT project FROM messaging.turns"))} == {PROJECT}
        assert len((await conn.execute(text("SELECT key FROM messaging.calendars"))).all()) == 2
        await forget_project(conn, PROJECT)
        assert not (await conn.execute(text("SELECT key FROM messaging.calendars"))).all()


async def test_numbers_that_a_deleted_project_lent_are_sent_from_no_more(service: Service) -> None:
    await service.set_up("SMS")
    async with service.runtime.database.transaction() as conn:
        lent = Number(
            TEN, "TEN_DLC", "READY", True, "projects/parent/useCases/u", 50.0,
            registration=Registration(lent_by="projects/parent"),
        )  # fmt: skip
        await NumberStore().put(conn, PROJECT, lent, revision=1)
    await service.dispatch(a_batch(["+12065550123"], channel="SMS"))
    assert (await service.done(1)).accepted_count == 1
    async with service.runtime.database.transaction() as conn:
        await forget_project(conn, "parent")
    await service.dispatch(a_batch(["+12065550123"], channel="SMS", run_id="run2"))
    await service.done(1, "run2")
    assert "has none" in (await service.rows("run2"))[0].detail
