"""What every chapter of the demonstration works with: the project, clients of the services, and what was found out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc

from heliograph.analytics.v1 import analytics_pb2_grpc, ingestion_pb2_grpc
from heliograph.campaigns.v1 import campaigns_pb2_grpc
from heliograph.journeys.v1 import journeys_pb2_grpc
from heliograph.messaging.v1 import channels_pb2_grpc, messages_pb2_grpc, templates_pb2_grpc
from heliograph.projects.v1 import access_pb2_grpc, projects_pb2_grpc
from heliograph.registry10dlc.v1 import registry_pb2_grpc
from heliograph.segments.v1 import jobs_pb2_grpc, segments_pb2_grpc
from heliograph_kit.rpc import channel
from heliograph_suite.installation import PEERS, Installation

T = TypeVar("T")

PROJECT_ID = "record-shop"
PROJECT = f"projects/{PROJECT_ID}"


class Stuck(Exception):
    """Something that should have happened did not, in the time it was given."""


class Clients:
    """A client of each service, all with one key."""

    def __init__(self, installation: Installation, key: str) -> None:
        """Open the channels."""
        self._channels = {name: channel(f"dns:///{installation.target(name)}", tokens=None, key=key) for name in PEERS}
        of = self._channels
        self.projects = projects_pb2_grpc.ProjectServiceStub(of["projects"])
        self.access = access_pb2_grpc.AccessServiceStub(of["projects"])
        self.jobs = jobs_pb2_grpc.JobServiceStub(of["segments"])
        self.segments = segments_pb2_grpc.SegmentServiceStub(of["segments"])
        self.templates = templates_pb2_grpc.TemplateServiceStub(of["messaging"])
        self.channels = channels_pb2_grpc.ChannelServiceStub(of["messaging"])
        self.messages = messages_pb2_grpc.MessageServiceStub(of["messaging"])
        self.campaigns = campaigns_pb2_grpc.CampaignServiceStub(of["campaigns"])
        self.journeys = journeys_pb2_grpc.JourneyServiceStub(of["journeys"])
        self.registry = registry_pb2_grpc.RegistryServiceStub(of["registry10dlc"])
        self.events = ingestion_pb2_grpc.EventServiceStub(of["analytics"])
        self.analytics = analytics_pb2_grpc.AnalyticsServiceStub(of["analytics"])

    async def close(self) -> None:
        """Close the channels."""
        await asyncio.gather(*(opened.close(None) for opened in self._channels.values()))


@dataclass
class Stage:
    """The state of a demonstration. `progress(done, total)` moves the bar of the chapter that plays."""

    installation: Installation
    clients: Clients
    mailbox_port: int
    mailbox_directory: Path
    progress: Callable[[float, float], None]
    figures: dict[str, Any] = field(default_factory=dict)
    # Resource names that a later chapter needs, by what they are called in the story.
    names: dict[str, str] = field(default_factory=dict)


async def until(what: str, look: Callable[[], Awaitable[T | None]], *, within: float, every: float = 0.2) -> T:
    """Look again and again until there is something to see; times in seconds.

    Raises:
        Stuck: there was nothing in time; says what was waited for.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within
    while True:
        try:
            if (seen := await look()) is not None:
                return seen
        except grpc.aio.AioRpcError as error:
            # A service that was restarted under the demonstration is waited for like everything else.
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
        if loop.time() > give_up:
            raise Stuck(f"waited {within:g} s for {what}")
        await asyncio.sleep(every)
