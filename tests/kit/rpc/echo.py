"""A service with methods of all four arities and several access rules, made at run time so that no .proto exists."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

from heliograph.common.v1 import access_pb2

PACKAGE = "heliograph.kittests.v1"
SERVICE = f"{PACKAGE}.EchoService"
UNGUARDED = f"{PACKAGE}.UnguardedService"
MISGUIDED = f"{PACKAGE}.MisguidedService"

_STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE

# name -> (request streams, response streams, role, project field)
METHODS: dict[str, tuple[bool, bool, int, str]] = {
    "One": (False, False, access_pb2.ROLE_VIEWER, "parent"),
    "Down": (False, True, access_pb2.ROLE_VIEWER, "parent"),
    "Up": (True, False, access_pb2.ROLE_INGEST, "parent"),
    "Both": (True, True, access_pb2.ROLE_EDITOR, "parent"),
    "Send": (False, False, access_pb2.ROLE_SENDER, "parent"),
    "Administer": (False, False, access_pb2.ROLE_ADMIN, "parent"),
    "Nested": (False, False, access_pb2.ROLE_VIEWER, "inner.parent"),
    "Several": (False, False, access_pb2.ROLE_VIEWER, "inners.parent"),
    "Install": (False, False, access_pb2.ROLE_ADMIN, ""),
    "Peer": (False, False, access_pb2.ROLE_INTERNAL, "parent"),
    "Anyone": (False, False, access_pb2.ROLE_ANY_KEY, ""),
    "Public": (False, False, access_pb2.ROLE_PUBLIC, ""),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="heliograph/kittests/v1/echo.proto", package=PACKAGE, syntax="proto3",
        dependency=["heliograph/common/v1/access.proto"],
    )  # fmt: skip
    inner = file.message_type.add(name="Inner")
    inner.field.add(name="parent", number=1, type=_STRING, label=1)
    request = file.message_type.add(name="EchoRequest")
    request.field.add(name="parent", number=1, type=_STRING, label=1)
    request.field.add(name="text", number=2, type=_STRING, label=1)
    request.field.add(name="request_id", number=3, type=_STRING, label=1)
    request.field.add(name="inner", number=4, type=_MESSAGE, label=1, type_name=f".{PACKAGE}.Inner")
    request.field.add(name="inners", number=5, type=_MESSAGE, label=3, type_name=f".{PACKAGE}.Inner")
    request.field.add(name="blob", number=6, type=_BYTES, label=1)
    response = file.message_type.add(name="EchoResponse")
    response.field.add(name="text", number=1, type=_STRING, label=1)
    response.field.add(name="blob", number=2, type=_BYTES, label=1)
    service = file.service.add(name="EchoService")
    for name, (up, down, role, field) in METHODS.items():
        method = service.method.add(
            name=name, input_type=f".{PACKAGE}.EchoRequest", output_type=f".{PACKAGE}.EchoResponse",
            client_streaming=up, server_streaming=down,
        )  # fmt: skip
        rule = method.options.Extensions[access_pb2.access]
        rule.role, rule.project_field = role, field  # type: ignore[assignment]
    unguarded = file.service.add(name="UnguardedService")
    unguarded.method.add(name="Forgotten", input_type=f".{PACKAGE}.EchoRequest", output_type=f".{PACKAGE}.EchoResponse")
    misguided = file.service.add(name="MisguidedService")
    for name, field in (("Absent", "nothing.here"), ("NoText", "inner")):
        method = misguided.method.add(
            name=name, input_type=f".{PACKAGE}.EchoRequest", output_type=f".{PACKAGE}.EchoResponse"
        )
        rule = method.options.Extensions[access_pb2.access]
        rule.role, rule.project_field = access_pb2.ROLE_VIEWER, field
    return file


descriptor_pool.Default().Add(_file())
_messages = message_factory.GetMessageClassesForFiles(["heliograph/kittests/v1/echo.proto"], descriptor_pool.Default())
EchoRequest: Any = _messages[f"{PACKAGE}.EchoRequest"]
EchoResponse: Any = _messages[f"{PACKAGE}.EchoResponse"]
Inner: Any = _messages[f"{PACKAGE}.Inner"]

Handler = Callable[[Any, Any], Awaitable[Any]]


class Echo:
    """Answers with what it is told; `does` is called with each request's text and context first."""

    def __init__(self, does: Handler | None = None) -> None:
        self._does = does
        self.closed = 0

    async def one(self, request: Any, context: Any) -> Any:
        if self._does is not None and (answer := await self._does(request, context)) is not None:
            return answer
        return EchoResponse(text=request.text)

    async def down(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for word in request.text.split() or [""]:
                yield await self.one(EchoRequest(text=word), context)
        finally:
            self.closed += 1

    async def up(self, requests: AsyncIterator[Any], context: Any) -> Any:
        texts = [(await self.one(request, context)).text async for request in requests]
        return EchoResponse(text=" ".join(texts))

    async def both(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield await self.one(request, context)


def add_echo(servicer: Any, server: grpc.aio.Server) -> None:
    """Register the way generated code does."""
    handlers: dict[str, Any] = {}
    for name, (up, down, _, _) in METHODS.items():
        make = getattr(grpc, f"{'stream' if up else 'unary'}_{'stream' if down else 'unary'}_rpc_method_handler")
        behaviour = {"Up": servicer.up, "Down": servicer.down, "Both": servicer.both}.get(name, servicer.one)
        handlers[name] = make(
            behaviour, request_deserializer=EchoRequest.FromString, response_serializer=EchoResponse.SerializeToString
        )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))


class EchoStub:
    """Calls the methods by name; `raw` sends bytes as they are."""

    def __init__(self, channel: grpc.aio.Channel, *, raw: bool = False) -> None:
        self._channel = channel
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        up, down, _, _ = METHODS[name]
        make = getattr(self._channel, f"{'stream' if up else 'unary'}_{'stream' if down else 'unary'}")
        encode = (lambda raw: raw) if self._raw else _encode
        return make(f"/{SERVICE}/{name}", request_serializer=encode, response_deserializer=EchoResponse.FromString)


def _encode(message: Message) -> bytes:
    return message.SerializeToString()


async def call(stub: EchoStub, name: str, *requests: Any, **options: Any) -> list[str]:
    """Call a method of any arity and return the texts of its answers."""
    up, down, _, _ = METHODS[name]

    async def all_requests() -> AsyncIterator[Any]:
        for request in requests:
            yield request

    method = getattr(stub, name)
    answer = method(all_requests() if up else requests[0], **options)
    if down:
        return [response.text async for response in answer]
    return [(await answer).text]
