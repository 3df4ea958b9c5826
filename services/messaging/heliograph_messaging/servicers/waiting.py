"""Waiting for the results of direct sends, as long as the caller wants and can."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from heliograph.messaging.v1 import messages_pb2, otp_pb2
from heliograph_kit.deadline import remaining_seconds
from heliograph_kit.errors import Violations
from heliograph_messaging.service.direct_answers import fill, message_id
from heliograph_messaging.service.outcomes import Outcomes

LONGEST = timedelta(seconds=10)


def wait_seconds(
    request: messages_pb2.SendMessagesRequest | messages_pb2.SendUsersMessagesRequest | otp_pb2.SendOTPRequest,
) -> float:
    """Return for how many seconds the caller wants to wait; 0: not at all.

    Raises:
        InvalidArgument: below 0, or more than 10 seconds.
    """
    if not request.HasField("wait_for_result"):
        return 0.0
    found, wait = Violations(), request.wait_for_result
    if wait.seconds < 0 or wait.nanos < 0 or wait.seconds + wait.nanos / 1e9 > LONGEST.total_seconds():
        found.add("wait_for_result", f"must be 0 to {LONGEST.total_seconds():g} seconds", "INVALID_ARGUMENT")
    found.check()
    return float(wait.seconds + wait.nanos / 1e9)


class Patience:
    """Waits for providers and fills their answers in."""

    def __init__(self, outcomes: Outcomes) -> None:
        """Take where outcomes are seen."""
        self._outcomes = outcomes

    async def fill(self, project: str, messages: Sequence[messages_pb2.TakenMessage], seconds: float) -> None:
        """Wait at most so long, and less when the call ends before; what is not answered by then stays QUEUED."""
        left = remaining_seconds()
        # The answer must still be on its way when the caller gives up.
        patience = seconds if left is None else min(seconds, left * 0.9)
        ids = [message_id(one) for one in messages if one.message]
        fill(messages, await self._outcomes.of(project, ids, patience))
