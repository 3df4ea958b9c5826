"""The template channel. Replace the file by your provider; the shape stays."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from heliograph_channels import (
    Accepted,
    Capabilities,
    ChannelProvider,
    CustomContent,
    Health,
    Kind,
    OutgoingMessage,
    Problem,
    ProviderContext,
    Rejected,
    RejectReason,
    Sender,
    SendResult,
    Unsupported,
)

__all__ = ["TemplateChannel"]

_CLOSED = Rejected(RejectReason.UNAVAILABLE, retryable=True, detail="the channel is closed")


class TemplateChannel(ChannelProvider):
    """Describes the channel. There is one of these per process; it keeps nothing."""

    name = "template"
    kinds = frozenset({Kind.CUSTOM})
    capabilities = Capabilities(batch_size=100, concurrency=4)
    settings_schema: Mapping[str, object] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "minLength": 1, "description": "File that messages are appended to."},
            # A property with "writeOnly": True is stored encrypted and never shown: use it for tokens and passwords.
            "token": {
                "type": "string",
                "writeOnly": True,
                "description": "Not used here; your provider will want one.",
            },
        },
    }

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, then what a schema cannot say. All problems at once; never repeat a value."""
        problems = list(super().check_settings(settings))
        path = settings.get("path")
        if isinstance(path, str) and path and not Path(path).is_absolute():
            problems.append(Problem("path", "must be an absolute path"))
        return problems

    def check_address(self, kind: Kind, address: str) -> str | None:
        """Refuse what your provider can never reach; start from the rules of the kind."""
        return super().check_address(kind, address)

    async def open(self, settings: Mapping[str, object], context: ProviderContext) -> TemplateSender:
        """Make the sender of one project. Good settings are a given here.

        Raises:
            OSError: the file cannot be opened.
        """
        return TemplateSender(Path(str(settings["path"])), context)


class TemplateSender(Sender):
    """Does the work for one project, until it is closed."""

    def __init__(self, path: Path, context: ProviderContext) -> None:
        """Open the file."""
        self._file = path.open("ab", buffering=0)
        self._context = context

    async def send_batch(self, messages: Sequence[OutgoingMessage]) -> Sequence[SendResult]:
        """Answer one result per message, in order. Nothing a message contains may raise."""
        if self._file.closed:
            return [_CLOSED] * len(messages)
        results: list[SendResult] = []
        lines: list[bytes] = []
        for message in messages:
            if not isinstance(message.content, CustomContent):
                results.append(Unsupported(type(message.content).__name__))
            elif not message.address.isprintable() or not message.address:
                results.append(
                    Rejected(RejectReason.INVALID_ADDRESS, retryable=False, detail="the address is no token")
                )
            else:
                line = {"message_id": message.message_id, "address": message.address, "data": message.content.data}
                lines.append(json.dumps(line).encode() + b"\n")
                results.append(Accepted(provider_message_id=message.message_id))
        if lines:
            try:
                os.write(self._file.fileno(), b"".join(lines))
            except OSError as error:
                # Nobody can say how much was written. A provider over a network has more cases: see "Unknown" in the guide.
                self._context.logger.warning("the file took no lines: %s", error)
                raise
        await asyncio.sleep(0)  # a real provider is awaited here
        return results

    async def health(self) -> Health:
        """Say whether a message could be written now."""
        return Health(not self._file.closed, "closed" if self._file.closed else "open")

    async def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
