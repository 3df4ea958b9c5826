"""Which plugins run outside, and those that cannot be started."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil
import pytest

from heliograph_channels import Kind, PluginError, Rejected
from heliograph_channels.testing import a_message
from heliograph_kit.testing import eventually
from heliograph_messaging.faults import Fault, PluginFault
from heliograph_messaging.isolation import catalogue
from heliograph_messaging.isolation.channel import IsolatedChannel
from heliograph_messaging.isolation.child import Limits
from tests.messaging.isolated import ECHO, Load, install, opened, running, sends_again

# -- which plugins, and mistakes at the start


def test_strangers_are_isolated_and_what_comes_with_the_service_is_not(echo_site: Path) -> None:
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
def test_the_setting_says_which_are_isolated(echo_site: Path, isolated: list[str], outside: set[str]) -> None:
    found = catalogue.load(["simulator", "echo"], isolated, Limits())
    try:
        assert {name for name, one in found.items() if isinstance(one, IsolatedChannel)} == outside
    finally:
        asyncio.run(catalogue.close(found))


def test_a_misspelt_name_in_the_setting_is_no_way_in(echo_site: Path) -> None:
    with pytest.raises(PluginError, match=r"'ecko'.*is to be isolated and is not installed.*echo"):
        catalogue.load(["echo"], ["ecko"], Limits())


@pytest.mark.parametrize("isolated", [["*"], ["none"], ["echo"]], ids=["both outside", "both inside", "one outside"])
def test_two_plugins_with_one_channel_name_are_refused_and_both_named(
    echo_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, isolated: list[str]
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
    echo_site: Path,
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
