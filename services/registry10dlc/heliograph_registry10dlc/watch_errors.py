"""What is refused to whoever watches, and to whoever wants notices."""

from __future__ import annotations

from heliograph_kit.errors import InvalidArgument, ResourceExhausted, Unavailable, Violation


class TooManyWatchers(ResourceExhausted):
    """This process has as many watchers as it may have."""

    reason = "TOO_MANY_WATCHERS"

    def __init__(self, most: int) -> None:
        """Take how many there may be."""
        super().__init__(f"{most} watch already; try again later, or ask ListMoves now and then", most=str(most))


class WatchEnded(Unavailable):
    """The service stops; whoever watches goes on elsewhere, behind the last move it has."""

    reason = "WATCH_ENDED"

    def __init__(self) -> None:
        """Say how to go on."""
        super().__init__("the service stops; watch again with the last move_id as after_move_id")


class PrivateAddress(InvalidArgument):
    """Calls go to public addresses, and to the networks the operator allows."""

    reason = "PRIVATE_ADDRESS"

    def __init__(self, field: str, kind: str) -> None:
        """Take the field with the address, and what kind of address its host has."""
        super().__init__([Violation(field, f"cannot be called: {kind}", "PRIVATE_ADDRESS")])
