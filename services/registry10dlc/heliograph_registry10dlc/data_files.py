"""Reads data files: what is bundled, and what an operator puts over it. Every mistake of a file is told at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from heliograph_channels import problems_of

MAX_BYTES = 1024 * 1024
_DATA = files("heliograph_registry10dlc") / "data"

Check = Callable[[Mapping[str, Any]], Iterable[str]]
"""Says what is wrong with data that fits its schema."""


class BadDataFile(ValueError):
    """A data file cannot be used; the text names the file and every mistake."""


def bundled(name: str, check: Check) -> Mapping[str, Any]:
    """Return the content of `data/{name}.json`.

    Raises:
        BadDataFile: it does not fit `data/{name}.schema.json`, or the check complains.
    """
    return _checked(json.loads((_DATA / f"{name}.json").read_text("utf-8")), name, f"{name}.json", check)


def of_operator(name: str, path: Path, check: Check) -> Mapping[str, Any]:
    """Return the content of an operator's file of the same form, at most 1 MiB.

    Raises:
        BadDataFile: it cannot be read, does not fit `data/{name}.schema.json`, or the check complains.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadDataFile(f"{path} has more than {MAX_BYTES:,} bytes")
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        if isinstance(error, BadDataFile):
            raise
        raise BadDataFile(f"{path} cannot be read: {error}") from error
    return _checked(data, name, str(path), check)


def _checked(data: Any, name: str, told: str, check: Check) -> Mapping[str, Any]:
    schema = json.loads((_DATA / f"{name}.schema.json").read_text("utf-8"))
    problems = [f"{problem.field or 'the whole'} {problem.description}" for problem in problems_of(schema, data)]
    # The checks rely on the form.
    problems = problems or list(check(data))
    if problems:
        raise BadDataFile(f"{told}: {'; '.join(problems)}")
    return data  # type: ignore[no-any-return]
