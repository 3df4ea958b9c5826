"""What happens next to a registration, and who must do it: a table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

YOU = "you"
REGISTRAR = "the registrar"
NOBODY = "nobody"


@dataclass(frozen=True)
class Step:
    """What comes next, and who makes it."""

    what: str
    who: str


_BY_HAND = "; by hand: heliograph 10dlc desk list"
_FILL = Step("fill the form and submit it", YOU)
_CHECKED = Step(f"it is being checked{_BY_HAND}", REGISTRAR)
_MEND = Step("mend what is named and submit it again", YOU)
_STOPPED = Step("it was stopped and nothing is sent for it; ask the registrar what it wants", YOU)
_OVER = Step("it was refused for good; delete it and begin a new one", YOU)
_RUN_OUT = Step("it ran out and nothing is sent for it; renew it", YOU)
_RENEWED = Step(f"its renewal is being checked, it stays in force{_BY_HAND}", REGISTRAR)
_GONE = Step("it is gone; its history is kept", NOBODY)
_NEXT: Mapping[str, Mapping[str, Step]] = {
    "BRAND": {
        "DRAFT": _FILL,
        "PENDING": _CHECKED,
        "REQUIRES_AUTHENTICATION": Step(
            "follow the link in the mail to the business contact, within seven days", "the business contact"
        ),
        "REQUIRES_UPDATE": _MEND,
        "VERIFIED": Step("have it vetted for a higher allowance, then create use cases", YOU),
        "UPDATE_PENDING": Step(f"its change is being checked, it stays in force{_BY_HAND}", REGISTRAR),
        "RENEWAL_PENDING": _RENEWED,
        "SUSPENDED": _STOPPED,
        "EXPIRED": _RUN_OUT,
        "REJECTED": _OVER,
        "DELETED": _GONE,
    },
    "VETTING": {
        "PENDING": Step(f"the brand is being looked at{_BY_HAND}", REGISTRAR),
        "SCORED": Step("nothing; the score counts for use cases created from now on", NOBODY),
        "FAILED": Step("no score came of it; see why, then ask for another vetting", YOU),
    },
    "USE_CASE": {
        "DRAFT": _FILL,
        "PENDING": _CHECKED,
        "REQUIRES_UPDATE": _MEND,
        "APPROVED": Step("associate numbers with it", YOU),
        "RENEWAL_PENDING": _RENEWED,
        "SUSPENDED": _STOPPED,
        "EXPIRED": _RUN_OUT,
        "REJECTED": _OVER,
        "DELETED": _GONE,
    },
    "NUMBER": {
        "ORDERED": Step(f"it is being bought{_BY_HAND}", REGISTRAR),
        "UNASSOCIATED": Step("associate it with an approved use case", YOU),
        "PENDING": Step(f"carriers are told of it, which takes about 14 days{_BY_HAND}", REGISTRAR),
        "CONVERTING": Step(f"it becomes a 10DLC number; no SMS leave from it meanwhile{_BY_HAND}", REGISTRAR),
        "READY": Step("nothing; SMS may leave from it", NOBODY),
        "SUSPENDED": Step("what it sends for was stopped; see its use case and brand", YOU),
        "DISASSOCIATING": Step(f"it leaves its use case{_BY_HAND}", REGISTRAR),
        "RELEASED": _GONE,
        "FAILED": Step("it could not be bought; see why, then ask for another one", YOU),
    },
    "TOLL_FREE": {
        "DRAFT": _FILL,
        "PENDING": _CHECKED,
        "REQUIRES_UPDATE": _MEND,
        "APPROVED": Step("nothing; its number sends without the thresholds", NOBODY),
        "SUSPENDED": _STOPPED,
        "REJECTED": _OVER,
        "CLOSED": Step("its number is gone; delete it", YOU),
        "DELETED": _GONE,
    },
}


def next_step(kind: str, state: str) -> Step:
    """Return what comes next for a registration of a kind in a state."""
    known = _NEXT.get(kind, {}).get(state)
    return known or Step(f"this command does not know the state {state}; it is older than the service", NOBODY)
