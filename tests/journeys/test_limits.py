"""Limits and quiet time of journeys: checked, inherited at publication, and handed to messaging."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heliograph.common.v1 import limits_pb2
from heliograph.messaging.v1 import dispatch_pb2
from heliograph.projects.v1 import projects_pb2
from heliograph_journeys.domain.checking import check
from heliograph_journeys.domain.journey import Inherited, Limits, QuietTime
from heliograph_journeys.events import policy
from heliograph_kit.testing import eventually
from tests.journeys.builders import a_draft
from tests.journeys.conftest import Mailroom
from tests.journeys.peer import Peer
from tests.journeys.story import Stub, published

SOURCE, PROJECT, JOURNEYS = (
    dispatch_pb2.CAP_SCOPE_SOURCE,
    dispatch_pb2.CAP_SCOPE_PROJECT,
    dispatch_pb2.CAP_SCOPE_JOURNEYS,
)
DAY = 86_400


@pytest.mark.parametrize(
    ("limits", "fields"),
    [
        (Limits(100, 100, 100, 30), []),
        (Limits(101, 101, 101, 31), ["limits.daily", "limits.total", "limits.timeframe", "limits.timeframe_days"]),
        (Limits(-1), ["limits.daily"]),
        (Limits(timeframe=1), ["limits.timeframe_days"]),
        (Limits(timeframe_days=1), ["limits.timeframe_days"]),
    ],
)
def test_limits_are_checked_at_and_past_their_ends(limits: Limits, fields: list[str]) -> None:
    assert [finding.field for finding in check(replace(a_draft(), limits=limits), "shop")] == fields


@pytest.mark.parametrize(("quiet", "fields"), [
    (QuietTime("22:00", "07:00"), []), (QuietTime("24:00", "7:00"), ["quiet_time.start", "quiet_time.end"]),
])  # fmt: skip
def test_a_quiet_time_is_two_times_of_day(quiet: QuietTime, fields: list[str]) -> None:
    assert [finding.field for finding in check(replace(a_draft(), quiet_time=quiet), "shop")] == fields


@pytest.mark.parametrize(
    ("own", "inherited", "caps"),
    [
        (Limits(), Inherited(), []),
        (
            Limits(),
            Inherited(Limits(2, 5, 4, 7), 9),
            [(JOURNEYS, 2, DAY), (PROJECT, 9, DAY), (SOURCE, 5, 0), (JOURNEYS, 4, 7 * DAY)],
        ),
        (
            Limits(daily=1, timeframe=3, timeframe_days=30),
            Inherited(Limits(2, 5, 4, 7)),
            [(SOURCE, 1, DAY), (SOURCE, 5, 0), (JOURNEYS, 3, 30 * DAY)],
        ),
    ],
    ids=["none", "the project's", "its own where it has them"],
)
def test_each_limit_is_the_journeys_own_or_the_projects(
    own: Limits, inherited: Inherited, caps: list[tuple[int, int, int]]
) -> None:
    wanted = policy(replace(a_draft(), limits=own, inherited=inherited))
    assert [(cap.scope, cap.limit, cap.window.seconds) for cap in wanted.caps] == caps


async def test_a_published_journey_keeps_what_the_project_said(journeys: Stub, mailroom: Mailroom, peer: Peer) -> None:
    peer.settings = projects_pb2.ProjectSettings(
        journey_limits=limits_pb2.JourneyLimits(total=6), quiet_time=limits_pb2.QuietTime(start="22:00", end="07:00")
    )
    await published(journeys)
    peer.settings = projects_pb2.ProjectSettings()
    await eventually(lambda: mailroom.batches)
    told = mailroom.batches[0].policy
    assert [(cap.scope, cap.limit) for cap in told.caps] == [(SOURCE, 6)]
    assert told.quiet_time.start == "22:00"
    assert len(mailroom.batches[0].recipients.ordinals) == len(mailroom.batches[0].recipients.addresses)
