"""Plugins that do harm when they are asked about addresses, settings and health, and in what they report."""

from __future__ import annotations

import io
import logging
from functools import partial

import grpc
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph_channels import ProviderContext
from heliograph_kit import consumer
from heliograph_kit.rpc.answers import reason_of, violations_of
from heliograph_kit.telemetry.logs import setup_logs
from heliograph_kit.testing import eventually
from heliograph_messaging.contained import close_sender, health_of, open_sender
from heliograph_messaging.isolation import catalogue, child
from heliograph_messaging.pipeline import sending
from heliograph_messaging.redaction import Secrets
from heliograph_messaging.tables import metadata
from tests.messaging.conftest import PARENT, Service, a_batch
from tests.messaging.hostile_campaign import ALL, PAGES, TOKEN, S, StartedCampaign, someone

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_a_check_of_addresses_that_raises_fails_nobody_and_is_named(
    hostile: StartedCampaign, caplog: pytest.LogCaptureFixture, isolated: bool
) -> None:
    campaign = await hostile(isolated_plugins=None if isolated else ["none"])
    await campaign.service.set_up("CUSTOM", "hostile", behaviour="accepts")
    people = ["fine", "raises-0666", "nine words-0777", "two words", "also-fine"]
    await campaign.service.dispatch(a_batch(people, run_id="bad", channel="CUSTOM", custom_data="hello"))
    status = await campaign.service.done(len(people), "bad")
    assert (status.accepted_count, status.failed_count) == (3, 2)
    rows = await campaign.service.rows("bad")
    assert [row.address for row in rows if row.status == S.MESSAGE_STATUS_FAILED] == ["nine words-0777", "two words"]
    assert campaign.faults["RAISED"] == 1
    assert "the channel plugin hostile check_addresses raised RuntimeError" in caplog.text
    request = messages_pb2.SendMessagesRequest(
        parent=PARENT, channel="CUSTOM", content=dispatch_pb2.MessageContent(custom_data="x"),
        recipients=[messages_pb2.Recipient(address=one) for one in people],
    )  # fmt: skip
    results = (await campaign.service.messages.SendMessages(request)).messages
    assert [one.reason for one in results] == ["", "", "ADDRESS_INVALID", "ADDRESS_INVALID", ""]


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("check_settings_raises", "raised ValueError"),
        ("check_settings_answers_none", "answered a NoneType instead of a list of problems"),
        ("check_settings_exits", "ended with exit status 9"),
    ],
)
async def test_a_check_of_settings_that_fails_is_the_plugins_fault_and_tells_no_secret(
    hostile: StartedCampaign, behaviour: str, words: str, isolated: bool
) -> None:
    if behaviour == "check_settings_exits" and not isolated:
        pytest.skip("it would end the test, as it would end the service: what plugins are isolated for")
    campaign = await hostile(isolated_plugins=None if isolated else ["none"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await campaign.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reason_of(caught.value) == "CHANNEL_NOT_USABLE"
    assert words in str(caught.value.details())
    assert "hostile" in str(caught.value.details())
    assert TOKEN not in repr(caught.value)


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize(
    ("behaviour", "ok", "words"),
    [
        ("accepts", True, "token [secret]"),
        ("health_hangs", False, "'hostile' did not tell its health in 0.2 s"),
        ("health_is_text", False, "'hostile' told "),
        ("health_raises", False, "'hostile' raised RuntimeError"),
    ],
)
async def test_health_is_told_in_time_without_secrets_or_names_the_plugin(
    hostile_site: None, behaviour: str, ok: bool, words: str, isolated: bool
) -> None:
    found = catalogue.load(["hostile"], None if isolated else ["none"], child.Limits())
    try:
        settings = {"behaviour": behaviour, "token": TOKEN}
        _, sender = await open_sender(found["hostile"], settings, ProviderContext("shop", nobody), seconds=5)
        health = await health_of(found["hostile"], sender, Secrets([TOKEN]), seconds=0.2)
        await close_sender(found["hostile"], sender, seconds=5)
    finally:
        await catalogue.close(found)
    assert health.ok == ok
    assert words in health.detail


async def nobody(_: object) -> None:
    """Take reports and drop them."""


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_reports_that_are_none_are_dropped_and_hold_up_no_others(
    hostile: StartedCampaign, isolated: bool
) -> None:
    campaign = await hostile(isolated_plugins=None if isolated else ["none"])
    status = await campaign.run("reports_garbage")
    assert status.accepted_count == ALL
    # Inside, wrong receipts are dropped one by one; from outside what is none is refused before it becomes an object.
    assert campaign.faults["WRONG_TYPE"] + campaign.faults["GARBLED"] >= 4 * PAGES

    async def applied() -> bool:
        async with campaign.service.runtime.database.transaction() as conn:
            statement = "SELECT count(*) FROM messaging.receipts WHERE state = 'PENDING' AND message_id IS NOT NULL"
            return not (await conn.execute(text(statement))).scalar_one()

    await eventually(applied)


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_no_secret_of_a_channel_is_in_any_log_span_row_event_or_answer(
    hostile: StartedCampaign, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], isolated: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    lines, spans = io.StringIO(), InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    for module in (sending, consumer):
        monkeypatch.setattr(module, "_tracer", tracers.get_tracer("tests"))
    before = list(logging.getLogger().handlers)
    setup_logs("messaging", level="DEBUG", stream=lines)
    caplog.set_level(logging.DEBUG, "heliograph.channel")
    try:
        campaign = await hostile(isolated_plugins=None if isolated else ["none"])
        await campaign.run("tells_the_secret")
        answers = [repr(await campaign.service.rows("bad"))]
        for behaviour in ("check_settings_repeats_the_secret", "check_settings_raises"):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await campaign.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
            answers += [repr(caught.value), repr(violations_of(caught.value))]
        for number, behaviour in enumerate(["open_raises", "prints_without_end"] if isolated else ["open_raises"]):
            await campaign.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
            run = f"more{number}"
            await campaign.service.dispatch(a_batch(someone(0), run_id=run, channel="CUSTOM", custom_data="hello"))
            words = "lines of its output were dropped" if behaviour == "prints_without_end" else "was not opened"
            await eventually(partial(said, lines, words))
        answers += [span.to_json() for span in spans.get_finished_spans()]
        answers += await everything_stored(campaign.service)
    finally:
        for handler in set(logging.getLogger().handlers) - set(before):
            logging.getLogger().removeHandler(handler)
    printed = capfd.readouterr()
    if isolated:  # what a plugin prints inside of our process goes to our output, past everybody
        answers += [printed.out, printed.err]
    answers += [lines.getvalue(), caplog.text]
    assert "[secret]" in lines.getvalue()
    for shown in answers:
        for form in (TOKEN, "7f3a"):
            assert form not in shown, shown[max(0, shown.find(form) - 300) : shown.find(form) + 100]


def said(lines: io.StringIO, words: str) -> bool:
    return words in lines.getvalue()


async def everything_stored(service: Service) -> list[str]:
    """Return every row of the service's schema as text, payloads of messages as the text they hold."""
    found = []
    async with service.runtime.database.transaction() as conn:
        for table in metadata.sorted_tables:
            rows = await conn.execute(text(f"SELECT t::text FROM messaging.{table.name} t"))
            found += list(rows.scalars())
        payloads = await conn.execute(text("SELECT payload FROM messaging.outbox"))
        found += [bytes(payload).decode("utf-8", "replace") for payload in payloads.scalars()]
    return found
