"""What a break, a reset or a GOAWAY of push-apns' connection means for the calls on it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from heliograph_channels import Accepted, Unknown
from tests.plugins.apns_breaks import dropping, garbling, later, losing, resetting, silent, until
from tests.plugins.apns_peer import FakeApple
from tests.plugins.http2_peer import Act, Exchange
from tests.plugins.test_apns import push, sender_for

# Breaks


@pytest.mark.parametrize("act", [dropping, losing, garbling], ids=["not taken", "taken and lost", "no http/2"])
async def test_a_connection_that_breaks_after_the_request_leaves_a_doubt(
    apple: FakeApple, certificate: tuple[Path, Path], act: Act
) -> None:
    apple.acts(act)
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Unknown), result
        (again,) = await sender.send_batch([push()])
        assert isinstance(again, Accepted), again
    assert (apple.connections, len(apple.calls)) == (2, 2)


async def test_a_status_counts_even_if_the_rest_is_lost(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async def act(exchange: Exchange) -> None:
        exchange.conversation.h2.send_headers(exchange.stream, [(":status", "200"), ("apns-id", "abc")])
        exchange.conversation.flush()
        await exchange.conversation.writer.drain()
        exchange.conversation.writer.close()

    apple.acts(act)
    async with sender_for(apple, certificate) as sender:
        assert await sender.send_batch([push()]) == [Accepted("abc")]


async def test_a_break_is_told_to_every_call_for_itself(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    """Of three calls one was answered, one was with the server, one had no stream yet."""
    apple.most_streams = 2

    async def act(exchange: Exchange) -> None:
        await until(lambda: len(apple.sent) == 1)
        exchange.conversation.abort()

    async with sender_for(apple, certificate) as sender:
        apple.acts(act)
        held = asyncio.create_task(sender.send_batch([push()]))
        await until(lambda: len(apple.calls) == 1)
        (answered,) = await sender.send_batch([push()])
        (broken,) = await held
        (after,) = await sender.send_batch([push()])
    assert isinstance(answered, Accepted), answered
    assert isinstance(broken, Unknown), broken
    assert isinstance(after, Accepted), after


async def test_a_call_that_is_not_answered_in_time_leaves_a_doubt_and_its_connection(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    apple.acts(silent)
    async with sender_for(apple, certificate, timeout=1) as sender:
        (result,) = await sender.send_batch([push()])
        assert isinstance(result, Unknown), result
        assert "no answer came in time" in result.detail
        (again,) = await sender.send_batch([push()])
        assert isinstance(again, Accepted), again
    await until(lambda: bool(apple.conversations[0].resets))


@pytest.mark.parametrize(
    ("code", "doubt"),
    [(ErrorCodes.INTERNAL_ERROR, True), (ErrorCodes.CANCEL, True), (ErrorCodes.NO_ERROR, True)],
)
async def test_a_stream_that_is_reset_leaves_a_doubt_and_its_neighbour_alone(
    apple: FakeApple, certificate: tuple[Path, Path], code: ErrorCodes, doubt: bool
) -> None:
    apple.acts(resetting(code))
    async with sender_for(apple, certificate) as sender:
        results = await sender.send_batch([push(), push()])
    assert sorted(type(result).__name__ for result in results) == ["Accepted", "Unknown"]
    assert apple.connections == 1


async def test_a_stream_that_is_refused_is_tried_again_at_once(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    apple.acts(resetting(ErrorCodes.REFUSED_STREAM))
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Accepted), result
    assert len(apple.calls) == 2


async def test_a_stream_that_is_refused_again_and_again_may_be_sent_later(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    apple.acts(*[resetting(ErrorCodes.REFUSED_STREAM)] * 3)
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push()])
    assert later(result), result
    assert len(apple.calls) == 3


# GOAWAY


async def test_calls_above_the_last_stream_of_a_goaway_are_made_again_and_those_below_are_answered(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    answer_now = asyncio.Event()
    first: list[Exchange] = []

    async def hold(exchange: Exchange) -> None:
        first.append(exchange)
        await answer_now.wait()
        exchange.send(exchange.peer.answer(exchange.call))

    async def unlooked(exchange: Exchange) -> None:
        """The server never looks at these."""

    apple.acts(hold, *[unlooked] * 4)
    async with sender_for(apple, certificate) as sender:
        async with asyncio.TaskGroup() as group:
            batch = group.create_task(sender.send_batch([push() for _ in range(5)]))
            await until(lambda: len(apple.calls) == 5)
            lowest = min(first, key=lambda exchange: exchange.stream)
            lowest.conversation.go_away(lowest.stream)
            await until(lambda: len(apple.sent) == 4)
            answer_now.set()
        results = batch.result()
    assert [type(result) for result in results] == [Accepted] * 5
    assert apple.connections == 2
    assert len({call.headers["apns-id"] for call in apple.sent}) == 5


async def test_a_goaway_before_a_break_tells_the_doubtful_from_the_untouched(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    async def leave(exchange: Exchange) -> None:
        await until(lambda: len(apple.calls) >= 3)
        exchange.conversation.go_away(exchange.stream)
        await exchange.conversation.writer.drain()
        exchange.conversation.writer.close()

    async def unlooked(exchange: Exchange) -> None:
        """The server never looks at these."""

    apple.acts(leave, unlooked, unlooked)
    async with sender_for(apple, certificate) as sender:
        results = await sender.send_batch([push() for _ in range(3)])
    assert sorted(type(result).__name__ for result in results) == ["Accepted", "Accepted", "Unknown"]
    (doubt,) = [result for result in results if isinstance(result, Unknown)]
    assert "Shutdown" in doubt.detail


async def test_a_connection_that_said_goodbye_while_idle_is_replaced_without_a_doubt(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    async with sender_for(apple, certificate) as sender:
        await sender.send_batch([push()])
        conversation = apple.conversations[0]
        conversation.go_away(1, b'{"reason":"IdleTimeout"}')
        conversation.writer.close()
        await until(lambda: conversation.reader.at_eof())
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Accepted), result
    assert apple.connections == 2


async def test_a_server_that_always_says_goodbye_is_left_after_three_times(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    async def leave(exchange: Exchange) -> None:
        exchange.conversation.go_away(0)

    apple.acts(*[leave] * 3)
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push()])
    assert later(result), result
    assert (apple.connections, len(apple.calls)) == (3, 3)
