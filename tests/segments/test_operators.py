"""How conditions combine, and the limits of segments and updates; what each operator means is in `operator_table.py`."""

from __future__ import annotations

import pytest

from heliograph_segments.domain.checking import check_rules
from heliograph_segments.domain.codec import from_document, to_document
from heliograph_segments.domain.endpoints import EndpointUpdate, check_update, fold
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
    Rules,
    SegmentReference,
    SetDimension,
)
from tests.segments.builders import NOW, an_endpoint, rules_of


def test_distances_are_those_of_the_map() -> None:
    assert 255 < distance_kilometers(52.5, 13.4, 53.6, 10.0) < 265  # Berlin, Hamburg
    assert 20_010 < distance_kilometers(0, 0, 0, 180) < 20_020


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
    for count in (1, 3):
        assert operands("BETWEEN", *["2026-01-01"] * count) == [(PLACE, "OUT_OF_RANGE")]
    assert operands("BETWEEN", "2026-01-02", "2026-01-01") == [(f"{PLACE}[1]", "OUT_OF_RANGE")]
    assert operands("INCLUSIVE") == [(PLACE, "REQUIRED")]
    metric = MetricDimension(MetricOperator.EQUAL, float("nan"))
    metric_path = "groups[0].dimensions[0].metrics[m].value"
    assert fields(rules_of(Dimensions(metrics={"m": metric}))) == [(metric_path, "OUT_OF_RANGE")]
    for kilometers in (0.0, -1.0, float("nan"), 20_101.0):
        point = rules_of(Dimensions(gps_point=GpsPoint(0, 0, kilometers)))
        assert fields(point) == [("groups[0].dimensions[0].location.gps_point.range_kilometers", "OUT_OF_RANGE")]
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
