"""Watching: every move once and in order, from the beginning, from a place or from now on, until the service stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import grpc
import pytest
import pytest_asyncio

from heliograph.registry10dlc.v1 import registry_pb2, watch_pb2, watch_pb2_grpc
from heliograph_kit.clock import SystemClock
from heliograph_kit.database import Database
from heliograph_kit.rpc import reason_of, violations_of
from heliograph_kit.secretbox import SecretBox
from heliograph_kit.testing import eventually
from heliograph_registry10dlc import watching as module
from heliograph_registry10dlc.domain import Actor, Entry, Event, Kind, State
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.notice_settings import NoticeSettings, Reach
from heliograph_registry10dlc.servicers.watch import WatchServicer
from heliograph_registry10dlc.watch_errors import TooManyWatchers, WatchEnded
from heliograph_registry10dlc.watching import Watching
from tests.registry10dlc.moved import SHOP, Moves, an_entry
from tests.registry10dlc.served import serving

Start = Callable[..., Awaitable[Watching]]


@pytest.fixture
def history() -> Moves:
    return Moves()


@pytest_asyncio.fixture
async def stopping() -> asyncio.Event:
    return asyncio.Event()


@pytest_asyncio.fixture
async def start(database: Database, history: Moves, stopping: asyncio.Event) -> AsyncIterator[Start]:
    """Watching that runs; slow to poll unless a test says otherwise."""
    tasks: list[asyncio.Task[None]] = []

    async def started(poll_seconds: float = 60, most_watchers: int = 10) -> Watching:
        made = Watching(database=database, history=history, poll_seconds=poll_seconds, most_watchers=most_watchers)
        tasks.append(asyncio.create_task(made.run(stopping)))
        return made

    yield started
    stopping.set()
    await asyncio.gather(*tasks)


@pytest.fixture
def write(database: Database, history: Moves) -> Callable[..., Awaitable[int]]:
    """Write moves, each in a transaction of its own, as another process does."""

    async def written(*ids: str, project: str = SHOP) -> int:
        last = 0
        for id in ids:
            async with database.transaction() as conn:
                last = (await history.write(conn, an_entry(id, project))).move_id
        return last

    return written


Write = Callable[..., Awaitable[int]]


class Heard:
    """What one watcher has heard so far."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.error: Exception | None = None

    @property
    def ids(self) -> list[str]:
        return [entry.registration_id for entry in self.entries]


@asynccontextmanager
async def listening(
    watching: Watching, registration_id: str = "", after: int = 0, project: str = SHOP
) -> AsyncIterator[Heard]:
    heard = Heard()

    async def listen() -> None:
        try:
            async with aclosing(watching.moves(project, registration_id, after)) as moves:
                async for entry in moves:
                    heard.entries.append(entry)
        except (TooManyWatchers, WatchEnded) as error:
            heard.error = error

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_history_comes_first_then_what_is_new_at_once(start: Start, write: Write) -> None:
    watching = await start()
    await write("a", "b")
    async with listening(watching) as heard:
        await eventually(lambda: heard.ids == ["a", "b"])
        await write("c")
        watching.wake(SHOP)
        # Long before the poll.
        await eventually(lambda: heard.ids == ["a", "b", "c"])
    assert watching.watchers == 0


async def test_moves_of_other_processes_are_found_by_the_poll(start: Start, write: Write) -> None:
    watching = await start(poll_seconds=0.05)
    async with listening(watching) as heard:
        await eventually(lambda: watching.watchers == 1)
        await write("a")
        await eventually(lambda: heard.ids == ["a"])


async def test_a_watcher_goes_on_behind_the_last_move_it_has(start: Start, write: Write) -> None:
    watching = await start(poll_seconds=0.05)
    last = await write("a", "b")
    await write("c")
    async with listening(watching, after=last) as heard:
        await eventually(lambda: heard.ids == ["c"])


async def test_minus_one_tells_only_what_happens_from_now_on(start: Start, write: Write) -> None:
    watching = await start(poll_seconds=0.05)
    async with listening(watching) as early:
        await write("a", "b")
        async with listening(watching, after=-1) as heard:
            await eventually(lambda: early.ids == ["a", "b"])
            await eventually(lambda: watching.watchers == 2)
            await asyncio.sleep(0.2)
            await write("c")
            await eventually(lambda: heard.ids == ["c"])


