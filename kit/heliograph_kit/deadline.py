"""How long the caller still waits, carried from an incoming call to the calls made on its behalf."""

from __future__ import annotations

import time
from contextvars import Context, ContextVar, copy_context

# The answer has to travel back and be turned into one of ours, so calls on the caller's behalf end a little earlier.
MARGIN_SECONDS = 0.05

_deadline: ContextVar[float | None] = ContextVar("heliograph_deadline", default=None)


def note_deadline(remaining_seconds: float | None) -> None:
    """Remember for the rest of the running task when its caller stops waiting; None when it waits for ever."""
    _deadline.set(None if remaining_seconds is None else time.monotonic() + remaining_seconds)


def remaining_seconds() -> float | None:
    """Return what is left for calls on the caller's behalf, at least 0; None when nobody set a deadline."""
    deadline = _deadline.get()
    return None if deadline is None else max(0.0, deadline - time.monotonic() - MARGIN_SECONDS)


def without_deadline() -> Context:
    """Return a copy of the current context that knows no deadline, for work that outlives the call."""
    context = copy_context()
    context.run(_deadline.set, None)
    return context
