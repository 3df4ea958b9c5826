"""Processes of plugins that end or are left: what was in hand, and what comes back."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from heliograph_channels import Accepted, Health, Kind, Rejected, RejectReason, Sender, SmsContent
from heliograph_channels.testing import RecordingContext, a_message
from heliograph_kit.testing import eventually
from heliograph_messaging.faults import PluginFault
from heliograph_messaging.isolation.child import Limits
from tests.messaging.isolated import ECHO, KEY, Load, opened, running, sends_again

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
async def test_a_process_dies_with_its_service_even_when_it_does_not_run(echo_site: Path) -> None:
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
