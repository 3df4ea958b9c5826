"""Forms as callers fill them: everything that is wrong with one is told at once."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_kit.errors import Violations
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import IN_FORCE, MAX_EXTERNAL_REFERENCE, Complain, Kind, Registration


def check_form(
    kind: Kind,
    fields: Mapping[str, str],
    *,
    under: str,
    complete: bool,
    brand: Mapping[str, str] | None = None,
    handed_in: Registration | None = None,
    wanted: Mapping[str, str] | None = None,
    external_reference: str = "",
) -> None:
    """Check a form; `under` is the field of the request it is in.

    `handed_in`: what it would change. Of papers that were sent back what the registrar wants mended may change, whatever else
    is fixed by handing them in. `wanted` is what was asked for, where that is more than what comes of it.

    Raises:
        InvalidArgument: with all violations.
    """
    violations = Violations()
    prefix = f"{under}." if under else ""
    complain = _into(violations, prefix)
    forms.check(kind, fields, complain, complete=complete, brand=brand)
    if handed_in is not None:
        in_force = handed_in.state in IN_FORCE[kind]
        mended = {} if in_force else {one.field: fields.get(one.field, "") for one in handed_in.findings}
        forms.locked(kind, {**handed_in.fields, **mended}, wanted or fields, complain, in_force=in_force)
    if len(external_reference) > MAX_EXTERNAL_REFERENCE:
        violations.add(
            f"{prefix}external_reference", f"must be at most {MAX_EXTERNAL_REFERENCE} characters", "INVALID_LENGTH"
        )
    violations.check()


def _into(violations: Violations, prefix: str) -> Complain:
    return lambda path, words, reason: violations.add(f"{prefix}fields[{path}]", words, reason)
