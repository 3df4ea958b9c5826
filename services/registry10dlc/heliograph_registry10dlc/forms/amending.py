"""What may change of a registration that was handed in or is in force, and what a change makes of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_registry10dlc.domain import Complain, Kind
from heliograph_registry10dlc.forms.data import FORMS
from heliograph_registry10dlc.forms.form import Lock

SAMPLES = "messageSamples."
_WHY = {
    Kind.BRAND: "delete the brand and register it anew",
    Kind.USE_CASE: "delete the use case and register it anew",
    Kind.TOLL_FREE: "register the number anew",
}


def locked(
    kind: Kind,
    in_force_fields: Mapping[str, str],
    new_fields: Mapping[str, str],
    complain: Complain,
    *,
    in_force: bool = True,
) -> None:
    """Tell FIELD_LOCKED of each field that differs and may not (pinpoint-2 4.2 and 4.8). A field left out differs, too.

    Not `in_force`: it was handed in and sent back; then only what is fixed by handing it in is looked at.
    """
    held = {Lock.SUBMISSION, Lock.APPROVAL} if in_force else {Lock.SUBMISSION}
    for field in FORMS[kind]:
        same = new_fields.get(field.path, "") == in_force_fields.get(field.path, "")
        if field.locked_after in held and not same:
            complain(field.path, f"cannot change any more; {_WHY[kind]}", "FIELD_LOCKED")


def amended(in_force_fields: Mapping[str, str], new_fields: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a use case in force after a change of it (pinpoint-2 4.8).

    The replies to HELP and STOP and the samples are taken from the new fields. A sample that is left out or empty keeps its
    text, so their number may grow to five and never shrinks. All else stays; `locked` tells what was tried.
    """
    fields = dict(in_force_fields)
    for field in FORMS[Kind.USE_CASE]:
        new = new_fields.get(field.path, "")
        if not field.changeable_when_approved or (field.path.startswith(SAMPLES) and not new.strip()):
            continue
        if new:
            fields[field.path] = new
        else:
            fields.pop(field.path, None)
    return fields
