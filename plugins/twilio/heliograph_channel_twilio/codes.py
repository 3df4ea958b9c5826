"""Twilio's error codes as reasons. The list is Twilio's error and warning dictionary; codes not in it go by status."""

from __future__ import annotations

from heliograph_channels import RejectReason
from heliograph_channels.meanings import Listed, meanings

__all__ = ["MEANINGS", "OPTED_OUT"]

OPTED_OUT = 21610
"""The person told Twilio to stop."""


_FINAL: Listed[int] = {
    RejectReason.INVALID_ADDRESS: (
        13223, 13226,         # malformed, no such country code
        21201, 21211, 21217,  # no number, not a number, not a valid number
        21265, 21266, 21604,  # a short code, the sender itself, missing
        21614, 21635,         # no mobile number, a landline
        30005, 30006,         # unknown handset, landline
    ),
    RejectReason.INVALID_CONTENT: (
        12100, 13510, 13511, 13512, 13520, 13521, 32018,  # TwiML: unreadable, wrong attributes, too long
        14103, 21602, 21605, 21617, 21618, 21619, 21658,  # the body: missing, too long, not sendable
        21620, 21623, 30019,  # media: bad address, too many, too large
        20413, 30011,         # request too large, no MMS there
    ),
    RejectReason.INVALID_ORIGINATION: (
        14108, 21210, 21212, 21213, 21264, 21267, 21401, 21407,  # the number: malformed, not verified, not usable
        21601, 21603, 21606, 21607, 21616, 21621, 21657, 21659, 21660, 21661,
        21701, 21702, 21703, 21704, 21705, 21708, 21709, 21711, 21712, 21715,  # the messaging service and its senders
        30018, 30024, 30032, 30033, 30034, 30035,  # not registered: with the carrier, toll-free, 10DLC
    ),
    RejectReason.BLOCKED: (
        13225, 13227, 14111, 21202, 21203, 21215, 21216, 21219, 21268, 21408, 21608,  # premium, countries, trial accounts
        30004, 30007, 30450,  # blocked or filtered on the way
    ),
    RejectReason.OPTED_OUT: (OPTED_OUT,),
    RejectReason.CREDENTIALS: (
        10001, 10005, 20003, 20005, 20006, 20008, 20010, 20101, 20104, 20107, 20151, 20403, 20404, 30002,
    ),
}  # fmt: skip

_LATER: Listed[int] = {
    RejectReason.THROTTLED: (10004, 14107, 20429, 21611, 30001, 30022),
    RejectReason.QUOTA_EXCEEDED: (30023, 30027),  # a day's allowance of a 10DLC brand
    RejectReason.UNAVAILABLE: (20500, 20503, 21730, 30017, 30020, 30021, 30410),
    # Not the provider's fault and not for good: the handset is off, a part got lost, the carrier will not say.
    RejectReason.REFUSED: (21214, 30003, 30008, 30009),
}

MEANINGS = meanings(final=_FINAL, later=_LATER)
