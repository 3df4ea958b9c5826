"""Pages of what was made, newest first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from heliograph_kit.paging import PageTokenInvalid, next_token, page_of


class PageRequest(Protocol):
    """A request for a page; protobuf messages have this shape."""

    @property
    def page_size(self) -> int:
        """How many at most."""
        ...

    @property
    def page_token(self) -> str:
        """From the previous answer."""
        ...


class Made(Protocol):
    """What was made at some time."""

    @property
    def created_at(self) -> datetime:
        """When."""
        ...


M = TypeVar("M", bound=Made)
Position = tuple[datetime, str]


async def newest_first(
    call: str,
    request: PageRequest,
    fetch: Callable[[int, Position | None], Awaitable[Sequence[M]]],
    id_of: Callable[[M], str],
) -> tuple[Sequence[M], str]:
    """Return a page and the token of the next one, empty on the last. `fetch` takes a count and a position; `call` names
    what tokens are good for.

    Raises:
        InvalidArgument: a negative size, or a token of something else.
    """
    page = page_of(call, request.page_size, request.page_token)
    found = await fetch(page.size + 1, _position_of(page.after))
    shown = found[: page.size]
    if len(found) <= page.size:
        return shown, ""
    return shown, next_token(call, (shown[-1].created_at.isoformat(), id_of(shown[-1])))


def _position_of(after: tuple[str, ...] | None) -> Position | None:
    if after is None:
        return None
    try:
        time, name = after
        return datetime.fromisoformat(time), name
    except ValueError as error:
        raise PageTokenInvalid from error
