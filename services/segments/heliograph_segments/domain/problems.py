"""What can be wrong with input: a field, a reason for code and a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    """One thing wrong with one field, named by its dotted path."""

    field: str
    reason: str
    description: str

    def under(self, path: str) -> Problem:
        """Return the same problem of a part whose own path is `path`."""
        return self._replace(field=f"{path}.{self.field}" if self.field else path)


def under(path: str, problems: Iterable[Problem]) -> list[Problem]:
    """Return the problems of a part as problems of the whole."""
    return [problem.under(path) for problem in problems]
