"""A call of a provider as it came in: signatures cover it letter by letter."""

from __future__ import annotations

from starlette.requests import Request

MAX_BODY = 1024 * 1024


def target_of(request: Request) -> str:
    """Return path and query as they were called."""
    path: bytes = request.scope["raw_path"]
    query: bytes = request.scope["query_string"]
    return (path + (b"?" + query if query else b"")).decode("latin-1")


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers, names in lower case; several of one name are joined by a comma and a blank."""
    joined: dict[str, str] = {}
    for name, value in request.headers.items():
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined
