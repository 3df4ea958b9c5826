"""Channels over the isolation proxy: nothing that a channel promises is lost on the way to another process."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from heliograph_channels import (
    Accepted,
    Attachment,
    ChannelProvider,
    EmailContent,
    Health,
    Kind,
    OutgoingMessage,
    PluginError,
    PushContent,
    Rejected,
    RejectReason,
    Sender,
    SmsContent,
    WebhookRequest,
)
from heliograph_channels.testing import ChannelContract, RecordingContext, WebhookContract, a_message
from heliograph_kit.redelivery import Backoff
from heliograph_kit.testing import eventually
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.isolation import catalogue, process
from heliograph_messaging.isolation import sender as sender_module
from heliograph_messaging.isolation.channel import IsolatedChannel
from heliograph_messaging.isolation.child import Limits

Load = Callable[..., IsolatedChannel]
ROOT = Path(__file__).parents[2]
HOSTILE = Path(__file__).parent / "hostile"
ECHO = ("ECHO_NAME", "ECHO_IMPORT_SECONDS", "ECHO_IMPORT_EXITS")
KEY = "the-key-of-the-echo"


def install(site: Path, **modules: str) -> None:
    """Write what an installer writes for plugins, by entry point name and module."""
    for name, module in modules.items():
        info = site / f"trial_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trial-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[heliograph.channels]\n{name} = {module}\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have the template and the echo installed, in a folder to which more can be added."""
    with pytest.MonkeyPatch.context() as patch:
        site = tmp_path_factory.mktemp("site")
        install(site, template="heliograph_channel_template", echo="heliograph_channel_echo")
        for path in (HOSTILE, ROOT / "plugins" / "template", site):
            patch.syspath_prepend(str(path))
        patch.setattr(process, "_RESTART", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50)))
        patch.setattr(sender_module, "_LISTEN_AGAIN", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=50)))
        yield site


@pytest.fixture(scope="module")
def load(installed: Path) -> Iterator[Load]:
    """Return a function that loads a plugin into a process of its own, one for all tests that ask with the same limits."""
    opened: dict[tuple[str, Limits], IsolatedChannel] = {}

    def one(name: str, limits: Limits | None = None) -> IsolatedChannel:
        key = (name, limits or Limits(environment=ECHO))
        if key not in opened:
            found = catalogue.load([name], ["*"], key[1])[name]
            assert isinstance(found, IsolatedChannel)
            opened[key] = found
        return opened[key]

    yield one
    for found in opened.values():
        found.process.close()


class TestSimulatorInAnotherProcess(ChannelContract):
    kind = Kind.EMAIL
    good_address = "ann@example.com"
    bad_addresses = ("nobody", "a@b@c")

    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("simulator")

    @pytest.fixture(params=[False, True], ids=["forgetful", "idempotent"])
    def settings(self, request: pytest.FixtureRequest) -> Mapping[str, object]:
        return {"idempotent": request.param}


class TestTemplateInAnotherProcess(ChannelContract):
    kind = Kind.CUSTOM
    good_address = "anybody"
    bad_addresses = ("two words",)

    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("template")

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Mapping[str, object]:
        return {"path": str(tmp_path / "messages.jsonl"), "token": "long-and-unmistakable"}


class TestWebhooksInAnotherProcess(WebhookContract):
    @pytest.fixture
    def provider(self, load: Load) -> ChannelProvider:
        return load("echo")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        return {"key": KEY}

    @pytest.fixture
    def call(self) -> WebhookRequest:
        return a_call(self.public_url)

    async def test_the_answer_for_the_caller_comes_whole(
        self, provider: ChannelProvider, settings: Mapping[str, object], call: WebhookRequest
    ) -> None:
        said = await self._receive(provider, settings, call)
        assert (said.status, said.body, said.content_type) == (202, b"thanks \x00\xff", "application/json")
        assert [receipt.provider_message_id for receipt in said.receipts] == ["m1"]


def a_call(url: str) -> WebhookRequest:
    body = json.dumps({"id": "r1", "about": "m1"}).encode()
    return WebhookRequest(
        "POST", url, {"x-signature": hmac.new(KEY.encode(), url.encode() + body, "sha256").hexdigest()}, body
    )


async def opened(provider: IsolatedChannel, recording: RecordingContext | None = None) -> Sender:
    return await provider.open({"key": KEY}, (recording or RecordingContext()).context)


def running(provider: IsolatedChannel) -> psutil.Process:
    assert provider.process.pid is not None
    return psutil.Process(provider.process.pid)


# -- what goes over


