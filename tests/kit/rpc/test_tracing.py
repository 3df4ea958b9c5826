"""One trace from the client through the server to what it calls, and the measurements beside it."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from heliograph_kit import telemetry
from heliograph_kit.telemetry.logs import setup_logs
from tests.kit.rpc.conftest import Bench
from tests.kit.rpc.echo import SERVICE, EchoRequest, EchoResponse, EchoStub, call

SHOP = "projects/shop"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    telemetry.setup_telemetry("tests", span_exporter=exporter)
    root.handlers[:], root.level = handlers, level
    yield exporter
    exporter.shutdown()


async def _finished(spans: InMemorySpanExporter, number: int) -> dict[tuple[str, SpanKind], ReadableSpan]:
    async with asyncio.timeout(5):
        while len(spans.get_finished_spans()) < number:
            await asyncio.sleep(0.01)
    return {(span.name, span.kind): span for span in spans.get_finished_spans()}


@pytest.mark.parametrize("method", ["One", "Down", "Up", "Both"])
async def test_a_trace_joins_client_and_server_for_every_arity(
    bench: Bench, spans: InMemorySpanExporter, method: str
) -> None:
    stub = await bench.stub()
    await call(stub, method, EchoRequest(parent=SHOP, text="x"))
    found = await _finished(spans, 2)
    client = found[(f"{SERVICE}/{method}", SpanKind.CLIENT)]
    server = found[(f"{SERVICE}/{method}", SpanKind.SERVER)]
    assert server.parent is not None
    assert client.context is not None
    assert server.parent.span_id == client.context.span_id
    assert server.attributes is not None
    assert server.attributes["rpc.response.status_code"] == "OK"


async def test_a_call_made_inside_of_a_handler_is_its_child(bench: Bench, spans: InMemorySpanExporter) -> None:
    inner: list[EchoStub] = []
    ids: list[str] = []

    async def does(request: Any, _context: Any) -> Any:
        ids.append(telemetry.trace_id())
        if request.text == "inner":
            return None
        return EchoResponse(text=(await call(inner[0], "Send", EchoRequest(parent=SHOP, text="inner")))[0])

    stub = await bench.stub(does)
    inner.append(stub)
    await call(stub, "One", EchoRequest(parent=SHOP, text="outer"))
    found = await _finished(spans, 4)
    outer, child = found[(f"{SERVICE}/One", SpanKind.SERVER)], found[(f"{SERVICE}/Send", SpanKind.CLIENT)]
    assert child.parent is not None
    assert outer.context is not None
    assert child.parent.span_id == outer.context.span_id
    assert len(set(ids)) == 1


async def test_the_trace_id_of_an_internal_error_is_that_of_its_span(bench: Bench, spans: InMemorySpanExporter) -> None:
    async def does(_request: Any, _context: Any) -> None:
        raise RuntimeError("ours")

    stub = await bench.stub(does)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(stub, "One", EchoRequest(parent=SHOP))
    trailing: Any = caught.value.trailing_metadata()
    found = await _finished(spans, 2)
    server = found[(f"{SERVICE}/One", SpanKind.SERVER)]
    assert server.context is not None
    assert dict(trailing)["x-trace-id"] == trace.format_trace_id(server.context.trace_id)
    assert [event.name for event in server.events] == ["exception"]


def test_context_survives_headers_and_rubbish_does_not_break_it(spans: InMemorySpanExporter) -> None:
    headers: dict[str, str] = {}
    with telemetry.tracer("tests").start_as_current_span("outer") as span:
        telemetry.inject(headers)
        assert headers["traceparent"] == telemetry.traceparent()
    carried = trace.get_current_span(telemetry.extract(headers)).get_span_context()
    assert carried.trace_id == span.get_span_context().trace_id
    link = telemetry.link_to(headers)
    assert link is not None
    assert link.context.span_id == span.get_span_context().span_id
    assert telemetry.link_to({"traceparent": "rubbish"}) is None
    assert telemetry.traceparent() == ""


def test_a_metric_that_is_not_in_the_catalogue_cannot_be_emitted() -> None:
    with pytest.raises(KeyError, match="has no counter"):
        telemetry.counter("heliograph.made.up")
    with pytest.raises(KeyError, match="has no counter"):
        telemetry.counter("rpc.server.call.duration")
    telemetry.histogram("rpc.server.call.duration").record(0.1)


def test_every_metric_has_a_unit_and_a_sentence() -> None:
    for name, metric in telemetry.METRICS.items():
        assert metric.unit, name
        assert metric.description.endswith("."), name


def test_logs_are_json_lines_with_trace_and_service(spans: InMemorySpanExporter) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    stream = io.StringIO()
    try:
        setup_logs("segments", level="INFO", stream=stream)
        with telemetry.tracer("tests").start_as_current_span("work") as span:
            logging.getLogger("some.module").info("imported %s rows", 3, extra={"rows": 3})
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("some.module").exception("failed")
        logging.getLogger("some.module").debug("not shown")
    finally:
        root.handlers[:], root.level = handlers, level
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first["message"] == "imported 3 rows"
    assert (first["service"], first["rows"], first["level"], first["logger"]) == ("segments", 3, "info", "some.module")
    assert first["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)
    assert first["span_id"] == trace.format_span_id(span.get_span_context().span_id)
    assert "ValueError: broken" in second["exception"]
    assert "trace_id" not in second
