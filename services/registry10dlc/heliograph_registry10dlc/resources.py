"""Names of everything that is registered, of whatever kind."""

from __future__ import annotations

from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import InvalidName, parse_name
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.errors import COLLECTION

_KIND = {collection: kind for kind, collection in COLLECTION.items()}


def parse_resource(name: str, *, project: str, field: str = "resource") -> tuple[Kind, str]:
    """Return the kind and the id of a brand, vetting, use case, number or toll-free registration of a project.

    Raises:
        InvalidName: it has another shape.
        InvalidArgument: it belongs to another project.
    """
    parts = name.split("/")
    kind = _KIND.get(parts[2]) if len(parts) == 4 else None
    if kind is None:
        shapes = ", ".join(sorted(_KIND))
        raise InvalidName(field, f"projects/{{project}}/{{collection}}/{{id}} with one of {shapes}")
    parsed = parse_name(name, COLLECTION[kind], field=field)
    if parsed.project != project:
        raise InvalidArgument([Violation(field, "must belong to the same project", "OTHER_PROJECT")])
    return kind, parsed.id
