"""Settings that channels over HTTP share, as pieces of a JSON schema: how a provider is reached, and how much at once.

Operators then find the same name, range and words wherever they look. Needs no extra.
"""

from __future__ import annotations

__all__ = ["CA_FILE", "TIMEOUT", "Piece", "call_settings", "secret_word"]

Piece = dict[str, object]
"""The schema of one setting."""

CA_FILE: Piece = {
    "type": "string",
    "minLength": 1,
    "description": "PEM file of the authorities to trust instead of the system's.",
}
"""As `ca_file` of `HttpClient`."""
TIMEOUT: Piece = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": 25,
    "default": 10,
    "description": "Most seconds one call may take, answer included.",
}
"""As `timeout` of `HttpClient`. Less than the 30 s that a batch is given, so that a call ends before it is cancelled."""


def call_settings(*, batch: int, connections: int, most: int, of_connections: str) -> dict[str, Piece]:
    """Return the settings `ca_file`, `timeout` and `connections` of a channel that makes one call per message.

    `connections` may be set from `batch`, the messages of one `send_batch`, which are all under way at once, to `most`, and is
    `connections` by default; `of_connections` describes it.
    """
    room: Piece = {
        "type": "integer",
        "minimum": batch,
        "maximum": most,
        "default": connections,
        "description": of_connections,
    }
    return {"ca_file": CA_FILE, "timeout": TIMEOUT, "connections": room}


def secret_word(description: str) -> Piece:
    """Return the setting of a key or a token: 16 to 200 printable ASCII characters without blanks, kept secret."""
    return {
        "type": "string",
        "minLength": 16,
        "maxLength": 200,
        "pattern": "^[!-~]+$",
        "writeOnly": True,
        "description": description,
    }
