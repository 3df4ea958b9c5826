"""Services in the test's event loop and as real processes: ready, supervised, drained."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import SecretStr
from sqlalchemy import MetaData

from heliograph_kit.embedded import EmbeddedNats
from heliograph_kit.rpc import reason_of
from heliograph_kit.runtime import Kind, Runtime, StartFailed, run_service, running
from heliograph_kit.testing import eventually
from heliograph_kit.testing.processes import ServiceProcess
from heliograph_kit.workers import RESTART, Workers
from tests.kit.rpc.conftest import SECRET, Bench
from tests.kit.rpc.echo import UNGUARDED, EchoRequest, EchoStub, call
from tests.kit.rpc.tiny import TinySettings, build

SHOP = "projects/shop"
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _settings(nats_url: str, **values: Any) -> TinySettings:
    given: dict[str, Any] = {
        "internal_secret": SecretStr(SECRET),
        "nats_url": nats_url,
        "listen": "127.0.0.1:0",
        "drain_seconds": 0,
        "shutdown_grace_seconds": 2,
    }
    return TinySettings(**(given | values))


async def _health(bench: Bench, address: str, name: str) -> int:
    stub = health_pb2_grpc.HealthStub(bench.bare(address))
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=name))).status)


async def test_a_service_serves_inside_of_its_block_and_closes_what_it_opened(bench: Bench, nats_url: str) -> None:
    events: list[str] = []

    async def wire(runtime: Runtime[TinySettings]) -> None:
        await build(runtime)

        async def work(stopping: asyncio.Event) -> None:
            events.append("works")
            await stopping.wait()
            events.append("stops")

        async def close(what: str) -> None:
            events.append(what)

        runtime.add_worker("work", work)
        runtime.on_close(lambda: close("closed last"))
        runtime.on_close(lambda: close("closed first"))
        assert runtime.peer("segments") is runtime.peer("segments")
        with pytest.raises(LookupError, match="no database"):
            _ = runtime.database
        with pytest.raises(LookupError, match="use_mail"):
            _ = runtime.outbox

    async with running(_settings(nats_url), wire, package="tests", metadata=None) as runtime:
        stub = EchoStub(bench.open(runtime.address))
        assert await call(stub, "One", EchoRequest(parent=SHOP, text="hello")) == ["hello"]
        assert await _health(bench, runtime.address, "readiness") == health_pb2.HealthCheckResponse.SERVING
    assert events == ["works", "stops", "closed first", "closed last"]


@pytest.mark.parametrize(
    ("role", "serves", "works"), [("all", True, True), ("api", True, False), ("worker", False, True)]
)
async def test_each_role_does_its_share_and_health_is_always_there(
    bench: Bench, nats_url: str, role: Kind, serves: bool, works: bool
) -> None:
    ran: list[str] = []

    async def wire(runtime: Runtime[TinySettings]) -> None:
        await build(runtime)

        async def work(_stopping: asyncio.Event) -> None:
            ran.append("worker")

        async def everywhere(_stopping: asyncio.Event) -> None:
            ran.append("everywhere")

        runtime.add_worker("work", work)
        runtime.add_worker("everywhere", everywhere, every_role=True)

    async with running(_settings(nats_url), wire, package="tests", metadata=None, role=role) as runtime:
        assert await _health(bench, runtime.address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        try:
            await call(EchoStub(bench.open(runtime.address)), "One", EchoRequest(parent=SHOP))
            served = True
        except grpc.aio.AioRpcError as error:
            served = error.code() is not grpc.StatusCode.UNIMPLEMENTED
        await eventually(lambda: "everywhere" in ran)
    assert (served, "worker" in ran) == (serves, works)


async def test_readiness_follows_the_pings_and_liveness_does_not(bench: Bench, nats_url: str) -> None:
    broken = False

    async def wire(runtime: Runtime[TinySettings]) -> None:
        async def ping() -> None:
            if broken:
                raise ConnectionError("away")

        runtime.add_ping("provider", ping)
        with pytest.raises(ValueError, match="already"):
            runtime.add_ping("provider", ping)

    async with running(_settings(nats_url), wire, package="tests", metadata=None) as runtime:
        broken = True

        async def unready() -> bool:
            return await _health(bench, runtime.address, "readiness") == int(NOT_SERVING)

        await eventually(unready)
        assert await _health(bench, runtime.address, "liveness") == health_pb2.HealthCheckResponse.SERVING
        broken = False

        async def ready() -> bool:
            return not await unready()

        await eventually(ready)


class OtherServer:
    """A server that is not gRPC; writes down what is asked of it."""

    def __init__(self, said: list[str]) -> None:
        self.ready = False
        self._said = said

    async def start(self) -> str:
        self._said.append("start")
        return "127.0.0.1:4711"

    async def set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._said.append(f"ready {ready}")

    async def stop(self, *, drain_seconds: float, grace_seconds: float) -> None:
        self._said.append("stop")


async def test_a_service_may_answer_with_a_server_of_its_own_and_without_the_bus() -> None:
    said: list[str] = []

    async def wire(runtime: Runtime[TinySettings]) -> None:
        runtime.serve_with(OtherServer(said))
        with pytest.raises(ValueError, match="already"):
            runtime.serve_with(OtherServer(said))
        with pytest.raises(LookupError, match="no bus"):
            _ = runtime.bus

    settings = _settings("nats://127.0.0.1:1")
    async with running(settings, wire, package="tests", metadata=None, uses_bus=False) as runtime:
        assert runtime.address == "127.0.0.1:4711"
        assert runtime.pings == {}
    assert said == ["start", "ready True", "ready False", "stop"]


async def test_the_bus_going_away_is_seen_and_its_return_too(bench: Bench, nats_server: EmbeddedNats) -> None:
    async def wire(_runtime: Runtime[TinySettings]) -> None:
        pass

    async with running(_settings(nats_server.start()), wire, package="tests", metadata=None) as runtime:
        nats_server.kill()

        async def state(wanted: int) -> bool:
            return await _health(bench, runtime.address, "") == wanted

        await eventually(lambda: state(health_pb2.HealthCheckResponse.NOT_SERVING))
        nats_server.start()
        await eventually(lambda: state(health_pb2.HealthCheckResponse.SERVING))


async def test_a_start_that_cannot_work_says_why(nats_url: str) -> None:
    async def unguarded(runtime: Runtime[TinySettings]) -> None:
        runtime.add_servicer(lambda *_: None, object(), UNGUARDED)

    async def away(runtime: Runtime[TinySettings]) -> None:
        async def ping() -> None:
            raise ConnectionError("nobody home")

        runtime.add_ping("provider", ping)

    cases: list[tuple[Any, dict[str, Any], MetaData | None, str]] = [
        (unguarded, {}, None, "Forgotten: has no option"),
        (away, {"startup_timeout_seconds": 1}, None, "not ready in 1 s: provider: nobody home"),
        (build, {}, MetaData(schema="tiny"), "HELIOGRAPH_TINY_DATABASE_URL .* is not set"),
    ]
    for wire, values, metadata, why in cases:
        with pytest.raises(StartFailed, match=why):
            async with running(_settings(nats_url, **values), wire, package="tests", metadata=metadata):
                pass


async def test_a_failing_worker_is_started_again_and_its_neighbours_do_not_notice() -> None:
    workers, tries, steps = Workers(), 0, 0

    async def failing(_stopping: asyncio.Event) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise RuntimeError("broken")

    async def steady(stopping: asyncio.Event) -> None:
        nonlocal steps
        while not stopping.is_set():
            steps += 1
            await asyncio.sleep(0.01)

    workers.add("failing", failing)
    workers.add("steady", steady)
    with pytest.raises(ValueError, match="already"):
        workers.add("steady", steady)
    workers.start()
    await eventually(lambda: tries == 3)
    assert steps > 3
    await workers.stop(1)
    await workers.stop(1)


async def test_a_worker_that_does_not_stop_is_cut_when_the_grace_is_over() -> None:
    workers, cut = Workers(), []

    async def deaf(_stopping: asyncio.Event) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cut.append(True)
            raise

    workers.add("deaf", deaf)
    workers.start()
    await asyncio.sleep(0.01)
    began = time.monotonic()
    await workers.stop(0.1)
    assert time.monotonic() - began < 5
    assert cut == [True]


def test_restarts_come_slower_up_to_half_a_minute() -> None:
    pauses = [RESTART.delay(attempt, 1.0) for attempt in range(1, 12)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(milliseconds=200)
    assert pauses[-1] == timedelta(seconds=30)


def _environment(nats_url: str, **values: str) -> dict[str, str]:
    return {"HELIOGRAPH_INTERNAL_SECRET": SECRET, "HELIOGRAPH_NATS_URL": nats_url, **values}


async def test_a_process_gets_ready_drains_on_sigterm_and_ends_with_zero(
    bench: Bench, nats_url: str, tmp_path: Path
) -> None:
    process = ServiceProcess(
        "tests.kit.rpc.tiny",
        service="tiny",
        directory=tmp_path,
        environment=_environment(nats_url, HELIOGRAPH_DRAIN_SECONDS="0.3"),
    )
    process.start()
    try:
        await asyncio.to_thread(process.ready)
        stub = EchoStub(bench.open(process.address))
        metadata = [("authorization", "Bearer hg_1_abcdefghijklmnop")]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(stub, "One", EchoRequest(parent=SHOP), metadata=metadata)
        assert reason_of(caught.value) == "KEY_INVALID"
        slow = asyncio.create_task(call(stub, "One", EchoRequest(parent=SHOP, text="slow")))
        await asyncio.sleep(0.1)
        code = await asyncio.to_thread(process.stop)
        assert await slow == ["slow"]
    finally:
        process.kill()
    assert code == 0
    output = await asyncio.to_thread(lambda: [path.read_text() for path in tmp_path.glob("*.out")])
    assert output == [f"tiny ready on {process.address}\n"]
    assert '"service": "tiny"' in process.logs
    assert '"message": "stopped"' in process.logs
    assert SECRET not in process.logs
    # What was loaded at the start is out of the garbage collector's rounds, which begin later than by default.
    frozen = re.search(r"(\d+) objects are frozen, rounds begin at \(50000, 20, 20\)", process.logs)
    assert frozen is not None
    assert int(frozen[1]) > 10_000


async def test_spans_and_metrics_go_to_a_collector_when_one_is_named(
    bench: Bench, nats_url: str, tmp_path: Path
) -> None:
    """The collector is a bare gRPC server that takes whatever OTLP sends."""
    received: dict[str, bytes] = {}

    def take(name: str, empty: bytes = b"") -> Any:
        async def export(raw: bytes, _context: Any) -> bytes:
            received[name] = received.get(name, b"") + raw
            return empty

        handlers: dict[str, Any] = {"Export": grpc.unary_unary_rpc_method_handler(export)}
        return grpc.method_handlers_generic_handler(name, handlers)

    traces = "opentelemetry.proto.collector.trace.v1.TraceService"
    metrics = "opentelemetry.proto.collector.metrics.v1.MetricsService"
    collector = grpc.aio.server()
    collector.add_generic_rpc_handlers((take(traces), take(metrics)))
    port = collector.add_insecure_port("127.0.0.1:0")
    await collector.start()
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    process = ServiceProcess(
        "tests.kit.rpc.tiny", service="tiny", directory=tmp_path, environment=_environment(nats_url, **endpoint)
    )
    process.start()
    try:
        await asyncio.to_thread(process.ready)
        await call(EchoStub(bench.open(process.address)), "One", EchoRequest(parent=SHOP))
        assert await asyncio.to_thread(process.stop) == 0
        await eventually(lambda: {traces, metrics} <= received.keys())
    finally:
        process.kill()
        await collector.stop(None)
    assert b"heliograph-tiny" in received[traces]
    assert b"heliograph.kittests.v1.EchoService/One" in received[traces]
    assert b"rpc.server.call.duration" in received[metrics]


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH_")}
    return subprocess.run(
        [sys.executable, "-m", "tests.kit.rpc.tiny", *arguments],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_settings_can_be_checked_without_starting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def check() -> None:
        run_service(TinySettings, build, package="tests", metadata=None, arguments=["--check-settings"])

    monkeypatch.setenv("HELIOGRAPH_INTERNAL_SECRET", SECRET)
    check()
    assert capsys.readouterr().out == "the settings of tiny are complete\n"
    monkeypatch.setenv("HELIOGRAPH_INTERNAL_SECRET", "short")
    monkeypatch.setenv("HELIOGRAPH_TINY_LISTEN", "x")
    with pytest.raises(SystemExit) as caught:
        check()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "HELIOGRAPH_INTERNAL_SECRET" in said
    assert "HELIOGRAPH_TINY_LISTEN" in said


def test_a_taken_port_ends_the_start_with_a_sentence(nats_url: str) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        failed = _run(HELIOGRAPH_TINY_LISTEN=address, **_environment(nats_url))
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert f"tiny cannot run: cannot listen on {address}" in failed.stderr
