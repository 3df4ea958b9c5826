"""Every operator of pinpoint-1 3.3 by the reference evaluator: present, absent, empty and of the wrong type."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from heliograph_segments.domain.checking import check_rules
from heliograph_segments.domain.codec import from_document, to_document
from heliograph_segments.domain.endpoints import Endpoint, EndpointUpdate, check_update, fold
from heliograph_segments.domain.evaluator import distance_kilometers, matches
from heliograph_segments.domain.segments import (
    AttributeDimension,
    AttributeOperator,
    Combination,
    DemographicField,
    Dimensions,
    GpsPoint,
    Group,
    MetricDimension,
    MetricOperator,
    Recency,
    RecencyDuration,
    Rules,
    SegmentReference,
    SetDimension,
)
from tests.segments.builders import NOW, an_endpoint, rules_of


def found(dimensions: Dimensions, endpoint: Endpoint) -> bool:
    return matches(rules_of(dimensions), endpoint, NOW)


# operator, values asked, then whether it matches: a value that fits, one that does not, no value, absent
ATTRIBUTE_CASES = [
    ("INCLUSIVE", ("Bus", "Tram"), ["Car", "Bus"], ["bus", "Busses"], False),
    ("EXCLUSIVE", ("Bus", "Tram"), ["Car"], ["Car", "Bus"], True),
    ("CONTAINS", ("ew",), ["New"], ["EW"], False),
    ("BEFORE", ("2026-03-04",), ["2026-03-03T23:59:59Z"], ["2026-03-04T00:00:00Z", "tomorrow", "7"], False),
    ("AFTER", ("2026-03-04",), ["2026-03-04T00:00:00.001Z"], ["2026-03-04", "2026-02-30"], False),
    ("ON", ("2026-03-04T12:00:00Z",), ["2026-03-05T00:30:00+01:00"], ["2026-03-05T00:00:00Z", ""], False),
    ("BETWEEN", ("2026-03-01", "2026-03-04"), ["2026-03-01", "x"], ["2026-03-04T00:00:01Z", "2026"], False),
    ("BETWEEN", ("2026-03-01", "2026-03-04"), ["2026-03-04"], ["2026-02-28T23:59:59.999Z"], False),
]


@pytest.mark.parametrize("of_user", [False, True], ids=["endpoint", "user"])
@pytest.mark.parametrize(("operator", "values", "fits", "differs", "absent"), ATTRIBUTE_CASES)
def test_attribute_operators(
    operator: str, values: tuple[str, ...], fits: list[str], differs: list[str], absent: bool, of_user: bool
) -> None:
    member = "user_attributes" if of_user else "attributes"
    condition: dict[str, Any] = {member: {"ride": AttributeDimension(AttributeOperator(operator), values)}}
    dimensions = Dimensions(**condition)
    assert found(dimensions, an_endpoint(**{member: {"ride": fits}}))
    assert not found(dimensions, an_endpoint(**{member: {"ride": differs}}))
    assert found(dimensions, an_endpoint(**{member: {"ride": []}})) is absent
    assert found(dimensions, an_endpoint()) is absent
    assert found(dimensions, an_endpoint(metrics={"ride": 1.0})) is absent  # held as a number it is no attribute
    other = "attributes" if of_user else "user_attributes"
    assert found(dimensions, an_endpoint(**{other: {"ride": fits}})) is absent


@pytest.mark.parametrize(
    ("operator", "below", "equal", "above"),
    [
        ("GREATER_THAN", False, False, True),
        ("GREATER_THAN_OR_EQUAL", False, True, True),
        ("LESS_THAN", True, False, False),
        ("LESS_THAN_OR_EQUAL", True, True, False),
        ("EQUAL", False, True, False),
    ],
)
def test_metric_operators(operator: str, below: bool, equal: bool, above: bool) -> None:
    dimensions = Dimensions(metrics={"score": MetricDimension(MetricOperator(operator), 2.5)})
    for value, expected in ((2.4, below), (2.5, equal), (2.6, above)):
        assert found(dimensions, an_endpoint(metrics={"score": value})) is expected
    assert not found(dimensions, an_endpoint(metrics={"other": 2.5}))
    assert not found(dimensions, an_endpoint(attributes={"score": ["2.5"]}))  # held as a text it is no metric


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize(
    ("field", "member"),
    [
        ("app_version", "AppVersion"),
        ("make", "Make"),
        ("model", "Model"),
        ("platform", "Platform"),
        ("device_type", "Platform"),
    ],
)
def test_demographic_fields(field: str, member: str, exclusive: bool) -> None:
    dimensions = Dimensions(demographic={DemographicField(field): SetDimension(("a", "b"), exclusive)})
    assert found(dimensions, an_endpoint(demographic={member: "b"})) is not exclusive
    assert found(dimensions, an_endpoint(demographic={member: "B"})) is exclusive
    assert found(dimensions, an_endpoint()) is exclusive


@pytest.mark.parametrize(
    ("channel", "wanted", "expected"),
    [
        ("EMAIL", "EMAIL", True),
        ("SMS", "EMAIL", False),
        ("APNS_VOIP", "PUSH", True),
        ("GCM", "PUSH", True),
        ("SMS", "PUSH", False),
        ("PUSH", "GCM", False),
        ("", "EMAIL", False),
    ],
)
def test_the_channel_push_covers_every_push_channel(channel: str, wanted: str, expected: bool) -> None:
    endpoint = an_endpoint(channel=channel)
    for exclusive in (False, True):
        dimensions = Dimensions(demographic={DemographicField.CHANNEL: SetDimension((wanted,), exclusive)})
        assert found(dimensions, endpoint) is (expected is not exclusive)


def test_country_and_place() -> None:
    country = Dimensions(country=SetDimension(("DE",)))
    assert found(country, an_endpoint(location={"Country": "DE"}))
    assert not found(country, an_endpoint(location={"Country": "de"}))
    assert not found(country, an_endpoint())
    berlin_to_hamburg = distance_kilometers(52.5, 13.4, 53.6, 10.0)
    assert 255 < berlin_to_hamburg < 265
    near = Dimensions(gps_point=GpsPoint(52.5, 13.4, berlin_to_hamburg))
    assert found(near, an_endpoint(location={"Latitude": 53.6, "Longitude": 10.0}))  # the end is inside
    assert not found(near, an_endpoint(location={"Latitude": 53.7, "Longitude": 10.0}))
    assert not found(near, an_endpoint(location={"Latitude": 53.6}))
    assert not found(near, an_endpoint())


@pytest.mark.parametrize(("name", "days"), [("HR_24", 1), ("DAY_7", 7), ("DAY_14", 14), ("DAY_30", 30)])
def test_recency_windows_hold_their_end(name: str, days: int) -> None:
    active = Dimensions(recency=Recency(RecencyDuration(name), active=True))
    inactive = Dimensions(recency=Recency(RecencyDuration(name), active=False))
    inside = an_endpoint(last_active_at=NOW - timedelta(days=days))
    outside = an_endpoint(last_active_at=NOW - timedelta(days=days, microseconds=1))
    assert (found(active, inside), found(active, outside)) == (True, False)
    assert (found(inactive, inside), found(inactive, outside)) == (False, True)


GOLD = Dimensions(attributes={"plan": AttributeDimension(AttributeOperator.INCLUSIVE, ("gold",))})
IOS = Dimensions(demographic={DemographicField.PLATFORM: SetDimension(("ios",))})


@pytest.mark.parametrize(
    ("how", "both", "one", "none"),
    [("ALL", True, False, False), ("ANY", True, True, False), ("NONE", False, False, True)],
)
def test_dimensions_groups_and_sources_combine_alike(how: str, both: bool, one: bool, none: bool) -> None:
    combination = Combination(how)
    library = {SegmentReference("gold"): rules_of(GOLD), SegmentReference("ios"): rules_of(IOS)}
    shapes = [
        rules_of(GOLD, IOS, type=combination),
        Rules(combination, (Group(dimensions=(GOLD,)), Group(dimensions=(IOS,)))),
        Rules(groups=(Group(sources=tuple(library), source_type=combination),)),
    ]
    people = [
        (an_endpoint(attributes={"plan": ["gold"]}, demographic={"Platform": "ios"}), both),
        (an_endpoint(attributes={"plan": ["gold"]}), one),
        (an_endpoint(), none),
    ]
    for rules in shapes:
        assert from_document(to_document(rules)) == rules
        for endpoint, expected in people:
            assert matches(rules, endpoint, NOW, library) is expected


def test_a_segment_without_groups_and_a_group_without_anything_mean_everybody() -> None:
    for how in Combination:
        assert matches(Rules(how), an_endpoint(), NOW)
    assert matches(Rules(groups=(Group(source_type=Combination.NONE, type=Combination.NONE),)), an_endpoint(), NOW)


def wanting(*values: str, name: str = "plan") -> Dimensions:
    return Dimensions(attributes={name: AttributeDimension(AttributeOperator.INCLUSIVE, values)})


def fields(rules: Rules) -> list[tuple[str, str]]:
    return [(problem.field, problem.reason) for problem in check_rules(rules)]


PLACE = "groups[0].dimensions[0].attributes[plan].values"


@pytest.mark.parametrize(
    ("at", "past", "field"),
    [
        pytest.param(wanting("x" * 100), wanting("x" * 101), f"{PLACE}[0]", id="100 characters a value"),
        pytest.param(wanting(*map(str, range(50))), wanting(*map(str, range(51))), PLACE, id="50 values"),
        pytest.param(
            wanting("x", name="n" * 50),
            wanting("x", name="n" * 51),
            f"groups[0].dimensions[0].attributes[{'n' * 51}]",
            id="50 characters a name",
        ),
    ],
)
def test_limits_of_one_condition(at: Dimensions, past: Dimensions, field: str) -> None:
    assert fields(rules_of(at)) == []
    assert [found_field for found_field, _ in fields(rules_of(past))] == [field]


def test_limits_of_a_whole_segment() -> None:
    hundred = [wanting("x", name=f"n{number}") for number in range(100)]
    assert fields(rules_of(*hundred)) == []
    metric = Dimensions(metrics={"m": MetricDimension(MetricOperator.EQUAL, 1)})
    assert fields(rules_of(*hundred, metric)) == [("groups", "TOO_MANY")]
    values = [wanting(*map(str, range(50))), wanting(*map(str, range(50)))]
    assert fields(rules_of(*values)) == []
    assert fields(rules_of(*values, wanting("x"))) == [("groups", "TOO_MANY")]
    assert fields(Rules(groups=(Group(),) * 5)) == []
    assert fields(Rules(groups=(Group(),) * 6)) == [("groups", "TOO_MANY")]


def test_operands_that_cannot_work_are_refused() -> None:
    def operands(operator: str, *values: str) -> list[tuple[str, str]]:
        entry = AttributeDimension(AttributeOperator(operator), values)
        return fields(rules_of(Dimensions(attributes={"plan": entry})))

    assert operands("CONTAINS", "") == [(f"{PLACE}[0]", "REQUIRED")]
    assert operands("AFTER", "2026-02-30", "soon") == [(f"{PLACE}[0]", "MALFORMED"), (f"{PLACE}[1]", "MALFORMED")]
    assert operands("BETWEEN", "2026-01-01") == [(PLACE, "OUT_OF_RANGE")]
    assert operands("BETWEEN", "2026-01-02", "2026-01-01") == [(f"{PLACE}[1]", "OUT_OF_RANGE")]
    assert operands("INCLUSIVE") == [(PLACE, "REQUIRED")]
    assert fields(rules_of(Dimensions())) == [("groups[0].dimensions[0]", "REQUIRED")]


def test_limits_of_an_update() -> None:
    def problems(**given: object) -> list[str]:
        return [problem.reason for problem in check_update(EndpointUpdate("e1", **given))]  # type: ignore[arg-type]

    assert problems(attributes={"n" * 50: ["v" * 100] * 50}) == []
    assert problems(attributes={"n" * 51: ["v"]}) == ["TOO_LONG"]
    assert problems(attributes={"n": ["v" * 101]}) == ["TOO_LONG"]
    assert problems(attributes={"n": ["v"] * 51}) == ["TOO_MANY"]
    assert problems(attributes={"": ["v"]}) == ["REQUIRED"]
    assert problems(location={"Latitude": 90.0, "Longitude": -180.0}) == []
    assert problems(location={"Latitude": 90.1, "Longitude": float("nan")}) == ["OUT_OF_RANGE", "OUT_OF_RANGE"]
    assert problems(location={"Latitude": 1.0}) == ["REQUIRED"]
    assert [p.reason for p in check_update(EndpointUpdate("x" * 129))] == ["TOO_LONG"]
    assert [p.reason for p in check_update(EndpointUpdate("a/b c:d@e"))] == []


def test_updates_of_one_endpoint_fold_into_one() -> None:
    first = EndpointUpdate("A", channel="SMS", attributes={"x": ["1"], "y": ["1"]}, opted_out=True, active=False)
    second = EndpointUpdate("a", address="+1", attributes={"x": []}, metrics={"m": 1.0})
    (folded,) = fold([first, second]).values()
    assert (folded.endpoint_id, folded.channel, folded.address) == ("A", "SMS", "+1")
    assert folded.attributes == {"x": [], "y": ["1"]}
    assert (folded.active, folded.opted_out) == (True, True)