async def test_the_description_of_a_channel_comes_whole(load: Load) -> None:
    echo = load("echo")
    assert echo.kinds == frozenset(Kind)
    assert echo.platforms == {"GCM", "APNS"}
    able = echo.capabilities
    assert (able.batch_size, able.concurrency, able.listens, able.media) == (1000, 200, True, True)
    assert able == echo.capabilities_for({})


CONTENTS = [
    EmailContent(
        "s",
        "<p>h</p>",
        "t",
        {"X-A": "1"},
        ("a@x.com", "b@x.com"),
        (Attachment("a.pdf", "application/pdf", b"\x00\xff"),),
    ),
    EmailContent("", raw=b"Subject: x\r\n\r\n\xff"),
    SmsContent("lone \ud800 surrogate", "PROMOTIONAL", ("https://media.example/1",), "e", "t"),
    PushContent(
        "t", "b", "URL", "https://x", {"k": "v"}, {"campaign_id": "c"}, silent=True, time_to_live_seconds=0, badge=0
    ),
]


@pytest.mark.parametrize("content", CONTENTS, ids=["email", "raw", "sms", "push"])
async def test_a_message_arrives_as_it_was_sent(load: Load, content: EmailContent | SmsContent | PushContent) -> None:
    recording = RecordingContext()
    sender = await opened(load("echo"), recording)
    message = a_message(Kind.EMAIL, "a\u00e4\u20ac", content=content, origination="o", message_class="journey")
    (result,) = await sender.send_batch([message])
    await sender.close()
    assert isinstance(result, Accepted)
    assert result.provider_message_id == hashlib.sha256(repr(message).encode("utf-8", "replace")).hexdigest()
    assert [one.message_id for one in recording.receipts] == [message.message_id]


async def test_an_attachment_of_a_thousand_messages_goes_over_once(load: Load) -> None:
    sender = await opened(load("echo"))
    content = EmailContent("s", "h", attachments=(Attachment("a", "image/png", os.urandom(5_000_000)),))
    results = await sender.send_batch([a_message(Kind.EMAIL, "shared", content=content) for _ in range(1000)])
    await sender.close()
    assert {result.provider_message_id for result in results if isinstance(result, Accepted)} == {"1000-1-5000000"}


async def test_a_batch_too_large_for_a_frame_goes_over_in_parts_and_one_message_that_is_is_refused(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "TO_PLUGIN", 100_000)
    recording = RecordingContext()
    sender = await opened(load("echo"), recording)
    messages = [a_message(Kind.SMS, "x", content=SmsContent("y" * 30_000)) for _ in range(20)]
    messages.insert(7, a_message(Kind.SMS, "x", content=SmsContent("z" * 100_000)))
    results = await sender.send_batch(messages)
    await sender.close()
    assert len(results) == 21
    refused = results[7]
    assert isinstance(refused, Rejected)
    assert (refused.reason, refused.retryable) == (RejectReason.INVALID_CONTENT, False)
    ids = [hashlib.sha256(repr(message).encode()).hexdigest() for message in messages]
    assert [r.provider_message_id for r in results if isinstance(r, Accepted)] == ids[:7] + ids[8:]
    assert len(recording.reports) > 5


async def test_the_product_clock_is_the_plugins_clock(load: Load) -> None:
    recording = RecordingContext()
    then = datetime(2031, 5, 1, 12, tzinfo=UTC)
    context = recording.context.__class__(**{
        name: getattr(recording.context, name) for name in recording.context.__dataclass_fields__
    } | {"now": lambda: then})  # fmt: skip
    sender = await load("echo").open({"key": KEY}, context)
    (result,) = await sender.send_batch([a_message(Kind.SMS, "time")])
    await sender.close()
    assert isinstance(result, Accepted)
    assert timedelta() <= datetime.fromisoformat(result.provider_message_id) - then < timedelta(seconds=5)


async def test_a_report_that_is_not_stored_raises_over_there_and_comes_again(load: Load) -> None:
    recording = RecordingContext(failures=2, webhook_url="https://heliograph.example/hooks/1")
    sender = await opened(load("echo"), recording)
    (hello,) = await recording.wait_for_inbound(1)
    await sender.close()
    assert (hello.kind, hello.body, hello.media_urls) == (Kind.SMS, "hello", ("https://media.example/1",))
    assert hello.attributes["webhook_url"] == "https://heliograph.example/hooks/1"


