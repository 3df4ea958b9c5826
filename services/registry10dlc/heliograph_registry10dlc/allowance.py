"""From vetting score and use case to what carriers let through: the table of pinpoint-2 4.4, as data. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Allowance:
    """Message parts per second of one use case (AT&T), and messages per day of its brand (T-Mobile)."""

    parts_per_second: float
    messages_per_day: int


LOW = Allowance(0.2, 2_000)
# Class of use case -> (least score, allowance), best first. A score below all rows, or none (0), counts as unvetted.
TABLE: Mapping[str, Sequence[tuple[int, Allowance]]] = {
    "STANDARD": (
        (76, Allowance(75, 200_000)),
        (51, Allowance(40, 40_000)),
        (1, Allowance(4, 10_000)),
    ),
    "MIXED_OR_MARKETING": (
        (86, Allowance(75, 200_000)),
        (66, Allowance(40, 40_000)),
        (26, Allowance(4, 10_000)),
    ),
    "LOW_VOLUME": (),
}
_CLASS_OF = {
    "MIXED": "MIXED_OR_MARKETING",
    "MARKETING": "MIXED_OR_MARKETING",
    "LOW_VOLUME": "LOW_VOLUME",
}


def allowance(use_case: str, score: int) -> Allowance:
    """Return what carriers let through for a use case whose brand had this score (0 to 100) at its creation."""
    rows = TABLE[_CLASS_OF.get(use_case, "STANDARD")]
    return next((granted for least, granted in rows if score >= least), LOW)
