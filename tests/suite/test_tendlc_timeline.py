"""What `heliograph 10dlc` prints: pure tables."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from heliograph_registry10dlc.domain import Kind, states_of
from heliograph_suite.tendlc.next_steps import NOBODY, next_step
from heliograph_suite.tendlc.timeline import (
    WIDTH,
    Finding,
    Moved,
    Standing,
    as_json,
    move_json,
    move_picture,
    picture,
    plain,
    table,
)

pytestmark = pytest.mark.unit
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
NAME = "projects/shop/brands/b1"


def a_move(n: int = 1, **changes: Any) -> Moved:
    made: dict[str, Any] = {
        "move_id": n,
        "resource": NAME,
        "kind": "BRAND",
        "event": "SUBMIT",
        "from_state": "DRAFT",
        "to_state": "PENDING",
        "actor": "user",
        "time": NOON + timedelta(hours=n),
    }
    return Moved(**{**made, **changes})


def a_standing(**changes: Any) -> Standing:
    made: dict[str, Any] = {
        "resource": NAME,
        "kind": "BRAND",
        "title": "Example Records Inc",
        "state": "REQUIRES_UPDATE",
        "update_time": NOON,
        "cause": "WEBSITE_MISSING_OR_DOWN",
        "findings": (Finding("contactInfo.website", "WEBSITE_MISSING_OR_DOWN", "we could not open it"),),
        "moves": (
            a_move(0, event="", from_state="", to_state="DRAFT"),
            a_move(1),
            a_move(
                2, event="REJECTED", from_state="PENDING", to_state="REQUIRES_UPDATE", actor="registrar",
                cause="WEBSITE_MISSING_OR_DOWN", field="contactInfo.website", words="we could not open it",
            ),
            a_move(3, event="EDIT", from_state="REQUIRES_UPDATE", to_state="REQUIRES_UPDATE"),
        ),
    }  # fmt: skip
    return Standing(**{**made, **changes})


def test_the_timeline_says_the_state_since_when_what_next_who_what_to_mend_and_every_move() -> None:
    assert picture(a_standing()) == "\n".join(
        [
            "projects/shop/brands/b1",
            "  BRAND  Example Records Inc",
            "  now   REQUIRES_UPDATE since 2026-11-27 14:00:00 UTC",
            "  next  mend what is named and submit it again",
            "  who   you",
            "  mend  contactInfo.website WEBSITE_MISSING_OR_DOWN: we could not open it",
            "  2026-11-27 12:00:00  user       created: DRAFT",
            "  2026-11-27 13:00:00  user       SUBMIT: DRAFT -> PENDING",
            "  2026-11-27 14:00:00  registrar  REJECTED: PENDING -> REQUIRES_UPDATE",
            "                                  WEBSITE_MISSING_OR_DOWN contactInfo.website:",
            "                                  we could not open it",
            "  2026-11-27 15:00:00  user       EDIT: REQUIRES_UPDATE",
        ]
    )


def test_a_cause_without_findings_and_an_end_are_told() -> None:
    lines = picture(
        a_standing(state="SUSPENDED", findings=(), cause="SPAM", expire_time=NOON + timedelta(days=365), moves=())
    ).splitlines()
    assert "  now   SUSPENDED since 2026-11-27 12:00:00 UTC" in lines
    assert "  why   SPAM" in lines
    assert "  until runs out at 2027-11-27 12:00:00 UTC; renew it before" in lines


@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_says_what_comes_next_and_fits_80_columns(kind: Kind) -> None:
    for state in states_of(kind):
        step = next_step(kind, state)
        assert "does not know" not in step.what, (kind, state)
        assert step.who
        text = picture(a_standing(kind=kind, state=state, title="x" * 300, cause="word " * 40))
        assert all(len(line) <= WIDTH for line in text.splitlines())


def test_a_state_of_a_newer_service_is_said_to_be_unknown() -> None:
    step = next_step("BRAND", "LEVITATING")
    assert step.who == NOBODY
    assert "older than the service" in step.what


def test_long_words_are_wrapped_and_what_steers_terminals_is_not_printed() -> None:
    hostile = "\x1b[2J\x07 line\nbreak " + "w" * 200
    text = picture(a_standing(findings=(Finding("", "OTHER", hostile),), moves=(a_move(words=hostile, cause="C"),)))
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert "\x1b" not in text
    assert "\x07" not in text
    assert plain("a\x9b31mb") == "a 31mb"


def test_a_move_that_happens_says_what_comes_next() -> None:
    assert move_picture(a_move(1)).splitlines() == [
        "projects/shop/brands/b1",
        "  2026-11-27 13:00:00  user       SUBMIT: DRAFT -> PENDING",
        "  next  it is being checked; by hand: heliograph 10dlc desk list (the registrar)",
    ]


def test_machines_get_all_of_it() -> None:
    told = json.loads(json.dumps(as_json(a_standing())))
    assert told["state"] == "REQUIRES_UPDATE"
    assert told["since"] == "2026-11-27T14:00:00Z"
    assert told["next"] == {"what": "mend what is named and submit it again", "who": "you"}
    assert told["findings"] == [
        {"field": "contactInfo.website", "cause": "WEBSITE_MISSING_OR_DOWN", "words": "we could not open it"}
    ]
    assert told["expire_time"] is None
    assert told["moves"][2] == json.loads(json.dumps(move_json(a_standing().moves[2])))
    assert told["moves"][2]["time"] == "2026-11-27T14:00:00Z"


def test_rows_of_a_table_are_labelled_lines_without_what_is_empty() -> None:
    assert table(("resource", "kind", "cause"), [("a", "BRAND", ""), ("b", "NUMBER", "x " * 50)]).splitlines() == [
        "a",
        "  kind      BRAND",
        "",
        "b",
        "  kind      NUMBER",
        *("  cause     " + "x " * 33 + "x", "            " + "x " * 15 + "x"),
    ]
