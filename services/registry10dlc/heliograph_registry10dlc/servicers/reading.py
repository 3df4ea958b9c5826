"""What all requests have in common: parents, request ids, names of the same project, pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeAlias

import grpc

from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import project_of
from heliograph_kit.paging import Page, next_token, page_of
from heliograph_registry10dlc.domain import Registration

MAX_REQUEST_ID = 64
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behind: TypeAlias = tuple[datetime, str] | None
Read = Callable[[str, Behind, int], Awaitable[list[Registration]]]


def checked_parent(parent: str, request_id: str) -> str:
    """Return the project of a request that creates something. Raises InvalidArgument."""
    if len(request_id) > MAX_REQUEST_ID:
        words = f"must be at most {MAX_REQUEST_ID} characters"
        raise InvalidArgument([Violation("request_id", words, "INVALID_LENGTH")])
    return project_of(parent, field="parent")


def check_same_project(project: str, other: str, field: str) -> None:
    """Raise InvalidArgument when a name in the request belongs to another project."""
    if project != other:
        raise InvalidArgument([Violation(field, "must belong to the same project", "OTHER_PROJECT")])


async def page_newest_first(
    what: str, parent: str, size: int, token: str, read: Read
) -> tuple[list[Registration], str]:
    """Return a page and the token of the next one. Raises InvalidArgument."""
    project = project_of(parent, field="parent")
    call = f"List {what} {project}"
    page = page_of(call, size, token)
    found = await read(project, _behind(page), page.size + 1)
    shown = found[: page.size]
    if len(found) <= page.size:
        return shown, ""
    return shown, next_token(call, [shown[-1].create_time.isoformat(), shown[-1].id])


def _behind(page: Page) -> Behind:
    return (datetime.fromisoformat(page.after[0]), page.after[1]) if page.after else None
