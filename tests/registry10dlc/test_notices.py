"""Notices: queued with the move, signed, in order, at least once, never to where they must not go."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import grpc
import pytest
import pytest_asyncio
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import Connection, text

from heliograph.registry10dlc.v1 import watch_pb2, watch_pb2_grpc
from heliograph_channels.signing import verify
from heliograph_kit.clock import ManualClock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.secretbox import SecretBox
from heliograph_kit.testing import eventually
from heliograph_registry10dlc import notice_store
from heliograph_registry10dlc.domain import Entry, Event, State
from heliograph_registry10dlc.notice_settings import NoticeSettings, Reach
from heliograph_registry10dlc.notice_tables import notices
from heliograph_registry10dlc.noticing import Chance, Noticing
from heliograph_registry10dlc.servicers.watch import WatchServicer
from heliograph_registry10dlc.watching import Watching
from tests.plugins.http_peers import HttpPeer, answering, dropping, silent
from tests.registry10dlc.moved import SHOP, Moves, an_entry
from tests.registry10dlc.served import serving

KEY = SecretStr("k" * 32)
SECRET = "a secret of tests"
LOOPBACK = Reach(insecure_loopback=True)
HALF_SPREAD = Chance(new_id=new_id, jitter=lambda: 0.5)


def a_box(key: SecretStr | None = KEY) -> SecretBox:
    return SecretBox(key, service="registry10dlc", person=b"heliograph-10dlc")


@pytest.fixture
def tables(database: Database) -> Database:
    """The database, which has all tables of the registry."""
    return database


@pytest.fixture
def now() -> ManualClock:
    """The machine's time, to be moved: the database has its own."""
    return ManualClock(datetime.now(UTC))


@pytest_asyncio.fixture
async def peer() -> AsyncIterator[HttpPeer]:
    async with HttpPeer().running() as running:
        yield running


def settings_of(
    database: Database, clock: ManualClock, reach: Reach = LOOPBACK, box: SecretBox | None = None
) -> NoticeSettings:
    return NoticeSettings(database=database, box=box or a_box(), reach=reach, clock=clock, wake=lambda: None)


def worker_of(
    database: Database, clock: ManualClock, reach: Reach = LOOPBACK, box: SecretBox | None = None
) -> Noticing:
    return Noticing(
        database=database, box=box or a_box(), reach=reach, clock=clock, chance=HALF_SPREAD, timeout_seconds=1.0,
        concurrency=2, poll_seconds=0.05,
    )  # fmt: skip


Move = Callable[..., Awaitable[Entry]]


@pytest.fixture
def move(tables: Database) -> Move:
    """Make a move and queue its notice, in one transaction."""
    moves = Moves()

    async def moved(id: str = "b1", project: str = SHOP, **changes: object) -> Entry:
        async with tables.transaction() as conn:
            entry = await moves.write(conn, an_entry(id, project, **changes))
            await notice_store.enqueue(conn, entry)
        return entry

    return moved


@pytest_asyncio.fixture
async def told(tables: Database, now: ManualClock, peer: HttpPeer) -> NoticeSettings:
    """The shop wants notices."""
    settings = settings_of(tables, now)
    await settings.update(SHOP, f"{peer.base_url}/hook", SECRET)
    return settings


def heard(peer: HttpPeer) -> list[str]:
    return [str(call.json["detail"]["registrationDetails"]["registrationId"]) for call in peer.calls]


async def test_migration_and_tables_agree(tables: Database) -> None:
    def differing(connection: Connection) -> list[object]:
        options = {"include_schemas": True, "compare_type": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), notices.metadata)
        return [each for each in found if "notice" in str(each)]

    async with tables.transaction() as conn:
        assert await conn.run_sync(differing) == []


