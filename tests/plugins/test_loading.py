"""Loading plugins: each alone, and every mistake told with the plugin's name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heliograph_channels import PluginError, load_channels, load_registrars

GROUP = "heliograph.trial"
CHANNEL = """
from heliograph_channels import Capabilities, ChannelProvider, Kind, hookimpl
class Channel(ChannelProvider):
    def __init__(self, name): self.name = name
    kinds = frozenset({Kind.CUSTOM}); capabilities = Capabilities(); settings_schema = {"type": "object"}
    async def open(self, settings, context): raise NotImplementedError
"""
GOOD = CHANNEL + "@hookimpl\ndef heliograph_channels(): return [Channel('good')]\n"

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Return a function that makes a distribution with one module and an entry point for it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name: str, source: str) -> None:
        (tmp_path / f"trial_{name}.py").write_text(source)
        folder = tmp_path / f"trial_{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trial-{name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{name} = trial_{name}\n")

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("trial_"):
            del sys.modules[name]


def test_bundled_plugins_come_through_the_same_door() -> None:
    expected = {
        "push-apns",
        "push-fcm",
        "ses",
        "simulator",
        "sms-telnyx",
        "sms-twilio",
        "smtp",
        "voice-twilio",
        "webhook",
        "webpush",
    }
    assert expected <= set(load_channels())
    assert "simulator" in load_registrars()


def test_only_enabled_plugins_are_imported(install: Install) -> None:
    install("good", GOOD)
    install("broken", "raise RuntimeError('boom')")
    assert list(load_channels(["good"], group=GROUP)) == ["good"]
    assert load_channels([], group=GROUP) == {}
    assert "trial_broken" not in sys.modules


def test_each_load_makes_providers_of_its_own(install: Install) -> None:
    install("good", GOOD)
    assert load_channels(group=GROUP)["good"] is not load_channels(group=GROUP)["good"]


def test_a_plugin_that_is_enabled_and_not_installed_is_named(install: Install) -> None:
    install("good", GOOD)
    with pytest.raises(PluginError, match=r"'carrier-pigeon'.*not installed.*good"):
        load_channels(["good", "carrier-pigeon"], group=GROUP)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise RuntimeError('boom')", "cannot be imported: RuntimeError: boom"),
        ("import no_such_library", "cannot be imported: ModuleNotFoundError"),
        ("import sys; sys.exit(1)", "cannot be imported: SystemExit"),
        ("def broken(:", "cannot be imported: SyntaxError"),
        (GOOD + "@hookimpl\ndef heliograph_chanels(): return []\n", "heliograph_chanels is no hook"),
        (GOOD + "def heliograph_channel(): return []\n", "heliograph_channel is no hook"),
        (CHANNEL + "def heliograph_channels(): return []\n", "heliograph_channels lacks the @hookimpl mark"),
        (CHANNEL + "@hookimpl(specname='heliograph_chans')\ndef offer(): return []\n", "heliograph_chans"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(settings): return []\n", "settings"),
        (CHANNEL, "implements no heliograph_channels"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): 1/0\n", "raised ZeroDivisionError"),
        (CHANNEL + "@hookimpl\nasync def heliograph_channels(): return []\n", "must not be async"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): return None\n", "must return a list"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): return Channel('x')\n", "must return a list"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): return ['x']\n", "no ChannelProvider"),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): return [Channel('Bad Name')]\n", "name must match"),
        (CHANNEL + "Channel.kinds = ()\n@hookimpl\ndef heliograph_channels(): return [Channel('x')]\n", "kinds"),
        (CHANNEL + "Channel.capabilities = {}\n@hookimpl\ndef heliograph_channels(): return [Channel('x')]\n", "Capab"),
        (
            CHANNEL + "Channel.settings_schema = 1\n@hookimpl\ndef heliograph_channels(): return [Channel('x')]\n",
            "schema",
        ),
        (CHANNEL + "@hookimpl\ndef heliograph_channels(): return [Channel('x'), Channel('x')]\n", "taken by plugin"),
    ],
)
def test_a_mistake_is_told_with_the_name_of_its_plugin(install: Install, source: str, words: str) -> None:
    install("good", GOOD)
    install("zwrong", source)
    with pytest.raises(PluginError) as caught:
        load_channels(group=GROUP)
    assert caught.value.plugin == "zwrong"
    assert "'zwrong'" in str(caught.value)
    assert words in str(caught.value)


def test_two_plugins_with_one_channel_name_are_refused_and_both_named(install: Install) -> None:
    install("first", GOOD)
    install("second", GOOD)
    with pytest.raises(PluginError, match=r"'second'.*'good' is taken by plugin 'first'"):
        load_channels(group=GROUP)


def test_a_registrar_plugin_must_offer_registrars(install: Install) -> None:
    install("good", GOOD)
    with pytest.raises(PluginError, match="implements no heliograph_registrars"):
        load_registrars(group=GROUP)
    install("other", CHANNEL + "@hookimpl\ndef heliograph_registrars(): return [Channel('x')]\n")
    with pytest.raises(PluginError, match="no Registrar"):
        load_registrars(["other"], group=GROUP)
