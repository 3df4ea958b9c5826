"""One call on a connection, and what its end means for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from h2.errors import ErrorCodes
from h2.events import ResponseReceived, StreamReset

from heliograph_channels.http_client import Answer, NoAnswer, NotSent

__all__ = ["Moved", "Stream"]

_LARGEST_ANSWER = 64 * 1024


class Moved(NotSent):
    """The server did not look at the call; a new connection may take it at once."""


@dataclass(slots=True)
class Stream:
    """A call under way. `complete`: all of it was handed over."""

    id: int
    outcome: asyncio.Future[Answer | NotSent | NoAnswer]
    complete: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    whole: bool = True

    def begin(self, event: ResponseReceived) -> None:
        """Take the head of the answer."""
        for name, value in event.headers or ():
            text = str(value)
            if str(name) == ":status":
                self.status = int(text) if text.isascii() and text.isdigit() else 0
            else:
                self.headers[str(name)] = text

    def extend(self, data: bytes) -> None:
        """Take more of the answer; of one that is too large the status is kept alone."""
        if self.whole:
            self.body.extend(data)
            self.whole = len(self.body) <= _LARGEST_ANSWER

    def answer(self, *, whole: bool) -> Answer:
        """Return what came; `whole` False: it broke off."""
        whole = whole and self.whole
        return Answer(self.status, self.headers, bytes(self.body) if whole else b"", complete=whole)

    def after_reset(self, event: StreamReset) -> Answer | NotSent | NoAnswer:
        """Say what became of the call when the server ends its stream early."""
        if self.status:
            return self.answer(whole=False)
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            return Moved("the server refused the stream")
        words = f"the server reset the stream with code {int(event.error_code)}"
        return NoAnswer(f"the call was sent, and then: {words}") if self.complete else NotSent(words)

    def after_break(self, words: str) -> Answer | NotSent | NoAnswer:
        """Say what became of the call when the connection ends."""
        if self.status:
            return self.answer(whole=False)
        if self.complete:
            return NoAnswer(f"the call was sent, and then: {words}")
        return Moved(words)
