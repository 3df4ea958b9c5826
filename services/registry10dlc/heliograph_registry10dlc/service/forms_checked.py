"""Forms as callers fill them: everything that is wrong with one is told at once."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_kit.errors import Violations
from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import Complain, Kind

_MAX_REFERENCE = 255


def check_form(
    kind: Kind,
    fields: Mapping[str, str],
    *,
    under: str,
    complete: bool,
    brand: Mapping[str, str] | None = None,
    in_force: Mapping[str, str] | None = None,
    external_reference: str = "",
) -> None:
    """Check a form; `under` is the field of the request it is in, `in_force` what cannot all be changed any more.

    Raises:
        InvalidArgument: with all violations.
    """
    violations = Violations()
    prefix = f"{under}." if under else ""
    complain = _into(violations, prefix)
    forms.check(kind, fields, complain, complete=complete, brand=brand)
    if in_force is not None:
        forms.locked(kind, in_force, fields, complain)
    if len(external_reference) > _MAX_REFERENCE:
        violations.add(f"{prefix}external_reference", f"must be at most {_MAX_REFERENCE} characters", "INVALID_LENGTH")
    violations.check()


def _into(violations: Violations, prefix: str) -> Complain:
    return lambda path, words, reason: violations.add(f"{prefix}fields[{path}]", words, reason)
