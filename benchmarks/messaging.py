"""Figures of sending: campaign batches over the simulator and over SMTP by one worker process and by two, and direct sends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
import psutil
import psycopg
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from benchmarks import isolation
from benchmarks.direct import DirectSends, empty_calls
from benchmarks.figures import Figure, figure
from benchmarks.letters import HTML, SIZE, VARIABLES, values_of
from benchmarks.parts import Servers, bare, bare_result, calling, servers, until
from heliograph.messaging.v1 import (
    channels_pb2,
    channels_pb2_grpc,
    dispatch_pb2,
    templates_pb2,
    templates_pb2_grpc,
)
from heliograph.segments.v1 import audience_pb2
from heliograph_kit.bus import Bus, BusMessage
from heliograph_kit.ids import derived_id
from heliograph_kit.streams import dispatch_subject

PROJECT = "bench"
PARENT = f"projects/{PROJECT}"
SIMULATED_BATCHES = 60
SMTP_BATCHES = 20
WARM_BATCHES = 4
BESIDE_BATCHES = 120

# Everything a campaign's message goes through, and no receipts: they are not part of the fan-out.
_SIMULATOR: dict[str, Any] = {"delivered_share": 0}
_FINISHED = (
    "SELECT count(*) FILTER (WHERE finish_time IS NOT NULL), extract(epoch FROM max(finish_time) - min(started_at)) "
    "FROM messaging.batches WHERE run_id = %s"
)
_ACCEPTED = "SELECT count(*) FROM messaging.messages WHERE batch_id IN (SELECT batch_id FROM messaging.batches WHERE run_id = %s) AND status = 'ACCEPTED'"


async def measure() -> list[Figure]:
    """Return the figures of this area."""
    with servers() as parts:
        campaign = await _pipeline(parts, SIMULATED_BATCHES, 0)
        with bare("sink") as port:
            mail = await _pipeline(parts, SMTP_BATCHES, int(port))
            settings: dict[str, Any] = {"messaging_plugins": "simulator,smtp", "messaging_secret_key": "k" * 32}
            service, second = parts.service("messaging", **settings), parts.service("messaging", **settings)
            with service:
                async with (
                    calling(service.address) as channel,
                    Bus.connect(parts.nats_url, name="bench") as bus,
                    await psycopg.AsyncConnection.connect(parts.dsn, autocommit=True) as conn,
                ):
                    template = await _template(channel)
                    sender = _Sender(bus, conn, template)
                    await _use(channel, "simulator", _SIMULATOR)
                    await sender.run("warm", WARM_BATCHES)
                    simulated = await sender.run("simulated", SIMULATED_BATCHES)
                    memory = psutil.Process(service.pid).memory_info().rss / 2**20
                    sends = DirectSends(channel, conn, PARENT, template)
                    alone = await sends.run()
                    campaign_beside = asyncio.create_task(sender.run("beside", BESIDE_BATCHES))
                    beside = await sends.run()
                    beside_rate = await campaign_beside
                    plain = await empty_calls()
                    with second:
                        # Its first batches connect and compile; a campaign lasts longer than that.
                        await sender.run("warm-both", 4 * WARM_BATCHES)
                        both = await sender.run("both", 2 * SIMULATED_BATCHES)
                    settings = {"host": "127.0.0.1", "port": int(port), "security": "none", "connections": 16}
                    await _use(channel, "smtp", {**settings, "from_address": "shop@example.com"})
                    await sender.run("warm-smtp", WARM_BATCHES)
                    delivered = await sender.run("smtp", SMTP_BATCHES)
        apart = await _apart(parts)
    return [
        figure(
            "campaign messages, 3 kB of personalised HTML, full ledger, simulator, one process", simulated,
            "messages/s", bare=campaign, against="the bare pipeline without a channel", target="10,000/s",
        ),
        figure(
            "the same over SMTP to a sink in another process", delivered,
            "messages/s", bare=mail, against="the bare pipeline with a bare SMTP client", target="3,000/s",
        ),
        figure(
            "campaign messages by two processes on the same cores", both, "messages/s",
            bare=2 * campaign, against="twice the bare pipeline of one process", target="18,000/s on two cores",
        ),
        figure(
            "memory of one worker after these campaigns", memory, "MiB", bare=await _imports(),
            against="a process that has imported the libraries",
        ),
        *alone.figures("", plain),
        *beside.figures(f" while a campaign runs at {beside_rate:,.0f} messages/s", plain),
        figure(
            "the campaign messages again, with the plugin in a process of its own", apart, "messages/s", bare=simulated,
            against="the plugin in the worker's process",
        ),
        *await isolation.figures(),
    ]  # fmt: skip


async def _apart(parts: Servers) -> float:
    """Measure the campaign messages with the simulator treated as a stranger's plugin."""
    settings = {"messaging_plugins": "simulator", "messaging_isolated_plugins": "*"}
    service = parts.service("messaging", **settings)
    with service:
        async with (
            calling(service.address) as channel,
            Bus.connect(parts.nats_url, name="bench") as bus,
            await psycopg.AsyncConnection.connect(parts.dsn, autocommit=True) as conn,
        ):
            await _use(channel, "simulator", _SIMULATOR)
            sender = _Sender(bus, conn, f"{PARENT}/templates/news")
            await sender.run("warm-apart", WARM_BATCHES)
            return await sender.run("apart", SIMULATED_BATCHES)