async def test_one_registration_and_one_project_alone_are_told_when_asked_for(start: Start, write: Write) -> None:
    watching = await start(poll_seconds=0.05)
    await write("a", "b", "a")
    await write("z", project="other")
    async with listening(watching, "a") as heard, listening(watching, project="other") as others:
        await eventually(lambda: heard.ids == ["a", "a"])
        await write("b", "a")
        await write("a", project="other")
        await eventually(lambda: heard.ids == ["a", "a", "a"])
        await eventually(lambda: others.ids == ["z", "a"])


async def test_many_watchers_share_what_is_read(start: Start, write: Write, history: Moves) -> None:
    watching = await start(most_watchers=100)
    async with listening(watching, after=-1) as first:
        crowd = [listening(watching, after=-1) for _ in range(50)]
        heard = [await each.__aenter__() for each in crowd]
        await eventually(lambda: watching.watchers == 51)
        await asyncio.sleep(0.2)  # all of them have asked where the history ends
        history.reads = 0
        await write("a")
        watching.wake(SHOP)
        await eventually(lambda: all(each.ids == ["a"] for each in [first, *heard]))
        assert history.reads == 1
        for each in crowd:
            await each.__aexit__(None, None, None)


async def test_none_is_told_twice_or_left_out_while_many_write(
    start: Start, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "SHARED", 10)
    watching = await start(poll_seconds=0.05)
    await write(*(f"old{n}" for n in range(30)))
    async with listening(watching) as heard:

        async def writer(name: str) -> None:
            for n in range(25):
                await write(f"{name}{n}")
                watching.wake(SHOP)

        writing = [asyncio.create_task(writer(name)) for name in "abc"]
        async with listening(watching) as late:
            await asyncio.gather(*writing)
            await eventually(lambda: len(heard.ids) >= 105 and len(late.ids) >= 105)
    for each in (heard, late):
        numbers = [entry.move_id for entry in each.entries]
        assert len(numbers) == 105
        assert numbers == sorted(set(numbers))


