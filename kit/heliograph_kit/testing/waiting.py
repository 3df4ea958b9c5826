"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(
    condition: Callable[[], Awaitable[T]],
    within: timedelta | float = 10.0,
    every: timedelta | float = 0.05,
    *,
    because: str = "",
) -> T: ...
@overload
async def eventually(
    condition: Callable[[], T],
    within: timedelta | float = 10.0,
    every: timedelta | float = 0.05,
    *,
    because: str = "",
) -> T: ...
async def eventually(
    condition: Callable[[], object],
    within: timedelta | float = 10.0,
    every: timedelta | float = 0.05,
    *,
    because: str = "",
) -> object:
    """Return the first truthy answer of the condition; times are seconds or timedelta.

    An AssertionError of the condition counts as "not yet", so it may hold plain asserts (and then return True).

    Raises:
        AssertionError: it did not come true in time; says what the last answer was.
    """
    deadline = time.monotonic() + _seconds(within)
    last: object = None
    while True:
        try:
            last = condition()
            if inspect.isawaitable(last):
                last = await last
            if last:
                return last
        except AssertionError as error:
            last = error
        if time.monotonic() >= deadline:
            said = f": {because}" if because else ""
            raise AssertionError(f"did not come true within {_seconds(within):g} s{said} (last: {last!r})")
        await asyncio.sleep(_seconds(every))


def _seconds(duration: timedelta | float) -> float:
    return duration.total_seconds() if isinstance(duration, timedelta) else duration
