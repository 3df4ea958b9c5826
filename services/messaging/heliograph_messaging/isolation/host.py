"""The program in which the plugin of a stranger runs: `python -m heliograph_messaging.isolation.host`.

Started by `process.py` and by nobody else. It imports the SDK and the one plugin, nothing of the service. First it lowers
its own limits, then it imports the plugin and says what that offers, then it answers: checks on the socket it inherited,
and everything of one opened sender on a socket of its own, which it is given over the first.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from heliograph_channels import (
    ChannelProvider,
    Forged,
    InboundMessage,
    Kind,
    PluginError,
    ProviderContext,
    Receipt,
    Sender,
    load_channels,
)
from heliograph_messaging.answers import (
    Unsound,
    check_addresses,
    clean,
    clean_capabilities,
    clean_problems,
    drop,
    items,
    type_name,
)
from heliograph_messaging.isolation import codec
from heliograph_messaging.isolation.frames import (
    ANSWER,
    CALL,
    FAULT,
    FROM_PLUGIN,
    LOG_MARK,
    TO_PLUGIN,
    Frame,
    Frames,
    pack,
)
from heliograph_messaging.isolation.limits import confine, die_with_parent
from heliograph_messaging.isolation.line import Answered, Line, LineLost, Refused

_log = logging.getLogger("heliograph.channel")
_PAGE = 500
_SERVES = 2000  # twice the most that a channel may declare
_CLOSE_SECONDS = 10.0
_HANDED_OVER_AT_ONCE = 16  # the service takes a few more and refuses the rest


def main() -> None:
    """Be the process of one plugin until the service hangs up."""
    options = json.loads(sys.argv[1])
    die_with_parent(options["parent"])
    missing = confine(memory_bytes=options["memory_mb"] * 1024 * 1024, open_files=options["open_files"])
    _log_to_output(options["log_level"])
    control = socket.socket(fileno=options["socket"])
    plugin = options["plugin"]
    try:
        providers = load_channels([plugin], group=options["group"])
    except PluginError as error:
        _send(control, FAULT, 0, ["PluginError", str(error)[:2000]])
        return
    offers = [[one.name, one.kinds, one.platforms, one.capabilities, one.settings_schema] for one in providers.values()]
    _send(control, ANSWER, 0, [offers, missing])
    with asyncio.Runner() as runner:
        runner.run(_Host(control, providers, options["clock_rate"]).run())


class _Host:
    """Answers on the inherited socket, one question at a time."""

    def __init__(self, control: socket.socket, providers: Mapping[str, ChannelProvider], clock_rate: float) -> None:
        self._control = control
        self._providers = providers
        self._clock_rate = clock_rate
        self._frames = Frames(TO_PLUGIN)
        self._descriptors: list[int] = []
        self._opened: set[_Opened] = set()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(
            lambda _, context: _log.error("%s", context.get("message"), exc_info=context.get("exception"))
        )
        loop.add_reader(self._control, self._on_readable)
        await asyncio.Event().wait()

    def _on_readable(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 256 * 1024, 8)
        except OSError:
            data, descriptors = b"", []
        if not data:
            # The service is gone or wants no more. Nothing here is worth keeping, and a plugin could hang in its exit.
            os._exit(0)
        self._descriptors += descriptors
        for frame in self._frames.feed(data):
            self._answer(frame)

    def _answer(self, frame: Frame) -> None:
        if frame.type != CALL:
            return
        method, body = cast(tuple[str, list[Any]], frame.body)
        try:
            answer = self._ask(method, *body)
        except Exception as error:
            _log.exception("%s raised", method)
            # The text of an exception may hold a secret; of ours it does not.
            text = str(error) if isinstance(error, Unsound) else ""
            _send(self._control, FAULT, frame.number, [type_name(error), text])
            return
        _send(self._control, ANSWER, frame.number, answer)

    def _ask(self, method: str, channel: str, *rest: Any) -> object:
        provider = self._providers[channel]
        if method == "connect":
            sock = socket.socket(fileno=self._descriptors.pop(0))
            self._opened.add(_Opened(provider, sock, self._clock_rate, self._opened.discard))
            return None
        if method == "settings":
            return clean_problems(provider.check_settings(rest[0]))
        if method == "capabilities":
            return clean_capabilities(provider.capabilities_for(rest[0]))
        if method == "addresses":
            return check_addresses(provider, Kind(rest[0]), rest[1])
        raise LookupError(method)


class _Clock:
    """The product's clock as far as it is known here: what the service said last, and how long that is ago."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._said = datetime.now(UTC)
        self._at = time.monotonic()

    def set(self, said: str) -> None:
        self._said, self._at = datetime.fromisoformat(said), time.monotonic()

    def now(self) -> datetime:
        return self._said + timedelta(seconds=(time.monotonic() - self._at) * self._rate)


