"""What can go wrong at the edge, one class for each reason, with the HTTP status it is answered with."""

from __future__ import annotations

from typing import ClassVar

from heliograph_kit.errors import InvalidArgument, NotFound, ResourceExhausted, Unavailable, Violation


class NothingHere(NotFound):
    """No such link, channel or page; the same words for each cause, so that nothing can be learnt by trying."""

    status: ClassVar[int] = 404

    def __init__(self) -> None:
        """Say nothing about the cause."""
        super().__init__("there is nothing here")


class MessagingAway(Unavailable):
    """messaging does not answer, so nothing that must be stored can be."""

    status: ClassVar[int] = 503

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("try again in a moment", dependency="messaging")


class RegistryAway(Unavailable):
    """registry10dlc does not answer, so a registrar's decision cannot be written down."""

    status: ClassVar[int] = 503

    def __init__(self) -> None:
        """Say what to do."""
        super().__init__("try again in a moment", dependency="registry10dlc")


class NotConfirmed(InvalidArgument):
    """Somebody called the address of an unsubscription without asking for one."""

    status: ClassVar[int] = 400

    def __init__(self) -> None:
        """Say what the body must hold (RFC 8058)."""
        words = "must hold List-Unsubscribe=One-Click"
        super().__init__([Violation("body", words, self.reason)], f"the body {words}")


class BodyTooLarge(ResourceExhausted):
    """The body of a request is larger than may be sent here."""

    reason: ClassVar[str] = "REQUEST_TOO_LARGE"
    status: ClassVar[int] = 413

    def __init__(self, limit: int) -> None:
        """Take the limit in bytes."""
        super().__init__(f"the body is larger than {limit} bytes", limit_bytes=str(limit))


class BodyTooSlow(Unavailable):
    """The body of a request did not come in time."""

    status: ClassVar[int] = 408

    def __init__(self, seconds: float) -> None:
        """Take the limit in seconds."""
        super().__init__(f"the body did not come within {seconds:g} seconds")


Refusal = NothingHere | MessagingAway | RegistryAway | NotConfirmed | BodyTooLarge | BodyTooSlow
"""Everything that becomes an answer by itself."""