async def test_hundreds_of_calls_at_once_have_their_own_answers(load: Load) -> None:
    sender = await opened(load("echo"))
    batches = [[a_message(Kind.SMS, f"x{number}")] for number in range(200)]
    answers = await asyncio.gather(*(sender.send_batch(batch) for batch in batches))
    await sender.close()
    for (message,), (result,) in zip(batches, answers, strict=True):
        assert isinstance(result, Accepted)
        assert result.provider_message_id == hashlib.sha256(repr(message).encode()).hexdigest()


# -- when the process ends


async def test_what_was_handed_over_whole_is_in_doubt_and_what_was_not_is_sent_again(load: Load) -> None:
    echo = load("echo", Limits(environment=ECHO, memory_mb=511))
    sender = await opened(echo)
    small = [a_message(Kind.SMS, "x")]
    large = [a_message(Kind.SMS, "x", content=SmsContent("y" * 100_000)) for _ in range(100)]
    host = running(echo)
    host.suspend()
    known = asyncio.create_task(sender.send_batch(small))
    await asyncio.sleep(0)
    rest = asyncio.create_task(sender.send_batch(large))
    queued = asyncio.create_task(sender.send_batch(small))
    # The first fits into the socket; of the second a part does; the third waits behind it.
    done, _ = await asyncio.wait((known, rest, queued), timeout=0.3)
    assert not done
    host.kill()
    with pytest.raises(PluginFault, match="'echo' ended by SIGKILL"):
        await known
    for task in (rest, queued):
        results = await task
        assert {(r.reason, r.retryable) for r in results if isinstance(r, Rejected)} == {
            (RejectReason.UNAVAILABLE, True)
        }
        assert len(results) in (1, 100)
    await sends_again(sender, small)
    await sender.close()


async def sends_again(sender: Sender, messages: list[OutgoingMessage]) -> None:
    async def accepted() -> bool:
        try:
            results = await sender.send_batch(messages)
        except PluginFault as fault:
            # Handed over to a process that was dead already: nobody can tell it from one that died a moment later.
            if fault.fault is not Fault.DIED:
                raise
            return False
        return all(isinstance(result, Accepted) for result in results)

    await eventually(accepted)


async def test_health_names_the_plugin_whose_process_is_gone_and_then_the_next_one_is_well(load: Load) -> None:
    echo = load("echo", Limits(environment=ECHO, memory_mb=510))
    sender = await opened(echo)
    running(echo).kill()
    seen: list[Health] = []

    async def well() -> bool:
        seen.append(await sender.health())
        return seen[-1].ok

    await eventually(well)
    assert any("the channel plugin 'echo' ended by SIGKILL" in health.detail for health in seen[:-1])
    await sender.close()


async def test_a_channel_that_listens_is_opened_again_though_nobody_sends(load: Load) -> None:
    echo = load("echo", Limits(environment=ECHO, memory_mb=509))
    recording = RecordingContext()
    sender = await opened(echo, recording)
    await recording.wait_for_inbound(1)
    running(echo).kill()
    first, second = await recording.wait_for_inbound(2)
    assert first.attributes["pid"] != second.attributes["pid"]
    await sender.close()


async def test_senders_of_one_plugin_all_come_back_with_its_next_process(load: Load) -> None:
    echo = load("echo", Limits(environment=ECHO, memory_mb=508))
    senders = [await opened(echo) for _ in range(3)]
    running(echo).kill()
    for sender in senders:
        await sends_again(sender, [a_message(Kind.SMS, "x")])
        await sender.close()


