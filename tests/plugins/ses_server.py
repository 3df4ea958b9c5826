"""The far side of SES on loopback: it checks signatures and shapes with botocore, and can be told what to answer.

What is strict here is botocore's: the signature is computed again by its signer, the body is held to the model of the
service (names, types, lengths, enums). No emulator does either.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.session import get_session
from botocore.validate import ParamValidator

ACCESS_KEY, SECRET = "AKIDEXAMPLEEXAMPLE01", "wJalr-unmistakable-secret-of-the-account"
MODEL = get_session().get_service_model("sesv2")
SEND = MODEL.operation_model("SendEmail")
Answer = Callable[["Call"], "Reply | None"]


@dataclass
class Call:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    number: int = 0

    @property
    def json(self) -> dict[str, Any]:
        told = json.loads(self.body)
        assert isinstance(told, dict)
        return told


@dataclass
class Reply:
    """What is answered: an error's kind becomes `x-amzn-ErrorType`. `cut` closes after so many octets of the body."""

    status: int = 200
    told: dict[str, Any] | bytes = field(default_factory=dict)
    kind: str = ""
    cut: int | None = None


@dataclass
class SesServer:
    """Answers SendEmail and GetAccount. `answer` may return another reply, or None to drop the connection."""

    answer: Answer | None = None
    delay: Callable[[], Awaitable[None]] | None = None
    region: str = "eu-central-1"
    token: str = ""
    taken: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SesServer]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.sleep(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def drop(self) -> None:
        """Close every connection, as a server does with idle ones."""
        for writer in self._writers:
            writer.transport.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        self._tasks.add(asyncio.get_running_loop().create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                first, *lines = head.decode().split("\r\n")[:-2]
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = first.split()
                call = Call(method, path, headers, body, len(self.calls))
                self.calls.append(call)
                reply = self.answer(call) if self.answer else self._answer(call)
                if reply is None:
                    writer.transport.abort()
                    return
                if self.delay is not None:
                    await self.delay()
                self._write(writer, reply)
                if reply.cut is not None:
                    await writer.drain()
                    writer.close()
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.transport.abort()

    def _write(self, writer: asyncio.StreamWriter, reply: Reply) -> None:
        body = reply.told if isinstance(reply.told, bytes) else json.dumps(reply.told).encode()
        lines = [f"HTTP/1.1 {reply.status} Words", f"Content-Length: {len(body)}", "x-amzn-RequestId: r-1"]
        if reply.kind:
            lines.append(f"x-amzn-ErrorType: {reply.kind}")
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body[: reply.cut])

    def _answer(self, call: Call) -> Reply:
        if problem := self.signature_problem(call):
            return Reply(403, {"message": problem}, "InvalidSignatureException")
        if (call.method, call.path) == ("GET", "/v2/email/account"):
            quota = {"Max24HourSend": 200.0, "MaxSendRate": 1.0, "SentLast24Hours": 7.0}
            return Reply(200, {"SendingEnabled": True, "EnforcementStatus": "HEALTHY", "SendQuota": quota})
        if (call.method, call.path) != ("POST", SEND.http["requestUri"]):
            return Reply(404, {"message": "no such operation"}, "UnknownOperationException")
        if problems := shape_problems(call.json):
            return Reply(400, {"message": problems}, "BadRequestException")
        self.taken.append(call.json)
        return Reply(200, {"MessageId": f"0107019-{len(self.taken):06d}-000000"})

    def signature_problem(self, call: Call) -> str:
        """Compute the signature again with botocore and compare."""
        match = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/[^/]+/aws4_request), SignedHeaders=([^,]+), "
            r"Signature=([0-9a-f]{64})",
            call.headers.get("authorization", ""),
        )
        if match is None or match[1] != ACCESS_KEY:
            return "The security token included in the request is invalid."
        names = match[3].split(";")
        if not {"host", "x-amz-date"} <= set(names) or call.headers.get("x-amz-security-token", "") != self.token:
            return "a header is not signed"
        request = AWSRequest(
            call.method, f"http://{call.headers['host']}{call.path}", data=call.body,
            headers={name: call.headers[name] for name in names},
        )  # fmt: skip
        request.context["timestamp"] = call.headers["x-amz-date"]
        signer = SigV4Auth(Credentials(ACCESS_KEY, SECRET, self.token or None), "ses", self.region)
        if match[2] != signer.credential_scope(request):
            return "Credential should be scoped to a valid region."
        expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
        return "" if hmac.compare_digest(expected, match[4]) else "The request signature we calculated does not match"


def shape_problems(told: dict[str, Any]) -> str:
    """Hold a body to the model of SendEmail; blobs are base64 on the wire."""
    try:
        report = ParamValidator().validate(_unpacked(told, SEND.input_shape), SEND.input_shape)
    except (binascii.Error, ValueError) as error:
        return f"not base64: {error}"
    return report.generate_report() if report.has_errors() else _patterns(told, SEND.input_shape)


def _unpacked(value: Any, shape: Any) -> Any:
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _unpacked(item, shape.members[name]) if name in shape.members else item
            for name, item in value.items()
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_unpacked(item, shape.member) for item in value]
    return value


def _patterns(value: Any, shape: Any) -> str:
    """Check what botocore leaves to the service: patterns, enums and greatest lengths."""
    if shape.type_name == "structure":
        unknown = set(value) - set(shape.members)
        return (
            f"unknown {unknown}"
            if unknown
            else "".join(_patterns(item, shape.members[name]) for name, item in value.items())
        )
    if shape.type_name == "list":
        most = shape.metadata.get("max")
        return (
            f"more than {most}"
            if most and len(value) > most
            else "".join(_patterns(item, shape.member) for item in value)
        )
    if shape.type_name == "string":
        if len(value) > shape.metadata.get("max", len(value)):
            return f"{shape.name} is too long"
        if shape.enum and value not in shape.enum:
            return f"{shape.name} is not one of {shape.enum}"
        if not re.fullmatch(shape.metadata.get("pattern", "(?s).*").strip("^$"), value):
            return f"{shape.name} does not match"
    return ""