async def test_a_move_is_told_signed_and_as_what_it_is(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    await move()
    await move(event=Event.SUBMIT, from_state=State.DRAFT, to_state=State.PENDING)
    assert (await told.get(SHOP)).waiting_count == 2
    await worker_of(tables, now).once()
    first, second = peer.calls
    assert (first.method, first.target) == ("POST", "/hook")
    assert first.headers["content-type"] == "application/json"
    assert first.headers["idempotency-key"] == first.json["id"]
    assert verify(SECRET, first.headers, first.body, time.time())
    assert not verify("another secret!!!", first.headers, first.body, time.time())
    assert not verify(SECRET, first.headers, first.body + b" ", time.time())
    assert [call.json["detail"]["registrationDetails"]["currentStatus"] for call in (first, second)] == [
        "CREATED",
        "SUBMITTED",
    ]
    assert [call.json["detail"]["registrationDetails"]["registrationVersionNumber"] for call in peer.calls] == [1, 1]
    state = await told.get(SHOP)
    assert (state.waiting_count, state.last_error) == (0, "")


async def test_a_notice_of_a_move_that_was_rolled_back_is_not_told(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings
) -> None:
    async with tables.engine.connect() as conn:
        assert await notice_store.enqueue(conn, await Moves().write(conn, an_entry()))
        await conn.rollback()
    assert not await worker_of(tables, now).once()
    assert peer.calls == []


async def test_nothing_is_queued_for_who_wants_nothing(tables: Database, move: Move, told: NoticeSettings) -> None:
    await move(project="other")
    async with tables.transaction() as conn:
        assert await notice_store.waiting_count(conn, "other") == 0


@pytest.mark.parametrize(
    ("act", "words"),
    [
        pytest.param(answering(500), "answered 500", id="broken"),
        pytest.param(answering(404), "answered 404", id="not there yet"),
        pytest.param(
            answering(302, b"", ("Location", "https://example.com/")), "redirects are not followed", id="moved"
        ),
        pytest.param(dropping, "the call was sent", id="hung up"),
        pytest.param(silent, "the call was sent", id="no answer in time"),
    ],
)
async def test_what_fails_is_told_again_later_and_what_comes_behind_waits(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move, act: object, words: str
) -> None:
    worker = worker_of(tables, now)
    peer.acts(act)  # type: ignore[arg-type]
    await move("a")
    await move("b")
    await worker.once()
    state = await told.get(SHOP)
    assert state.waiting_count == 2
    assert words in state.last_error
    assert not await worker.once()  # not yet
    now.advance(timedelta(seconds=1))
    await worker.once()
    assert heard(peer) == ["a", "a", "b"]
    assert peer.calls[0].body == peer.calls[1].body
    state = await told.get(SHOP)
    assert (state.waiting_count, state.last_error) == (0, "")


async def test_pauses_grow_with_failures_in_a_row_and_begin_anew_after_a_success(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    worker = worker_of(tables, now)

    async def pause() -> float:
        """Return when the next attempt is made, by trying every quarter of a second."""
        for quarters in range(1, 200):
            now.advance(timedelta(seconds=0.25))
            if await worker.once():
                return quarters / 4
        raise AssertionError("no attempt was made")

    peer.acts(*[answering(503)] * 4, answering(200), answering(503))
    await move("a")
    await move("b")
    await worker.once()
    assert [await pause() for _ in range(3)] == [0.75, 1.5, 3.0]
    # The fifth attempt succeeds, and the one behind it fails in the same turn: as after a first failure.
    assert await pause() == 6.0
    assert heard(peer) == ["a"] * 5 + ["b"]
    assert await pause() == 0.75


async def test_a_receiver_is_left_alone_as_long_as_it_asks(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    worker = worker_of(tables, now)
    peer.acts(answering(429, b"", ("Retry-After", "60")))
    await move()
    await worker.once()
    now.advance(timedelta(seconds=59))
    assert not await worker.once()
    now.advance(timedelta(seconds=2))
    assert await worker.once()


async def test_after_three_days_notices_are_given_up_with_the_last_error_and_later_ones_go_on(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    worker = worker_of(tables, now)
    peer.acts(answering(503), answering(503), answering(410))
    await move("a")
    await move("b")
    await worker.once()
    now.advance(timedelta(days=2, hours=23))
    await worker.once()
    assert (await told.get(SHOP)).waiting_count == 2
    now.advance(timedelta(hours=2))
    await worker.once()
    state = await told.get(SHOP)
    assert (state.waiting_count, state.last_error) == (0, "the call was answered 410")
    async with tables.transaction() as conn:
        kept = await conn.execute(text("SELECT attempts, last_error FROM registry10dlc.notices ORDER BY move_id"))
        assert [tuple(row) for row in kept] == [(3, "the call was answered 410"), (0, "the call was answered 410")]
    await move("c")
    now.advance(timedelta(hours=1))
    await worker.once()
    assert heard(peer) == ["a", "a", "a", "c"]
    async with tables.transaction() as conn:
        assert await notice_store.forget_given_up(conn, now.now() - timedelta(days=30)) == 0
        assert await notice_store.forget_given_up(conn, now.now() + timedelta(seconds=1)) == 2


async def test_many_workers_keep_the_order_of_each_project_and_hold_up_no_other(
    tables: Database, now: ManualClock, peer: HttpPeer, move: Move
) -> None:
    settings = settings_of(tables, now)
    projects = [f"p{n}" for n in range(4)]
    await settings.update("stuck", f"{peer.base_url}/stuck", SECRET)
    for project in projects:
        await settings.update(project, f"{peer.base_url}/{project}", SECRET)
    await move("never", "stuck")

    async def answer(call_peer: HttpPeer = peer) -> None:
        if call_peer.calls[-1].target == "/stuck":
            await asyncio.sleep(0.5)
        else:
            await asyncio.sleep(0.002)

    peer.first = answer  # type: ignore[method-assign]
    stopping = asyncio.Event()
    workers = [asyncio.create_task(worker_of(tables, now).run(stopping)) for _ in range(3)]
    for n in range(10):
        for project in projects:
            await move(f"{project}-{n}", project)

    async def all_heard() -> bool:
        return len(peer.calls) >= 41

    await eventually(all_heard, within=60)
    stopping.set()
    await asyncio.gather(*workers)
    for project in projects:
        told_ids = [id for id, call in zip(heard(peer), peer.calls, strict=True) if call.target == f"/{project}"]
        assert told_ids == [f"{project}-{n}" for n in range(10)]
    assert heard(peer).count("never") == 1


WORKER = """
import asyncio, random, sys
from pydantic import SecretStr
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_kit.ids import new_id
from heliograph_kit.secretbox import SecretBox
from heliograph_registry10dlc.notice_settings import Reach
from heliograph_registry10dlc.noticing import Chance, Noticing

async def main():
    database = Database(sys.argv[1], application_name="to be killed", pool_size=2)
    box = SecretBox(SecretStr("k" * 32), service="registry10dlc", person=b"heliograph-10dlc")
    await Noticing(
        database=database, box=box, reach=Reach(insecure_loopback=True), clock=SystemClock(),
        chance=Chance(new_id, random.random), timeout_seconds=30, concurrency=1, poll_seconds=0.05,
    ).run(asyncio.Event())

asyncio.run(main())
"""


async def test_a_killed_worker_loses_nothing_and_another_repeats_its_call_with_the_same_id(
    tables: Database, registry_url: str, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    peer.acts(answering(200), silent)
    for id in ("a", "b", "c"):
        await move(id)
    victim = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, registry_url)
    await eventually(lambda: len(peer.calls) == 2, within=60)
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    worker = worker_of(tables, now)
    assert not await worker.once()  # its turn is not over yet
    now.advance(timedelta(minutes=5))  # the victim's clock was the real one, ours stood
    assert await worker.once()
    assert heard(peer) == ["a", "b", "b", "c"]
    assert peer.calls[1].json["id"] == peer.calls[2].json["id"]
    assert (await told.get(SHOP)).waiting_count == 0


async def test_a_worker_that_lost_its_turn_writes_nothing_down(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    await move("a")
    changed = asyncio.Event()
    peer.first = changed.wait  # type: ignore[method-assign, assignment]
    turn = asyncio.create_task(worker_of(tables, now).once())
    await eventually(lambda: len(peer.calls) == 1)
    await told.update(SHOP, f"{peer.base_url}/new", "")
    changed.set()
    await turn
    assert (await told.get(SHOP)).waiting_count == 1
    await worker_of(tables, now).once()
    assert [call.target for call in peer.calls] == ["/hook", "/new"]
    assert verify(SECRET, peer.calls[1].headers, peer.calls[1].body, time.time())


async def test_turned_off_what_waits_is_dropped_and_later_moves_are_not_queued(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    await move("a")
    state = await told.update(SHOP, "", "")
    assert (state.url, state.waiting_count, state.has_secret) == ("", 0, True)
    await move("b")
    await told.update(SHOP, f"{peer.base_url}/again", "")
    await move("c")
    await worker_of(tables, now).once()
    assert heard(peer) == ["c"]


@pytest.mark.parametrize(
    ("url", "reach", "words"),
    [
        pytest.param("https://10.1.2.3/", Reach(), "a private or reserved address", id="private"),
        pytest.param("https://169.254.169.254/latest", Reach(), "a link-local address", id="metadata of a cloud"),
        pytest.param("https://localhost:8443/", Reach(), "a loopback address", id="this machine"),
        pytest.param("http://10.1.2.3/", LOOPBACK, "this machine only", id="http to elsewhere"),
    ],
)
async def test_no_call_goes_inside_even_if_the_settings_say_so(
    tables: Database, now: ManualClock, move: Move, url: str, reach: Reach, words: str
) -> None:
    """Settings that were good once, of a name that leads elsewhere now."""
    sealed = a_box().seal(SHOP, "notices", {"secret": SECRET})
    async with tables.transaction() as conn:
        await notice_store.write_address(conn, SHOP, notice_store.Address(url, sealed), now.now())
    await move()
    await worker_of(tables, now, reach).once()
    state = await settings_of(tables, now).get(SHOP)
    assert state.waiting_count == 1
    assert words in state.last_error


async def test_with_another_key_notices_wait_and_say_why(
    tables: Database, now: ManualClock, peer: HttpPeer, told: NoticeSettings, move: Move
) -> None:
    await move()
    await worker_of(tables, now, box=a_box(SecretStr("l" * 32))).once()
    assert "HELIOGRAPH_REGISTRY10DLC_SECRET_KEY" in (await told.get(SHOP)).last_error
    assert peer.calls == []


async def test_a_dropped_project_leaves_nothing(tables: Database, told: NoticeSettings, move: Move) -> None:
    await move()
    async with tables.transaction() as conn:
        await notice_store.drop_project(conn, SHOP)
    state = await told.get(SHOP)
    assert (state.url, state.has_secret, state.waiting_count) == ("", False, 0)


@asynccontextmanager
async def served(settings: NoticeSettings, database: Database) -> AsyncIterator[watch_pb2_grpc.WatchServiceAsyncStub]:
    watching = Watching(database=database, history=Moves(), poll_seconds=1, most_watchers=1)
    name = "heliograph.registry10dlc.v1.WatchService"
    servicer = WatchServicer(watching, settings)
    async with serving(watch_pb2_grpc.add_WatchServiceServicer_to_server, servicer, name) as opened:
        yield watch_pb2_grpc.WatchServiceStub(opened)


NAME = "projects/shop/noticeSettings"


def a_change(name: str = NAME, url: str = "", secret: str = "") -> watch_pb2.UpdateNoticeSettingsRequest:
    settings = watch_pb2.NoticeSettings(name=name, url=url, secret=secret)
    return watch_pb2.UpdateNoticeSettingsRequest(notice_settings=settings)


async def test_settings_are_set_and_read_and_the_secret_is_never_returned(
    tables: Database, now: ManualClock, peer: HttpPeer, move: Move
) -> None:
    async with served(settings_of(tables, now), tables) as stub:
        empty = await stub.GetNoticeSettings(watch_pb2.GetNoticeSettingsRequest(name=NAME))
        assert empty == watch_pb2.NoticeSettings(name=NAME)
        changed = await stub.UpdateNoticeSettings(a_change(url=peer.base_url, secret=SECRET))
        await move()
        seen = await stub.GetNoticeSettings(watch_pb2.GetNoticeSettingsRequest(name=NAME))
    assert changed == watch_pb2.NoticeSettings(name=NAME, url=peer.base_url, has_secret=True)
    assert seen == watch_pb2.NoticeSettings(name=NAME, url=peer.base_url, has_secret=True, waiting_count=1)
    async with tables.transaction() as conn:
        row = (await conn.execute(text("SELECT * FROM registry10dlc.notice_settings"))).one()
        assert SECRET not in str(row)
        queued = (await conn.execute(text("SELECT body FROM registry10dlc.notices"))).scalar_one()
        assert SECRET.encode() not in queued
        assert json.loads(queued)["detail-type"] == "Registration Status Change"


@pytest.mark.parametrize(
    ("fields", "reach", "reason", "where"),
    [
        pytest.param(
            {"url": "https://10.0.0.1/", "secret": SECRET}, Reach(), "PRIVATE_ADDRESS", "url", id="a private address"
        ),
        pytest.param(
            {"url": "https://127.0.0.1/", "secret": SECRET}, Reach(), "PRIVATE_ADDRESS", "url", id="this machine"
        ),
        pytest.param(
            {"url": "https://[::ffff:10.0.0.1]/", "secret": SECRET},
            Reach(),
            "PRIVATE_ADDRESS",
            "url",
            id="hidden in IPv6",
        ),
        pytest.param(
            {"url": "http://example.com/", "secret": SECRET}, Reach(), "INVALID_ARGUMENT", "url", id="not encrypted"
        ),
        pytest.param(
            {"url": "https://0x7f000001/", "secret": SECRET},
            Reach(),
            "INVALID_ARGUMENT",
            "url",
            id="a spelling that hides",
        ),
        pytest.param({"url": "https://192.0.2.1/"}, Reach(), "INVALID_ARGUMENT", "secret", id="no secret"),
        pytest.param({"secret": "short"}, Reach(), "INVALID_ARGUMENT", "secret", id="a short secret"),
        pytest.param({"secret": "x" * 257}, Reach(), "INVALID_ARGUMENT", "secret", id="a long secret"),
        pytest.param({"name": "projects/shop/notices"}, Reach(), "INVALID_NAME", "name", id="another name"),
    ],
)
async def test_settings_that_cannot_be_good_are_refused(
    tables: Database, now: ManualClock, fields: dict[str, str], reach: Reach, reason: str, where: str
) -> None:
    async with served(settings_of(tables, now, reach), tables) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UpdateNoticeSettings(a_change(**fields))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(caught.value) == reason
        assert [field for field, _ in violations_of(caught.value)] == [f"notice_settings.{where}"]
        seen = await stub.GetNoticeSettings(watch_pb2.GetNoticeSettingsRequest(name=NAME))
    assert not seen.has_secret


async def test_the_operator_may_allow_networks(tables: Database, now: ManualClock) -> None:
    allowed = Reach(networks=[ip_network("10.0.0.0/8")])
    state = await settings_of(tables, now, allowed).update(SHOP, "https://10.0.0.1/hook", SECRET)
    assert state.url == "https://10.0.0.1/hook"


async def test_without_a_key_no_secret_is_taken(tables: Database, now: ManualClock, peer: HttpPeer) -> None:
    async with served(settings_of(tables, now, box=a_box(None)), tables) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UpdateNoticeSettings(a_change(url=peer.base_url, secret=SECRET))
    assert (caught.value.code().name, reason_of(caught.value)) == ("FAILED_PRECONDITION", "SECRET_KEY_MISSING")
