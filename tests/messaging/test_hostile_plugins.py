"""A plugin that misbehaves in the middle of a campaign: the campaign completes, and the plugin is named (reliability F13, 6.5).

Each run goes through the real pipeline with two channels: e-mail over the simulator, and another over a plugin that does
one wrong thing. All e-mails must be accepted; the messages of the hostile channel must end as its fault allows.
"""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import text

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph_channels import ProviderContext
from heliograph_kit import consumer
from heliograph_kit.redelivery import Backoff
from heliograph_kit.rpc.answers import reason_of, violations_of
from heliograph_kit.telemetry.logs import setup_logs
from heliograph_kit.testing import eventually
from heliograph_messaging import faults, main
from heliograph_messaging.contained import close_sender, health_of, open_sender
from heliograph_messaging.isolation import catalogue, child, process
from heliograph_messaging.pipeline import sending, setup
from heliograph_messaging.providers import load_catalogue
from heliograph_messaging.redaction import Secrets
from heliograph_messaging.tables import metadata
from tests.messaging.conftest import PARENT, Service, Started, a_batch

pytestmark = pytest.mark.integration
S = messages_pb2.MessageStatus
HOSTILE = Path(__file__).parent / "hostile"
PAGES, PAGE = 4, 50
ALL = PAGES * PAGE
TOKEN = 'canary-"7f3a"-\u00e4-long-and-unmistakable'


@dataclass
class Campaign:
    """A service with both channels, and what it said and counted."""

    service: Service
    faults: Counter[str] = field(default_factory=Counter)
    restarts: Counter[str] = field(default_factory=Counter)

    async def run(self, behaviour: str, *, within: float = 30) -> messages_pb2.RunStatus:
        """Send through both channels at once and return what became of the hostile one's messages."""
        await self.service.set_up("EMAIL", "simulator", delivered_share=0)
        await self.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
        for page in range(PAGES):
            custom = a_batch(someone(page), run_id="bad", page=page, channel="CUSTOM", custom_data="hello")
            mails = a_batch([f"{one}@example.com" for one in someone(page)], run_id="good", page=page)
            await self.service.dispatch(custom)
            await self.service.dispatch(mails)
        good = await self.service.done(ALL, "good", within)
        assert good.accepted_count == ALL
        return await self.service.done(ALL, "bad", within)

    async def mend(self) -> None:
        """Set the hostile channel to behave. While its process is left alone after a failure, the caller is told so."""

        async def done() -> bool:
            try:
                await self.service.set_up("CUSTOM", "hostile", behaviour="accepts")
            except grpc.aio.AioRpcError as error:
                refused = (error.code(), reason_of(error))
            else:
                return True
            # The second when the process ended in this very moment.
            expected = [
                (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
                (grpc.StatusCode.FAILED_PRECONDITION, "CHANNEL_NOT_USABLE"),
            ]
            if refused not in expected:
                pytest.fail(f"refused with {refused}")
            return False

        await eventually(done)

    async def details(self) -> Counter[str]:
        """Return what the ledger says about the hostile channel's messages, and how often."""
        return Counter(row.detail for row in await self.service.rows("bad"))


def someone(page: int) -> list[str]:
    return [f"someone-{page}-{index}" for index in range(PAGE)]


StartedCampaign = Callable[..., Awaitable[Campaign]]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hostile plugin installed."""
    info = tmp_path / "site" / "heliograph_channel_hostile-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: heliograph-channel-hostile\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[heliograph.channels]\nhostile = heliograph_channel_hostile\n")
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.syspath_prepend(str(HOSTILE))


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Look, after everything else has ended, whether a process was left behind."""
    yield
    assert not hosts(), "a plugin's process outlived its service"


@pytest.fixture
def started(nothing_left: None, start: Started, installed: None, monkeypatch: pytest.MonkeyPatch) -> StartedCampaign:
    """Return a function that starts a service which finds the hostile plugin as services do."""
    monkeypatch.setattr(main, "load_catalogue", load_catalogue)
    monkeypatch.setattr(process, "_RESTART", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=100)))
    monkeypatch.setattr(setup, "_AWAY_SECONDS", 0.1)

    async def one(**changes: Any) -> Campaign:
        campaign = Campaign(
            await start(
                **{
                    "plugins": ["simulator", "hostile"], "send_timeout_seconds": 1, "breaker_pause_seconds": 0.05,
                    "open_timeout_seconds": 1, "shutdown_grace_seconds": 1, **changes,
                }
            )
        )  # fmt: skip
        monkeypatch.setattr(faults, "counter", lambda _: Counting(campaign.faults, "heliograph.reason"))
        monkeypatch.setattr(process, "counter", lambda _: Counting(campaign.restarts, "heliograph.provider"))
        return campaign

    return one


