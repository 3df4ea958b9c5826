"""The checker's laws, one broken at a time: what is in order passes, and each breach is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph_suite.check.evidence import (
    CapSeen,
    Evidence,
    LedgerRow,
    Letter,
    OptedOut,
    Planned,
    Sender,
    Stop,
    Told,
)
from heliograph_suite.check.laws import GRACE_SECONDS, judge

pytestmark = pytest.mark.unit
NOON = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
DAY = 86_400.0


def a_plan(id: str = "m1", **changes: Any) -> Planned:
    plan = Planned(id, "shop", "b1", "run1", "projects/shop/campaigns/c1", "campaign", "a@x.com", 1, "", (), None)
    return replace(plan, **changes)


def a_row(id: str = "m1", **changes: Any) -> LedgerRow:
    row = LedgerRow(
        id, "shop", "b1", "run1", "projects/shop/campaigns/c1", "campaign", "EMAIL", "a@x.com", "ACCEPTED", "", True, NOON,
        5.0, True, 3.0, "DONE", NOON, "simulator",
    )  # fmt: skip
    return replace(row, **changes)


def a_letter(**changes: Any) -> Letter:
    return replace(Letter("messaging", "l1", "messages", "shop", "shop", "shop", 5.0, True, ""), **changes)


def evidence(**changes: Any) -> Evidence:
    whole = Evidence(
        [a_plan()],
        [a_row()],
        [Told("m1", "ACCEPTED")],
        [a_letter()],
        [],
        {"m1": 1},
        frozenset({("shop", "EMAIL", "simulator")}),
    )
    return replace(whole, **changes)


def broken(found: Evidence, *, over: bool = True, in_flight: int | None = None) -> list[str]:
    return [finding.law for finding in judge(found, over=over, in_flight=in_flight)]


def test_what_is_in_order_breaks_no_law() -> None:
    assert broken(evidence()) == []
    assert broken(evidence(), over=False) == []
    assert broken(Evidence()) == []


SKIPPED: dict[str, Any] = {"status": "SKIPPED", "accepted": False, "call_state": "", "call_started": None}
DOUBT: dict[str, Any] = {"status": "IN_DOUBT", "accepted": False, "call_state": "LOST"}


@pytest.mark.parametrize(
    ("changes", "laws"),
    [
        ({"rows": [], "told": [], "sent": {}}, ["O1", "O2"]),
        ({"rows": [a_row(status="CLAIMED", accepted=False, finished=False)], "told": [], "sent": {}}, ["O1"]),
        ({"told": []}, ["O1"]),
        ({"told": [Told("m1", "ACCEPTED"), Told("m1", "FAILED")]}, ["O1"]),
        ({"sent": {}}, ["O1"]),
        ({"sent": {"m1": 2}}, ["O1"]),
        ({"sent": {"m1": 1, "m2": 1}}, ["O1"]),
        ({"rows": [a_row(**SKIPPED)], "told": [Told("m1", "SKIPPED")]}, ["O1"]),
        ({"rows": [a_row(message_class="transactional")], "sent": {"m1": 2}}, ["O1"]),
        ({"rows": [a_row(**DOUBT)], "told": [Told("m1", "IN_DOUBT")]}, ["O1"]),
        (
            {"rows": [a_row(**{**DOUBT, "call_state": ""}, provider="other")], "told": [Told("m1", "IN_DOUBT")]},
            ["O1"],
        ),
    ],
    ids=[
        "planned and lost", "no outcome at the end", "an outcome nobody was told", "two outcomes",
        "accepted and never sent", "sent twice", "sent and not in the ledger", "skipped and sent",
        "a direct send twice through a provider that knows ids", "in doubt where asking again was possible",
        "in doubt and never handed over",
    ],
)  # fmt: skip
def test_a_message_has_exactly_one_outcome(changes: dict[str, Any], laws: list[str]) -> None:
    assert broken(evidence(**changes)) == laws


def test_a_direct_send_may_be_repeated_where_the_provider_does_not_know_our_ids() -> None:
    direct = {"rows": [a_row(message_class="transactional")], "sent": {"m1": 2}, "knows_ids": frozenset()}
    assert broken(evidence(**direct)) == []


def test_no_more_are_in_doubt_than_were_under_way() -> None:
    rows = [a_row(f"m{n}", **DOUBT, provider="other") for n in range(3)]
    found = Evidence([a_plan(f"m{n}") for n in range(3)], rows, [Told(f"m{n}", "IN_DOUBT") for n in range(3)])
    assert broken(found, in_flight=3) == []
    assert broken(found, in_flight=2) == ["O1"]


@pytest.mark.parametrize(
    ("changes", "laws"),
    [
        ({"funnels": {("shop", "run1"): {"TARGETED": 1, "ACCEPTED": 1}}}, []),
        ({"funnels": {("shop", "run1"): {"TARGETED": 2, "ACCEPTED": 1}}}, ["O2"]),
        ({"funnels": {("shop", "run1"): {"TARGETED": 1, "ACCEPTED": 2}}}, ["O2"]),
        ({"funnels": {("shop", "run1"): {"TARGETED": 1}}}, ["O2"]),
        ({"rows": [a_row(), a_row("m2")], "told": [Told("m1", "ACCEPTED"), Told("m2", "ACCEPTED")], "sent": None}, ["O2"]),
    ],
    ids=["as counted", "a target more", "an outcome more", "an outcome less", "a row nobody planned"],
)  # fmt: skip
def test_everybody_who_counts_counts_the_same(changes: dict[str, Any], laws: list[str]) -> None:
    assert broken(evidence(**changes)) == laws


def test_a_doubt_that_a_receipt_ended_counts_as_it_was_told() -> None:
    told = evidence(told=[Told("m1", "IN_DOUBT")], funnels={("shop", "run1"): {"TARGETED": 1, "IN_DOUBT": 1}})
    assert broken(told) == []


@pytest.mark.parametrize(
    ("since", "laws"),
    [(NOON - timedelta(seconds=1), ["O4"]), (NOON, []), (NOON + timedelta(seconds=1), [])],
    ids=["stopped before", "in the same moment", "stopped after"],
)
def test_nothing_is_handed_over_after_a_stop(since: datetime, laws: list[str]) -> None:
    assert broken(evidence(stops=[Stop("shop", "EMAIL", "a@x.com", since, "COMPLAINT")])) == laws


ANN, OURS = "+13125550001", "+12065550100"
SECOND = timedelta(seconds=1)
NUMBER = Sender("shop", "originations", OURS, "Ads", NOON - timedelta(days=1))
POOL = Sender("shop", "pools", "main", "Ads", None)
OUT = OptedOut("shop", "Ads", ANN, NOON - SECOND)


@pytest.mark.parametrize(
    ("out", "sender", "row", "plan", "laws"),
    [
        (OUT, NUMBER, {}, {}, ["O4"]),
        (replace(OUT, since=NOON), NUMBER, {}, {}, []),
        (replace(OUT, since=NOON + SECOND), NUMBER, {}, {}, []),
        (replace(OUT, until=NOON + SECOND), NUMBER, {}, {}, ["O4"]),
        (replace(OUT, until=NOON), NUMBER, {}, {}, []),
        (replace(OUT, opt_out_list="Default"), NUMBER, {}, {}, []),
        (replace(OUT, project="other"), NUMBER, {}, {}, []),
        (replace(OUT, number="+13125550002"), NUMBER, {}, {}, []),
        (OUT, replace(NUMBER, opt_out_list=None), {}, {}, []),
        (OUT, replace(NUMBER, since=NOON), {}, {}, ["O4"]),
        (OUT, replace(NUMBER, since=NOON + SECOND), {}, {}, []),
        (OUT, NUMBER, {"channel": "VOICE"}, {}, []),
        (OUT, NUMBER, SKIPPED | {"call_started": NOON}, {}, []),
        (OUT, NUMBER, {}, {"automatic": True}, []),
        (OUT, NUMBER, {}, {"message_id": "m2"}, []),
        (OUT, POOL, {"origination": "Shop"}, {"pool": "main"}, ["O4"]),
        (OUT, replace(POOL, id="gone"), {"origination": "Shop"}, {"pool": "main"}, []),
        (OUT, POOL, {"origination": "Shop"}, {}, []),
        (replace(OUT, opt_out_list="Default"), POOL, {"origination": "Shop"}, {}, ["O4"]),
        (OUT, NUMBER, {}, {"pool": "main"}, ["O4"]),
    ],
    ids=[
        "on the list before", "in the same moment", "afterwards", "came off it afterwards", "came off it before",
        "on another list", "in another project", "somebody else", "self-managed", "set up before",
        "set up anew afterwards", "a call", "skipped", "the answer to a keyword", "no plan any more",
        "a sender id of a pool", "a pool that is gone", "a sender id of no pool", "a sender id, on the default list",
        "a number of a pool",
    ],
)  # fmt: skip
def test_no_sms_to_who_is_on_the_opt_out_list_of_its_sender(
    out: OptedOut, sender: Sender, row: dict[str, Any], plan: dict[str, Any], laws: list[str]
) -> None:
    found = Evidence(
        [a_plan(**plan)],
        [a_row(**{"channel": "SMS", "address": ANN, "origination": OURS, **row})],
        [Told("m1", row.get("status", "ACCEPTED"))],
        senders=[sender],
        opted_out=[out],
    )
    assert broken(found, over=False) == laws


@pytest.mark.parametrize(
    ("quiet", "zone", "laws"),
    [
        (("11:00", "13:00"), "UTC", ["O4"]),
        (("22:00", "12:00"), "UTC", ["O4"]),
        (("22:00", "11:59"), "UTC", []),
        (("11:00", "13:00"), "Asia/Tokyo", []),
        (("00:00", "23:59"), "", []),
        (("00:00", "23:59"), "Mars/Olympus", []),
    ],
)
def test_nothing_is_handed_over_in_quiet_time(quiet: tuple[str, str], zone: str, laws: list[str]) -> None:
    assert broken(evidence(planned=[a_plan(quiet=quiet, time_zone=zone)])) == laws


@pytest.mark.parametrize(
    ("cap", "laws"),
    [
        (CapSeen("SOURCE", 2, 0), ["O4"]),
        (CapSeen("SOURCE", 3, 0), []),
        (CapSeen("PROJECT", 2, DAY), []),
        (CapSeen("PROJECT", 1, DAY), ["O4"]),
        (CapSeen("JOURNEYS", 1, DAY), []),
    ],
    ids=[
        "the third of two",
        "the third of three",
        "the third of two, a day later",
        "two of one in a day",
        "no journeys",
    ],
)
def test_nobody_is_the_target_of_more_than_the_cap(cap: CapSeen, laws: list[str]) -> None:
    times = [NOON, NOON + timedelta(hours=20), NOON + timedelta(hours=30)]
    rows = [a_row(f"m{n}", created=time) for n, time in enumerate(times)]
    found = Evidence(
        [a_plan(f"m{n}", caps=(cap,)) for n in range(3)], rows, [Told(f"m{n}", "ACCEPTED") for n in range(3)]
    )
    assert sorted(set(broken(found))) == laws


def test_counting_begins_with_the_first_cap_and_leaves_out_who_was_no_target() -> None:
    cap = (CapSeen("PROJECT", 1, DAY),)
    rows = [a_row("m0"), a_row("m1", **SKIPPED, reason="SUPPRESSED", created=NOON + timedelta(1 / 24)),
            a_row("m2", created=NOON + timedelta(2 / 24))]  # fmt: skip
    told = [Told("m0", "ACCEPTED"), Told("m1", "SKIPPED"), Told("m2", "ACCEPTED")]
    assert broken(Evidence([a_plan("m0"), a_plan("m1", caps=cap), a_plan("m2", caps=cap)], rows, told)) == []


@pytest.mark.parametrize(
    ("changes", "laws"),
    [
        ({"rows": [a_row(source="projects/other/campaigns/c1")]}, ["O6"]),
        ({"letters": [a_letter(subject_project="other")]}, ["O6"]),
        ({"letters": [a_letter(payload_project="other")]}, ["O6"]),
        ({"rows": [a_row(), a_row(project="other", source="", run_id="run2")]}, ["O6"]),
    ],
)
def test_nothing_of_a_project_is_in_anothers_hands(changes: dict[str, Any], laws: list[str]) -> None:
    assert broken(evidence(**changes)) == laws


@pytest.mark.parametrize(
    ("changes", "laws"),
    [
        ({"letters": [a_letter(published=False, age=GRACE_SECONDS)]}, []),
        ({"letters": [a_letter(published=False, age=GRACE_SECONDS + 1)]}, ["O7"]),
        ({"letters": [a_letter(refused="too large")]}, ["O7"]),
        ({"in_log": frozenset({"l1"})}, []),
        ({"in_log": frozenset()}, ["O7"]),
        ({"letters": [a_letter(kind="dispatch")], "in_log": frozenset()}, []),
    ],
    ids=[
        "just written",
        "never published",
        "refused",
        "in the event log",
        "lost from the event log",
        "of no event log",
    ],
)
def test_nothing_waits_for_ever(changes: dict[str, Any], laws: list[str]) -> None:
    assert broken(evidence(**changes), over=False) == laws


def test_a_call_that_nobody_owns_any_more_is_stuck() -> None:
    open_row: dict[str, Any] = {"status": "CLAIMED", "accepted": False, "finished": False, "call_state": "DISPATCHING"}
    fresh = evidence(rows=[a_row(**open_row, lease_left=-GRACE_SECONDS)], told=[], sent={"m1": 1})
    assert broken(fresh, over=False) == []
    assert broken(replace(fresh, rows=[a_row(**open_row, lease_left=-GRACE_SECONDS - 1)]), over=False) == ["O7"]
    assert broken(replace(fresh, rows=[a_row(**{**open_row, "finished": True})]), over=False) == ["O7"]
