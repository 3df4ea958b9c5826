"""An installation of messaging to be ill-treated: servers, workers, a plan, kills, and the checker's verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from heliograph.messaging.v1 import channels_pb2, channels_pb2_grpc, dispatch_pb2
from heliograph_kit.auth import InternalTokens
from heliograph_kit.embedded import EmbeddedNats, EmbeddedPostgres
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess, eventually
from heliograph_kit.testing.fixtures import INTERNAL_SECRET
from tests.messaging.conftest import PARENT, PROJECT, a_batch

PAGE = 250
CONCURRENCY = 3
_OPEN = (
    "SELECT (SELECT count(*) FROM messaging.outbox WHERE subject LIKE 'dispatch.%') - "
    "(SELECT count(*) FROM messaging.batches WHERE finish_time IS NOT NULL) AS open, "
    "(SELECT count(*) FROM messaging.messages WHERE accept_time IS NOT NULL) AS sent"
)
_PUT = (
    "INSERT INTO messaging.outbox (id, project, subject, type, payload, time, traceparent) "
    "VALUES (%s, %s, %s, 'heliograph.messaging.v1.DispatchBatch', %s, now(), '')"
)


@dataclass
class Installation:
    """Two servers, some workers, and what they did."""

    folder: Path
    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    workers: list[ServiceProcess] = field(default_factory=list)
    kills: int = 0
    planned: int = 0

    @property
    def journals(self) -> list[Path]:
        """What the simulated providers wrote down, by channel."""
        return [self.folder / f"{kind}.ndjson" for kind in ("EMAIL", "CUSTOM")]

    @property
    def dsn(self) -> str:
        """The database as the bare driver takes it."""
        return self.postgres.dsn.replace("+psycopg", "", 1)

    def worker(self, bug: str = "", **settings: object) -> ServiceProcess:
        """Start a worker, with a bug switched on when one is named."""
        number = len(self.workers)
        environment = {
            "HELIOGRAPH_DATABASE_URL": self.postgres.dsn,
            "HELIOGRAPH_NATS_URL": self.nats.url,
            "HELIOGRAPH_INTERNAL_SECRET": INTERNAL_SECRET,
            "HELIOGRAPH_MESSAGING_PLUGINS": "simulator",
            "HELIOGRAPH_MESSAGING_LEASE_SECONDS": "3",
            "HELIOGRAPH_MESSAGING_CAMPAIGN_CONCURRENCY": str(CONCURRENCY),
            "HELIOGRAPH_MESSAGING_RETRY_FIRST_SECONDS": "0.1",
            "HELIOGRAPH_LOG_LEVEL": "WARNING",
            "SEEDED_BUG": bug,
            **{f"HELIOGRAPH_MESSAGING_{name.upper()}": str(value) for name, value in settings.items()},
        }
        module = "tests.chaos.seeded" if bug else "heliograph_messaging.main"
        process = ServiceProcess(
            module, service="messaging", directory=self.folder / f"worker{number}", environment=environment
        )
        self.workers.append(process)
        return process.start().ready(60)

    async def set_up(self, worker: ServiceProcess, **settings: object) -> None:
        """Set up two channels on the simulator: EMAIL knows our ids again, CUSTOM does not."""
        async with channel(worker.address, tokens=InternalTokens(INTERNAL_SECRET), caller="tests") as to:
            stub: channels_pb2_grpc.ChannelServiceAsyncStub = channels_pb2_grpc.ChannelServiceStub(to)
            for kind, path in zip(("EMAIL", "CUSTOM"), self.journals, strict=True):
                script = {"journal_path": str(path), "idempotent": kind == "EMAIL", "delivered_share": 0, **settings}
                made = channels_pb2.Channel(
                    name=f"{PARENT}/channels/{kind}",
                    provider="simulator",
                    enabled=True,
                    from_address="shop@example.com" if kind == "EMAIL" else "",
                    settings=ParseDict(script, Struct()),
                )
                await stub.UpdateChannel(channels_pb2.UpdateChannelRequest(channel=made))

    def plan(self, batches: int, *, first: int = 0) -> None:
        """Hand batches over as campaigns does, through an outbox; every second one to each channel."""
        with psycopg.connect(self.dsn) as conn:
            for page in range(first, first + batches):
                batch = _batch(page, "EMAIL" if page % 2 else "CUSTOM")
                self.planned += len(batch.recipients.addresses)
                conn.execute(_PUT, (batch.batch_id, PROJECT, f"dispatch.campaign.{PROJECT}", batch.SerializeToString()))

    def progress(self) -> tuple[int, int] | None:
        """Return how many batches are open and how many messages were sent, None while the database is away."""
        try:
            with psycopg.connect(self.dsn, connect_timeout=2) as conn:
                row = conn.execute(_OPEN).fetchone()
                return (int(row[0]), int(row[1])) if row else None
        except psycopg.Error:
            return None

    async def sent(self, share: float, within: float = 120) -> None:
        """Wait until this share of the plan was accepted."""

        async def enough() -> bool:
            found = await asyncio.to_thread(self.progress)
            return found is not None and found[1] >= share * self.planned

        await eventually(enough, within=within, every=0.05)

    async def begun(self, *, after: int = 0, within: float = 60) -> None:
        """Wait until the rows of more than so many batches are in the ledger."""

        def rows() -> bool:
            with psycopg.connect(self.dsn, connect_timeout=2) as conn:
                found = conn.execute("SELECT count(DISTINCT batch_id) > %s FROM messaging.messages", (after,))
                return found.fetchone() == (True,)

        await eventually(lambda: asyncio.to_thread(rows), within=within, every=0.02)

    async def over(self, within: float) -> None:
        """Wait until every batch is finished."""

        async def done() -> bool:
            return await asyncio.to_thread(self.progress) is not None and (self.progress() or (1, 0))[0] == 0

        await eventually(done, within=within, every=0.25)

    def verdict(self, *arguments: str) -> list[dict[str, Any]]:
        """Run `heliograph check` and return what it found."""
        journals = [item for path in self.journals if path.exists() for item in ("--journal", str(path))]
        command = [
            sys.executable,
            "-m",
            "heliograph_suite.cli",
            "check",
            "--dsn",
            self.dsn,
            "--json",
            *journals,
            *arguments,
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 1), done.stderr
        findings: list[dict[str, Any]] = json.loads(done.stdout)
        assert (done.returncode == 1) is bool(findings)
        return findings

    async def ill_treat(self, kills: int, chance: random.Random, *, until: float) -> list[str]:
        """Kill workers and servers in turn by chance until the work is over or so many were killed."""
        story: list[str] = []
        while self.kills < kills and time.monotonic() < until:
            await asyncio.sleep(chance.uniform(0.2, 1.2))
            found = await asyncio.to_thread(self.progress)
            if found is not None and found[0] == 0:
                break
            victim = chance.choices(("worker", "nats", "postgres"), (8, 1, 1))[0]
            story.append(victim)
            self.kills += 1
            if victim == "worker":
                worker = chance.choice(self.workers)
                worker.kill()
                await asyncio.to_thread(worker.start)
            else:
                server: EmbeddedNats | EmbeddedPostgres = self.nats if victim == "nats" else self.postgres
                server.kill()
                await asyncio.to_thread(server.start)
                for worker in self.workers:
                    # One that was starting in this moment has given up, as it should: it is started again.
                    worker.start()
        for worker in self.workers:
            worker.start()
        return story


def _batch(page: int, kind: str) -> dispatch_pb2.DispatchBatch:
    ids = [f"e{page * PAGE + index:06d}" for index in range(PAGE)]
    content: dict[str, Any] = (
        {"custom_data": "hi"} if kind == "CUSTOM" else {"email_subject": "Hello", "email_text": "Hi {{Id}}"}
    )
    addresses = [f"{one}@example.com" for one in ids]
    return a_batch(addresses, endpoint_ids=ids, page=page, channel=kind, run_id="run1", **content)


@contextlib.contextmanager
def servers() -> Iterator[Installation]:
    """Start a durable PostgreSQL and NATS in a folder of their own; everything ends with the block."""
    # Not below pytest's folder: PostgreSQL runs under an account of its own when we are root, and must walk through.
    folder = Path(tempfile.mkdtemp(prefix="heliograph-chaos-"))
    folder.chmod(0o711)
    there = Installation(folder, EmbeddedPostgres(folder / "postgres"), EmbeddedNats(folder / "nats"))
    try:
        there.postgres.start()
        there.nats.start()
        yield there
    finally:
        for worker in there.workers:
            worker.kill()
        there.nats.stop()
        there.postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def running(*, workers: int = 1, bug: str = "", **settings: object) -> AsyncIterator[Installation]:
    """Start everything with channels set up; `settings` of the simulator."""
    with servers() as there:
        first = await asyncio.to_thread(there.worker, bug)
        for _ in range(workers - 1):
            await asyncio.to_thread(there.worker, bug)
        await there.set_up(first, **settings)
        yield there


def laws(findings: Sequence[dict[str, Any]]) -> set[str]:
    """Name the laws that were broken."""
    return {finding["law"] for finding in findings}
