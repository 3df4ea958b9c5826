"""The launch plan on the wire: a request checked as a whole, a plan written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from heliograph.registry10dlc.v1 import launch_pb2
from heliograph_channels.parts import MAX_GSM_CHARACTERS, MAX_UCS2_UNITS, measure
from heliograph_channels.us_carriers import Carrier, pacific_day
from heliograph_kit.errors import InvalidArgument, Violations
from heliograph_kit.instants import timestamp
from heliograph_kit.names import ResourceName, parse_name, project_of
from heliograph_registry10dlc.allowance import BUNDLED, DEFAULT, AllowanceTable
from heliograph_registry10dlc.domain import IN_FORCE, Kind, Registration, State
from heliograph_registry10dlc.errors import COLLECTION
from heliograph_registry10dlc.launch import UNKNOWN, Launch, Plan, alternatives, plan, remarks_of

MOST_RECIPIENTS = 1_000_000_000
"""Of one carrier."""
MOST_PARTS = 10
LEAST_RATE, MOST_RATE = 0.001, 10_000
"""Parts a second of numbers on this platform."""
BACK, AHEAD = timedelta(days=1), timedelta(days=731)
"""How far from now a start may be. A little in the past is where one ends up who asks for now."""

_CARRIERS = (*map(str, Carrier), UNKNOWN)
_OVER = (State.REJECTED, State.DELETED)


@dataclass(frozen=True)
class Asked:
    """A request that is in order."""

    use_case: ResourceName
    audience: Mapping[str, int]
    parts: int
    start: datetime
    used_today: int
    platform_parts_per_second: float


def read_request(request: launch_pb2.PlanLaunchRequest, *, now: datetime) -> Asked:
    """Check a request.

    Raises:
        InvalidArgument: with everything that is wrong with it.
    """
    found = Violations()
    use_case = _use_case(request, found)
    audience = _audience(request, found)
    parts = _parts(request, found)
    start = _start(request, now, found)
    rate = request.platform_parts_per_second
    if rate and not LEAST_RATE <= rate <= MOST_RATE:  # NaN is not, either
        words = f"must be {LEAST_RATE} to {MOST_RATE:,} parts a second, or 0 for what carriers let through"
        found.add("platform_parts_per_second", words, "OUT_OF_RANGE")
    if not 0 <= request.used_today <= MOST_RECIPIENTS:
        found.add("used_today", f"must be 0 to {MOST_RECIPIENTS:,} parts", "OUT_OF_RANGE")
    found.check()
    assert use_case is not None
    # What was used today is of no concern to a send that starts on another day of the caps.
    used_today = request.used_today if pacific_day(start) == pacific_day(now) else 0
    return Asked(use_case, audience, parts, start, used_today, rate)


def plan_launch(
    request: launch_pb2.PlanLaunchRequest,
    use_case: Registration,
    brand: Registration,
    *,
    now: datetime,
    table: AllowanceTable = DEFAULT,
    shares: Mapping[Carrier, float] = BUNDLED.shares,
    account_messages_per_second: float = 0.0,
) -> launch_pb2.LaunchPlan:
    """Plan what a request asks for, through a use case of a brand.

    The score that counts is the use case's: the one its brand had when it was created (pinpoint-2 4.3). `account_messages_per_second`:
    0 where the installation has no such limit.

    Raises:
        InvalidArgument: with everything that is wrong with the request.
    """
    asked = read_request(request, now=now)
    launch = Launch(
        audience=asked.audience,
        parts=asked.parts,
        use_case=use_case.fields.get("campaignUseCase.useCase", ""),
        score=max(0, use_case.vetting_score),
        start=asked.start,
        used_today=asked.used_today,
        platform_parts_per_second=asked.platform_parts_per_second,
        account_messages_per_second=account_messages_per_second,
    )
    made = plan(launch, table, shares)
    standing = [*_standing("use case", use_case), *_standing("brand", brand), *_better_score(use_case, brand)]
    if use_case.state in _OVER or brand.state in _OVER:
        return _nothing(made, standing)
    return plan_to_proto(made, standing)


def plan_to_proto(made: Plan, standing: list[str]) -> launch_pb2.LaunchPlan:
    """Write a plan, after its own remarks those about where its registrations stand."""
    better = alternatives(made)
    answer = launch_pb2.LaunchPlan(
        finish_time=timestamp(made.finish),
        duration_seconds=made.duration.total_seconds() if made.duration is not None else 0.0,
        part_count=made.parts,
        shares={str(carrier): share for carrier, share in made.shares.items()},
        table_version=made.table.version,
        remarks=[*remarks_of(made, better), *standing],
    )
    for carrier in made.carriers:
        answer.carriers.add(
            carrier=carrier.carrier,
            part_count=carrier.parts,
            parts_per_second=carrier.parts_per_second,
            parts_per_day=carrier.parts_per_day,
            finish_time=timestamp(carrier.finish),
        )
    for day in made.days:
        answer.days.add(day=day.day.isoformat(), part_count=day.parts, cap_time=timestamp(day.cap_time))
    for one in better:
        saved = one.saved.total_seconds() if one.saved is not None else 0.0
        answer.what_if.add(change=one.change, finish_time=timestamp(one.finish), saved_seconds=saved)
    return answer


def _nothing(made: Plan, standing: list[str]) -> launch_pb2.LaunchPlan:
    """Write that nothing may ever be sent."""
    answer = launch_pb2.LaunchPlan(part_count=made.parts, table_version=made.table.version, remarks=standing)
    for carrier in made.carriers:
        answer.carriers.add(
            carrier=carrier.carrier,
            part_count=carrier.parts,
            parts_per_second=carrier.parts_per_second,
            parts_per_day=carrier.parts_per_day,
        )
    return answer


def _standing(what: str, registration: Registration) -> list[str]:
    state = registration.state
    if state in _OVER:
        return [f"The {what} is {state}: nothing is ever sent through it."]
    good = "VERIFIED" if registration.kind is Kind.BRAND else "APPROVED"
    return (
        [] if state in IN_FORCE[registration.kind] else [f"The {what} is {state}: nothing is sent before it is {good}."]
    )


def _better_score(use_case: Registration, brand: Registration) -> list[str]:
    if brand.vetting_score <= use_case.vetting_score:
        return []
    words = (
        f"The brand has a vetting score of {brand.vetting_score} by now; the use case keeps the {use_case.vetting_score} of its "
        "creation. One that is created now gets the better one."
    )
    return [words]


def _use_case(request: launch_pb2.PlanLaunchRequest, found: Violations) -> ResourceName | None:
    project = use_case = None
    try:
        project = project_of(request.parent, field="parent")
    except InvalidArgument as error:
        found.extend(error.violations)
    try:
        use_case = parse_name(request.use_case, COLLECTION[Kind.USE_CASE], field="use_case")
    except InvalidArgument as error:
        found.extend(error.violations)
    if project and use_case and use_case.project != project:
        found.add("use_case", "must belong to the same project", "OTHER_PROJECT")
    return use_case


def _audience(request: launch_pb2.PlanLaunchRequest, found: Violations) -> dict[str, int]:
    if not request.audience:
        found.add("audience", "is required: recipients by carrier, UNKNOWN where nobody knows it", "REQUIRED")
    if len(request.audience) > len(_CARRIERS):
        found.add("audience", f"must have at most {len(_CARRIERS)} entries, one for each carrier", "TOO_MANY")
    audience: dict[str, int] = {}
    for index, entry in enumerate(request.audience[: len(_CARRIERS)]):
        if entry.carrier not in _CARRIERS:
            found.add(f"audience[{index}].carrier", f"must be one of {', '.join(_CARRIERS)}", "UNKNOWN_VALUE")
        elif entry.carrier in audience:
            found.add(f"audience[{index}].carrier", "must not come twice", "DUPLICATE")
        if not 0 <= entry.recipient_count <= MOST_RECIPIENTS:
            words = f"must be 0 to {MOST_RECIPIENTS:,}"
            found.add(f"audience[{index}].recipient_count", words, "OUT_OF_RANGE")
        audience[entry.carrier] = entry.recipient_count
    return audience


def _parts(request: launch_pb2.PlanLaunchRequest, found: Violations) -> int:
    """Return the parts of a message, measured where they are not given; a text of 1,600 characters has 11."""
    parts = request.parts_per_message
    if not 0 <= parts <= MOST_PARTS:
        found.add("parts_per_message", f"must be 1 to {MOST_PARTS}, or 0 to measure the body", "OUT_OF_RANGE")
    size = measure(request.body)
    if size.too_long:
        words = f"must have at most {MAX_GSM_CHARACTERS:,} characters"
        if size.encoding != "GSM-7":
            words = f"must have at most {MAX_UCS2_UNITS} UTF-16 units, as not all of its characters are in GSM 03.38"
        found.add("body", words, "TOO_LONG")
    if not parts and not request.body:
        found.add("body", "is required when parts_per_message is 0", "REQUIRED")
    return parts or size.parts


def _start(request: launch_pb2.PlanLaunchRequest, now: datetime, found: Violations) -> datetime:
    if not request.HasField("start_time"):
        return now
    try:
        start = request.start_time.ToDatetime(UTC)
    except (ValueError, OverflowError):
        found.add("start_time", "is no instant between the years 1 and 9999", "OUT_OF_RANGE")
        return now
    if not now - BACK <= start <= now + AHEAD:
        found.add("start_time", f"must be at most {BACK.days} day ago and {AHEAD.days} days ahead", "OUT_OF_RANGE")
        return now
    return start
