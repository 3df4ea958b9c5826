"""What the registry refuses, each with its reason."""

from __future__ import annotations

from heliograph_kit.errors import AlreadyExists, FailedPrecondition, NotFound
from heliograph_registry10dlc.domain import MAX_NUMBERS_OF_USE_CASE, Event, Kind, State

COLLECTION = {
    Kind.BRAND: "brands",
    Kind.VETTING: "vettings",
    Kind.USE_CASE: "useCases",
    Kind.NUMBER: "phoneNumbers",
    Kind.TOLL_FREE: "tollFreeRegistrations",
}
_WORD = {
    Kind.BRAND: "brand",
    Kind.VETTING: "vetting",
    Kind.USE_CASE: "use case",
    Kind.NUMBER: "phone number",
    Kind.TOLL_FREE: "toll-free registration",
}


class RegistrationNotFound(NotFound):
    """There is no such registration or number."""

    reason = "REGISTRATION_NOT_FOUND"

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(f"there is no such {_WORD[kind]}", resource_type=_WORD[kind], resource=name)


class ShareGrantNotFound(NotFound):
    """There is no such grant."""

    reason = "SHARE_GRANT_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("there is no such share grant", resource_type="share grant", resource=name)


class MoveNotAllowed(FailedPrecondition):
    """The registration's state does not allow this."""

    reason = "REGISTRATION_MOVE_NOT_ALLOWED"

    def __init__(self, kind: Kind, name: str, state: State, event: Event | str) -> None:
        super().__init__(
            f"the {_WORD[kind]} is {state}; {event.lower()} is not possible now",
            subject=name,
            state=state,
            event=event,
        )


class NothingToSubmit(FailedPrecondition):
    """A verified brand is handed in again only when something was changed."""

    reason = "NOTHING_TO_SUBMIT"

    def __init__(self, name: str) -> None:
        super().__init__("nothing was changed since the brand was verified; update it first", subject=name)


class HasDependents(FailedPrecondition):
    """Something hangs on it."""

    reason = "REGISTRATION_HAS_DEPENDENTS"

    def __init__(self, kind: Kind, name: str, what: str, count: int) -> None:
        super().__init__(
            f"the {_WORD[kind]} has {count} {what} still; they must go first", subject=name, dependents=str(count)
        )


class BrandNotVerified(FailedPrecondition):
    """Only a verified brand may own use cases and be vetted."""

    reason = "BRAND_NOT_VERIFIED"

    def __init__(self, name: str, state: State) -> None:
        super().__init__(f"the brand is {state}; this needs a VERIFIED brand", subject=name, state=state)


class VettingPending(FailedPrecondition):
    """One vetting at a time."""

    reason = "VETTING_PENDING"

    def __init__(self, name: str) -> None:
        super().__init__("a vetting of this brand is under way", subject=name)


class UseCaseNotApproved(FailedPrecondition):
    """Only an approved use case may own numbers."""

    reason = "USE_CASE_NOT_APPROVED"

    def __init__(self, name: str, state: State) -> None:
        super().__init__(
            f"the use case is {state}; a number needs an APPROVED use case",
            subject=name,
            state=state,
        )


class NumberAssociated(FailedPrecondition):
    """One number belongs to one use case, or to one toll-free registration."""

    reason = "NUMBER_ASSOCIATED"

    def __init__(self, name: str, belongs_to: str) -> None:
        super().__init__("the number belongs to another registration", subject=name, use_case=belongs_to)


class NumberNotTenDlc(FailedPrecondition):
    """Only 10DLC numbers and US long codes belong to use cases."""

    reason = "NUMBER_NOT_TEN_DLC"

    def __init__(self, name: str, number_type: str) -> None:
        super().__init__(f"a {number_type} belongs to no use case", subject=name, number_type=number_type)


class NumberNotTollFree(FailedPrecondition):
    """Only toll-free numbers have toll-free registrations."""

    reason = "NUMBER_NOT_TOLL_FREE"

    def __init__(self, name: str, number_type: str) -> None:
        super().__init__(f"a {number_type} has no toll-free registration", subject=name, number_type=number_type)


class UseCaseFull(FailedPrecondition):
    """A use case has at most 49 numbers."""

    reason = "USE_CASE_FULL"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the use case has {MAX_NUMBERS_OF_USE_CASE} numbers; more is not possible",
            subject=name,
        )


class TooMany(FailedPrecondition):
    """A quota of the installation is used up; the operator raises it by a setting."""

    reason = "QUOTA_REACHED"

    def __init__(self, what: str, most: int, setting: str) -> None:
        super().__init__(f"there are {most} {what} already, the most this installation allows", quota=setting)


class RegistrarCannot(FailedPrecondition):
    """The registrar of this installation does not do that."""

    reason = "REGISTRAR_CANNOT"

    def __init__(self, registrar: str, what: str) -> None:
        super().__init__(f"the registrar {registrar} {what}", registrar=registrar)


class RegistrarDecides(FailedPrecondition):
    """Only the registrar `manual` leaves decisions to an operator."""

    reason = "REGISTRAR_DECIDES"

    def __init__(self, registrar: str) -> None:
        super().__init__(f"the registrar {registrar} decides; nothing is decided by hand", registrar=registrar)


class SubmissionOutdated(FailedPrecondition):
    """It was handed in again since."""

    reason = "SUBMISSION_OUTDATED"

    def __init__(self, name: str) -> None:
        super().__init__("it was handed in again since, or decided; look at it anew", subject=name)


class NumberExists(AlreadyExists):
    """The number is in an inventory already."""

    reason = "NUMBER_EXISTS"

    def __init__(self, number: str) -> None:
        super().__init__(
            "the number is in an inventory already",
            resource_type="phone number",
            resource=number,
        )
