"""What can go wrong with numbers, pools, keywords and opt-outs (heliograph.common.v1.ErrorReason 570 to 599)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from heliograph_kit.errors import AlreadyExists, FailedPrecondition, NotFound


class OriginationNotFound(NotFound):
    """The project has no such number."""

    reason: ClassVar[str] = "ORIGINATION_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no number {name}", resource_type="origination", resource=name)


class PoolNotFound(NotFound):
    """No such pool."""

    reason: ClassVar[str] = "POOL_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no pool {name}", resource_type="pool", resource=name)


class PoolExists(AlreadyExists):
    """A pool of that id exists."""

    reason: ClassVar[str] = "POOL_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        """Take the name that is taken."""
        super().__init__(f"{name} exists; choose another id", resource_type="pool", resource=name)


class TooManyPools(FailedPrecondition):
    """The project has as many pools as it may have."""

    reason: ClassVar[str] = "TOO_MANY_POOLS"

    def __init__(self, project: str, most: int) -> None:
        """Take the project and how many it may have."""
        super().__init__(f"{project} has {most} pools, the most there can be; delete one first", subject=project)


class PoolFull(FailedPrecondition):
    """The pool has as many members as it may have."""

    reason: ClassVar[str] = "POOL_FULL"

    def __init__(self, name: str, most: int) -> None:
        """Take the pool and how many members it may have."""
        super().__init__(f"{name} has {most} members, the most there can be; take one out first", subject=name)


class AlreadyInPool(FailedPrecondition):
    """A number is in one pool at most."""

    reason: ClassVar[str] = "RESOURCE_ALREADY_ASSOCIATED"

    def __init__(self, number: str, pool: str) -> None:
        """Take the number and the pool it is in."""
        super().__init__(f"{number} is in {pool} already; take it out of there first", subject=number, pool=pool)


class PoolMismatch(FailedPrecondition):
    """A number is set up otherwise than the pool; `reason` is the first of what differs."""

    def __init__(self, number: str, pool: str, mismatches: Sequence[str]) -> None:
        """Take the number, the pool, and the reasons."""
        told = " and ".join(_DIFFERS[one] for one in mismatches)
        super().__init__(
            f"{number} cannot be in {pool}: it has {told}; make them the same first",
            subject=number,
            mismatches=",".join(mismatches),
        )
        self.reason = mismatches[0]  # type: ignore[misc]


_DIFFERS = {
    "MESSAGE_TYPE_MISMATCH": "another message type",
    "OPT_OUT_LIST_MISMATCH": "another opt-out list",
    "TWO_WAY_CONFIG_MISMATCH": "another setting of two_way",
    "SELF_MANAGED_OPT_OUTS_MISMATCH": "another setting of self_managed_opt_outs",
    "KEYWORD_MISMATCH": "other keywords",
}


class LastPhoneNumber(FailedPrecondition):
    """A pool keeps at least one number."""

    reason: ClassVar[str] = "LAST_PHONE_NUMBER"

    def __init__(self, number: str, pool: str) -> None:
        """Take the number and the pool."""
        super().__init__(f"{number} is the last number of {pool}; delete the pool instead", subject=pool)


class PooledNumber(FailedPrecondition):
    """A pool decides for its numbers."""

    reason: ClassVar[str] = "PHONE_NUMBER_ASSOCIATED_TO_POOL"

    def __init__(self, number: str, pool: str) -> None:
        """Take the number and its pool."""
        super().__init__(f"{number} is in {pool}, which decides this; change the pool", subject=number, pool=pool)


class NotInPool(FailedPrecondition):
    """The pool has no such member."""

    reason: ClassVar[str] = "PHONE_NUMBER_NOT_ASSOCIATED_TO_POOL"

    def __init__(self, member: str, pool: str) -> None:
        """Take the number or sender id and the pool."""
        super().__init__(f"{member} is not in {pool}", subject=pool)


class TwoWayNotEnabled(FailedPrecondition):
    """Who looks after opt-outs must hear of them."""

    reason: ClassVar[str] = "TWO_WAY_NOT_ENABLED"

    def __init__(self, name: str) -> None:
        """Take the number or the pool."""
        super().__init__(f"self_managed_opt_outs of {name} needs two_way; set both", subject=name)


class TwoWayNotSupported(FailedPrecondition):
    """Numbers of this country do not receive, as the country rules say."""

    reason: ClassVar[str] = "TWO_WAY_NOT_SUPPORTED_IN_COUNTRY"

    def __init__(self, number: str, country: str) -> None:
        """Take the number and its country."""
        super().__init__(
            f"{number} is of {country}, where numbers do not receive by the country rules; "
            "HELIOGRAPH_MESSAGING_COUNTRIES_FILE changes these",
            subject=number,
            country=country,
        )


class KeywordNotFound(NotFound):
    """The number or pool has no such keyword."""

    reason: ClassVar[str] = "KEYWORD_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no keyword {name}", resource_type="keyword", resource=name)


class TooManyKeywords(FailedPrecondition):
    """The number or pool has as many keywords as it may have."""

    reason: ClassVar[str] = "TOO_MANY_KEYWORDS"

    def __init__(self, owner: str, most: int) -> None:
        """Take the number or pool and how many it may have."""
        super().__init__(f"{owner} has {most} keywords, the most there can be; delete one first", subject=owner)


class KeywordFixed(FailedPrecondition):
    """A keyword cannot be changed so."""

    reason: ClassVar[str] = "KEYWORD_FIXED"

    def __init__(self, name: str, why: str) -> None:
        """Take the keyword and why."""
        super().__init__(f"{name} {why}", subject=name)


class OptOutListNotFound(NotFound):
    """No such opt-out list."""

    reason: ClassVar[str] = "OPT_OUT_LIST_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no opt-out list {name}", resource_type="optOutList", resource=name)


class OptOutListExists(AlreadyExists):
    """An opt-out list of that id exists."""

    reason: ClassVar[str] = "OPT_OUT_LIST_ALREADY_EXISTS"

    def __init__(self, name: str) -> None:
        """Take the name that is taken."""
        super().__init__(f"{name} exists; choose another id", resource_type="optOutList", resource=name)


class TooManyOptOutLists(FailedPrecondition):
    """The project has as many opt-out lists as it may have."""

    reason: ClassVar[str] = "TOO_MANY_OPT_OUT_LISTS"

    def __init__(self, project: str, most: int) -> None:
        """Take the project and how many it may have."""
        super().__init__(
            f"{project} has {most} opt-out lists, the most there can be; delete one first", subject=project
        )


class OptOutListFixed(FailedPrecondition):
    """The list `Default` is always there."""

    reason: ClassVar[str] = "OPT_OUT_LIST_FIXED"

    def __init__(self, name: str) -> None:
        """Take the list's name."""
        super().__init__(f"{name} is always there and cannot be deleted", subject=name)


class OptOutListInUse(FailedPrecondition):
    """Numbers or pools have the list."""

    reason: ClassVar[str] = "OPT_OUT_LIST_IN_USE"

    def __init__(self, name: str) -> None:
        """Take the list's name."""
        super().__init__(f"numbers or pools have {name}; give them another list first", subject=name)


class OptedOutNumberNotFound(NotFound):
    """The number is not on the list."""

    reason: ClassVar[str] = "OPTED_OUT_NUMBER_NOT_FOUND"

    def __init__(self, name: str) -> None:
        """Take the name asked for."""
        super().__init__(f"there is no {name}", resource_type="optedOutNumber", resource=name)


class OptOutRemovedRecently(FailedPrecondition):
    """A number comes off a list once in 30 days."""

    reason: ClassVar[str] = "OPT_OUT_REMOVED_RECENTLY"

    def __init__(self, name: str, until: datetime) -> None:
        """Take the number's name and when it may come off again."""
        when = until.isoformat(timespec="seconds")
        super().__init__(
            f"{name} came off the list within the last 30 days; it may again from {when} on, or when the person sends a "
            "keyword that opts in",
            subject=name,
            until=when,
        )
