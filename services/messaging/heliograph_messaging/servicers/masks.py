"""Field masks: which fields of a request are meant."""

from __future__ import annotations

from google.protobuf import field_mask_pb2

from heliograph_kit.errors import Violations


def required_mask(given: field_mask_pb2.FieldMask, known: frozenset[str]) -> frozenset[str]:
    """Return the fields that are meant, all of them for `*`.

    Raises:
        InvalidArgument: none is given, or one that cannot be changed.
    """
    mask, found = frozenset(given.paths), Violations()
    if not mask:
        found.add("update_mask", "is required; `*` means all", "INVALID_ARGUMENT")
    for path in sorted(mask - known - {"*"}):
        found.add("update_mask", f"{path} cannot be updated", "INVALID_ARGUMENT")
    found.check()
    return known if "*" in mask else mask
