"""The launch plan on the wire: every violation at once, what counts of a request, what is written."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.registry10dlc.v1 import launch_pb2
from heliograph_kit.errors import InvalidArgument
from heliograph_kit.instants import timestamp
from heliograph_registry10dlc.allowance import load_allowances
from heliograph_registry10dlc.domain import Kind, Registration, State
from heliograph_registry10dlc.launch_protos import plan_launch, read_request

NOW = datetime(2026, 11, 27, 16, 0, tzinfo=UTC)  # 08:00 in Los Angeles
MIDNIGHT = datetime(2026, 11, 28, 8, 0, tzinfo=UTC)


def a_registration(kind: Kind, state: State, score: int, fields: dict[str, str] | None = None) -> Registration:
    return Registration("shop", kind.lower(), kind, state, fields or {}, NOW, NOW, vetting_score=score)


BRAND = a_registration(Kind.BRAND, State.VERIFIED, 40)
USE_CASE = a_registration(Kind.USE_CASE, State.APPROVED, 40, {"campaignUseCase.useCase": "CUSTOMER_CARE"})


def a_request(*audience: tuple[str, int], **more: Any) -> launch_pb2.PlanLaunchRequest:
    asked = {"parent": "projects/shop", "use_case": "projects/shop/useCases/use_case", "parts_per_message": 1, **more}
    request = launch_pb2.PlanLaunchRequest(**asked)
    for carrier, count in audience or (("UNKNOWN", 1000),):
        request.audience.add(carrier=carrier, recipient_count=count)
    return request


def violations(request: launch_pb2.PlanLaunchRequest) -> list[tuple[str, str]]:
    with pytest.raises(InvalidArgument) as caught:
        plan_launch(request, USE_CASE, BRAND, now=NOW)
    return [(violation.field, violation.reason) for violation in caught.value.violations]


def test_everything_wrong_is_told_at_once() -> None:
    request = launch_pb2.PlanLaunchRequest(
        parent="shop", use_case="projects/shop/brands/b", parts_per_message=11, body="a" * 1601,
        platform_parts_per_second=-1, used_today=-1, start_time=timestamp(NOW - timedelta(days=2)),
    )  # fmt: skip
    assert violations(request) == [
        ("parent", "INVALID_NAME"), ("use_case", "INVALID_NAME"), ("audience", "REQUIRED"),
        ("parts_per_message", "OUT_OF_RANGE"), ("body", "TOO_LONG"), ("start_time", "OUT_OF_RANGE"),
        ("platform_parts_per_second", "OUT_OF_RANGE"), ("used_today", "OUT_OF_RANGE"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        (a_request(parent="projects/other"), ("use_case", "OTHER_PROJECT")),
        (a_request(("SPRINT", 1)), ("audience[0].carrier", "UNKNOWN_VALUE")),
        (a_request(("ATT", 1), ("ATT", 1)), ("audience[1].carrier", "DUPLICATE")),
        (a_request(("ATT", -1)), ("audience[0].recipient_count", "OUT_OF_RANGE")),
        (a_request(("ATT", 10**9 + 1)), ("audience[0].recipient_count", "OUT_OF_RANGE")),
        (a_request(parts_per_message=-1), ("parts_per_message", "OUT_OF_RANGE")),
        (a_request(parts_per_message=0), ("body", "REQUIRED")),
        (a_request(parts_per_message=0, body="あ" * 631), ("body", "TOO_LONG")),
        (a_request(body="a" * 1601), ("body", "TOO_LONG")),
        (a_request(platform_parts_per_second=math.nan), ("platform_parts_per_second", "OUT_OF_RANGE")),
        (a_request(platform_parts_per_second=0.0009), ("platform_parts_per_second", "OUT_OF_RANGE")),
        (a_request(platform_parts_per_second=10_001), ("platform_parts_per_second", "OUT_OF_RANGE")),
        (a_request(used_today=10**9 + 1), ("used_today", "OUT_OF_RANGE")),
        (a_request(start_time=timestamp(NOW + timedelta(days=732))), ("start_time", "OUT_OF_RANGE")),
        (a_request(start_time=Timestamp(seconds=-(10**15))), ("start_time", "OUT_OF_RANGE")),
    ],
)  # fmt: skip
def test_each_limit_is_kept(request_: launch_pb2.PlanLaunchRequest, found: tuple[str, str]) -> None:
    assert violations(request_) == [found]


def test_a_sixth_carrier_is_one_too_many() -> None:
    carriers = ["ATT", "T_MOBILE", "VERIZON", "OTHER", "UNKNOWN"]
    assert read_request(a_request(*((carrier, 10**9) for carrier in carriers)), now=NOW).audience["OTHER"] == 10**9
    assert violations(a_request(*((carrier, 1) for carrier in [*carriers, "ATT"]))) == [("audience", "TOO_MANY")]


@pytest.mark.parametrize(
    ("given", "body", "parts"),
    [(3, "", 3), (3, "Hi", 3), (10, "", 10), (0, "Hi", 1), (0, "a" * 161, 2), (0, "あ" * 71, 2), (0, "a" * 1600, 11)],
)
def test_parts_are_given_or_measured(given: int, body: str, parts: int) -> None:
    assert read_request(a_request(parts_per_message=given, body=body), now=NOW).parts == parts
    assert (
        plan_launch(a_request(parts_per_message=given, body=body), USE_CASE, BRAND, now=NOW).part_count == 1000 * parts
    )


def test_a_start_is_now_or_as_given_and_what_was_used_counts_today_only() -> None:
    assert read_request(a_request(), now=NOW).start == NOW
    today = read_request(a_request(used_today=5, start_time=timestamp(NOW - timedelta(days=1, hours=-20))), now=NOW)
    assert (today.start, today.used_today) == (NOW - timedelta(hours=4), 5)
    for start, used in ((MIDNIGHT - timedelta(seconds=1), 5), (MIDNIGHT, 0)):
        assert read_request(a_request(used_today=5, start_time=timestamp(start)), now=NOW).used_today == used


def test_a_plan_is_written_whole() -> None:
    answer = plan_launch(a_request(("ATT", 20_000), ("T_MOBILE", 12_000), ("VERIZON", 8_000)), USE_CASE, BRAND, now=NOW)
    finish = MIDNIGHT + timedelta(seconds=2 * (6_667 // 8))
    assert answer.finish_time.ToDatetime(UTC) == finish
    assert answer.duration_seconds == (finish - NOW).total_seconds()
    assert answer.part_count == 40_000
    assert {one.carrier: one.part_count for one in answer.carriers} == {
        "ATT": 20_000, "T_MOBILE": 12_000, "VERIZON": 8_000, "OTHER": 0,
    }  # fmt: skip
    att, t_mobile, _, other = answer.carriers
    assert (att.parts_per_second, att.parts_per_day, t_mobile.parts_per_second, t_mobile.parts_per_day) == (
        4,
        0,
        0,
        10_000,
    )
    assert att.finish_time == answer.finish_time
    assert not other.HasField("finish_time")
    assert [(day.day, day.part_count, day.HasField("cap_time")) for day in answer.days] == [
        ("2026-11-27", 33_333, True), ("2026-11-28", 6_667, False),
    ]  # fmt: skip
    assert dict(answer.shares) == {"ATT": 0.28, "T_MOBILE": 0.30, "VERIZON": 0.36, "OTHER": 0.06}
    assert answer.table_version == "2024-bands"
    assert [one.change for one in answer.what_if] == ["a vetting score of 76", "a vetting score of 51"]
    best = answer.what_if[0]
    assert best.saved_seconds == answer.duration_seconds - (best.finish_time.ToDatetime(UTC) - NOW).total_seconds()
    assert answer.remarks


def test_the_score_of_the_use_case_counts_and_the_better_one_of_the_brand_is_told() -> None:
    brand = replace(BRAND, vetting_score=90)
    answer = plan_launch(a_request(("ATT", 1000)), USE_CASE, brand, now=NOW)
    assert answer.carriers[0].parts_per_second == 4
    assert any(
        "The brand has a vetting score of 90 by now; the use case keeps the 40" in words for words in answer.remarks
    )


def test_another_table_and_an_account_rate_change_the_plan() -> None:
    table = load_allowances(version="2024-even-bands").table
    use_case = replace(USE_CASE, vetting_score=75)
    answer = plan_launch(a_request(("ATT", 1000)), use_case, BRAND, now=NOW, table=table)
    assert (answer.table_version, answer.duration_seconds) == ("2024-even-bands", 12)
    slower = plan_launch(
        a_request(("ATT", 1000)), use_case, BRAND, now=NOW, table=table, account_messages_per_second=20
    )
    assert slower.duration_seconds == 48


@pytest.mark.parametrize("state", [State.DRAFT, State.PENDING, State.SUSPENDED])
def test_a_use_case_that_may_not_send_yet_is_planned_and_told(state: State) -> None:
    answer = plan_launch(a_request(), replace(USE_CASE, state=state), BRAND, now=NOW)
    assert answer.HasField("finish_time")
    assert f"The use case is {state}: nothing is sent before it is APPROVED." in answer.remarks


@pytest.mark.parametrize(
    ("use_case", "brand", "what"),
    [
        (replace(USE_CASE, state=State.REJECTED), BRAND, "use case is REJECTED"),
        (USE_CASE, replace(BRAND, state=State.DELETED), "brand is DELETED"),
    ],
)
def test_through_what_is_over_nothing_ever_finishes(use_case: Registration, brand: Registration, what: str) -> None:
    answer = plan_launch(a_request(), use_case, brand, now=NOW)
    assert not answer.HasField("finish_time")
    assert list(answer.remarks) == [f"The {what}: nothing is ever sent through it."]
    assert (len(answer.days), len(answer.what_if), answer.part_count) == (0, 0, 1000)
