"""The laws, each a pure function from evidence to what breaks it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from heliograph_suite.check.evidence import CapSeen, Evidence, LedgerRow, Planned
from heliograph_suite.check.opt_outs import opted_out

TERMINAL = frozenset({"ACCEPTED", "DELIVERED", "FAILED", "SKIPPED", "IN_DOUBT"})
# Refused before the caps, so not a target (pinpoint-1 4.5).
NOT_TARGETED = frozenset(
    {
        "ENDPOINT_OPT_OUT", "ENDPOINT_INACTIVE", "ENDPOINT_MISSING_ADDRESS", "ENDPOINT_MISSING_CHANNEL",
        "ENDPOINT_CHANNEL_MISMATCH", "ENDPOINT_ERASED", "DUPLICATE_ADDRESS", "EXPIRED", "SUPPRESSED", "DAILY_CAP",
        "CAMPAIGN_CAP", "JOURNEY_CAP", "TIMEFRAME_CAP", "UNSUPPORTED_CHANNEL",
    }
)  # fmt: skip
GRACE_SECONDS = 60.0
REMEMBERED_SECONDS = 71 * 3600.0
"""How far back plans and announcements are looked for: an hour less than the outboxes keep them."""


@dataclass(frozen=True)
class Finding:
    """One thing that breaks a law, with what it was found at."""

    law: str
    subject: str
    words: str


def judge(evidence: Evidence, *, over: bool, in_flight: int | None = None) -> list[Finding]:
    """Hold the evidence to every law.

    `over`: everything is said to be done, so nothing may be pending. `in_flight`: how many messages were being handed
    over when things were killed, all kills together: no more may be in doubt; None does not ask.
    """
    findings = [
        *one_outcome(evidence, over=over),
        *doubts(evidence, in_flight=in_flight),
        *conservation(evidence, over=over),
        *order_of_truth(evidence),
        *isolation(evidence),
        *liveness(evidence),
    ]
    return sorted(findings, key=lambda finding: finding.law)


def one_outcome(evidence: Evidence, *, over: bool) -> Iterator[Finding]:
    """O1: every planned recipient has exactly one outcome, told once, and was sent as often as its class allows."""
    rows = {row.message_id: row for row in evidence.rows}
    for planned in {one.message_id: one for one in evidence.planned}.values():
        if planned.message_id not in rows and over:
            yield Finding("O1", planned.message_id, f"was planned in batch {planned.batch_id} and is not in the ledger")
    told = Counter(one.message_id for one in evidence.told)
    for row in evidence.rows:
        if row.status not in TERMINAL:
            if over:
                yield Finding("O1", row.message_id, f"has no outcome: {row.status}")
            continue
        if told[row.message_id] != 1 and row.age < REMEMBERED_SECONDS:
            yield Finding("O1", row.message_id, f"is {row.status}, and {told[row.message_id]} outcomes were told")
    if evidence.sent is None:
        return
    for message_id, count in evidence.sent.items():
        if message_id not in rows:
            yield Finding("O1", message_id, f"was sent {count} times and is not in the ledger")
    for row in evidence.rows:
        yield from _sent(row, evidence.sent.get(row.message_id, 0), knows_ids=row.way in evidence.knows_ids)


def _sent(row: LedgerRow, count: int, *, knows_ids: bool) -> Iterator[Finding]:
    if row.accepted and not count:
        yield Finding("O1", row.message_id, "was accepted, and the provider never had it")
    if count and row.status in ("SKIPPED", "FAILED") and not row.accepted:
        yield Finding("O1", row.message_id, f"is {row.status} ({row.reason}), and was sent {count} times")
    if count > 1 and (row.message_class != "transactional" or knows_ids):
        yield Finding("O1", row.message_id, f"of class {row.message_class} was sent {count} times")


def doubts(evidence: Evidence, *, in_flight: int | None) -> Iterator[Finding]:
    """O1: a doubt belongs to a call whose outcome nobody knows, and there are no more than were under way."""
    doubtful = [row for row in evidence.rows if row.status == "IN_DOUBT"]
    for row in doubtful:
        if not row.call_state:
            yield Finding("O1", row.message_id, "is in doubt, and was never handed to a provider")
        if row.way in evidence.knows_ids and row.call_state == "LOST":
            yield Finding("O1", row.message_id, "is in doubt, and its provider could be asked again")
    if in_flight is not None and len(doubtful) > in_flight:
        yield Finding("O1", "all runs", f"{len(doubtful)} are in doubt, and at most {in_flight} were under way")


def conservation(evidence: Evidence, *, over: bool) -> Iterator[Finding]:
    """O2: who was planned is counted, once, by everybody who counts."""
    planned: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one in evidence.planned:
        planned[one.project, one.run_id].add(one.message_id)
    # What was told first counts, not what a receipt made of it later.
    told = {one.message_id: one.outcome for one in evidence.told}
    counted: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in evidence.rows:
        counted[row.project, row.run_id][told.get(row.message_id) or _outcome(row)] += 1
    for run, ids in planned.items():
        total = sum(counted[run].values())
        if total > len(ids) or (over and total != len(ids)):
            yield Finding("O2", run[1], f"{len(ids)} were planned, the ledger has {total}")
    if not over:
        return
    for run, funnel in evidence.funnels.items():
        ours = {**dict(counted[run]), "TARGETED": len(planned[run])} if run in planned else dict(counted[run])
        for outcome in sorted({*funnel, *ours}):
            if outcome == "TARGETED" and run not in planned:
                continue
            if funnel.get(outcome, 0) != ours.get(outcome, 0):
                words = f"the campaign counts {funnel.get(outcome, 0)} {outcome}, the ledger has {ours.get(outcome, 0)}"
                yield Finding("O2", run[1], words)


def _outcome(row: LedgerRow) -> str:
    if row.accepted:
        return "ACCEPTED"
    return row.status if row.status in TERMINAL else "PENDING"


def order_of_truth(evidence: Evidence) -> Iterator[Finding]:
    """O4: nothing is handed over after a stop that was there before, in quiet time, or past a cap."""
    stops: dict[tuple[str, str, str], list[tuple[datetime, str]]] = defaultdict(list)
    for stop in evidence.stops:
        stops[stop.project, stop.channel, stop.address].append((stop.since, stop.why))
    planned = {one.message_id: one for one in evidence.planned}
    for row in evidence.rows:
        if row.call_started is None or row.status == "SKIPPED":
            continue
        for since, why in stops.get((row.project, row.channel, row.address), ()):
            if since < row.call_started:
                late = (row.call_started - since).total_seconds()
                yield Finding(
                    "O4", row.message_id, f"was handed over {late:.3f} s after its address was stopped: {why}"
                )
        one = planned.get(row.message_id)
        if one is not None and one.quiet and _is_quiet(one.quiet, one.time_zone, row.call_started):
            yield Finding("O4", row.message_id, f"was handed over in quiet time of {one.time_zone}")
    for row, words in opted_out(evidence, planned):
        yield Finding("O4", row.message_id, words)
    yield from _caps(evidence, planned)


def _is_quiet(quiet: tuple[str, str], zone: str, instant: datetime) -> bool:
    if not zone:
        return False
    try:
        local = f"{instant.astimezone(ZoneInfo(zone)):%H:%M}"
    except (KeyError, ValueError, OSError):
        return False
    start, end = quiet
    return start <= local <= end if start <= end else local >= start or local <= end


def _caps(evidence: Evidence, planned: dict[str, Planned]) -> Iterator[Finding]:
    targets: list[tuple[datetime, Planned]] = []
    for row in evidence.rows:
        one = planned.get(row.message_id)
        if one is None or one.ordinal < 0 or row.message_class == "transactional":
            continue
        if not (row.status == "SKIPPED" and row.reason in NOT_TARGETED) and row.reason != "UNSUPPORTED_CHANNEL":
            targets.append((row.created, one))
    targets.sort(key=lambda target: target[0])
    # Counting begins in a project with the first message that carries a cap.
    begun: dict[str, datetime] = {}
    for time, one in targets:
        if one.caps:
            begun.setdefault(one.project, time)
    seen: dict[tuple[str, str, int], list[datetime]] = defaultdict(list)
    for time, one in targets:
        if one.project not in begun or time < begun[one.project]:
            continue
        keys = {
            "SOURCE": (one.project, one.source, one.ordinal),
            "PROJECT": (one.project, "", one.ordinal),
            "JOURNEYS": (one.project, "journeys", one.ordinal),
        }
        for cap in one.caps:
            if _count(seen[keys[cap.scope]], cap, time) >= cap.limit:
                words = f"passes its cap of {cap.limit} ({cap.scope}, {cap.window_seconds:g} s)"
                yield Finding("O4", one.message_id, words)
        for scope, key in keys.items():
            if scope != "JOURNEYS" or one.message_class == "journey":
                seen[key].append(time)


def _count(times: Sequence[datetime], cap: CapSeen, now: datetime) -> int:
    if not cap.window_seconds:
        return len(times)
    return sum((now - time).total_seconds() < cap.window_seconds for time in times)


def isolation(evidence: Evidence) -> Iterator[Finding]:
    """O6: nothing of one project is in another's hands."""
    for row in evidence.rows:
        if row.source and not row.source.startswith(f"projects/{row.project}/"):
            yield Finding("O6", row.message_id, f"of project {row.project} comes from {row.source}")
    for letter in evidence.letters:
        named = {letter.project, letter.subject_project, letter.payload_project} - {""}
        if len(named) > 1:
            yield Finding("O6", f"{letter.schema}.outbox {letter.id}", f"names the projects {', '.join(sorted(named))}")
    owners: dict[str, str] = {}
    for row in evidence.rows:
        if owners.setdefault(row.message_id, row.project) != row.project:
            yield Finding("O6", row.message_id, f"is in the ledger of {owners[row.message_id]} and of {row.project}")


def liveness(evidence: Evidence) -> Iterator[Finding]:
    """O7: nothing is stuck: no lease that ended a minute ago with work left, no message that nobody publishes."""
    for row in evidence.rows:
        stuck = not row.finished and row.lease_left < -GRACE_SECONDS
        if row.status not in TERMINAL and stuck and row.call_state == "DISPATCHING":
            yield Finding(
                "O7", row.message_id, f"is being handed over since its lease ended {-row.lease_left:.0f} s ago"
            )
        if row.status not in TERMINAL and row.finished:
            yield Finding("O7", row.message_id, f"is {row.status} in a batch that is finished")
    for letter in evidence.letters:
        name = f"{letter.schema}.outbox {letter.id}"
        if letter.refused:
            yield Finding("O7", name, f"was refused by the bus: {letter.refused}")
        elif not letter.published and letter.age > GRACE_SECONDS:
            yield Finding("O7", name, f"waits to be published for {letter.age:.0f} s")
        elif letter.kind == "messages" and evidence.in_log is not None and letter.id not in evidence.in_log:
            yield Finding("O7", name, "was published, and the event log does not have it")
