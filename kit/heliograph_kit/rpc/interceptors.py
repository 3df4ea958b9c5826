"""The one way into every handler: trace, access, decoding, translation of errors, for all four arities.

grpc.aio would answer an unknown exception with its text and an undecodable request with UNKNOWN. So bytes come in here,
are decoded here, and only here an exception becomes a status. Handlers of response streams are async generators; they
yield messages and never call `context.write`. Handlers of request streams iterate and never call `context.read`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status

from heliograph_kit.auth import act_as
from heliograph_kit.deadline import note_deadline
from heliograph_kit.errors import HeliographError, InvalidArgument, ResourceExhausted, Unavailable
from heliograph_kit.ids import new_id
from heliograph_kit.rpc.access import AccessGuard, Admission
from heliograph_kit.rpc.refusals import refusal_of, status_of
from heliograph_kit.rpc.tracing import ServedCall
from heliograph_kit.telemetry import counter, trace_id

log = logging.getLogger(__name__)
_internal_errors = counter("heliograph.rpc.internal_errors")

TRACE_ID_HEADER = "x-trace-id"
_INTERNAL_TEXT = "internal error; tell the operator the trace id in the metadata x-trace-id"

# Served as the libraries made them: they know no keys, hold no data, and write to their streams in their own way.
_PLAIN = ("/grpc.health.v1.Health/", "/grpc.reflection.")


class UndecodableRequest(InvalidArgument):
    """The bytes of a request are not the message of the method."""

    reason = "UNDECODABLE_REQUEST"

    def __init__(self) -> None:
        """Say the same whatever is wrong with the bytes."""
        super().__init__([], "the request could not be decoded; check that both sides use the same protos")


class RequestTooLarge(ResourceExhausted):
    """A message is larger than the server takes."""

    reason = "REQUEST_TOO_LARGE"
    retry_after = None

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes."""
        super().__init__(f"the request is larger than {limit} bytes; send smaller batches", limit_bytes=str(limit))


class AnswerTooLarge(ResourceExhausted):
    """An answer is larger than may be sent."""

    retry_after = None

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes."""
        super().__init__(f"the answer is larger than {limit} bytes; ask for smaller pages", limit_bytes=str(limit))


if TYPE_CHECKING:
    _Base = grpc.aio.ServerInterceptor[Any, Any]
else:  # generic in the type stubs only
    _Base = grpc.aio.ServerInterceptor


class CallInterceptor(_Base):
    """Wraps every handler once and keeps the wrapped one."""

    def __init__(self, guard: AccessGuard, *, max_message_bytes: int) -> None:
        """Take who decides on access and the largest message in bytes, both ways."""
        self._guard = guard
        self._limit = max_message_bytes
        self._wrapped: dict[str, Any] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the wrapped handler; None, which becomes UNIMPLEMENTED, when there is no such method."""
        method = str(handler_call_details.method)
        wrapped = self._wrapped.get(method)
        if wrapped is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None or method.startswith(_PLAIN):
            return handler
        self._wrapped[method] = wrapped = self._wrap(method, handler)
        return wrapped

    def _wrap(self, method: str, handler: Any) -> Any:
        arity = f"{_word(handler.request_streaming)}_{_word(handler.response_streaming)}"
        behaviour = getattr(handler, arity)
        accept = self._accept_stream if handler.request_streaming else self._accept_unary

        async def answer(raw: Any, context: Any) -> bytes:
            async with self._call(method, context) as admission:
                request = accept(raw, handler.request_deserializer, admission)
                return self._encode(await behaviour(request, context), handler.response_serializer)

        # Not an async generator: grpc.aio drops a generator whose client hung up and leaves closing it to the garbage
        # collector. Written this way the handler's `finally` runs at once, in the task of the call.
        async def answer_all(raw: Any, context: Any) -> None:
            async with self._call(method, context) as admission:
                request = accept(raw, handler.request_deserializer, admission)
                async with aclosing(behaviour(request, context)) as responses:
                    async for response in responses:
                        await context.write(self._encode(response, handler.response_serializer))

        make = getattr(grpc, f"{arity}_rpc_method_handler")
        return make(answer_all if handler.response_streaming else answer)

    def _accept_unary(self, raw: bytes, decode: Callable[[bytes], Any], admission: Admission) -> Any:
        if len(raw) > self._limit:
            raise RequestTooLarge(self._limit)
        try:
            request = decode(raw)
        except (DecodeError, ValueError):
            raise UndecodableRequest() from None
        admission.check(request)
        return request

    async def _accept_stream(
        self, raw: AsyncIterator[bytes], decode: Callable[[bytes], Any], admission: Admission
    ) -> AsyncIterator[Any]:
        async for piece in raw:
            yield self._accept_unary(piece, decode, admission)

    def _encode(self, response: Any, encode: Callable[[Any], bytes]) -> bytes:
        encoded = encode(response)
        if len(encoded) > self._limit:
            raise AnswerTooLarge(self._limit)
        return encoded

    @asynccontextmanager
    async def _call(self, method: str, context: Any) -> AsyncIterator[Admission]:
        """Surround one call; whatever leaves the inside leaves here as a status."""
        metadata = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        name = method.removeprefix("/")
        call = ServedCall(name, metadata)
        code, fault = grpc.StatusCode.OK, None
        try:
            note_deadline(context.time_remaining())
            admission = await self._guard.admit(method, metadata)
            if admission.principal is not None:
                act_as(admission.principal)
            yield admission
        except grpc.aio.AbortError:
            code = _code_of(context)
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception as error:  # the one place where everything that is left becomes a status
            refusal = refusal_of(error)
            if refusal is not None:
                code = grpc.StatusCode[refusal.code]
                await _refuse(name, context, refusal, error)
            code, fault = grpc.StatusCode.INTERNAL, error
            await _apologise(name, context, error)
        finally:
            call.end(code, fault)


async def _refuse(method: str, context: Any, refusal: HeliographError, error: Exception) -> None:
    away = isinstance(refusal, Unavailable)
    log.log(
        logging.WARNING if away else logging.DEBUG,
        "call refused",
        extra={"rpc_method": method, "code": refusal.code, "reason": refusal.reason},
        exc_info=error if away else None,
    )
    await context.abort_with_status(rpc_status.to_status(status_of(refusal)))


async def _apologise(method: str, context: Any, error: Exception) -> None:
    # Without telemetry there is no trace; an id of its own still joins the answer and the log line.
    told = trace_id() or new_id()
    log.error("call failed", extra={"rpc_method": method, "told_trace_id": told}, exc_info=error)
    _internal_errors.add(1, {"rpc.method": method})
    await context.abort(grpc.StatusCode.INTERNAL, _INTERNAL_TEXT, ((TRACE_ID_HEADER, told),))


def _code_of(context: Any) -> grpc.StatusCode:
    code = context.code()
    if isinstance(code, grpc.StatusCode):
        return code
    return next((status for status in grpc.StatusCode if status.value[0] == code), grpc.StatusCode.UNKNOWN)


def _word(streaming: bool) -> str:
    return "stream" if streaming else "unary"
