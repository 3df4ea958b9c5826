"""What papers ask the simulator registrar for in their own text, and the decisions that come of it. Pure.

| text in a field | does |
|---|---|
| `Reject`, `Reject:CAUSE` | rejects and names the field; each field that says it is a finding |
| `Decline`, `Decline:CAUSE` | refuses for good |
| `Authenticate` | a new brand needs a proof first; PUBLIC_PROFIT always does |
| `Lapse` | the proof is needed and never comes |
| `Score:42` | the brand's score, at once and of later vettings |
| `Suspend`, `Suspend:CAUSE` | suspended a while after it came into force |
| `Lift` | with Suspend: the suspension ends a while later |
| `Expire` | runs out a while after it came into force |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from heliograph_channel_simulator.fictions import draw, fictional_number, score_in
from heliograph_channels import DecisionState, Submission, SubmissionKind

__all__ = ["Step", "asked_score", "steps"]

DAY = 86400.0
_LONGEST_FIELD = 100
_REJECT = re.compile(r"\bReject(?::([A-Z_]{3,60}))?\b")
_DECLINE = re.compile(r"\bDecline(?::([A-Z_]{3,60}))?\b")
_SUSPEND = re.compile(r"\bSuspend(?::([A-Z_]{3,60}))?\b")
_SCORE = re.compile(r"\bScore:([0-9]{1,3})\b")
_CAUSES = {
    SubmissionKind.BRAND: "ATTRIBUTES_MISMATCH",
    SubmissionKind.USE_CASE: "USE_CASE_SAMPLES_INCONSISTENT",
    SubmissionKind.TOLL_FREE: "OPT_IN_NOT_COMPLIANT",
}
_IN_FORCE = {
    SubmissionKind.BRAND: DecisionState.VERIFIED,
    SubmissionKind.USE_CASE: DecisionState.APPROVED,
    SubmissionKind.TOLL_FREE: DecisionState.APPROVED,
}


@dataclass(frozen=True, slots=True)
class Step:
    """One decision to come: seconds from the submission, and what it says. `findings` are fields and causes."""

    delay: float
    state: DecisionState
    findings: tuple[tuple[str, str], ...] = ()
    more: Mapping[str, object] = field(default_factory=dict)


def steps(submission: Submission, lasting: str, settings: Mapping[str, object]) -> list[Step]:
    """Return all that will be decided about the papers, in order of time; nothing about errands.

    `lasting` is the thing's lasting id, of a vetting its brand's.
    """
    kind = submission.kind
    delay = _seconds(settings, f"{kind.lower()}_delay") if kind not in _ERRANDS else 0.0
    if kind in _IN_FORCE:
        return _registration(submission, kind, delay, settings)
    if kind is SubmissionKind.RENEWAL:
        if rejected := _findings(submission, _REJECT, "ATTRIBUTES_MISMATCH"):
            return [Step(delay, DecisionState.REJECTED, rejected)]
        renewed = SubmissionKind.BRAND if lasting.startswith("SIM-B-") else SubmissionKind.USE_CASE
        return _life(submission, renewed, Step(delay, DecisionState.RENEWED), settings)
    if kind is SubmissionKind.NUMBER:
        return [_number(submission, delay, settings)]
    if kind is SubmissionKind.ORDER:
        if settings.get("orders_fail"):
            return [Step(delay, DecisionState.FAILED, (("", "NO_NUMBER_AVAILABLE"),))]
        asked = submission.fields.get("number_type", ""), submission.fields.get("area_code", "")
        return [Step(delay, DecisionState.BOUGHT, more={"number": fictional_number(submission.id, *asked)})]
    if kind is SubmissionKind.VETTING:
        return [_vetting(submission, delay, lasting, settings)]
    return [Step(delay, DecisionState.DETACHED)] if kind is SubmissionKind.DISASSOCIATION else []


_ERRANDS = (SubmissionKind.AMENDMENT, SubmissionKind.RELEASE, SubmissionKind.WITHDRAWAL)


def asked_score(submission: Submission) -> int | None:
    """Return the score that a brand's papers ask for, at most 100; None when they do not."""
    for _, value in sorted(submission.fields.items()):
        if asked := _SCORE.search(value):
            return min(100, int(asked[1]))
    return None


