"""What an SMSC's status means for the message (SMPP 3.4, 5.1.3)."""

from __future__ import annotations

from collections.abc import Collection
from enum import IntEnum

from heliograph_channels import Rejected, RejectReason

__all__ = ["Status", "is_throttling", "name_of", "rejection"]


class Status(IntEnum):
    """The statuses this channel gives or acts on."""

    ESME_ROK = 0x00
    ESME_RINVMSGLEN = 0x01
    ESME_RINVCMDLEN = 0x02
    ESME_RINVCMDID = 0x03
    ESME_RINVBNDSTS = 0x04
    ESME_RALYBND = 0x05
    ESME_RINVPRTFLG = 0x06
    ESME_RINVREGDLVFLG = 0x07
    ESME_RSYSERR = 0x08
    ESME_RINVSRCADR = 0x0A
    ESME_RINVDSTADR = 0x0B
    ESME_RINVMSGID = 0x0C
    ESME_RBINDFAIL = 0x0D
    ESME_RINVPASWD = 0x0E
    ESME_RINVSYSID = 0x0F
    ESME_RMSGQFUL = 0x14
    ESME_RINVSERTYP = 0x15
    ESME_RINVESMCLASS = 0x43
    ESME_RSUBMITFAIL = 0x45
    ESME_RINVSRCTON = 0x48
    ESME_RINVSRCNPI = 0x49
    ESME_RINVDSTTON = 0x50
    ESME_RINVDSTNPI = 0x51
    ESME_RINVSYSTYP = 0x53
    ESME_RTHROTTLED = 0x58
    ESME_RINVEXPIRY = 0x62
    ESME_RX_T_APPN = 0x64
    ESME_RX_P_APPN = 0x65
    ESME_RX_R_APPN = 0x66
    ESME_ROPTPARNOTALLWD = 0xC1
    ESME_RINVPARLEN = 0xC2
    ESME_RINVOPTPARAMVAL = 0xC4
    ESME_RDELIVERYFAILURE = 0xFE
    ESME_RUNKNOWNERR = 0xFF


_REASONS: dict[int, tuple[RejectReason, bool]] = {
    Status.ESME_RINVMSGLEN: (RejectReason.INVALID_CONTENT, False),
    Status.ESME_RINVBNDSTS: (RejectReason.UNAVAILABLE, True),
    Status.ESME_RALYBND: (RejectReason.UNAVAILABLE, True),
    Status.ESME_RSYSERR: (RejectReason.UNAVAILABLE, True),
    Status.ESME_RINVSRCADR: (RejectReason.INVALID_ORIGINATION, False),
    Status.ESME_RINVDSTADR: (RejectReason.INVALID_ADDRESS, False),
    Status.ESME_RBINDFAIL: (RejectReason.CREDENTIALS, True),
    Status.ESME_RINVPASWD: (RejectReason.CREDENTIALS, True),
    Status.ESME_RINVSYSID: (RejectReason.CREDENTIALS, True),
    Status.ESME_RINVSYSTYP: (RejectReason.CREDENTIALS, True),
    Status.ESME_RMSGQFUL: (RejectReason.THROTTLED, True),
    Status.ESME_RINVSRCTON: (RejectReason.INVALID_ORIGINATION, False),
    Status.ESME_RINVSRCNPI: (RejectReason.INVALID_ORIGINATION, False),
    Status.ESME_RINVDSTTON: (RejectReason.INVALID_ADDRESS, False),
    Status.ESME_RINVDSTNPI: (RejectReason.INVALID_ADDRESS, False),
    Status.ESME_RTHROTTLED: (RejectReason.THROTTLED, True),
    Status.ESME_RX_T_APPN: (RejectReason.UNAVAILABLE, True),
    Status.ESME_RX_R_APPN: (RejectReason.BLOCKED, False),
}
_THROTTLING = frozenset({Status.ESME_RTHROTTLED, Status.ESME_RMSGQFUL})


def name_of(status: int) -> str:
    """Return a status as people look it up: its name and number."""
    try:
        return f"{Status(status).name} (0x{status:08x})"
    except ValueError:
        return f"status 0x{status:08x}"


def is_throttling(status: int, further: Collection[int] = ()) -> bool:
    """Whether the SMSC asks to be sent less: by the standard, or by one of the operator's `further` statuses."""
    return status in _THROTTLING or status in further


def rejection(status: int, what: str = "submit_sm", further: Collection[int] = ()) -> Rejected:
    """Map a status other than ESME_ROK: the SMSC certainly did not take what it answers with it.

    A status nobody knows (0x400 to 0x4ff are each vendor's own) is a refusal for good, as repeating it would cost a
    message each time; `further` are those that the operator knows to mean "later".
    """
    detail = f"{what} was answered {name_of(status)}"
    if status in further:
        return Rejected(RejectReason.THROTTLED, retryable=True, detail=detail)
    reason, retryable = _REASONS.get(status, (RejectReason.REFUSED, False))
    return Rejected(reason, retryable=retryable, detail=detail)
