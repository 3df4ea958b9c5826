"""The words of registration: what is registered, where it is, what can happen to it, and who makes it happen."""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What is registered."""

    BRAND = "BRAND"
    VETTING = "VETTING"
    USE_CASE = "USE_CASE"
    NUMBER = "NUMBER"
    TOLL_FREE = "TOLL_FREE"


class State(StrEnum):
    """Where a registration is. Not every kind knows every state; `machines` tells which."""

    DRAFT = "DRAFT"
    PENDING = "PENDING"
    REQUIRES_UPDATE = "REQUIRES_UPDATE"
    REQUIRES_AUTHENTICATION = "REQUIRES_AUTHENTICATION"
    VERIFIED = "VERIFIED"
    UPDATE_PENDING = "UPDATE_PENDING"
    APPROVED = "APPROVED"
    RENEWAL_PENDING = "RENEWAL_PENDING"
    SUSPENDED = "SUSPENDED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"
    SCORED = "SCORED"
    FAILED = "FAILED"
    ORDERED = "ORDERED"
    UNASSOCIATED = "UNASSOCIATED"
    CONVERTING = "CONVERTING"
    READY = "READY"
    DISASSOCIATING = "DISASSOCIATING"
    RELEASED = "RELEASED"
    CLOSED = "CLOSED"
    DELETED = "DELETED"


class Event(StrEnum):
    """What can happen to a registration."""

    EDIT = "EDIT"
    SUBMIT = "SUBMIT"
    AMEND = "AMEND"
    RENEW = "RENEW"
    RENEWAL_DUE = "RENEWAL_DUE"
    DELETE = "DELETE"
    ASSOCIATE = "ASSOCIATE"
    CONVERT = "CONVERT"
    DISASSOCIATE = "DISASSOCIATE"
    RELEASE = "RELEASE"
    ACTIVATE = "ACTIVATE"
    CLOSE = "CLOSE"
    VERIFIED = "VERIFIED"
    NEEDS_AUTHENTICATION = "NEEDS_AUTHENTICATION"
    LAPSED = "LAPSED"
    APPROVED = "APPROVED"
    READY = "READY"
    REJECTED = "REJECTED"
    DECLINED = "DECLINED"
    SUSPENDED = "SUSPENDED"
    RENEWED = "RENEWED"
    EXPIRED = "EXPIRED"
    SCORED = "SCORED"
    FAILED = "FAILED"
    BOUGHT = "BOUGHT"
    DETACHED = "DETACHED"
    STOPPED = "STOPPED"
    RESUMED = "RESUMED"


class Actor(StrEnum):
    """Who makes a move."""

    USER = "user"
    REGISTRAR = "registrar"
    CLOCK = "clock"
    OPERATOR = "operator"


class NumberType(StrEnum):
    """What a number is (pinpoint-2 3.2)."""

    SHORT_CODE = "SHORT_CODE"
    TEN_DLC = "TEN_DLC"
    TOLL_FREE = "TOLL_FREE"
    LONG_CODE = "LONG_CODE"
    SIMULATOR = "SIMULATOR"
