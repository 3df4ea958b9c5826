"""Reads the words from `data/wording`; once, when a module of this package is imported."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

_DATA = files("heliograph_registry10dlc") / "data" / "wording"


def read(name: str) -> Any:
    """Return a file of `data/wording`."""
    return json.loads((_DATA / f"{name}.json").read_text("utf-8"))
