"""The simulator registrar: decides about papers after a while, as their own text asks for.

It keeps nothing. The reference holds the time of submission and the decisions to come, so any process, after any
restart and with any clock, computes the same history from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from heliograph_channels import Decision, DecisionState, Registrar, Submission, SubmissionKind, with_defaults

__all__ = ["SimulatorRegistrar"]

_DAY = 86400.0
_PREFIX = "sim1."
_REJECT = re.compile(r"\bReject(?::([A-Z_]{3,60}))?\b")
_SUSPEND = re.compile(r"\bSuspend\b")
_SCORE = re.compile(r"\bScore:([0-9]{1,3})\b")
_APPROVALS = {
    SubmissionKind.BRAND: DecisionState.VERIFIED,
    SubmissionKind.USE_CASE: DecisionState.APPROVED,
    SubmissionKind.NUMBER: DecisionState.READY,
}
_CAUSES = {SubmissionKind.BRAND: "ATTRIBUTES_MISMATCH", SubmissionKind.USE_CASE: "USE_CASE_SAMPLES_INCONSISTENT"}


def _delay(default: float, description: str) -> dict[str, object]:
    return {"type": "number", "minimum": 0, "default": default, "description": description + " Seconds."}


class SimulatorRegistrar(Registrar):
    """Verifies brands after an hour, approves use cases after a day, readies numbers after 14 days (pinpoint-2 4.9).

    What a field says changes that: `Reject` rejects and names the field, `Reject:WEBSITE_MISSING_OR_DOWN` also chooses
    the cause (pinpoint-2 4.7), `Score:42` sets a brand's vetting score, `Suspend` suspends a use case after approval.
    """

    name = "simulator"
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "brand_delay": _delay(3600.0, "From a brand's submission to the decision."),
            "use_case_delay": _delay(_DAY, "From a use case's submission to the decision."),
            "number_delay": _delay(14 * _DAY, "From a number's association to the decision."),
            "suspension_delay": _delay(30 * _DAY, "From the approval of a use case marked Suspend to its suspension."),
            "vetting_score": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "description": "Score of every brand that does not ask for one; left out: 1..100 by its id's hash.",
            },
        },
    }

    def __init__(self, settings: Mapping[str, object] | None = None) -> None:
        """Take checked settings; None = the defaults."""
        self._settings = with_defaults(self.settings_schema, settings or {})

    def configured(self, settings: Mapping[str, object]) -> SimulatorRegistrar:
        """Return a simulator with these settings.

        Raises:
            ValueError: the settings do not fit the schema.
        """
        if problems := self.check_settings(settings):
            raise ValueError("; ".join(f"{problem.field} {problem.description}" for problem in problems))
        return SimulatorRegistrar(settings)

    async def submit(self, submission: Submission) -> str:
        """Write the decisions to come into the reference."""
        plan = {
            "i": hashlib.blake2b(submission.id.encode(), digest_size=8).hexdigest(),
            "k": submission.kind.value,
            "t": submission.submitted_at.astimezone(UTC).isoformat(),
            "d": self._plan(submission),
        }
        return _PREFIX + base64.urlsafe_b64encode(json.dumps(plan, separators=(",", ":")).encode()).decode().rstrip("=")

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Read the decisions whose time has come out of the references."""
        decisions: list[Decision] = []
        for reference in references:
            decisions.extend(decision for decision in _decisions(reference) if decision.at <= now)
        return decisions

    def _plan(self, submission: Submission) -> list[list[object]]:
        delay = cast(float, self._settings[f"{submission.kind.lower()}_delay"])
        for name, value in sorted(submission.fields.items()):
            if asked := _REJECT.search(value):
                cause = asked[1] or _CAUSES.get(submission.kind, "ATTRIBUTES_MISMATCH")
                return [[delay, "REJECTED", cause, name[:100], {}]]
        attributes = {}
        if submission.kind is SubmissionKind.BRAND:
            attributes["vetting_score"] = str(self._score(submission))
        plan: list[list[object]] = [[delay, _APPROVALS[submission.kind].value, "", "", attributes]]
        if submission.kind is SubmissionKind.USE_CASE:
            for name, value in sorted(submission.fields.items()):
                if _SUSPEND.search(value):
                    later = delay + cast(float, self._settings["suspension_delay"])
                    plan.append([later, "SUSPENDED", "OPT_IN_NOT_COMPLIANT", name[:100], {}])
                    break
        return plan

    def _score(self, submission: Submission) -> int:
        for _, value in sorted(submission.fields.items()):
            if asked := _SCORE.search(value):
                return min(100, int(asked[1]))
        if "vetting_score" in self._settings:
            return cast(int, self._settings["vetting_score"])
        return int.from_bytes(hashlib.blake2b(submission.id.encode(), digest_size=4).digest(), "big") % 100 + 1


def _decisions(reference: str) -> list[Decision]:
    """Decode a reference; one that is not ours has no decisions."""
    if not reference.startswith(_PREFIX):
        return []
    text = reference[len(_PREFIX) :]
    try:
        plan = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        start = datetime.fromisoformat(plan["t"])
        return [
            Decision(reference, DecisionState(state), start + timedelta(seconds=delay), cause, field, attributes)
            for delay, state, cause, field, attributes in plan["d"]
        ]
    except (ValueError, KeyError, TypeError):
        return []
