"""The HTTP/2 connection of push-apns: how many streams, connecting, idling and closing."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
from h2.settings import SettingCodes

from heliograph_channel_apns import connection as connections
from heliograph_channel_apns import link as links
from heliograph_channels import Accepted, PushContent, Rejected, RejectReason, Unknown
from heliograph_channels.http_client import NoAnswer, NotSent
from tests.plugins.apns_breaks import later, silent, until
from tests.plugins.apns_peer import FakeApple
from tests.plugins.http2_peer import Exchange, tls_of
from tests.plugins.test_apns import ID, push, sender_for

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