async def test_a_sender_that_is_cancelled_while_it_opens_leaves_nothing_behind(load: Load) -> None:
    echo = load("echo")
    for turns in (0, 1, 3, 10, 30):
        task = asyncio.create_task(opened(echo))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        (result,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(result, Sender):
            await result.close()
    sender = await opened(echo)
    assert (await sender.health()).ok
    await sender.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
async def test_a_process_dies_with_its_service_even_when_it_does_not_run(installed: Path) -> None:
    program = (
        "import sys; from heliograph_messaging.isolation import catalogue; from heliograph_messaging.isolation.child "
        "import Limits; print(catalogue.load(['simulator'], ['*'], Limits())['simulator'].process.pid, flush=True); "
        "sys.stdin.read()"
    )
    service = await asyncio.to_thread(
        subprocess.Popen, [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert service.stdout is not None
    assert service.stdin is not None
    host = psutil.Process(int(await asyncio.to_thread(service.stdout.readline)))
    host.suspend()
    service.kill()
    service.wait()
    await eventually(lambda: not host.is_running() or host.status() == psutil.STATUS_ZOMBIE)
    service.stdout.close()
    service.stdin.close()


# -- what the process has


async def test_a_plugin_sees_neither_our_environment_nor_our_modules(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOGRAPH_INTERNAL_SECRET", "a secret of the service")
    monkeypatch.setenv("ECHO_IMPORT_SECONDS", "0")
    echo = load("echo", Limits(environment=ECHO, memory_mb=507))
    sender = await opened(echo)
    (seen,) = await sender.send_batch([a_message(Kind.SMS, "environment")])
    (modules,) = await sender.send_batch([a_message(Kind.SMS, "modules")])
    await sender.close()
    assert isinstance(seen, Accepted)
    wanted = {
        "ECHO_IMPORT_SECONDS",
        "HOME",
        "MALLOC_ARENA_MAX",
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "TMPDIR",
    }
    assert set(seen.attributes["variables"].split(",")) - {"LC_CTYPE"} == wanted
    assert isinstance(modules, Accepted)
    assert not {name for name in modules.attributes if name.startswith("heliograph_kit")}
    assert KEY not in " ".join(running(echo).cmdline())


# -- which plugins, and mistakes at the start


def test_strangers_are_isolated_and_what_comes_with_the_service_is_not(installed: Path) -> None:
    found = catalogue.load(["simulator", "smtp", "webhook", "echo"], None, Limits())
    try:
        assert {name for name, one in found.items() if isinstance(one, IsolatedChannel)} == {"echo"}
    finally:
        asyncio.run(catalogue.close(found))


@pytest.mark.parametrize(
    ("isolated", "outside"),
    [(["*"], {"simulator", "echo"}), (["none"], set()), (["simulator"], {"simulator"}), ([], set())],
    ids=["all", "none", "named", "empty"],
)
def test_the_setting_says_which_are_isolated(installed: Path, isolated: list[str], outside: set[str]) -> None:
    found = catalogue.load(["simulator", "echo"], isolated, Limits())
    try:
        assert {name for name, one in found.items() if isinstance(one, IsolatedChannel)} == outside
    finally:
        asyncio.run(catalogue.close(found))


def test_a_misspelt_name_in_the_setting_is_no_way_in(installed: Path) -> None:
    with pytest.raises(PluginError, match=r"'ecko'.*is to be isolated and is not installed.*echo"):
        catalogue.load(["echo"], ["ecko"], Limits())


@pytest.mark.parametrize("isolated", [["*"], ["none"], ["echo"]], ids=["both outside", "both inside", "one outside"])
def test_two_plugins_with_one_channel_name_are_refused_and_both_named(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: list[str]
) -> None:
    install(tmp_path, twin="heliograph_channel_echo")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match=r"'twin'.*'echo' is taken by plugin 'echo'") as caught:
        catalogue.load(["echo", "twin"], isolated, Limits())
    assert caught.value.plugin == "twin"
    assert not [one for one in psutil.Process().children() if "twin" in " ".join(one.cmdline())]


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (("ECHO_IMPORT_SECONDS", "60"), "was not imported within 0.5 s"),
        (("ECHO_IMPORT_EXITS", "1"), "ended with exit status 5"),
        (("ECHO_NAME", "No Name"), "name must match"),
    ],
    ids=["imports slowly", "exits in its import", "offers what is no channel"],
)
def test_a_plugin_that_cannot_be_started_stops_the_start_and_is_named(
    installed: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    variable: tuple[str, str],
    words: str,
) -> None:
    monkeypatch.setenv(*variable)
    with pytest.raises(PluginError, match=words) as caught:
        catalogue.load(["echo"], None, Limits(start_seconds=0.5 if "SECONDS" in variable[0] else 15, environment=ECHO))
    assert caught.value.plugin == "echo"
    assert "echo" in caplog.text


async def test_a_plugin_that_was_well_and_cannot_be_started_again_is_away_until_it_can(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    echo = load("echo", Limits(environment=ECHO, memory_mb=506))
    sender = await opened(echo)
    monkeypatch.setenv("ECHO_IMPORT_EXITS", "1")
    running(echo).kill()

    async def told() -> bool:
        try:
            (result,) = await sender.send_batch([a_message(Kind.SMS, "x")])
        except PluginFault:
            return False
        assert isinstance(result, Rejected)
        return "ended with exit status 5" in result.detail

    await eventually(told)
    with pytest.raises(PluginFault) as caught:
        echo.check_settings({})
    assert caught.value.fault in (Fault.NOT_RUNNING, Fault.DIED)
    monkeypatch.delenv("ECHO_IMPORT_EXITS")
    await sends_again(sender, [a_message(Kind.SMS, "x")])
    await sender.close()
