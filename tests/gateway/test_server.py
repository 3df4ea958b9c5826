"""What the server lets clients take: limits on time, size and number, health, traces, and a stop that loses nothing."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from heliograph_gateway.config import GatewaySettings
from heliograph_gateway.server import MAX_HEAD_BYTES, HttpServer
from heliograph_gateway.servicers import app as app_module
from heliograph_gateway.servicers.app import make_app
from heliograph_gateway.servicers.bodies import read_body
from heliograph_kit.rpc import AddressTaken
from heliograph_kit.runtime import StartFailed
from heliograph_kit.settings import SettingsError, load_settings
from heliograph_kit.testing import eventually
from heliograph_kit.testing.processes import ServiceProcess
from tests.gateway.conftest import Gateway, Letter, Opened, Send, gateway_at
from tests.messaging.conftest import SECRET, Service

pytestmark = pytest.mark.integration
NOBODY = "127.0.0.1:1"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
CLOSE = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
async def lonely(open_gateway: Opened) -> Gateway:
    """A gateway whose messaging is away, impatient with slow clients."""
    return await open_gateway(NOBODY, header_seconds=0.3, body_seconds=0.3, idle_seconds=1, max_connections=20)


# -- health


async def test_it_is_alive_and_ready_whether_messaging_is_there_or_not(lonely: Gateway) -> None:
    assert (await lonely.http.get("/livez")).text == "ok\n"
    assert (await lonely.http.get("/readyz")).text == "ready\n"
    await lonely.runtime.make_server().set_ready(False)
    answer = await lonely.http.get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready\n")
    assert (await lonely.http.get("/livez")).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"), [("/", 404), ("/favicon.ico", 404), ("/c", 404), ("/robots.txt", 200), ("//livez", 404)]
)
async def test_nothing_else_is_served(lonely: Gateway, path: str, status: int) -> None:
    answer = await lonely.http.get(path)
    assert answer.status_code == status


async def test_a_taken_port_ends_the_start_with_a_sentence(lonely: Gateway) -> None:
    with pytest.raises(StartFailed, match="cannot listen on"):
        async with gateway_at(NOBODY, listen=lonely.runtime.address):
            pass


# -- slow, huge and many


async def test_a_client_that_does_not_finish_its_head_is_cut(lonely: Gateway) -> None:
    began = asyncio.get_running_loop().time()
    for begun in (b"", b"G", GET[:-2], GET + b"GET /l"):
        await lonely.raw(begun)
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_client_that_drips_its_head_is_cut_all_the_same(lonely: Gateway) -> None:
    reader, writer = await asyncio.open_connection(lonely.host, lonely.port)
    cut = asyncio.create_task(reader.read())
    for number in range(1000):
        if cut.done():
            break
        writer.write(b"GET / HTTP/1.1\r\n" if not number else b"X-A: b\r\n")
        await asyncio.sleep(0.05)
    assert number < 40
    writer.close()
    assert cut.exception() is not None or cut.result() == b""


async def test_a_client_that_drips_its_body_is_told_so(lonely: Gateway) -> None:
    reader, writer = await asyncio.open_connection(lonely.host, lonely.port)
    writer.write(b"POST /hooks/shop/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
    writer.close()


async def test_an_idle_connection_is_closed_and_a_used_one_is_not(lonely: Gateway) -> None:
    reader, writer = await asyncio.open_connection(lonely.host, lonely.port)
    for _ in range(4):  # each pause longer than a head may take, shorter than a connection may idle
        writer.write(GET)
        assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0.4)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()


async def test_requests_sent_ahead_are_answered_in_order(lonely: Gateway) -> None:
    answer = await lonely.raw(GET + GET.replace(b"livez", b"readyz") + CLOSE)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /" + b"a" * (MAX_HEAD_BYTES + 10_000), id="a line without end"),
        pytest.param(
            b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 100) for n in range(1000)), id="headers"
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"NONSENSE\r\n\r\n", id="no request"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", id="two hosts"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", id="two lengths"
        ),
        pytest.param(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", id="no path"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_ends(lonely: Gateway, sent: bytes) -> None:
    try:
        answer = await lonely.raw(sent)
    except ConnectionResetError:  # it was still sending when it was refused
        answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 400 ")
    assert (await lonely.http.get("/livez")).status_code == 200


async def test_more_connections_than_allowed_are_told_to_come_later(lonely: Gateway) -> None:
    held = [await asyncio.open_connection(lonely.host, lonely.port) for _ in range(20)]
    assert (await lonely.raw(CLOSE)).startswith(b"HTTP/1.1 503 ")
    for _, writer in held:
        writer.close()

    async def served() -> bool:
        return (await lonely.raw(CLOSE)).startswith(b"HTTP/1.1 200 ")

    await eventually(served)


async def test_a_fault_of_ours_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(request: Request) -> Response:
        raise RuntimeError("secret detail")

    server = a_server(Route("/fails", fails))
    address = await server.start()
    reader, writer = await asyncio.open_connection(*address.split(":"))
    with caplog.at_level(logging.CRITICAL):
        writer.write(b"GET /fails HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    writer.close()
    await server.stop(drain_seconds=0, grace_seconds=1)


# -- the stop


def a_server(*routes: Route, listen: str = "127.0.0.1:0") -> HttpServer:
    server = HttpServer(listen, max_connections=100, header_seconds=5, idle_seconds=5, grace_seconds=5)
    server.serve(make_app(routes, lambda: server.ready))
    return server


async def test_a_stop_lets_running_requests_end_and_takes_no_new_ones() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        body = await read_body(request, most=10, seconds=5)
        begun.set()
        await go_on.wait()
        return PlainTextResponse(body)

    server = a_server(Route("/slow", slow, methods=["POST"]))
    host, _, port = (await server.start()).rpartition(":")
    idle, idle_writer = await asyncio.open_connection(host, int(port))
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\ndone")
    await begun.wait()
    stopping = asyncio.create_task(server.stop(drain_seconds=0, grace_seconds=5))
    assert await idle.read() == b""

    async def refuses() -> bool:
        try:
            (await asyncio.open_connection(host, int(port)))[1].close()
        except ConnectionRefusedError:
            return True
        return False

    await eventually(refuses)
    go_on.set()
    assert (await reader.read()).endswith(b"done")
    await stopping
    await server.stop(drain_seconds=0, grace_seconds=0)  # safe to repeat
    writer.close()
    idle_writer.close()


async def test_a_port_is_taken_once() -> None:
    first = a_server()
    address = await first.start()
    with pytest.raises(AddressTaken):
        await a_server(listen=address).start()
    await first.stop(drain_seconds=0, grace_seconds=1)


async def test_the_process_gets_ready_and_ends_with_zero_on_a_signal(tmp_path: Path) -> None:
    environment = {"HELIOGRAPH_INTERNAL_SECRET": SECRET, "HELIOGRAPH_PEER_MESSAGING": f"dns:///{NOBODY}"}
    process = ServiceProcess(
        "heliograph_gateway.main", service="gateway", directory=tmp_path, environment=environment
    ).start()
    process.ready()
    host, _, port = process.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(CLOSE)
    assert b"200 OK" in await reader.read()
    assert await asyncio.to_thread(process.stop) == 0
    writer.close()


# -- settings, traces


def test_a_network_that_is_none_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HELIOGRAPH_INTERNAL_SECRET", SECRET)
    monkeypatch.setenv("HELIOGRAPH_GATEWAY_TRUSTED_PROXIES", "10.0.0.0/8,everybody")
    with pytest.raises(SettingsError, match="TRUSTED_PROXIES: must hold addresses"):
        load_settings(GatewaySettings)


async def test_a_request_is_traced_to_messaging_and_no_span_holds_a_token(
    messaging: Service, gateway: Gateway, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter: Letter = await send(messaging)
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(app_module, "_tracer", provider.get_tracer("tests"))
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    await gateway.http.get(letter.clicks[0], headers=headers)
    await gateway.http.post(letter.unsubscribe, data={"List-Unsubscribe": "One-Click"}, headers=headers)
    await gateway.http.get("/nothing/of/ours", headers=headers)
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["GET /c", "POST /u", "GET (none)"]
    assert {trace.format_trace_id(span.context.trace_id) for span in spans} == {trace_id}
    told = repr([(span.name, dict(span.attributes or {})) for span in spans])
    assert letter.clicks[0][3:] not in told
    assert letter.unsubscribe[3:] not in told


async def test_a_gateway_needs_neither_database_nor_bus(lonely: Gateway) -> None:
    with pytest.raises(LookupError, match="no database"):
        _ = lonely.runtime.database
    with pytest.raises(LookupError, match="no bus"):
        _ = lonely.runtime.bus
    with pytest.raises(ValueError, match="already"):
        lonely.runtime.serve_with(a_server())
