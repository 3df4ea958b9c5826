"""What a campaign may say, and who of its segment gets what."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_campaigns.domain import (
    COHORTS,
    HOLDOUT,
    CampaignState,
    Content,
    Draft,
    Inherited,
    Limits,
    QuietTime,
    Treatment,
    assignment,
    resumed_state,
    split,
)
from heliograph_campaigns.events import content_from_proto, content_to_proto, picked, policy
from heliograph_campaigns.rows import draft_from_json, draft_to_json

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEMPLATE = Content(template="projects/shop/templates/hello")


def a_draft(**changes: Any) -> Draft:
    return Draft(
        **{
            "display_name": "Hello",
            "segment": "projects/shop/segments/all",
            "channel": "EMAIL",
            "content": TEMPLATE,
            **changes,
        }
    )


def complaints(draft: Draft) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    draft.check(NOW, lambda field, _, reason: found.add((field, reason)))
    return found


def treatments(*sizes: int) -> tuple[Treatment, ...]:
    return tuple(Treatment(size, TEMPLATE) for size in sizes)


@pytest.mark.parametrize(
    "draft",
    [
        pytest.param(a_draft(), id="a template is enough"),
        pytest.param(a_draft(display_name="x" * 128), id="the longest name"),
        pytest.param(a_draft(description="x" * 1000), id="the longest description"),
        pytest.param(a_draft(additional_treatments=treatments(20, 20, 20, 20)), id="five treatments with the default"),
        pytest.param(a_draft(additional_treatments=treatments(60), holdout_percent=40), id="shares of exactly 100"),
        pytest.param(a_draft(holdout_percent=100), id="everybody held out"),
        pytest.param(a_draft(start_time=NOW + timedelta(days=365)), id="a year ahead"),
        pytest.param(a_draft(channel="SMS", content=Content(sms_body="hi")), id="inline SMS"),
        pytest.param(
            a_draft(channel="SMS", content=Content(sms_body="hi", origination_number="123")), id="the shortest code"
        ),
        pytest.param(
            a_draft(channel="SMS", content=Content(sms_body="hi", origination_number="12345678")), id="the longest code"
        ),
        pytest.param(a_draft(content=Content(email_subject="s", email_text="t")), id="inline e-mail"),
        pytest.param(a_draft(channel="CUSTOM", content=Content(custom_data="x" * 5120)), id="the most custom data"),
        pytest.param(a_draft(tags={f"k{n}": "v" for n in range(50)}), id="fifty tags"),
        pytest.param(a_draft(limits=Limits(100, 100)), id="the highest limits"),
        pytest.param(a_draft(quiet_time=QuietTime("23:59", "00:00")), id="a quiet time over midnight"),
    ],
)
def test_drafts_at_the_limits_are_taken(draft: Draft) -> None:
    assert complaints(draft) == set()


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        pytest.param(a_draft(display_name=""), ("display_name", "INVALID_LENGTH"), id="no name"),
        pytest.param(a_draft(limits=Limits(101)), ("limits.daily", "OUT_OF_RANGE"), id="a daily limit above 100"),
        pytest.param(a_draft(limits=Limits(0, -1)), ("limits.total", "OUT_OF_RANGE"), id="a negative total"),
        pytest.param(
            a_draft(quiet_time=QuietTime("22:00", "24:00")), ("quiet_time.end", "NOT_A_CLOCK_TIME"), id="24 o'clock"
        ),
        pytest.param(a_draft(display_name="x" * 129), ("display_name", "INVALID_LENGTH"), id="a name too long"),
        pytest.param(a_draft(description="x" * 1001), ("description", "INVALID_LENGTH"), id="a description too long"),
        pytest.param(a_draft(channel="FAX"), ("channel", "UNKNOWN_CHANNEL"), id="an unknown channel"),
        pytest.param(a_draft(content=Content()), ("content", "CONTENT_MISSING"), id="nothing to say"),
        pytest.param(
            a_draft(content=Content(template="t", email_subject="s")), ("content", "CONTENT_AMBIGUOUS"), id="said twice"
        ),
        pytest.param(
            a_draft(content=Content(sms_body="hi")),
            ("content.sms_body", "CONTENT_CHANNEL_MISMATCH"),
            id="SMS text on e-mail",
        ),
        pytest.param(a_draft(content=Content(email_text="t")), ("content.email_subject", "REQUIRED"), id="no subject"),
        pytest.param(
            a_draft(additional_treatments=treatments(10, 10, 10, 10, 10)),
            ("additional_treatments", "TOO_MANY"),
            id="six treatments",
        ),
        pytest.param(
            a_draft(additional_treatments=treatments(0)),
            ("additional_treatments[0].size_percent", "OUT_OF_RANGE"),
            id="an empty treatment",
        ),
        pytest.param(a_draft(holdout_percent=101), ("holdout_percent", "OUT_OF_RANGE"), id="a holdout above all"),
        pytest.param(
            a_draft(additional_treatments=treatments(61), holdout_percent=40),
            ("additional_treatments", "SHARES_EXCEED_100"),
            id="shares of 101",
        ),
        pytest.param(a_draft(start_time=NOW), ("schedule.start_time", "OUT_OF_RANGE"), id="a start that is not ahead"),
        pytest.param(
            a_draft(start_time=NOW + timedelta(days=365, seconds=1)),
            ("schedule.start_time", "OUT_OF_RANGE"),
            id="a start beyond a year",
        ),
        pytest.param(
            a_draft(channel="CUSTOM", content=Content(custom_data="x" * 5121)),
            ("content.custom_data", "INVALID_LENGTH"),
            id="too much custom data",
        ),
        pytest.param(a_draft(tags={f"k{n}": "v" for n in range(51)}), ("tags", "TOO_MANY"), id="51 tags"),
        pytest.param(a_draft(tags={"aws:x": "v"}), ("tags[aws:x]", "INVALID_TAG"), id="a reserved tag"),
        pytest.param(a_draft(segment_version=-1), ("segment_version", "OUT_OF_RANGE"), id="a negative version"),
    ],
)
def test_what_is_wrong_is_named(draft: Draft, expected: tuple[str, str]) -> None:
    assert expected in complaints(draft)


def test_everything_wrong_is_told_at_once() -> None:
    draft = a_draft(display_name="", channel="FAX", holdout_percent=-1, content=Content())
    assert {field for field, _ in complaints(draft)} == {"display_name", "channel", "holdout_percent", "content"}


@given(st.lists(st.integers(1, 25), max_size=4), st.text("0123456789abcdef", min_size=8, max_size=8))
def test_cohorts_are_shared_out_exactly(sizes: list[int], campaign_id: str) -> None:
    holdout = 100 - sum(sizes) if sum(sizes) % 2 else (100 - sum(sizes)) // 2
    draft = a_draft(additional_treatments=treatments(*sizes), holdout_percent=holdout)
    table = assignment(campaign_id, draft)
    shares = Counter(table)
    assert len(table) == COHORTS
    assert shares[HOLDOUT] == holdout
    assert [shares[str(n)] for n in range(1, len(sizes) + 1)] == sizes
    assert shares["0"] == 100 - holdout - sum(sizes)
    assert table == assignment(campaign_id, draft)


def test_different_campaigns_hold_out_different_people() -> None:
    draft = a_draft(holdout_percent=20)
    held = [{c for c, t in enumerate(assignment(f"c{n}", draft)) if t == HOLDOUT} for n in range(20)]
    assert len(set(map(frozenset, held))) == 20
    assert not set.intersection(*held)


@given(st.lists(st.integers(0, 99), max_size=300))
def test_a_split_loses_nobody_and_keeps_the_order(cohorts: list[int]) -> None:
    groups = split(cohorts, assignment("c", a_draft(additional_treatments=treatments(30), holdout_percent=10)))
    assert sorted(position for group in groups.values() for position in group) == list(range(len(cohorts)))
    assert all(group == sorted(group) for group in groups.values())


@given(st.lists(st.lists(st.text(max_size=3), max_size=3), min_size=1, max_size=20), st.data())
def test_picked_members_keep_their_ragged_columns(rows: list[list[str]], data: st.DataObject) -> None:
    count = len(rows)
    page = audience_pb2.MemberPage(
        ordinals=range(1, count + 1),
        endpoint_ids=[f"e{n}" for n in range(count)],
        user_ids=[""] * count,
        channels=["EMAIL"] * count,
        addresses=[f"a{n}" for n in range(count)],
        opted_out=[False] * count,
        inactive=[False] * count,
        cohorts=[0] * count,
        time_zones=[""] * count,
        columns=[
            audience_pb2.MemberColumn(
                path="Attributes.x", values=[v for row in rows for v in row], counts=[len(row) for row in rows]
            ),
            audience_pb2.MemberColumn(path="Attributes.y", values=[f"y{n}" for n in range(count)]),
        ],
    )
    chosen = sorted(data.draw(st.sets(st.integers(0, count - 1), min_size=1)))
    part = picked(page, chosen)
    assert list(part.endpoint_ids) == [f"e{n}" for n in chosen]
    values = iter(part.columns[0].values)
    assert [[next(values) for _ in range(n)] for n in part.columns[0].counts] == [rows[n] for n in chosen]
    assert list(part.columns[1].values) == [f"y{n}" for n in chosen]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        pytest.param(NOW + timedelta(seconds=1), CampaignState.SCHEDULED, id="a start ahead is waited for"),
        pytest.param(NOW, CampaignState.COMPLETED, id="a start that passed is not made up for"),
        pytest.param(None, CampaignState.SCHEDULED, id="an immediate campaign starts when it is resumed"),
    ],
)
def test_what_a_resumed_campaign_becomes(start: datetime | None, expected: CampaignState) -> None:
    assert resumed_state(a_draft(start_time=start), NOW) is expected


DAY = Duration(seconds=86_400)
SOURCE, PROJECT = dispatch_pb2.CAP_SCOPE_SOURCE, dispatch_pb2.CAP_SCOPE_PROJECT


@pytest.mark.parametrize(
    ("own", "inherited", "caps"),
    [
        (Limits(), Limits(), []),
        (Limits(), Limits(5, 2), [(PROJECT, 5, DAY), (SOURCE, 2, Duration())]),
        (Limits(1), Limits(5, 2), [(SOURCE, 1, DAY), (SOURCE, 2, Duration())]),
        (Limits(0, 9), Limits(5), [(PROJECT, 5, DAY), (SOURCE, 9, Duration())]),
    ],
    ids=["none", "the project's", "its own day, the project's total", "the project's day, its own total"],
)
def test_each_limit_is_the_campaigns_own_or_the_projects(
    own: Limits, inherited: Limits, caps: list[tuple[int, int, Duration]]
) -> None:
    wanted = policy(a_draft(limits=own, inherited=Inherited(inherited)))
    assert [(cap.scope, cap.limit, cap.window) for cap in wanted.caps] == caps
    assert [cap.HasField("window") for cap in wanted.caps] == [bool(window.seconds) for _, _, window in caps]


def test_a_quiet_time_of_its_own_takes_the_place_of_the_projects() -> None:
    own, other = QuietTime("22:00", "07:00"), QuietTime("12:00", "13:00")
    assert not policy(a_draft()).HasField("quiet_time")
    assert policy(a_draft(inherited=Inherited(quiet_time=other))).quiet_time.start == "12:00"
    assert policy(a_draft(quiet_time=own, inherited=Inherited(quiet_time=other))).quiet_time.end == "07:00"


def test_content_that_campaigns_know_nothing_of_is_carried_whole() -> None:
    whole = dispatch_pb2.MessageContent(
        template="projects/shop/templates/hello", email_raw=b"\x00\xff", default_body="hi", sms_media_urls=["https://a"]
    )
    whole.push.default_message.title = "News"
    content = content_from_proto(whole)
    assert content_to_proto(content) == whole
    assert draft_from_json(draft_to_json(a_draft(content=content))).content == content
    assert not complaints(a_draft(channel="PUSH", content=replace(content, template="")))
    assert content_from_proto(dispatch_pb2.MessageContent(template="t")) == Content(template="t")


def test_drafts_of_before_there_were_limits_are_read_without_any() -> None:
    stored = draft_to_json(a_draft())
    for name in ("limits", "quiet_time", "inherited"):
        del stored[name]
    assert draft_from_json(stored) == a_draft()
    full = a_draft(
        limits=Limits(1, 2), quiet_time=QuietTime("1", "2"), inherited=Inherited(Limits(3), QuietTime("3", "4"))
    )
    assert draft_from_json(draft_to_json(full)) == full
