"""A channel plugin that does one wrong thing, by its setting `behaviour`. Never installed; tests put it on a path.

It uses the SDK alone, as a stranger's plugin does. What it needs to know besides comes by its settings.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Receipt,
    ReceiptKind,
    Rejected,
    RejectReason,
    Sender,
    Unknown,
    Unsupported,
    hookimpl,
)

Messages = Sequence[OutgoingMessage]
Behaviour = Callable[["HostileSender", Messages], Awaitable[object]]
BEHAVIOURS: dict[str, Behaviour] = {}


def behaviour(does: Behaviour) -> Behaviour:
    """Register what a send does, under its name."""
    BEHAVIOURS[does.__name__] = does
    return does


class HostileChannel(ChannelProvider):
    """Looks like any other channel."""

    name = "hostile"
    kinds = frozenset({Kind.SMS, Kind.CUSTOM})
    capabilities = Capabilities(batch_size=50, concurrency=2, receipts=True)
    settings_schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "behaviour": {"type": "string", "description": "What it does wrong."},
            "token": {"type": "string", "writeOnly": True, "minLength": 6, "description": "A secret."},
        },
    }

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        match settings.get("behaviour"):
            case "check_settings_raises":
                raise ValueError(f"bad token {settings.get('token')}")
            case "check_settings_answers_none":
                return cast("Sequence[Problem]", None)
            case "check_settings_repeats_the_secret":
                return [Problem("token", f"{settings['token']} is too weak")]
            case "check_settings_exits":
                os._exit(9)
        return super().check_settings(settings)

    def capabilities_for(self, settings: Mapping[str, object]) -> Capabilities:
        match settings.get("behaviour"):
            case "capabilities_raise":
                raise RuntimeError(str(settings.get("token")))
            case "capabilities_are_none":
                return cast(Capabilities, None)
        return self.capabilities

    def check_address(self, kind: Kind, address: str) -> str | None:
        if address.endswith("0666"):
            raise RuntimeError("no such number in my book")
        if address.endswith("0777"):
            return cast(str, 7)
        return super().check_address(kind, address)

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> Sender:
        match settings.get("behaviour"):
            case "open_raises":
                raise RuntimeError(f"wrong token {settings.get('token')}")
            case "open_hangs":
                await asyncio.sleep(3600)
            case "open_aborts":
                os.abort()
            case "open_answers_none":
                return cast(Sender, None)
        return HostileSender(settings, context)


class HostileSender(Sender):
    def __init__(self, settings: Mapping[str, object], context: ProviderContext) -> None:
        self.behaviour = str(settings.get("behaviour", "accepts"))
        self.token = str(settings.get("token", ""))
        self.context = context

    async def send_batch(self, messages: Messages) -> Any:
        if self.behaviour in BEHAVIOURS:
            return await BEHAVIOURS[self.behaviour](self, messages)
        return accepted(messages)

    async def health(self) -> Health:
        match self.behaviour:
            case "health_hangs":
                await asyncio.sleep(3600)
            case "health_raises":
                raise RuntimeError(self.token)
            case "health_is_text":
                return cast(Health, "fine")
        return Health(ok=True, detail=f"token {self.token}")

    async def close(self) -> None:
        if self.behaviour == "close_raises":
            raise RuntimeError(self.token)
        if self.behaviour == "close_hangs":
            await asyncio.sleep(3600)


def accepted(messages: Messages) -> list[Any]:
    return [Accepted(f"h-{message.message_id}") for message in messages]


# -- wrong answers


@behaviour
async def raises(sender: HostileSender, messages: Messages) -> object:
    raise RuntimeError(f"cannot log in with {sender.token}")


@behaviour
async def answers_too_few(sender: HostileSender, messages: Messages) -> object:
    return accepted(messages)[:-1]


@behaviour
async def answers_too_many(sender: HostileSender, messages: Messages) -> object:
    return accepted(messages) * 2


@behaviour
async def answers_none(sender: HostileSender, messages: Messages) -> object:
    return None


@behaviour
async def answers_garbage(sender: HostileSender, messages: Messages) -> object:
    return [object(), "ok", 7, None, {"accepted": True}] * (len(messages) // 5)


@behaviour
async def answers_a_coroutine(sender: HostileSender, messages: Messages) -> object:
    async def later() -> object:
        return accepted(messages)

    return later()


@behaviour
async def answers_coroutines(sender: HostileSender, messages: Messages) -> object:
    async def one() -> object:
        return Accepted("x")

    return [one() for _ in messages]


@behaviour
async def answers_a_liar(sender: HostileSender, messages: Messages) -> object:
    class Liar(list[Any]):
        def __len__(self) -> int:
            return len(messages)

        def __iter__(self) -> Iterator[Any]:
            raise RuntimeError("I am no list")

    return Liar()


@behaviour
async def answers_things_that_raise(sender: HostileSender, messages: Messages) -> object:
    class Thing(Accepted):
        __slots__ = ()

        @property
        def provider_message_id(self) -> str:
            raise SystemExit(3)

    return [object.__new__(Thing) for _ in messages]


@behaviour
async def answers_too_much(sender: HostileSender, messages: Messages) -> object:
    """Everything that is text is too long, of another type, or holds what a database does not take."""
    odd: list[Any] = [
        Accepted("x" * 1_000_000),
        Accepted("x\x00y"),
        Accepted(cast(Any, {"id": 1})),
        Accepted("\ud800", {f"a{n}": "v" for n in range(1000)}),
        Accepted("good", {"a": "v" * 100_000, "b": cast(Any, 7)}, "n" * 100_000),
        Rejected(RejectReason.REFUSED, retryable=False, detail="d" * 1_000_000),
        Rejected(RejectReason.REFUSED, retryable=False, detail="\x00\ud800"),
        Rejected(cast(Any, "NO_SUCH_REASON"), cast(Any, "perhaps"), cast(Any, 7)),
        Unsupported("f" * 100_000),
        Unknown("u" * 100_000),
    ]
    return odd * (len(messages) // len(odd))


@behaviour
async def cancels_itself(sender: HostileSender, messages: Messages) -> object:
    raise asyncio.CancelledError


@behaviour
async def exits_softly(sender: HostileSender, messages: Messages) -> object:
    sys.exit(f"I am done, {sender.token}")


# -- time


@behaviour
async def hangs(sender: HostileSender, messages: Messages) -> object:
    await asyncio.sleep(3600)
    return []


@behaviour
async def ignores_cancellation(sender: HostileSender, messages: Messages) -> object:
    # Bounded, so that a test that runs it in its own process ends.
    give_up = time.monotonic() + 20
    while time.monotonic() < give_up:
        try:
            await asyncio.sleep(0.5)
        except asyncio.CancelledError:
            continue
    return []


@behaviour
async def blocks_the_loop(sender: HostileSender, messages: Messages) -> object:
    time.sleep(3600)
    return []


@behaviour
async def spins(sender: HostileSender, messages: Messages) -> object:
    while True:
        pass


# -- its process


@behaviour
async def aborts(sender: HostileSender, messages: Messages) -> object:
    os.abort()


@behaviour
async def exits_hard(sender: HostileSender, messages: Messages) -> object:
    os._exit(7)


@behaviour
async def reads_null(sender: HostileSender, messages: Messages) -> object:
    return ctypes.string_at(0)


@behaviour
async def kills_itself(sender: HostileSender, messages: Messages) -> object:
    os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(3600)
    return []


@behaviour
async def closes_its_descriptors(sender: HostileSender, messages: Messages) -> object:
    os.closerange(3, 256)
    await asyncio.sleep(3600)
    return []


@behaviour
async def hangs_up(sender: HostileSender, messages: Messages) -> object:
    _socket_of(sender).shutdown(2)
    await asyncio.sleep(3600)
    return []


_LEAKED: list[bytearray] = []


@behaviour
async def leaks_a_gigabyte(sender: HostileSender, messages: Messages) -> object:
    for _ in range(64):
        _LEAKED.append(bytearray(16 * 1024 * 1024))
    return accepted(messages)


@behaviour
async def opens_files_without_end(sender: HostileSender, messages: Messages) -> object:
    kept = [open(os.devnull) for _ in range(100_000)]
    return [accepted(messages), kept][0]


@behaviour
async def starts_processes_without_end(sender: HostileSender, messages: Messages) -> object:
    while True:
        if os.fork() == 0:
            time.sleep(3600)


@behaviour
async def runs_a_program(sender: HostileSender, messages: Messages) -> object:
    return subprocess.run(["sleep", "3600"])


@behaviour
async def starts_threads_without_end(sender: HostileSender, messages: Messages) -> object:
    stop = threading.Event()
    while True:
        threading.Thread(target=stop.wait, daemon=True).start()


@behaviour
async def kills_the_service(sender: HostileSender, messages: Messages) -> object:
    os.kill(os.getppid(), signal.SIGKILL)
    return accepted(messages)


@behaviour
async def reads_the_environment_of_the_service(sender: HostileSender, messages: Messages) -> object:
    with open(f"/proc/{os.getppid()}/environ") as file:
        print(file.read())
    return accepted(messages)


# -- the protocol


def _socket_of(sender: HostileSender) -> Any:
    report: Any = sender.context.report
    return report.__self__._line._sock


@behaviour
async def writes_noise(sender: HostileSender, messages: Messages) -> object:
    _socket_of(sender).send(os.urandom(4096))
    await asyncio.sleep(3600)
    return []


@behaviour
async def announces_a_huge_frame(sender: HostileSender, messages: Messages) -> object:
    _socket_of(sender).send(b"\xff" * 8)
    await asyncio.sleep(3600)
    return []


@behaviour
async def nests_deeply(sender: HostileSender, messages: Messages) -> object:
    body = b"[" * 100_000
    _socket_of(sender).setblocking(True)
    _socket_of(sender).sendall(len(body).to_bytes(4, "big") + bytes(4) + body)
    await asyncio.sleep(3600)
    return []


@behaviour
async def reports_garbage(sender: HostileSender, messages: Messages) -> object:
    class Late:
        receipt_id = "r"

    now = sender.context.now()
    bad: list[Any] = [
        Late(),
        Receipt("r1", cast(Any, "EXPLODED"), now, message_id=messages[0].message_id),
        Receipt("r2", ReceiptKind.DELIVERED, now.replace(year=1), message_id=messages[0].message_id),
        Receipt("r3", ReceiptKind.DELIVERED, now, message_id="not an id"),
        Receipt("r4\x00", ReceiptKind.DELIVERED, now, provider_message_id="\x00\ud800", detail="\x00\ud800" * 9999),
    ]
    for receipt in bad:
        try:
            await sender.context.report([receipt])
        except Exception as error:
            sender.context.logger.warning("not reported: %s", type(error).__name__)
    return accepted(messages)


# -- secrets


@behaviour
async def tells_the_secret(sender: HostileSender, messages: Messages) -> object:
    """Tell it in every way there is, and answer with it."""
    token, logger = sender.token, sender.context.logger
    print(f"printed {token}")
    print(f"to stderr {token}", file=sys.stderr)
    logger.warning("logged %s", token)
    logger.warning("logged %(token)s", {"token": token}, extra={"credentials": {"token": token}})
    logger.getChild("wire").warning("logged by a child %s", token)
    try:
        raise RuntimeError(f"raised with {token}")
    except RuntimeError:
        logger.exception("caught")
    match int(messages[0].message_id[:2], 16) % 3:
        case 0:
            raise RuntimeError(f"failed with {token}")
        case 1:
            raise type(token, (Exception,), {})
    odd = [
        Accepted(token),
        Accepted("id", {"token": token}),
        Rejected(RejectReason.REFUSED, retryable=False, detail=f"the token {token} is revoked"),
        Unsupported(token),
        Unknown(f"no answer to {token}"),
    ]
    return odd * (len(messages) // len(odd))


@behaviour
async def prints_without_end(sender: HostileSender, messages: Messages) -> object:
    for _ in range(200_000):
        print(f"hello {sender.token}")
    return accepted(messages)


@hookimpl
def heliograph_channels() -> Sequence[ChannelProvider]:
    return [HostileChannel()]