async def _imports() -> float:
    return float(await bare_result("imports"))


async def _pipeline(parts: Servers, batches: int, port: int) -> float:
    return float(await bare_result("pipeline", parts.dsn, parts.nats_url, str(batches), str(port)))


async def _template(channel: grpc.aio.Channel) -> str:
    templates: templates_pb2_grpc.TemplateServiceAsyncStub = templates_pb2_grpc.TemplateServiceStub(channel)
    email = templates_pb2.EmailTemplate(subject="News for {{User.UserAttributes.First}}", html=HTML)
    made = await templates.CreateTemplate(
        templates_pb2.CreateTemplateRequest(
            parent=PARENT,
            template_id="news",
            template=templates_pb2.Template(kind=templates_pb2.TEMPLATE_KIND_EMAIL, email=email),
            request_id="bench",
        )
    )
    return made.name


async def _use(channel: grpc.aio.Channel, provider: str, settings: dict[str, Any]) -> None:
    channels: channels_pb2_grpc.ChannelServiceAsyncStub = channels_pb2_grpc.ChannelServiceStub(channel)
    await channels.UpdateChannel(
        channels_pb2.UpdateChannelRequest(
            channel=channels_pb2.Channel(
                name=f"{PARENT}/channels/EMAIL",
                provider=provider,
                settings=ParseDict(settings, Struct()),
                from_address="shop@example.com",
                enabled=True,
            )
        )
    )


class _Sender:
    """Feeds batches through the bus as campaigns does, and reads from the ledger when they were done."""

    def __init__(self, bus: Bus, conn: psycopg.AsyncConnection[Any], template: str) -> None:
        self._bus = bus
        self._conn = conn
        self._template = template

    async def run(self, run_id: str, batches: int) -> float:
        """Send so many batches; returns messages per second from the first lease to the last outcome."""
        subject = dispatch_subject("campaign", PROJECT)
        messages = [self._batch(run_id, number) for number in range(batches)]
        published = await self._bus.publish_many(
            [
                BusMessage(subject, batch.SerializeToString(), batch.batch_id, batch.DESCRIPTOR.full_name, PROJECT)
                for batch in messages
            ],
            in_flight=16,
        )
        for answer in published:
            if isinstance(answer, Exception):
                raise answer

        async def over() -> float | None:
            finished, seconds = await _row(self._conn, _FINISHED, run_id)
            return float(seconds) if finished == batches else None

        seconds = await until(f"run {run_id}", over, within=60)
        [accepted] = await _row(self._conn, _ACCEPTED, run_id)
        if accepted != batches * SIZE:
            raise RuntimeError(f"{accepted} of {batches * SIZE} messages of run {run_id} were accepted")
        return batches * SIZE / seconds

    def _batch(self, run_id: str, number: int) -> dispatch_pb2.DispatchBatch:
        people = range(number * SIZE, (number + 1) * SIZE)
        addresses, users, *projected = (list(column) for column in zip(*map(values_of, people), strict=True))
        return dispatch_pb2.DispatchBatch(
            batch_id=derived_id(run_id, str(number)),
            project=PARENT,
            message_class=dispatch_pb2.MESSAGE_CLASS_CAMPAIGN,
            source=dispatch_pb2.MessageSource(name=f"{PARENT}/campaigns/bench", run_id=run_id, treatment_id="0"),
            channel="EMAIL",
            content=dispatch_pb2.MessageContent(template=self._template),
            recipients=audience_pb2.MemberPage(
                ordinals=people,
                endpoint_ids=[f"e{n}" for n in people],
                user_ids=users,
                channels=["EMAIL"] * SIZE,
                addresses=addresses,
                opted_out=[False] * SIZE,
                inactive=[False] * SIZE,
                columns=[
                    audience_pb2.MemberColumn(path=path, values=values)
                    for path, values in zip(VARIABLES[2:], projected, strict=True)
                ],
            ),
        )


async def _row(conn: psycopg.AsyncConnection[Any], statement: str, run_id: str) -> Sequence[Any]:
    row: Sequence[Any] | None = await (await conn.execute(statement, (run_id,))).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return row
