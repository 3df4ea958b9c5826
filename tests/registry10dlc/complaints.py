"""What the check of a form finds, as sets to compare, and filled forms that pass."""

from __future__ import annotations

from collections.abc import Mapping

from heliograph_registry10dlc import forms
from heliograph_registry10dlc.domain import Kind
from heliograph_registry10dlc.forms import Field, FieldType
from tests.registry10dlc.papers import BRAND, USE_CASE

TOLL_FREE = {field.path: field.example for field in forms.FORMS[Kind.TOLL_FREE] if field.required}
PAPERS: Mapping[Kind, Mapping[str, str]] = {Kind.BRAND: BRAND, Kind.USE_CASE: USE_CASE, Kind.TOLL_FREE: TOLL_FREE}
LISTED = {
    **BRAND,
    "companyInfo.legalType": "PUBLIC_PROFIT",
    "companyInfo.stockSymbol": "EXRC",
    "companyInfo.stockExchange": "NASDAQ",
    "companyInfo.businessContactEmail": "legal@records.example.com",
}
"""A company whose shares are traded."""


def complaints(
    kind: Kind, values: Mapping[str, str], *, complete: bool = True, brand: Mapping[str, str] | None = None
) -> set[tuple[str, str]]:
    """Return path and reason of everything that is wrong; no complaint comes twice, none is without words."""
    found: list[tuple[str, str]] = []

    def complain(path: str, words: str, reason: str) -> None:
        assert words
        assert reason == reason.upper()
        found.append((path, reason))

    forms.check(kind, values, complain, complete=complete, brand=brand)
    assert len(set(found)) == len(found)
    return set(found)


def of_length(field: Field, length: int) -> str:
    """Return a text of a length that has the form of a field."""
    if "@" in field.example:
        return "x" * (length - len("@example.com")) + "@example.com"
    if field.pattern.startswith("https"):
        return "https://example.com/" + "x" * (length - len("https://example.com/"))
    if field.pattern.startswith(r"\+"):
        return "+" + "1" * (length - 1)
    if field.pattern == "[A-Z]{2}":
        return "U" * length
    return "x" * length


TEXTS = [(kind, field) for kind, form in forms.FORMS.items() for field in form if field.type is FieldType.TEXT]
CHOICES = [(kind, field) for kind, form in forms.FORMS.items() for field in form if field.type is FieldType.CHOICE]
