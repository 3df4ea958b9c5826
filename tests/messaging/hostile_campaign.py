"""A service with a plugin that does harm beside one that does not, and what both of them count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest

from heliograph.messaging.v1 import messages_pb2
from heliograph_kit.redelivery import Backoff
from heliograph_kit.rpc.answers import reason_of
from heliograph_kit.testing import eventually
from heliograph_messaging import faults, main
from heliograph_messaging.isolation import child, process
from heliograph_messaging.pipeline import setup
from heliograph_messaging.providers import load_catalogue
from tests.messaging.service_at_hand import Service, Started, a_batch

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
def hostile_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def hostile(nothing_left: None, start: Started, hostile_site: None, monkeypatch: pytest.MonkeyPatch) -> StartedCampaign:
    """Return a function that starts a service which finds the hostile plugin as services do."""
    monkeypatch.setattr(main, "load_catalogue", load_catalogue)
    monkeypatch.setattr(process, "_RESTART", Backoff(timedelta(milliseconds=20), timedelta(milliseconds=100)))
    monkeypatch.setattr(setup, "_AWAY_SECONDS", 0.1)

    async def one(**changes: Any) -> Campaign:
        campaign = Campaign(
            await start(
                **{
                    "plugins": ["simulator", "hostile"], "send_timeout_seconds": 1, "breaker_pause_seconds": 0.05,
                    "open_timeout_seconds": 1, "shutdown_grace_seconds": 1,
                    # What is shown here is no matter of leases, which a busy machine loses in three seconds.
                    "lease_seconds": 10, **changes,
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
