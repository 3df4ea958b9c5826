"""Every operator of pinpoint-1 3.3 over endpoints that have the value, lack it, have it empty, or hold something else.

One table, to which the reference evaluator, the index, the SQL and the explanations are all held.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from heliograph_segments.domain.endpoints import CHANNELS, PUSH_CHANNELS
from heliograph_segments.domain.evaluator import distance_kilometers
from heliograph_segments.domain.segments import (
    DEMOGRAPHIC_MEMBERS,
    AttributeDimension,
    AttributeOperator,
    DemographicField,
    Dimensions,
    GpsPoint,
    MetricDimension,
    MetricOperator,
    Recency,
    RecencyDuration,
    SetDimension,
)


class Cell(NamedTuple):
    """An endpoint, by the fields that matter, and whether it matches."""

    state: str
    endpoint: dict[str, Any]
    matches: bool


class Condition(NamedTuple):
    """A row of the table."""

    words: str
    dimensions: Dimensions
    cells: tuple[Cell, ...]


def table(now: datetime, slack: timedelta = timedelta(0)) -> list[Condition]:
    """Return the whole table; windows of recency are met and missed by `slack`, and by nothing when it is zero."""
    return [*_attributes(), *_metrics(), *_sets(), *_channels(), *_places(), *_recencies(now, slack)]


# operator, values asked, lists that fit, lists that do not; then whether nothing at all fits
_ATTRIBUTES: list[tuple[str, tuple[str, ...], list[list[str]], list[list[str]], bool]] = [
    ("INCLUSIVE", ("Bus", "Tram"), [["Bus"], ["Car", "Tram"]], [["bus"], ["Busses"], ["Bus "], [""]], False),
    ("INCLUSIVE", ("",), [[""], ["x", ""]], [[" "], ["x"]], False),
    ("EXCLUSIVE", ("Bus", "Tram"), [["Car"], ["bus", "tram"], [""]], [["Bus"], ["Car", "Tram"]], True),
    ("CONTAINS", ("ew",), [["New"], ["x", "ewe"], ["ew"]], [["EW"], ["e", "w"], ["e w"], [""]], False),
    ("CONTAINS", ("%", "_x"), [["5 %"], ["a_x"]], [["ax"], ["_"]], False),
    ("BEFORE", ("2026-03-04",), [["2026-03-03T23:59:59.999999Z"], ["x", "1999-01-01"]], [["2026-03-04"]], False),
    ("BEFORE", ("2026-03-04", "2026-03-06"), [["2026-03-05"]], [["2026-03-06"]], False),
    ("AFTER", ("2026-03-04",), [["2026-03-04T00:00:00.000001Z"], ["x", "2026-03-05"]], [["2026-03-04"]], False),
    ("AFTER", ("2026-03-04", "2026-03-06"), [["2026-03-05"]], [["2026-03-04"]], False),
    ("ON", ("2026-03-04T12:00:00Z",), [["2026-03-04"], ["2026-03-05T00:30+01:00"]], [["2026-03-05"]], False),
    (
        "BETWEEN",
        ("2026-03-01", "2026-03-04"),
        [["2026-03-01"], ["2026-03-04T00:00:00Z"], ["2026", "2026-03-02"]],
        [["2026-02-28T23:59:59.999Z"], ["2026-03-04T00:00:00.000001Z"]],
        False,
    ),
]
# What looks like an instant, and is none.
_UNPARSABLE = ["", "tomorrow", "7", "1772582400", "2026-02-30", "2026-03-04 00:00", "2026-03-04T24:00Z", "04.03.2026"]


def _attributes() -> Iterator[Condition]:
    for member, other in (("attributes", "user_attributes"), ("user_attributes", "attributes")):
        for operator, values, fitting, differing, without in _ATTRIBUTES:
            given: dict[str, Any] = {member: {"ride": AttributeDimension(AttributeOperator(operator), values)}}
            cells = [Cell("present", {member: {"ride": held}}, True) for held in fitting]
            cells += [Cell("present, different", {member: {"ride": held}}, False) for held in differing]
            if operator in ("BEFORE", "AFTER", "ON", "BETWEEN"):
                cells += [Cell(f"unparsable {text!r}", {member: {"ride": [text]}}, False) for text in _UNPARSABLE]
            cells += [
                Cell("empty list", {member: {"ride": []}}, without),
                Cell("absent", {}, without),
                Cell("absent beside others", {member: {"Ride": fitting[0]}}, without),
                Cell("a number", {"metrics": {"ride": 1.0}}, without),
                Cell(f"held in {other}", {other: {"ride": fitting[0]}}, without),
            ]
            yield Condition(f"{member} {operator} {','.join(values)}", Dimensions(**given), tuple(cells))


# Of the values below, equal to and above the one asked for: which match.
_COMPARED = {
    "GREATER_THAN": (False, False, True),
    "GREATER_THAN_OR_EQUAL": (False, True, True),
    "LESS_THAN": (True, False, False),
    "LESS_THAN_OR_EQUAL": (True, True, False),
    "EQUAL": (False, True, False),
}


def _metrics() -> Iterator[Condition]:
    ladders = [
        (2.5, (2.4999999999999996, 2.5, 2.5000000000000004)),
        (0.0, (-1e-300, -0.0, 1e-300)),
        (-3.0, (-1e308, -3.0, 0.0)),
    ]
    for operator, expected in _COMPARED.items():
        for asked, ladder in ladders:
            cells = [
                Cell(f"present, {value!r}", {"metrics": {"ride": value}}, fits)
                for value, fits in zip(ladder, expected, strict=True)
            ]
            cells += [
                Cell("absent", {}, False),
                Cell("absent beside others", {"metrics": {"Ride": asked}}, False),
                Cell("a text", {"attributes": {"ride": [f"{asked}"]}}, False),
                Cell("an empty text", {"attributes": {"ride": [""]}}, False),
                Cell("an empty list", {"attributes": {"ride": []}}, False),
            ]
            wanted = MetricDimension(MetricOperator(operator), asked)
            yield Condition(f"metrics {operator} {asked}", Dimensions(metrics={"ride": wanted}), tuple(cells))


def _sets() -> Iterator[Condition]:
    for field, member in DEMOGRAPHIC_MEMBERS.items():
        for asked, exclusive in ((("a", "b"), False), (("a", "b"), True), (("",), False), (("",), True)):
            dimensions = Dimensions(demographic={field: SetDimension(asked, exclusive)})
            yield Condition(
                _words(field, asked, exclusive), dimensions, _set_cells("demographic", member, asked, exclusive)
            )
    for asked, exclusive in ((("a", "b"), False), (("a", "b"), True)):
        dimensions = Dimensions(country=SetDimension(asked, exclusive))
        yield Condition(
            _words("country", asked, exclusive), dimensions, _set_cells("location", "Country", asked, exclusive)
        )


def _set_cells(place: str, member: str, asked: Sequence[str], exclusive: bool) -> tuple[Cell, ...]:
    def cell(state: str, endpoint: dict[str, Any], equals: bool) -> Cell:
        return Cell(state, endpoint, equals is not exclusive)

    other = {"demographic": {"Locale": asked[0]}} if place == "demographic" else {"location": {"City": asked[0]}}
    return (
        *(cell(f"present, {text!r}", {place: {member: text}}, True) for text in asked),
        *(cell(f"present, {text!r}", {place: {member: text}}, text in asked) for text in ("c", "A", "a ", "")),
        cell("absent", {}, False),
        cell("another member", other, False),
        cell("an attribute", {"attributes": {member: [asked[0]]}}, False),
        cell("a number", {"metrics": {member: 1.0}}, False),
    )


def _channels() -> Iterator[Condition]:
    for asked in (("EMAIL",), ("PUSH",), ("GCM",), ("PUSH", "SMS"), ("email",), ("",)):
        covered = {*asked, *(PUSH_CHANNELS if "PUSH" in asked else ())} - {""}
        for exclusive in (False, True):
            cells = [
                Cell(f"present, {channel}", {"channel": channel}, (channel in covered) is not exclusive)
                for channel in sorted(CHANNELS)
            ]
            cells += [
                Cell("absent", {"channel": ""}, exclusive),
                Cell("an attribute", {"channel": "", "attributes": {"ChannelType": [asked[0]]}}, exclusive),
                Cell("a demographic", {"channel": "", "demographic": {"Platform": asked[0]}}, exclusive),
            ]
            dimensions = Dimensions(demographic={DemographicField.CHANNEL: SetDimension(asked, exclusive)})
            yield Condition(_words("channel", asked, exclusive), dimensions, tuple(cells))


def _words(field: str, asked: Sequence[str], exclusive: bool) -> str:
    return f"{field} {'EXCLUSIVE' if exclusive else 'INCLUSIVE'} {','.join(asked)}"


def _places() -> Iterator[Condition]:
    """The range ends exactly at the endpoint that is farthest away and still inside."""
    centers = {
        "Berlin": (52.5, 13.4, 53.6, 10.0),
        "the date line": (0.0, 179.9, 0.0, -179.9),
        "the pole": (90.0, 0.0, 88.0, 180.0),
    }
    for words, (latitude, longitude, edge_latitude, edge_longitude) in centers.items():
        reach = distance_kilometers(latitude, longitude, edge_latitude, edge_longitude)
        beyond = (round(edge_latitude - 0.1, 1), edge_longitude) if edge_latitude else (0.1, edge_longitude)
        if words == "Berlin":
            beyond = (53.7, 10.0)
        cells = (
            Cell("present, the centre", {"location": {"Latitude": latitude, "Longitude": longitude}}, True),
            Cell("present, the end", {"location": {"Latitude": edge_latitude, "Longitude": edge_longitude}}, True),
            Cell("present, beyond the end", {"location": {"Latitude": beyond[0], "Longitude": beyond[1]}}, False),
            Cell("absent", {}, False),
            Cell("empty", {"location": {}}, False),
            Cell("a country alone", {"location": {"Country": "DE"}}, False),
            Cell("half", {"location": {"Latitude": latitude}}, False),
            Cell("the other half", {"location": {"Longitude": longitude}}, False),
            Cell("numbers elsewhere", {"metrics": {"Latitude": latitude, "Longitude": longitude}}, False),
        )
        yield Condition(
            f"within {reach:.0f} km of {words}", Dimensions(gps_point=GpsPoint(latitude, longitude, reach)), cells
        )


def _recencies(now: datetime, slack: timedelta) -> Iterator[Condition]:
    moment = timedelta(microseconds=1)
    for duration in RecencyDuration:
        begin = now - duration.length
        seen = {
            "now": (now, True),
            "in the future": (now + timedelta(days=1), True),
            "the first instant": (begin + slack, True),
            "an instant before": (begin - slack - moment, False),
            "long ago": (now - timedelta(days=4000), False),
        }
        for active in (True, False):
            cells = (Cell(words, {"last_active_at": at}, inside is active) for words, (at, inside) in seen.items())
            kind = "ACTIVE" if active else "INACTIVE"
            yield Condition(f"recency {duration} {kind}", Dimensions(recency=Recency(duration, active)), tuple(cells))
