"""O4 of SMS: who is on the opt-out list of the number that writes to him is not written to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime

from heliograph_suite.check.evidence import Evidence, LedgerRow, OptedOut, Planned, Sender

DEFAULT_LIST = "Default"
"""The list of numbers that have no other, of sender ids and of shared routes."""


def opted_out(evidence: Evidence, planned: Mapping[str, Planned]) -> Iterator[tuple[LedgerRow, str]]:
    """Yield each message that was handed over to somebody who had opted out of its sender before, and words about it.

    The list is that of the number or the pool it left from. One that was set up anew after the hand-over may have had another
    list then, and a message whose plan is no longer kept may have named any pool: neither is judged.
    """
    senders = {(one.project, one.kind, one.id): one for one in evidence.senders}
    stays: dict[tuple[str, str, str], list[OptedOut]] = defaultdict(list)
    for stay in evidence.opted_out:
        stays[stay.project, stay.opt_out_list, stay.number].append(stay)
    for row in evidence.rows:
        plan = planned.get(row.message_id)
        handed_over = row.call_started
        if row.channel != "SMS" or row.status == "SKIPPED" or handed_over is None or plan is None or plan.automatic:
            continue
        name = _list_of(row, plan, senders, handed_over)
        for stay in stays.get((row.project, name, row.address), ()) if name else ():
            if stay.since < handed_over and (stay.until is None or handed_over < stay.until):
                late = (handed_over - stay.since).total_seconds()
                yield row, f"was handed over {late:.3f} s after its number came on the opt-out list {name}"


def _list_of(
    row: LedgerRow, plan: Planned, senders: Mapping[tuple[str, str, str], Sender], handed_over: datetime
) -> str | None:
    """Return the list that held when a message was handed over; None: nobody's, or it cannot be known any more."""
    sender = senders.get((row.project, "originations", row.origination))
    if sender is None:
        if not plan.pool:
            return DEFAULT_LIST
        # A sender id or a shared route of a pool keeps to the list of the pool.
        sender = senders.get((row.project, "pools", plan.pool))
    if sender is None or (sender.since is not None and sender.since > handed_over):
        return None
    return sender.opt_out_list
