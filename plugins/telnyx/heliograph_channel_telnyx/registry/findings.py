"""Telnyx's reasons as findings: the form's field to mend, and a word of pinpoint-2 4.7. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from heliograph_channel_telnyx.codes import errors_of
from heliograph_channels import Finding

__all__ = ["cause_of", "findings_of_errors", "findings_of_feedback", "findings_of_reasons"]

_MOST = 50
_LONGEST = 1000
# The first that fits counts, so the particular come before the general.
_CAUSES: Sequence[tuple[str, str]] = (
    (r"cannabis|marijuana|\bcbd\b|\bthc\b", "RESTRICTED_CANNABIS"),
    (r"firearm|\bguns?\b|ammuni|weapon", "RESTRICTED_GUNS_AMMO"),
    (r"gambl|casino|betting|lottery|sweepstake", "RESTRICTED_GAMBLING"),
    (r"\bhate\b|hateful", "RESTRICTED_HATE"),
    (r"alcohol|liquor|\bbeer\b", "RESTRICTED_ALCOHOL_NO_AGE_GATE"),
    (r"tobacco|\bvap(e|ing)\b|nicotine", "RESTRICTED_TOBACCO_VAPE_NO_AGE_GATE"),
    (r"\bshaft\b|\bsexual|\badult content", "RESTRICTED_SHAFT"),
    (r"lead gen|affiliate", "PROHIBITED_LEAD_GENERATION_AFFILIATE_OTHER"),
    (r"direct lending", "DIRECT_LENDING_NOT_DECLARED"),
    (r"payday|high[- ]risk|debt (collect|relief)|crypto", "PROHIBITED_HIGH_RISK_FINANCIAL"),
    (r"resell|\bisv\b", "ISV_RESELLER_MISMATCH"),
    (r"e-?mail.{0,40}domain|domain.{0,40}e-?mail|official domain", "UNOFFICIAL_EMAIL_DOMAIN"),
    (r"opt[- ]?in|consent|call[- ]to[- ]action|message ?flow|privacy policy|terms (and|&) cond", "OPT_IN_NOT_COMPLIANT"),
    (r"sub[- _]?use ?case|not qualif|usecase is not", "USE_CASE_NOT_QUALIFIED"),
    (r"(company|brand|business)( name)?.{0,60}sample|sample.{0,60}(company|brand|business)",
     "COMPANY_SAMPLES_INCONSISTENT_OR_MISSING"),
    (r"website|web site|\burl\b", "WEBSITE_MISSING_OR_DOWN"),
    (r"sample|use ?case", "USE_CASE_SAMPLES_INCONSISTENT"),
)  # fmt: skip


def cause_of(words: str) -> str:
    """Return the word for what Telnyx, the registry or a carrier says."""
    said = words.lower()
    return next((cause for pattern, cause in _CAUSES if re.search(pattern, said)), "ATTRIBUTES_MISMATCH")


def findings_of_errors(answer: Mapping[str, object], paths: Mapping[str, str]) -> list[Finding]:
    """Read the errors of an answer: Telnyx's own, and those of fields that do not validate (`detail`).

    `paths` are the form's fields by the names that the API has for them.
    """
    found = [
        _finding([error.pointer], f"{error.title}: {error.detail}" if error.detail else error.title, paths)
        for error in errors_of(answer)
    ]
    detail = answer.get("detail")
    for one in detail if isinstance(detail, list) else ():
        if isinstance(one, dict):
            where = one.get("loc")
            names = [str(part) for part in where] if isinstance(where, list) else []
            found.append(_finding(names, str(one.get("msg") or ""), paths))
    if isinstance(detail, str) and detail:
        found.append(_finding([], detail, paths))
    return _distinct(found)


def findings_of_reasons(reasons: object, paths: Mapping[str, str]) -> list[Finding]:
    """Read reasons as events and things have them: a list, the same as JSON in a text, or words."""
    if isinstance(reasons, str):
        with suppress(ValueError, RecursionError):
            reasons = json.loads(reasons)
    listed = reasons if isinstance(reasons, list) else [reasons] if reasons else []
    found: list[Finding] = []
    for one in listed:
        if isinstance(one, dict):
            named = one.get("fields")
            words = str(one.get("description") or one.get("reason") or one.get("message") or "")
            names = [str(name) for name in named] if isinstance(named, list) else []
            found.extend(_each(names, words, paths))
        elif one:
            found.append(_finding([], str(one), paths))
    return _distinct(found)


def findings_of_feedback(answer: Mapping[str, object], paths: Mapping[str, str]) -> list[Finding]:
    """Read the feedback about a brand's identity: categories with their fields."""
    categories = answer.get("category")
    found: list[Finding] = []
    for one in categories if isinstance(categories, list) else ():
        if isinstance(one, dict):
            named = one.get("fields")
            names = [str(name) for name in named] if isinstance(named, list) else []
            found.extend(_each(names, str(one.get("description") or one.get("displayName") or ""), paths))
    return _distinct(found)


def _each(names: Sequence[str], words: str, paths: Mapping[str, str]) -> Iterator[Finding]:
    for name in names:
        yield _finding([name], words, paths)
    if not names:
        yield _finding([], words, paths)


def _finding(names: Sequence[str], words: str, paths: Mapping[str, str]) -> Finding:
    field = ""
    for name in names:
        for part in re.split(r"[/.]", name):
            field = paths.get(part, field)
    if not field:
        # The words name the field more often than not.
        said = re.sub(r"[^a-z0-9]", "", words.lower())
        mentioned = [name for name in paths if len(name) > 4 and name.lower() in said]
        field = paths[max(mentioned, key=len)] if mentioned else ""
    return Finding(field, cause_of(words), words[:_LONGEST])


def _distinct(found: Sequence[Finding]) -> list[Finding]:
    return list(dict.fromkeys(found))[:_MOST]
