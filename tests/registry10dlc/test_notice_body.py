"""What a notice says, and when the next attempt is made."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from heliograph_registry10dlc.domain import Actor, Event, Kind, State, states_of
from heliograph_registry10dlc.notice_body import TYPES, current_status, notice_id, status_change
from heliograph_registry10dlc.noticing import PATIENCE, RETRY
from tests.registry10dlc.moved import an_entry

pytestmark = pytest.mark.unit
WORDS = set(
    "CREATED SUBMITTED REVIEWING COMPLETE REQUIRES_UPDATES REQUIRES_AUTHENTICATION PROVISIONING CLOSED DELETED".split()
)
NUMBER_WORDS = set("PENDING ACTIVE ASSOCIATING DISASSOCIATING DELETED".split())


@pytest.mark.parametrize("kind", list(Kind))
def test_every_state_of_every_kind_has_a_word_of_the_original(kind: Kind) -> None:
    words = {current_status(kind, state) for state in states_of(kind)}
    assert words <= (NUMBER_WORDS if kind is Kind.NUMBER else WORDS)
    assert kind in TYPES


def test_the_body_is_that_of_a_status_change_with_our_words_beside() -> None:
    entry = an_entry(
        "b1", event=Event.REJECTED, from_state=State.PENDING, to_state=State.REQUIRES_UPDATE, actor=Actor.REGISTRAR,
        cause="WEBSITE_MISSING_OR_DOWN", field="contactInfo.website", words="déjà vu", move_id=7,
    )  # fmt: skip
    body = status_change(entry, 2)
    assert json.loads(body) == {
        "version": "0",
        "id": notice_id(entry),
        "source": "aws.sms-voice",
        "detail-type": "Registration Status Change",
        "time": "2026-11-27T12:00:00.000Z",
        "resources": ["projects/shop/brands/b1"],
        "detail": {
            "registrationArn": "projects/shop/brands/b1",
            "registrationDetails": {
                "registrationId": "b1",
                "registrationVersionNumber": 2,
                "registrationType": "US_TEN_DLC_BRAND_REGISTRATION",
                "registrationStatusChangeTimestamp": "2026-11-27T12:00:00.000Z",
                "currentStatus": "REQUIRES_UPDATES",
            },
            "heliograph": {
                "project": "shop",
                "moveId": "7",
                "kind": "BRAND",
                "event": "REJECTED",
                "fromState": "PENDING",
                "toState": "REQUIRES_UPDATE",
                "actor": "registrar",
                "cause": "WEBSITE_MISSING_OR_DOWN",
                "field": "contactInfo.website",
                "words": "déjà vu",
            },
        },
    }
    assert status_change(entry, 2) == body


def test_ids_of_notices_belong_to_one_move_of_one_project() -> None:
    ids = {notice_id(an_entry(project=project, move_id=move_id)) for project in ("a", "b") for move_id in (1, 2)}
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("failures", "whole"),
    [(1, 1), (2, 2), (3, 4), (12, 2048), (13, 3600), (60, 3600)],
)
def test_pauses_double_up_to_an_hour_less_up_to_half(failures: int, whole: int) -> None:
    assert RETRY.delay(failures, 1.0) == timedelta(seconds=whole)
    assert RETRY.delay(failures, 0.0) == timedelta(seconds=whole) / 2


def test_a_notice_waits_three_days() -> None:
    assert timedelta(days=3) == PATIENCE
