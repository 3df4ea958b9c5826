"""A plugin is installed and is there; one that is wrong stops the start and is named."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from heliograph.messaging.v1 import channels_pb2, channels_pb2_grpc
from heliograph_kit.auth import InternalTokens
from heliograph_kit.rpc import channel
from heliograph_kit.testing import ServiceProcess
from heliograph_kit.testing.fixtures import MigratedDatabase

pytestmark = pytest.mark.acceptance
ROOT = Path(__file__).parents[2]
SECRET = "tests-tests-tests-tests-tests-tests-1"


@pytest.fixture
def environment(migrated_database: MigratedDatabase, nats_url: str) -> dict[str, str]:
    return {
        "HELIOGRAPH_DATABASE_URL": migrated_database(("heliograph_messaging", "messaging")),
        "HELIOGRAPH_NATS_URL": nats_url,
        "HELIOGRAPH_INTERNAL_SECRET": SECRET,
        "HELIOGRAPH_MESSAGING_SECRET_KEY": SECRET,
    }


def messaging(environment: Mapping[str, str], directory: Path, *paths: Path) -> ServiceProcess:
    """Describe a messaging service that finds further distributions in the given folders."""
    extra = {"PYTHONPATH": ":".join(map(str, paths))} if paths else {}
    return ServiceProcess(
        "heliograph_messaging.main", service="messaging", directory=directory, environment={**environment, **extra}
    )


async def providers(process: ServiceProcess) -> set[str]:
    async with channel(process.address, tokens=InternalTokens(SECRET)) as opened:
        listed = await channels_pb2_grpc.ChannelServiceStub(opened).ListProviders(channels_pb2.ListProvidersRequest())
        return {provider.name for provider in listed.providers}


async def test_an_installed_plugin_is_in_the_catalogue_with_no_other_change(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with messaging(environment, tmp_path / "before") as process:
        before = await providers(process)
    assert before >= {"simulator", "smtp", "webhook"}
    assert "template" not in before
    place = tmp_path / "site"
    await asyncio.to_thread(
        subprocess.run,
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--root-user-action=ignore"),
            *("--target", str(place), str(ROOT / "plugins" / "template")),
        ],
        check=True,
    )
    with messaging(environment, tmp_path / "after", place) as process:
        assert await providers(process) == {*before, "template"}


def test_a_misspelt_hook_stops_the_start_and_is_named(environment: dict[str, str], tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "acme_channel-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_channel.py").write_text(
        "from heliograph_channels import hookimpl\n\n\n@hookimpl\ndef heliograph_chanels():\n    return []\n"
    )
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-channel\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[heliograph.channels]\nacme = acme_channel\n")
    process = messaging(environment, tmp_path / "log", site).start()
    with pytest.raises(AssertionError, match="acme") as caught:
        process.ready()
    assert "heliograph_chanels" in str(caught.value)
    assert "ended with 1" in str(caught.value)
