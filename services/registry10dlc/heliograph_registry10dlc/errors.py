"""What the registry refuses, each with its reason."""

from __future__ import annotations

from heliograph_kit.errors import AlreadyExists, FailedPrecondition, NotFound
from heliograph_registry10dlc.domain import MAX_NUMBERS_OF_USE_CASE, Event, Kind, State

COLLECTION = {
    Kind.BRAND: "brands",
    Kind.USE_CASE: "useCases",
    Kind.NUMBER: "phoneNumbers",
    Kind.VETTING: "vettings",
    Kind.TOLL_FREE: "tollFreeRegistrations",
}


class RegistrationNotFound(NotFound):
    """There is no such brand, use case or number."""

    reason = "REGISTRATION_NOT_FOUND"

    def __init__(self, kind: Kind, name: str) -> None:
        super().__init__(f"there is no such {_WORD[kind]}", resource_type=_WORD[kind], resource=name)


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


class BrandNotVerified(FailedPrecondition):
    """Only a verified brand may own use cases."""

    reason = "BRAND_NOT_VERIFIED"

    def __init__(self, name: str, state: State) -> None:
        super().__init__(
            f"the brand is {state}; a use case needs a VERIFIED brand",
            subject=name,
            state=state,
        )


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
    """One number belongs to one use case."""

    reason = "NUMBER_ASSOCIATED"

    def __init__(self, name: str, use_case: str) -> None:
        super().__init__("the number belongs to another use case", subject=name, use_case=use_case)


class UseCaseFull(FailedPrecondition):
    """A use case has at most 49 numbers."""

    reason = "USE_CASE_FULL"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the use case has {MAX_NUMBERS_OF_USE_CASE} numbers; more is not possible",
            subject=name,
        )


class NumberExists(AlreadyExists):
    """The number is in an inventory already."""

    reason = "NUMBER_EXISTS"

    def __init__(self, number: str) -> None:
        super().__init__(
            "the number is in an inventory already",
            resource_type="phone number",
            resource=number,
        )


_WORD = {
    Kind.BRAND: "brand",
    Kind.USE_CASE: "use case",
    Kind.NUMBER: "phone number",
    Kind.VETTING: "vetting",
    Kind.TOLL_FREE: "toll-free registration",
}