async def test_a_watcher_that_falls_behind_reads_the_history_again(
    start: Start, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARED", 3)
    watching = await start(poll_seconds=0.02)
    moves = watching.moves(SHOP, "", 0)
    async with aclosing(moves), listening(watching) as quick:
        await write("a")
        assert (await anext(moves)).registration_id == "a"
        await write(*(f"n{n}" for n in range(20)))
        await eventually(lambda: len(quick.ids) == 21)
        assert [(await anext(moves)).registration_id for _ in range(20)] == [f"n{n}" for n in range(20)]


async def test_too_many_watchers_are_refused_and_places_given_free(start: Start) -> None:
    watching = await start(most_watchers=1)
    async with listening(watching):
        await eventually(lambda: watching.watchers == 1)
        async with listening(watching) as refused:
            await eventually(lambda: isinstance(refused.error, TooManyWatchers))
    async with listening(watching) as heard:
        await eventually(lambda: watching.watchers == 1)
        assert heard.error is None


async def test_the_end_of_the_service_sends_watchers_elsewhere(start: Start, stopping: asyncio.Event) -> None:
    watching = await start()
    async with listening(watching) as heard:
        await eventually(lambda: watching.watchers == 1)
        stopping.set()
        await eventually(lambda: isinstance(heard.error, WatchEnded))
    async with listening(watching) as late:
        await eventually(lambda: isinstance(late.error, WatchEnded))


@asynccontextmanager
async def served(watching: Watching, database: Database) -> AsyncIterator[watch_pb2_grpc.WatchServiceAsyncStub]:
    name = "heliograph.registry10dlc.v1.WatchService"
    box = SecretBox(None, service="registry10dlc", person=b"heliograph-10dlc")
    notices = NoticeSettings(database=database, box=box, reach=Reach(), clock=SystemClock(), wake=lambda: None)
    servicer = WatchServicer(watching, notices)
    async with serving(watch_pb2_grpc.add_WatchServiceServicer_to_server, servicer, name) as opened:
        yield watch_pb2_grpc.WatchServiceStub(opened)


async def test_the_call_streams_moves_and_gives_its_place_free_when_the_caller_leaves(
    start: Start, history: Moves, database: Database
) -> None:
    watching = await start(poll_seconds=0.05)
    entry = an_entry(
        "b1", event=Event.REJECTED, from_state=State.PENDING, to_state=State.REQUIRES_UPDATE, actor=Actor.REGISTRAR,
        cause="WEBSITE_MISSING_OR_DOWN", field="contactInfo.website", words="we could not open it",
    )  # fmt: skip
    async with database.transaction() as conn:
        stored = await history.write(conn, entry)
    async with served(watching, database) as stub:
        call = stub.WatchMoves(watch_pb2.WatchMovesRequest(parent="projects/shop", resource="projects/shop/brands/b1"))
        answer = await anext(aiter(call))
        assert answer.move == registry_pb2.Move(
            resource="projects/shop/brands/b1",
            kind=registry_pb2.REGISTRATION_KIND_BRAND,
            event="REJECTED",
            from_state=registry_pb2.REGISTRATION_STATE_PENDING,
            to_state=registry_pb2.REGISTRATION_STATE_REQUIRES_UPDATE,
            actor="registrar",
            cause="WEBSITE_MISSING_OR_DOWN",
            field="contactInfo.website",
            words="we could not open it",
            move_id=stored.move_id,
            time=answer.move.time,
        )
        assert answer.move.time.ToSeconds() == int(entry.time.timestamp())
        assert watching.watchers == 1
        call.cancel()
        await eventually(lambda: watching.watchers == 0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stub.WatchMoves(watch_pb2.WatchMovesRequest(parent="projects/shop"), timeout=0.5):
                pass
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(lambda: watching.watchers == 0)


@pytest.mark.parametrize(
    ("request_", "code", "reason", "field"),
    [
        pytest.param({"parent": "shop"}, "INVALID_ARGUMENT", "INVALID_NAME", "parent", id="no project"),
        pytest.param(
            {"parent": "projects/shop", "after_move_id": -2},
            "INVALID_ARGUMENT", "INVALID_ARGUMENT", "after_move_id", id="before the beginning",
        ),
        pytest.param(
            {"parent": "projects/shop", "resource": "projects/shop/socks/1"},
            "INVALID_ARGUMENT", "INVALID_NAME", "resource", id="nothing that is registered",
        ),
        pytest.param(
            {"parent": "projects/shop", "resource": "projects/other/brands/1"},
            "INVALID_ARGUMENT", "INVALID_ARGUMENT", "resource", id="of another project",
        ),
        pytest.param(
            {"parent": "projects/shop", "resource": "projects/shop/tollFreeRegistrations/1"},
            "NOT_FOUND", "REGISTRATION_NOT_FOUND", None, id="never was",
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_watched_is_refused(
    start: Start, database: Database, request_: dict[str, object], code: str, reason: str, field: str | None
) -> None:
    watching = await start()
    async with served(watching, database) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.WatchMoves(watch_pb2.WatchMovesRequest(**request_))))  # type: ignore[arg-type]
    assert (caught.value.code().name, reason_of(caught.value)) == (code, reason)
    assert [name for name, _ in violations_of(caught.value)] == ([field] if field else [])
    assert watching.watchers == 0


async def test_a_drained_service_answers_unavailable(start: Start, stopping: asyncio.Event, database: Database) -> None:
    watching = await start()
    async with served(watching, database) as stub:
        call = stub.WatchMoves(watch_pb2.WatchMovesRequest(parent="projects/shop"))
        waiting = asyncio.ensure_future(anext(aiter(call)))
        await eventually(lambda: watching.watchers == 1)
        stopping.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await waiting
    assert (caught.value.code(), reason_of(caught.value)) == (grpc.StatusCode.UNAVAILABLE, "WATCH_ENDED")


def test_every_kind_has_a_name_to_be_watched_by() -> None:
    assert set(COLLECTION) == set(Kind)
