"""How much of everything an installation allows (pinpoint-2 4.2, 4.9); operators raise it by settings."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quotas:
    """The most brands of a project, use cases of a brand, and numbers of a project in one region."""

    brands: int = 25
    use_cases_of_brand: int = 10
    numbers_of_region: int = 25