def _registration(
    submission: Submission, kind: SubmissionKind, delay: float, settings: Mapping[str, object]
) -> list[Step]:
    if declined := _findings(submission, _DECLINE, _CAUSES[kind]):
        return [Step(delay, DecisionState.DECLINED, declined)]
    if rejected := _findings(submission, _REJECT, _CAUSES[kind]):
        return [Step(delay, DecisionState.REJECTED, rejected)]
    before: list[Step] = []
    # Whoever was verified once has given the proof.
    if kind is SubmissionKind.BRAND and not submission.registered_id and _needs_proof(submission):
        before.append(Step(delay, DecisionState.NEEDS_AUTHENTICATION))
        if _says(submission, "Lapse"):
            return before
        delay += _seconds(settings, "authentication_delay")
    score = asked_score(submission) if kind is SubmissionKind.BRAND else None
    if score is None and kind is SubmissionKind.BRAND and "vetting_score" in settings:
        score = cast(int, settings["vetting_score"])
    told = {} if score is None else {"score": score}
    return before + _life(submission, kind, Step(delay, _IN_FORCE[kind], more=told), settings)


def _life(submission: Submission, kind: SubmissionKind, begin: Step, settings: Mapping[str, object]) -> list[Step]:
    """Return what becomes of something that comes into force: suspended, perhaps again in force, run out."""
    later: list[Step] = []
    if suspended := _findings(submission, _SUSPEND, "OPT_IN_NOT_COMPLIANT"):
        at = begin.delay + _seconds(settings, "suspension_delay")
        later.append(Step(at, DecisionState.SUSPENDED, suspended[:1]))
        if _says(submission, "Lift"):
            later.append(Step(at + _seconds(settings, "lift_delay"), _IN_FORCE[kind]))
    lives = [_seconds(settings, "registration_days") * DAY] if settings.get("registration_days") else []
    if _says(submission, "Expire"):
        lives.append(_seconds(settings, "expiry_delay"))
    if not lives or kind is SubmissionKind.TOLL_FREE:
        return [begin, *later]
    end = begin.delay + min(lives)
    begin = Step(begin.delay, begin.state, begin.findings, {**begin.more, "expires": end})
    return [begin, *(step for step in later if step.delay < end), Step(end, DecisionState.EXPIRED)]


def _number(submission: Submission, delay: float, settings: Mapping[str, object]) -> Step:
    rejected = _findings(submission, _REJECT, "ATTRIBUTES_MISMATCH")
    if not rejected and submission.fields.get("number") in cast("list[str]", settings.get("rejected_numbers", [])):
        rejected = (("number", "ATTRIBUTES_MISMATCH"),)
    return Step(delay, DecisionState.REJECTED, rejected) if rejected else Step(delay, DecisionState.READY)


def _vetting(submission: Submission, delay: float, brand: str, settings: Mapping[str, object]) -> Step:
    if settings.get("vettings_fail"):
        return Step(delay, DecisionState.FAILED, (("", "ATTRIBUTES_MISMATCH"),))
    score = score_in(brand)
    if score is None:
        score = cast("int | None", settings.get("vetting_score"))
    return Step(
        delay, DecisionState.SCORED, more={"score": draw(submission.id, "score", 100) + 1 if score is None else score}
    )


def _needs_proof(submission: Submission) -> bool:
    public = submission.fields.get("companyInfo.legalType") == "PUBLIC_PROFIT"
    return public or _says(submission, "Authenticate") or _says(submission, "Lapse")


def _says(submission: Submission, word: str) -> bool:
    wanted = re.compile(rf"\b{word}\b")
    return any(wanted.search(value) for value in submission.fields.values())


def _findings(submission: Submission, wanted: re.Pattern[str], cause: str) -> tuple[tuple[str, str], ...]:
    found = []
    for name, value in sorted(submission.fields.items()):
        if asked := wanted.search(value):
            found.append((name[:_LONGEST_FIELD], asked[1] or cause))
    return tuple(found)


def _seconds(settings: Mapping[str, object], name: str) -> float:
    return float(cast(float, settings[name]))
