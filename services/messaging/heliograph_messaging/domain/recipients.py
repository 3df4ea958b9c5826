"""Who of a page is written to: the checks before anything is rendered, in the order of pinpoint-1 4.5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

PUSH_PLATFORMS = frozenset(
    {"PUSH", "GCM", "APNS", "APNS_SANDBOX", "APNS_VOIP", "APNS_VOIP_SANDBOX", "ADM", "BAIDU", "WEB"}
)


@dataclass(frozen=True)
class Recipients:
    """The fixed columns of one page: the i-th entry of each belongs to the i-th recipient."""

    endpoint_ids: Sequence[str]
    user_ids: Sequence[str]
    channels: Sequence[str]
    addresses: Sequence[str]
    opted_out: Sequence[bool]
    inactive: Sequence[bool]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.addresses)


def on_channel(endpoint_channel: str, channel: str) -> bool:
    """Tell whether an endpoint of this kind is reached through this channel; push platforms are one channel."""
    if endpoint_channel == channel:
        return True
    return channel == "PUSH" and endpoint_channel in PUSH_PLATFORMS


def channel_of(kind: str) -> str:
    """Return the channel that reaches endpoints of a kind."""
    return "PUSH" if kind in PUSH_PLATFORMS else kind


def skip_reasons(
    page: Recipients, *, channel: str, transactional: bool, expire_time: datetime | None, now: datetime
) -> list[str]:
    """Return for each recipient why it is not written to, or an empty string.

    Direct sends go out whatever the endpoint's opt-out says (pinpoint-2 1.3); a stricter opt-out list is the channel's.
    """
    late = expire_time is not None and now >= expire_time
    reasons = []
    for endpoint_channel, address, opted_out, inactive in zip(
        page.channels, page.addresses, page.opted_out, page.inactive, strict=True
    ):
        if opted_out and not transactional:
            reasons.append("ENDPOINT_OPT_OUT")
        elif inactive:
            reasons.append("ENDPOINT_INACTIVE")
        elif not address:
            reasons.append("ENDPOINT_MISSING_ADDRESS")
        elif not endpoint_channel:
            reasons.append("ENDPOINT_MISSING_CHANNEL")
        elif endpoint_channel != channel and not on_channel(endpoint_channel, channel):
            reasons.append("ENDPOINT_CHANNEL_MISMATCH")
        elif late:
            reasons.append("EXPIRED")
        else:
            reasons.append("")
    return reasons


def same_address(channel: str, address: str) -> str:
    """Return the form of an address in which equal ones are equal.

    Domains of e-mail addresses are compared without case, the part before the @ with it (pinpoint-2 2.2).
    """
    if channel != "EMAIL":
        return address
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}"
