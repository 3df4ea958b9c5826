"""Every promise of docs/10dlc.md names a test, and that test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parent.parent.parent
_LINE = re.compile(r"^\| (S\d+) \| .+ \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
PROMISES = {word: (path, test) for word, path, test in _LINE.findall((_ROOT / "docs" / "10dlc.md").read_text())}


def test_every_promise_of_the_acceptance_list_is_there() -> None:
    assert list(PROMISES) == [f"S{number}" for number in range(88, 135)]


@pytest.mark.parametrize("word", sorted(PROMISES))
def test_the_test_that_shows_it_is_there(word: str) -> None:
    path, test = PROMISES[word]
    assert re.search(rf"^(async )?def {test}\(", (_ROOT / path).read_text(), re.MULTILINE), f"{path}::{test}"
