"""The simulator registrar: decides about papers after a while, as their own text asks for.

It keeps nothing. The reference holds the time of submission and the decisions to come, so any process, after any
restart and with any clock, computes the same history from it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from heliograph_channel_simulator.fictions import area_code_problem, lasting_id
from heliograph_channel_simulator.scripts import DAY, Step, asked_score, steps
from heliograph_channels import (
    Decision,
    DecisionState,
    Finding,
    Refused,
    Registrar,
    Submission,
    SubmissionKind,
    with_defaults,
)

__all__ = ["SimulatorRegistrar"]

_PREFIX = "sim2."
_LONGEST = 1000
_DELAYS = {
    "brand_delay": (3600.0, "From a brand's submission to the decision."),
    "vetting_delay": (60.0, "From the order of a vetting to its score."),
    "use_case_delay": (DAY, "From a use case's submission to the decision."),
    "number_delay": (14 * DAY, "From a number's association to the decision."),
    "toll_free_delay": (15 * DAY, "From a toll-free registration's submission to the decision."),
    "order_delay": (60.0, "From the order of a number to the number."),
    "disassociation_delay": (DAY, "From a number's disassociation to its end."),
    "renewal_delay": (3600.0, "From a renewal to the decision."),
    "authentication_delay": (DAY, "From NEEDS_AUTHENTICATION of a brand to the proof."),
    "suspension_delay": (30 * DAY, "From coming into force to the suspension, where a field says Suspend."),
    "lift_delay": (7 * DAY, "From a suspension to its end, where a field says Lift."),
    "expiry_delay": (60 * DAY, "From coming into force to running out, where a field says Expire."),
}


class SimulatorRegistrar(Registrar):
    """Verifies brands after an hour, approves use cases after a day, readies numbers after 14 days (pinpoint-2 4.9).

    What a field says changes that; `scripts` has the list.
    """

    name = "simulator"
    chooses_area_code = True
    settings_schema: Mapping[str, object] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            **{
                name: {"type": "number", "minimum": 0, "default": default, "description": words + " Seconds."}
                for name, (default, words) in _DELAYS.items()
            },
            "registration_days": {
                "type": "number",
                "minimum": 0,
                "maximum": 36_500,
                "default": 0,
                "description": "How long brands and use cases are good for before they are to be renewed; 0: for ever.",
            },
            "vetting_score": {
                "type": "integer",
                "minimum": 0,
                "maximum": 100,
                "description": "Score of every brand and vetting that asks for none; left out: a brand has none before"
                " it is vetted, and a vetting gives 1..100 by its id's hash.",
            },
            "vettings_fail": {"type": "boolean", "default": False, "description": "Whether vettings give no score."},
            "orders_fail": {"type": "boolean", "default": False, "description": "Whether no number can be bought."},
            "rejected_numbers": {
                "type": "array",
                "maxItems": 1000,
                "items": {"type": "string", "maxLength": 16},
                "default": [],
                "description": "Numbers (E.164) that cannot be associated.",
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
        """Write the decisions to come into the reference.

        Raises:
            Refused: nobody can have a number with the area code asked for.
        """
        if submission.kind is SubmissionKind.ORDER:
            asked = submission.fields.get("area_code", "")
            if problem := area_code_problem(asked, submission.fields.get("number_type", "")):
                raise Refused([Finding("area_code", "ATTRIBUTES_MISMATCH", problem)])
        lasting = lasting_id(submission.kind, submission.id, submission.registered_id, asked_score(submission))
        brand = _lasting_in(submission.parent_reference) if submission.kind is SubmissionKind.VETTING else lasting
        return _reference(submission, lasting, steps(submission, brand, self._settings))

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Read the decisions whose time has come out of the references."""
        decisions: list[Decision] = []
        for reference in references:
            decisions.extend(decision for decision in _decisions(reference) if decision.at <= now)
        return decisions


def _reference(submission: Submission, lasting: str, plan: Sequence[Step]) -> str:
    """Encode a plan; of many findings only as many are kept as fit into a reference."""
    for most in (12, 8, 5, 3, 2, 1):
        told = {
            "i": hashlib.blake2b(submission.id.encode(), digest_size=8).hexdigest(),
            "k": submission.kind.value,
            "t": submission.submitted_at.astimezone(UTC).isoformat(),
            "r": lasting,
            "d": [[step.delay, step.state.value, step.findings[:most], step.more] for step in plan],
        }
        text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
        reference = _PREFIX + base64.urlsafe_b64encode(text).decode().rstrip("=")
        if len(reference) <= _LONGEST:
            break
    return reference


def _lasting_in(parent: str) -> str:
    """Return a parent's lasting id, which is told as such or stands in the parent's reference."""
    return str(_read(parent).get("r", "")) if parent.startswith(_PREFIX) else parent


def _read(reference: str) -> dict[str, object]:
    if not reference.startswith(_PREFIX):
        return {}
    text = reference[len(_PREFIX) :]
    try:
        told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _decisions(reference: str) -> list[Decision]:
    """Decode a reference; one that is not ours has no decisions."""
    told = _read(reference)
    try:
        start = datetime.fromisoformat(told["t"])  # type: ignore[arg-type]
        return [_decision(reference, start, str(told["r"]), *step) for step in told["d"]]  # type: ignore[attr-defined]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return []


def _decision(
    reference: str,
    start: datetime,
    lasting: str,
    delay: float,
    state: str,
    findings: Sequence[Sequence[str]],
    more: Mapping[str, object],
) -> Decision:
    told = tuple(Finding(field, cause) for field, cause in findings)
    first = told[0] if told else Finding("", "")
    score, number, expires = more.get("score"), more.get("number"), more.get("expires")
    word = DecisionState(state)
    return Decision(
        reference,
        word,
        start + timedelta(seconds=delay),
        first.cause,
        first.field,
        findings=told,
        score=score if isinstance(score, int) else None,
        number=number if isinstance(number, str) else "",
        registered_id=lasting if word in _TELL_ID else "",
        expires_at=start + timedelta(seconds=expires) if isinstance(expires, int | float) else None,
    )


_TELL_ID = frozenset(
    {DecisionState.VERIFIED, DecisionState.APPROVED, DecisionState.RENEWED, DecisionState.READY, DecisionState.BOUGHT}
)
