"""What is remembered for a second: never what is being written, and never absence."""

from __future__ import annotations

import asyncio

from heliograph_messaging.store.recent import Recent

GROUP = ("shop", "EMAIL")


class _Record:
    """Something that is read, and how often it was."""

    def __init__(self) -> None:
        self.value: str | None = "old"
        self.reads = 0

    async def read(self) -> str | None:
        self.reads += 1
        return self.value


async def test_a_value_is_read_once_while_it_lives() -> None:
    now = [0.0]
    recent: Recent[str] = Recent(1.0, lambda: now[0])
    record = _Record()
    assert [await recent.get(GROUP, None, record.read) for _ in range(3)] == ["old"] * 3
    now[0] = 0.999
    await recent.get(GROUP, None, record.read)
    assert record.reads == 1
    assert await recent.get(GROUP, "other", record.read) == "old"
    now[0] = 1.0
    record.value = "new"
    assert (await recent.get(GROUP, None, record.read), record.reads) == ("new", 3)


async def test_absence_is_not_remembered() -> None:
    recent: Recent[str] = Recent(1.0, lambda: 0.0)
    record = _Record()
    record.value = None
    assert await recent.get(GROUP, None, record.read) is None
    record.value = "there"
    assert await recent.get(GROUP, None, record.read) == "there"


async def test_what_is_read_while_it_is_written_does_not_stay() -> None:
    now = [0.0]
    recent: Recent[str] = Recent(1.0, lambda: now[0])
    record = _Record()
    await recent.get(GROUP, None, record.read)
    recent.forget(GROUP)  # written, and not committed yet
    assert await recent.get(GROUP, None, record.read) == "old"
    record.value = "new"
    assert await recent.get(GROUP, None, record.read) == "new"
    now[0] = 1.0
    await recent.get(GROUP, None, record.read)
    record.value = "newer"
    assert await recent.get(GROUP, None, record.read) == "new"


async def test_a_read_that_began_before_a_write_does_not_bring_the_old_value_back() -> None:
    now = [0.0]
    recent: Recent[str] = Recent(1.0, lambda: now[0])
    began, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        began.set()
        await go.wait()
        return "old"

    reading = asyncio.create_task(recent.get(GROUP, None, slow))
    await began.wait()
    recent.forget(GROUP)
    go.set()
    assert await reading == "old"
    record = _Record()
    record.value = "new"
    assert await recent.get(GROUP, None, record.read) == "new"