class _Opened:
    """One sender and the line over which it is used."""

    def __init__(self, provider: ChannelProvider, sock: socket.socket, clock_rate: float, forget: Any) -> None:
        self._provider = provider
        self._forget = forget
        self._clock = _Clock(clock_rate)
        self._sender: Sender | None = None
        self._handing_over = asyncio.Semaphore(_HANDED_OVER_AT_ONCE)
        self._ending: asyncio.Task[None] | None = None
        self._line = Line(sock, self._serve, reads=TO_PLUGIN, writes=FROM_PLUGIN, serves=_SERVES, on_lost=self._lost)

    async def _serve(self, method: str, called: Answered) -> object:
        try:
            return await self._do(method, called)
        except (Forged, Refused, asyncio.CancelledError):
            raise
        except Exception:
            _log.exception("%s raised in %s", self._provider.name, method)
            raise

    async def _do(self, method: str, called: Answered) -> object:
        body = cast(list[Any], called.body)
        if method == "open":
            await self._open(*body)
            return None
        sender = self._sender
        if sender is None:
            raise Refused("NotOpen")
        if method == "send":
            self._clock.set(body[0])
            return await self._send(sender, body[1], called.blobs)
        if method == "health":
            return await sender.health()
        if method == "receive":
            return await sender.receive(codec.webhook_request(body, called.blobs))
        if method == "close":
            await sender.close()
            return None
        raise LookupError(method)

    async def _open(self, project: str, settings: Mapping[str, object], webhook_url: str, now: str) -> None:
        self._clock.set(now)
        context = ProviderContext(
            project=project,
            report=self._report,
            logger=logging.getLogger(f"heliograph.channel.{self._provider.name}"),
            now=self._clock.now,
            deliver=self._deliver,
            webhook_url=webhook_url,
        )
        sender: object = await self._provider.open(settings, context)
        if not isinstance(sender, Sender):
            drop(sender)
            raise Refused("NoSender", type_name(sender))
        self._sender = sender

    async def _send(self, sender: Sender, body: list[Any], blobs: Sequence[bytes]) -> object:
        answer: object = sender.send_batch(codec.outgoing(body, blobs))
        if inspect.isawaitable(answer):
            answer = await answer
        results = items(answer)
        if results is None:
            raise Refused("Instead", type_name(answer))
        cleaned = [clean(result, self._provider.name) for result in results]
        wrong = [text for _, text in cleaned if text]
        return [[result for result, _ in cleaned], len(wrong), wrong[0] if wrong else ""]

    async def _report(self, receipts: Sequence[Receipt]) -> None:
        await self._hand_over("report", receipts)

    async def _deliver(self, messages: Sequence[InboundMessage]) -> None:
        await self._hand_over("deliver", messages)

    async def _hand_over(self, method: str, things: Sequence[object]) -> None:
        for start in range(0, len(things), _PAGE):
            try:
                async with self._handing_over:
                    await self._line.call(method, list(things[start : start + _PAGE]))
            except (LineLost, Refused) as error:
                raise ConnectionError(f"not stored ({error}); hand it over again") from None

    def _lost(self) -> None:
        self._ending = asyncio.create_task(self._end())

    async def _end(self) -> None:
        if self._sender is not None:
            with suppress(Exception):
                await asyncio.wait_for(self._sender.close(), _CLOSE_SECONDS)
        self._forget(self)


class _OutputHandler(logging.Handler):
    """Writes log records where the service reads them, among what the plugin prints."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = json.dumps([record.levelno, record.name[:200], self.format(record)[:8000]])
            os.write(2, f"{LOG_MARK}{line}\n".encode())
        except Exception:  # nowhere to tell it
            return


def _log_to_output(level: int) -> None:
    handler = _OutputHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _send(sock: socket.socket, type: str, number: int, body: object) -> None:
    sock.sendall(pack(type, number, body, encode=codec.encode, limit=FROM_PLUGIN))


if __name__ == "__main__":
    main()
