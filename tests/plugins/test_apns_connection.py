"""The HTTP/2 connection of push-apns: how many streams, what a break or a GOAWAY means, frames cut anywhere."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame

from heliograph_channel_apns import connection as connections
from heliograph_channel_apns import link as links
from heliograph_channel_apns.frames import Frames, FramesBroken, GoAway
from heliograph_channels import Accepted, PushContent, Rejected, RejectReason, SendResult, Unknown
from heliograph_channels.http_client import NoAnswer, NotSent
from tests.plugins.apns_peer import FakeApple
from tests.plugins.http2_peer import Act, Exchange, tls_of
from tests.plugins.smtp_servers import make_certificate
from tests.plugins.test_apns import ID, push, sender_for


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("apple"))


@pytest_asyncio.fixture
async def apple(certificate: tuple[Path, Path]) -> AsyncIterator[FakeApple]:
    async with FakeApple().running(tls_of(certificate)) as peer:
        yield peer


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def later(result: SendResult) -> bool:
    return isinstance(result, Rejected) and result.retryable and result.reason is RejectReason.UNAVAILABLE


async def dropping(exchange: Exchange) -> None:
    """Read the call, and break the connection."""
    exchange.conversation.abort()


async def losing(exchange: Exchange) -> None:
    """Do what the call asks for, and break the connection instead of answering."""
    exchange.peer.answer(exchange.call)
    exchange.conversation.abort()


async def silent(exchange: Exchange) -> None:
    """Do what the call asks for and never answer."""
    exchange.peer.answer(exchange.call)


async def garbling(exchange: Exchange) -> None:
    """Answer something that is not HTTP/2."""
    exchange.conversation.writer.write(b"HTTP/1.1 200 OK\r\n\r\n" * 10)


def resetting(code: ErrorCodes) -> Act:
    async def act(exchange: Exchange) -> None:
        exchange.reset(code)

    return act


# Many at once


async def test_500_calls_go_at_once_over_one_connection(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    together = asyncio.Barrier(500)

    async def wait() -> None:
        await together.wait()

    apple.first = wait  # type: ignore[method-assign]
    async with sender_for(apple, certificate, timeout=25) as sender:
        batches = await asyncio.gather(*(sender.send_batch([push() for _ in range(100)]) for _ in range(5)))
    assert [type(result) for results in batches for result in results] == [Accepted] * 500
    assert (apple.connections, apple.most_at_once) == (1, 500)
    assert len({call.headers["apns-id"] for call in apple.sent}) == 500


@pytest.mark.parametrize("most", [1, 6])
async def test_as_many_calls_go_at_once_as_the_server_allows(certificate: tuple[Path, Path], most: int) -> None:
    together = asyncio.Barrier(most)

    async def wait() -> None:
        await together.wait()

    async with FakeApple(most_streams=most).running(tls_of(certificate)) as apple:
        apple.first = wait  # type: ignore[method-assign]
        async with sender_for(apple, certificate) as sender:
            results = await sender.send_batch([push() for _ in range(60)])
        assert [type(result) for result in results] == [Accepted] * 60
        assert apple.most_at_once == most
        assert apple.connections == 1


async def test_one_stream_is_enough_until_the_server_has_seen_a_good_token(certificate: tuple[Path, Path]) -> None:
    together = asyncio.Barrier(33)

    class Gathering(FakeApple):
        async def first(self) -> None:
            if len(self.calls) > 1:
                await together.wait()

    async with Gathering(most_streams=1, streams_when_known=33).running(tls_of(certificate)) as apple:
        async with sender_for(apple, certificate) as sender:
            results = await sender.send_batch([push() for _ in range(100)])
        assert [type(result) for result in results] == [Accepted] * 100
        assert apple.most_at_once == 33


async def test_our_own_limit_holds_as_well(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async with sender_for(apple, certificate, streams=100) as sender:
        await asyncio.gather(*(sender.send_batch([push() for _ in range(100)]) for _ in range(2)))
    assert apple.most_at_once <= 100


async def test_a_call_that_gets_no_stream_in_time_was_not_sent(certificate: tuple[Path, Path]) -> None:
    loop = asyncio.get_running_loop()
    tls = ssl.create_default_context(cafile=str(certificate[0]))
    tls.set_alpn_protocols(["h2"])
    async with FakeApple(most_streams=1).running(tls_of(certificate)) as apple:
        apple.acts(silent)
        connection = await connections.Connection.open("localhost", apple.port, tls, within=10, most_streams=10)
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", f"localhost:{apple.port}"),
            (":path", "/x"),
        ]
        held = loop.create_task(connection.call(headers, b"x", ends=loop.time() + 60))
        await until(lambda: len(apple.calls) == 1)
        with pytest.raises(NotSent, match="no stream became free"):
            await connection.call(headers, b"x", ends=loop.time() + 0.2)
        await connection.close()
        with pytest.raises(NoAnswer):
            await held
        assert len(apple.calls) == 1


async def test_a_server_that_reads_slowly_gets_everything_in_time(certificate: tuple[Path, Path]) -> None:
    async with FakeApple(window=1000).running(tls_of(certificate)) as apple:
        content = PushContent("Hello", "x" * 3500)
        async with sender_for(apple, certificate, timeout=20) as sender:
            results = await sender.send_batch([push(content) for _ in range(40)])
        assert [type(result) for result in results] == [Accepted] * 40
        assert all(call.json["aps"]["alert"]["body"] == "x" * 3500 for call in apple.sent)


async def test_a_call_that_was_sent_in_part_when_time_ran_out_is_no_doubt(certificate: tuple[Path, Path]) -> None:
    async with FakeApple(window=1000, open_windows=False).running(tls_of(certificate)) as apple:
        async with sender_for(apple, certificate, timeout=1) as sender:
            (result,) = await sender.send_batch([push(PushContent("Hello", "x" * 3500))])
        assert later(result), result
        await until(lambda: bool(apple.conversations[0].resets))
        assert apple.calls == []


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


# Connecting, idling, closing


async def test_a_connection_that_was_quiet_for_long_is_asked_for_a_sign_of_life(
    apple: FakeApple, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(links, "_PING_SECONDS", 0.5)
    async with sender_for(apple, certificate) as sender:
        await sender.send_batch([push()])
        await sender.send_batch([push()])
        assert apple.connections == 1
        monkeypatch.setattr(apple.conversations[0].h2, "receive_data", lambda data: [])
        (result,) = await sender.send_batch([push()])
    assert isinstance(result, Accepted), result
    assert apple.connections == 2


async def test_a_server_without_http2_certainly_has_nothing(certificate: tuple[Path, Path]) -> None:
    async with FakeApple().running(tls_of(certificate, protocol="http/1.1")) as apple:
        async with sender_for(apple, certificate) as sender:
            (result,) = await sender.send_batch([push()])
        assert later(result), result
        assert apple.calls == []


async def test_a_certificate_nobody_vouches_for_means_that_nothing_was_sent(
    apple: FakeApple, certificate: tuple[Path, Path]
) -> None:
    async with sender_for(apple, certificate, ca_file=None) as sender:
        (result,) = await sender.send_batch([push()])
    assert later(result), result
    assert isinstance(result, Rejected)
    assert "certificate" in result.detail.lower()


async def test_a_server_that_never_greets_certainly_has_nothing(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_CONNECT_SECONDS", 0.5)

    class Mute(FakeApple):
        async def _serve(self, conversation: object) -> None:
            await asyncio.Event().wait()

    async with Mute().running(tls_of(certificate)) as apple:
        async with sender_for(apple, certificate) as sender:
            (result,) = await sender.send_batch([push()])
        assert later(result), result


async def test_closing_ends_what_is_under_way_with_a_doubt(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    apple.acts(silent)
    async with sender_for(apple, certificate) as sender:
        sending = asyncio.create_task(sender.send_batch([push()]))
        await until(lambda: len(apple.calls) == 1)
        await sender.close()
        (result,) = await sending
    assert isinstance(result, Unknown), result


async def test_a_cancelled_call_gives_its_stream_back(certificate: tuple[Path, Path]) -> None:
    async with FakeApple(most_streams=1).running(tls_of(certificate)) as apple:
        apple.acts(silent)
        async with sender_for(apple, certificate) as sender:
            sending = asyncio.create_task(sender.send_batch([push()]))
            await until(lambda: len(apple.calls) == 1)
            waiting = asyncio.create_task(sender.send_batch([push()]))
            after = asyncio.create_task(sender.send_batch([push()]))
            for _ in range(5):
                await asyncio.sleep(0)
            waiting.cancel()
            sending.cancel()
            await asyncio.gather(waiting, sending, return_exceptions=True)
            (result,) = await after
        assert isinstance(result, Accepted), result
        assert len(apple.calls) == 2


async def test_an_answer_that_is_too_large_keeps_its_status(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async def act(exchange: Exchange) -> None:
        h2 = exchange.conversation.h2
        h2.send_headers(exchange.stream, [(":status", "400")])
        for _ in range(5):
            while h2.local_flow_control_window(exchange.stream) < 16384:
                await asyncio.sleep(0)
            h2.send_data(exchange.stream, b"x" * 16384)
            exchange.conversation.flush()
        h2.end_stream(exchange.stream)
        exchange.conversation.flush()

    apple.acts(act)
    async with sender_for(apple, certificate) as sender:
        (result,) = await sender.send_batch([push(id=ID)])
    assert isinstance(result, Rejected), result
    assert (result.reason, result.retryable) == (RejectReason.REFUSED, False)


async def test_a_limit_that_shrinks_is_kept(apple: FakeApple, certificate: tuple[Path, Path]) -> None:
    async def shrink(exchange: Exchange) -> None:
        exchange.conversation.h2.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        exchange.conversation.flush()
        exchange.send(exchange.peer.answer(exchange.call))

    async with sender_for(apple, certificate) as sender:
        apple.acts(shrink)
        await sender.send_batch([push()])
        results = await sender.send_batch([push() for _ in range(20)])
    assert [type(result) for result in results] == [Accepted] * 20
    assert apple.most_at_once <= 2


# Frames


def frames() -> bytes:
    ping, data = PingFrame(0, opaque_data=b"12345678"), DataFrame(1, data=b"x" * 300)
    goaway = GoAwayFrame(0, last_stream_id=7, error_code=0, additional_data=b'{"reason":"Shutdown"}')
    return b"".join(frame.serialize() for frame in (ping, goaway, data, goaway, ping))


@pytest.mark.parametrize("step", [1, 2, 8, 9, 10, 17, 100, 10_000])
def test_frames_are_whole_wherever_they_were_cut(step: int) -> None:
    cutter = Frames()
    stream = frames()
    pieces = [piece for at in range(0, len(stream), step) for piece in cutter.feed(stream[at : at + step])]
    told = [piece for piece in pieces if isinstance(piece, GoAway)]
    assert told == [GoAway(7, "Shutdown")] * 2
    goaway = GoAwayFrame(0, last_stream_id=7, error_code=0, additional_data=b'{"reason":"Shutdown"}').serialize()
    assert b"".join(piece for piece in pieces if isinstance(piece, bytes)) == stream.replace(goaway, b"")
    assert isinstance(pieces[0], bytes)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"\x00\x00\x00\x05\x00\x00\x00\x02", "code 2"),
        (b"\x80\x00\x00\x05\x00\x00\x00\x00not json", "code 0"),
        (b"\x00\x00\x00\x05\x00\x00\x00\x00[1]", "code 0"),
        (b'\x00\x00\x00\x05\x00\x00\x00\x00{"reason": 7}', "code 0"),
        (b"\x00\x00\x00\x05\x00\x00\x00\x00" + b"[" * 5000, "code 0"),
    ],
)
def test_a_goaway_says_which_stream_was_the_last_and_perhaps_why(payload: bytes, words: str) -> None:
    frame = len(payload).to_bytes(3, "big") + b"\x07\x00\x00\x00\x00\x00" + payload
    assert list(Frames().feed(frame)) == [GoAway(5, words)]


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"\x00\x00\x04\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00"],
    ids=["http/1.1", "short"],
)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(FramesBroken):
        list(Frames().feed(data))
