"""Direct sends before campaigns in one event loop, and campaigns all the same."""

from __future__ import annotations

import asyncio

import pytest

from heliograph_messaging.pipeline.right_of_way import RightOfWay

pytestmark = pytest.mark.unit


async def test_one_portion_at_a_time_goes_into_a_round_of_the_loop() -> None:
    way, done, seen = RightOfWay(), 0, 0

    async def portion() -> None:
        nonlocal done
        await way.give()
        done += 1

    portions = [asyncio.create_task(portion()) for _ in range(4)]
    while done < len(portions):
        await asyncio.sleep(0)
        assert done - seen <= 1
        seen = done


async def test_portions_wait_for_who_is_first() -> None:
    way, order = RightOfWay(), []

    async def call() -> None:
        with way.first():
            await asyncio.sleep(0)
            order.append("call")

    async def portion() -> None:
        await way.give()
        order.append("portion")

    async with asyncio.TaskGroup() as group:
        group.create_task(portion())
        group.create_task(call())
    assert order == ["call", "portion"]


async def test_portions_get_on_while_calls_never_end() -> None:
    way = RightOfWay()
    with way.first(), way.first():
        await asyncio.wait_for(way.give(), 30)


async def test_nobody_waits_for_a_call_that_failed() -> None:
    way = RightOfWay()
    with pytest.raises(ZeroDivisionError), way.first():
        raise ZeroDivisionError
    portion = asyncio.create_task(way.give())
    for _ in range(3):
        await asyncio.sleep(0)
    assert portion.done()