@dataclass
class Counting:
    """An instrument that a test can read."""

    counted: Counter[str]
    label: str

    def add(self, number: int, attributes: Mapping[str, str]) -> None:
        assert attributes["heliograph.provider"] == "hostile"
        self.counted[attributes[self.label]] += number


def hosts() -> list[psutil.Process]:
    """Return the processes of plugins below this one."""
    found = []
    for one in psutil.Process().children(recursive=True):
        try:
            if child.MODULE in one.cmdline() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return found


# What the pipeline itself contains: the same for a plugin in the process and for one outside.
ANSWERS = [
    ("raises", "raised RuntimeError", "RAISED"),
    ("answers_too_few", "answered 49 results for 50 messages", "WRONG_COUNT"),
    ("answers_too_many", "answered 100 results for 50 messages", "WRONG_COUNT"),
    ("answers_none", "answered a NoneType instead of a list", "WRONG_TYPE"),
    ("answers_garbage", "answered a str", "WRONG_TYPE"),
    ("answers_a_coroutine", "answered a coroutine instead of a list", "WRONG_TYPE"),
    ("answers_coroutines", "answered a coroutine", "WRONG_TYPE"),
    ("answers_things_that_raise", "answered a Thing that cannot be read (SystemExit)", "WRONG_TYPE"),
    ("cancels_itself", "cancelled its own call", "RAISED"),
    ("hangs", "did not answer in time", "TIMED_OUT"),
]


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize(("behaviour", "words", "reason"), ANSWERS, ids=[case[0] for case in ANSWERS])
async def test_a_call_without_a_usable_answer_leaves_its_messages_in_doubt_and_names_the_plugin(
    started: StartedCampaign, caplog: pytest.LogCaptureFixture, behaviour: str, words: str, reason: str, isolated: bool
) -> None:
    campaign = await started(isolated_plugins=["hostile"] if isolated else ["none"])
    status = await campaign.run(behaviour)
    assert status.in_doubt_count == ALL
    told = await campaign.details()
    assert any(words in detail for detail in told), told
    assert all("'hostile'" in detail for detail in told), told
    assert campaign.faults[reason] >= PAGES
    assert any("hostile" in record.getMessage() and record.levelno >= logging.WARNING for record in caplog.records)
    assert bool(hosts()) == isolated


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_a_list_that_lies_about_itself_is_seen_through(started: StartedCampaign, isolated: bool) -> None:
    campaign = await started(isolated_plugins=None if isolated else ["none"])
    assert (await campaign.run("answers_a_liar")).in_doubt_count == ALL
    assert any("answered 0 results for 50 messages" in detail for detail in await campaign.details())


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_answers_that_no_database_takes_are_cut_down_and_what_was_accepted_stays_accepted(
    started: StartedCampaign, isolated: bool
) -> None:
    campaign = await started(isolated_plugins=None if isolated else ["none"])
    status = await campaign.run("answers_too_much")
    assert (status.accepted_count, status.failed_count, status.in_doubt_count) == (ALL // 2, ALL * 4 // 10, ALL // 10)
    rows = await campaign.service.rows("bad")
    assert max(len(row.detail) for row in rows) == 500
    assert {row.provider_message_id for row in rows} == {"", "good"}
    assert campaign.faults["WRONG_TYPE"] >= PAGES


async def test_a_plugin_inside_that_ignores_cancellation_or_wants_to_exit_is_left_behind(
    started: StartedCampaign,
) -> None:
    campaign = await started(isolated_plugins=["none"])
    assert (await campaign.run("exits_softly")).in_doubt_count == ALL
    assert set(await campaign.details()) == {"the channel plugin 'hostile' raised RuntimeError"}


# What ends or blocks a process: only contained where the plugin has one of its own.
DEATHS = [
    ("aborts", "ended by SIGABRT", "DIED"),
    ("reads_null", "ended by SIGSEGV", "DIED"),
    ("exits_hard", "ended with exit status 7", "DIED"),
    ("exits_softly", "ended with exit status 1", "DIED"),
    ("kills_itself", "ended by SIGKILL", "DIED"),
    ("closes_its_descriptors", "ended with exit status 1", "DIED"),
    ("hangs_up", "closed its connection", "DIED"),
    ("blocks_the_loop", "blocked its event loop", "BLOCKED"),
    ("spins", "blocked its event loop", "BLOCKED"),
    ("writes_noise", "sent what is no answer", "GARBLED"),
    ("announces_a_huge_frame", "sent what is no answer: a frame of 8,589,934,598 bytes", "GARBLED"),
    ("nests_deeply", "sent what is no answer: a frame that is no JSON: RecursionError", "GARBLED"),
    ("leaks_a_gigabyte", "ran out of its 512 MB of memory", "OUT_OF_MEMORY"),
    ("starts_threads_without_end", "raised RuntimeError", "RAISED"),
    ("opens_files_without_end", "raised OSError", "RAISED"),
    ("starts_processes_without_end", "raised PermissionError", "RAISED"),
    ("runs_a_program", "raised PermissionError", "RAISED"),
    ("kills_the_service", "raised PermissionError", "RAISED"),
    ("reads_the_environment_of_the_service", "raised PermissionError", "RAISED"),
]


@pytest.mark.parametrize(("behaviour", "words", "reason"), DEATHS, ids=[case[0] for case in DEATHS])
async def test_a_process_that_dies_hangs_or_takes_too_much_is_contained_named_and_started_again(
    started: StartedCampaign, caplog: pytest.LogCaptureFixture, behaviour: str, words: str, reason: str
) -> None:
    # Time enough where it is not the point: machines that run tests are slow at times.
    blocked = reason == "BLOCKED"
    campaign = await started(isolated_stall_seconds=0.5 if blocked else 10, send_timeout_seconds=10)
    status = await campaign.run(behaviour, within=60)
    # In doubt is what it had in hand; what it never got is tried again, and fails when its tries are used up.
    assert status.accepted_count == 0
    assert status.in_doubt_count >= PAGE
    assert status.in_doubt_count + status.failed_count == ALL
    told = await campaign.details()
    assert any(words in detail for detail in told), told
    assert all("'hostile'" in detail for detail in told), told
    assert campaign.faults[reason] >= 1, campaign.faults
    assert "hostile" in caplog.text
    if reason != "RAISED":
        assert any(words.removeprefix("sent ") in record.getMessage() for record in caplog.records)
    # The next one starts anew, and is well.
    await campaign.mend()
    await campaign.service.dispatch(a_batch(someone(0), run_id="after", channel="CUSTOM", custom_data="hello"))
    assert (await campaign.service.done(PAGE, "after", 30)).accepted_count == PAGE
    if reason != "RAISED":
        assert campaign.restarts["hostile"] >= 1


async def test_a_plugin_outside_that_ignores_cancellation_is_killed_for_it(started: StartedCampaign) -> None:
    campaign = await started()
    assert (await campaign.run("ignores_cancellation")).in_doubt_count >= PAGE
    await eventually(lambda: campaign.faults["IGNORED_CANCELLATION"] >= 1)


async def test_a_plugin_inside_that_ignores_cancellation_is_left_behind_and_named(started: StartedCampaign) -> None:
    campaign = await started(isolated_plugins=["none"])
    await campaign.service.set_up("CUSTOM", "hostile", behaviour="ignores_cancellation")
    await campaign.service.dispatch(a_batch(someone(0), run_id="bad", channel="CUSTOM", custom_data="hello"))
    assert (await campaign.service.done(PAGE, "bad")).in_doubt_count == PAGE
    assert campaign.faults == {"TIMED_OUT": 1, "IGNORED_CANCELLATION": 1}


async def test_the_breaker_leaves_a_plugin_alone_whose_process_keeps_dying(started: StartedCampaign) -> None:
    campaign = await started(breaker_threshold=2, breaker_pause_seconds=0.5, campaign_concurrency=1)
    status = await campaign.run("aborts")
    assert status.in_doubt_count == ALL
    # Each call killed a process; between them the breaker kept the others back instead of using up their attempts.
    assert campaign.faults["DIED"] == 2 * PAGES


async def test_another_route_takes_over_from_a_plugin_whose_process_is_left_alone(
    started: StartedCampaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_RESTART", Backoff(timedelta(hours=1), timedelta(hours=1)))
    campaign = await started()
    service = campaign.service
    await service.set_up("CUSTOM", "hostile", behaviour="accepts")
    await service.add_route("CUSTOM", "spare", "simulator", delivered_share=0)
    await service.dispatch(a_batch(someone(0), run_id="first", channel="CUSTOM", custom_data="hello"))
    assert (await service.done(PAGE, "first")).accepted_count == PAGE
    for one in hosts():
        one.kill()
    for page in range(2):
        await service.dispatch(a_batch(someone(page), run_id="bad", page=page, channel="CUSTOM", custom_data="hello"))
    # Its addresses cannot be checked any more, so that nothing was handed over and nothing is in doubt.
    assert (await service.done(2 * PAGE, "bad")).accepted_count == 2 * PAGE
    assert {row.provider_message_id.partition("-")[0] for row in await service.rows("bad")} == {"sim"}


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
@pytest.mark.parametrize("behaviour", ["open_raises", "open_hangs", "open_answers_none", "capabilities_raise"])
async def test_a_channel_that_does_not_open_keeps_its_messages_until_it_does(
    started: StartedCampaign, behaviour: str, isolated: bool
) -> None:
    campaign = await started(isolated_plugins=None if isolated else ["none"], open_timeout_seconds=0.3)
    await campaign.service.set_up("EMAIL", "simulator", delivered_share=0)
    await campaign.service.set_up("CUSTOM", "hostile", behaviour=behaviour, token=TOKEN)
    await campaign.service.dispatch(a_batch(someone(0), run_id="bad", channel="CUSTOM", custom_data="hello"))
    await campaign.service.dispatch(a_batch([f"{one}@example.com" for one in someone(0)], run_id="good"))
    assert (await campaign.service.done(PAGE, "good")).accepted_count == PAGE
    assert (await campaign.service.status("bad")).accepted_count == 0
    await campaign.mend()
    assert (await campaign.service.done(PAGE, "bad")).accepted_count == PAGE


@pytest.mark.parametrize("isolated", [False, True], ids=["inside", "outside"])
async def test_a_check_of_addresses_that_raises_fails_nobody_and_is_named(
    started: StartedCampaign, caplog: pytest.LogCaptureFixture, isolated: bool
) -> None:
    campaign = await started(isolated_plugins=None if isolated else ["none"])
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
    started: StartedCampaign, behaviour: str, words: str, isolated: bool
) -> None:
    if behaviour == "check_settings_exits" and not isolated:
        pytest.skip("it would end the test, as it would end the service: what plugins are isolated for")
    campaign = await started(isolated_plugins=None if isolated else ["none"])
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
    installed: None, behaviour: str, ok: bool, words: str, isolated: bool
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
    started: StartedCampaign, isolated: bool
) -> None:
    campaign = await started(isolated_plugins=None if isolated else ["none"])
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
    started: StartedCampaign, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], isolated: bool,
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
        campaign = await started(isolated_plugins=None if isolated else ["none"])
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
