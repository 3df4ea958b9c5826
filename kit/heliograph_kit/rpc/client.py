"""Channels to other services: deadline, identity and trace on every call, round robin, retries, keepalive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc

from heliograph_kit.auth import InternalTokens
from heliograph_kit.deadline import remaining_seconds
from heliograph_kit.keepalive import PING_EVERY, client_options
from heliograph_kit.rpc.tracing import MadeCall

# Generic in the type stubs only; at run time they take no parameters.
if TYPE_CHECKING:
    _UnaryUnaryBase = grpc.aio.UnaryUnaryClientInterceptor[Any, Any]
    _UnaryStreamBase = grpc.aio.UnaryStreamClientInterceptor[Any, Any]
    _StreamUnaryBase = grpc.aio.StreamUnaryClientInterceptor[Any, Any]
    _StreamStreamBase = grpc.aio.StreamStreamClientInterceptor[Any, Any]
else:
    _UnaryUnaryBase = grpc.aio.UnaryUnaryClientInterceptor
    _UnaryStreamBase = grpc.aio.UnaryStreamClientInterceptor
    _StreamUnaryBase = grpc.aio.StreamUnaryClientInterceptor
    _StreamStreamBase = grpc.aio.StreamStreamClientInterceptor

# A stream of pages may run long; it still ends some day, when its reader has gone without saying so.
STREAM_TIMEOUT = timedelta(hours=1)

_SERVICE_CONFIG = json.dumps(
    {
        # Headless services give several addresses; pick_first would pin every call to one of them.
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                # A call that never got an answer may have worked: request ids and derived ids make repeating it safe.
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ],
    }
)


def channel(
    target: str,
    *,
    tokens: InternalTokens | None,
    key: str | None = None,
    timeout: timedelta = timedelta(seconds=10),
    caller: str = "tests",
    max_message_bytes: int = 16 * 1024 * 1024,
    ping_every: timedelta = PING_EVERY,
) -> grpc.aio.Channel:
    """Open a channel; nothing is dialled before the first call.

    Every call gets a deadline: its own, else `timeout` (an hour when the answer or the request is a stream), and never
    more than what the caller of the running handler still waits, less a margin.

    Args:
        target: as in `dns:///segments:7102`; a name with several addresses is used in turns.
        tokens: issues the internal token of each call; None for a client with a key, or with nothing.
        key: an API key, used when there are no tokens.
        timeout: deadline of a call that does not set one.
        caller: name of the calling service in the internal token.
        max_message_bytes: largest message, both ways.
        ping_every: how often a connection that is still is tried; the server has to take that.
    """
    interceptors = _interceptors(_Outgoing(tokens, key, timeout, caller))
    return grpc.aio.insecure_channel(
        target,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.enable_retries", 1),
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            *client_options(ping_every),
            # A service that was restarted should be found again in a second, not after the default of two minutes.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # Each channel its own connections: channels of one process must not share keepalive and age.
            ("grpc.use_local_subchannel_pool", 1),
        ],
        interceptors=interceptors,
    )


class _Outgoing:
    """Prepares one call."""

    def __init__(self, tokens: InternalTokens | None, key: str | None, timeout: timedelta, caller: str) -> None:
        self._tokens = tokens
        self._key = key
        self._timeout = timeout
        self._caller = caller

    def prepare(self, details: grpc.aio.ClientCallDetails, *, streaming: bool) -> tuple[Any, MadeCall]:
        method = details.method.decode() if isinstance(details.method, bytes) else str(details.method)
        headers: dict[str, str] = {}
        call = MadeCall(method.removeprefix("/"), headers)
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        for name, value in headers.items():
            metadata.add(name, value)
        token = self._bearer()
        if token and "authorization" not in metadata:
            metadata.add("authorization", f"Bearer {token}")
        prepared = grpc.aio.ClientCallDetails(
            details.method, self._deadline(details, streaming), metadata, details.credentials, details.wait_for_ready
        )
        return prepared, call

    def _bearer(self) -> str:
        return self._tokens.issue(self._caller) if self._tokens is not None else self._key or ""

    def _deadline(self, details: grpc.aio.ClientCallDetails, streaming: bool) -> float:
        wanted = details.timeout
        if wanted is None:
            wanted = (STREAM_TIMEOUT if streaming else self._timeout).total_seconds()
        left = remaining_seconds()
        return wanted if left is None else min(wanted, left)


async def _until_answered(continuation: Callable[..., Any], details: Any, request: Any, made: MadeCall) -> Any:
    """Make a call with one answer and wait for its end, so that the span covers it."""
    call = None
    try:
        call = await continuation(details, request)
        made.end(await call.code())
    except asyncio.CancelledError:
        if call is not None:
            call.cancel()
        made.end(grpc.StatusCode.CANCELLED)
        raise
    except BaseException:
        made.end(grpc.StatusCode.UNKNOWN)
        raise
    return call


async def _while_streaming(continuation: Callable[..., Any], details: Any, request: Any, made: MadeCall) -> Any:
    """Make a call with a stream of answers; the span ends when the stream does."""
    try:
        call = await continuation(details, request)
    except BaseException:
        made.end(grpc.StatusCode.UNKNOWN)
        raise

    async def ended() -> None:
        made.end(await call.code())

    tasks: set[asyncio.Task[None]] = set()

    def done(_call: Any) -> None:
        # A call that ends with its loop has nobody left to tell.
        if not asyncio.get_event_loop().is_closed():
            task = asyncio.get_event_loop().create_task(ended())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    call.add_done_callback(done)
    return call


class _UnaryUnary(_UnaryUnaryBase):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details, made = self._outgoing.prepare(client_call_details, streaming=False)
        return await _until_answered(continuation, details, request, made)


class _UnaryStream(_UnaryStreamBase):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        details, made = self._outgoing.prepare(client_call_details, streaming=True)
        return await _while_streaming(continuation, details, request, made)


class _StreamUnary(_StreamUnaryBase):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        details, made = self._outgoing.prepare(client_call_details, streaming=True)
        # Not awaited to its end here: the caller may still have to write its requests.
        return await _while_streaming(continuation, details, request_iterator, made)


class _StreamStream(_StreamStreamBase):
    def __init__(self, outgoing: _Outgoing) -> None:
        self._outgoing = outgoing

    async def intercept_stream_stream(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: AsyncIterable[Any] | Iterable[Any],
    ) -> Any:
        details, made = self._outgoing.prepare(client_call_details, streaming=True)
        return await _while_streaming(continuation, details, request_iterator, made)


def _interceptors(outgoing: _Outgoing) -> list[grpc.aio.ClientInterceptor]:
    # One object for each arity: grpc.aio asks `isinstance` in a fixed order and would take a do-it-all for unary only.
    kinds: tuple[Any, ...] = (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    return [kind(outgoing) for kind in kinds]
