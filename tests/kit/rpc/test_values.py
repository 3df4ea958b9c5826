"""Ids, names and clocks."""

from __future__ import annotations

import re
import threading
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_kit.clock import HurriedClock, ManualClock, SystemClock
from heliograph_kit.ids import derived_id, derived_ids, new_id
from heliograph_kit.names import InvalidName, format_name, parse_name, parse_pattern, project_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_new_ids_sort_by_age_and_look_like_uuid_7() -> None:
    ids = [new_id() for _ in range(5000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5000
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    first = uuid.UUID(ids[0])
    assert (first.version, first.variant) == (7, uuid.RFC_4122)


def test_new_ids_of_several_threads_do_not_collide() -> None:
    ids: list[str] = []
    threads = [threading.Thread(target=lambda: ids.extend(new_id() for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 8000


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_derived_ids_differ_whenever_their_parts_do(some: list[str], other: list[str]) -> None:
    assert (derived_id(*some) == derived_id(*other)) == (some == other)


@given(st.lists(st.text(st.characters(codec=None)), max_size=3), st.lists(st.text(), max_size=5))
def test_ids_derived_in_bulk_are_the_same(prefix: list[str], lasts: list[str]) -> None:
    assert derived_ids(prefix, lasts) == [derived_id(*prefix, last) for last in lasts]
    assert derived_ids(prefix, lasts, prefix) == [derived_id(*prefix, last, *prefix) for last in lasts]


def test_a_derived_id_never_changes() -> None:
    """Stored rows and messages hold them: a change here doubles what was already sent."""
    assert derived_id("run", "endpoint") == "f0696d2911a2133a700a3886a88728a8"


@pytest.mark.parametrize("name", ["projects/shop", "projects/shop/segments/x", "projects/0123456789abcdef"])
def test_a_name_begins_with_its_project(name: str) -> None:
    assert project_of(name) == name.split("/")[1]


def test_names_go_together_and_apart() -> None:
    name = format_name("shop", "endpoints", "ann@example.com")
    assert name == "projects/shop/endpoints/ann@example.com"
    parsed = parse_name(name, "endpoints")
    assert (parsed.project, parsed.id, str(parsed)) == ("shop", "ann@example.com", name)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("projects/shop/segments", id="too short"),
        pytest.param("projects/shop/segments/a/b", id="too long"),
        pytest.param("projects/shop/campaigns/a", id="another collection"),
        pytest.param("projects/shop/segments/", id="empty id"),
        pytest.param("projects/shop/segments/a b", id="a blank"),
        pytest.param("projects/sh.op/segments/a", id="a dot in the project"),
        pytest.param("projects/shop/segments/" + "a" * 257, id="too long an id"),
        pytest.param("projects/shop/segments/a\n", id="a line end"),
    ],
)
def test_a_broken_name_is_told_with_its_field_and_form(name: str) -> None:
    with pytest.raises(InvalidName) as caught:
        parse_name(name, "segments", field="segment.name")
    (violation,) = caught.value.violations
    assert violation.field == "segment.name"
    assert violation.description == "must have the form projects/{project}/segments/{id}"


def test_deeper_names_are_parsed_by_pattern() -> None:
    pattern = "projects/{project}/campaigns/{campaign}/runs/{run}"
    assert parse_pattern("projects/shop/campaigns/c/runs/r", pattern) == {
        "project": "shop",
        "campaign": "c",
        "run": "r",
    }
    with pytest.raises(InvalidName):
        parse_pattern("projects/shop/campaigns/c/walks/r", pattern)


def test_a_hurried_clock_runs_from_its_origin() -> None:
    real = ManualClock(NOON)
    hurried = HurriedClock(NOON, 60, real)
    assert hurried.now() == NOON
    real.advance(timedelta(minutes=1))
    assert hurried.now() == NOON + timedelta(hours=1)


def test_clocks_refuse_what_would_mislead() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(ValueError, match="backwards"):
        ManualClock(NOON).advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="above zero"):
        HurriedClock(NOON, 0, SystemClock())
    assert SystemClock().now().utcoffset() == timedelta()
