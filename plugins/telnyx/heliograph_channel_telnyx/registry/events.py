"""Events that Telnyx calls us with ("10DLC event notifications", "Number order status update"). Pure.

An event is a hint: the things themselves are asked afterwards. Only what they do not tell is taken out of it: which fields are to be
mended, and that a vetting failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from heliograph_channel_telnyx.registry.api import text, time
from heliograph_channel_telnyx.registry.findings import findings_of_reasons
from heliograph_channel_telnyx.registry.forms import BRAND, USE_CASE
from heliograph_channel_telnyx.registry.references import Reference
from heliograph_channels import Finding, SubmissionKind

__all__ = ["Event", "event_in"]

_OF_CAMPAIGNS = (SubmissionKind.USE_CASE, SubmissionKind.RENEWAL)
_KINDS: Mapping[str, tuple[SubmissionKind, ...]] = {
    "10dlc.brand.update": (SubmissionKind.BRAND, SubmissionKind.VETTING),
    "10dlc.campaign.update": _OF_CAMPAIGNS,
    "10dlc.phone_number.update": (SubmissionKind.NUMBER, SubmissionKind.DISASSOCIATION),
}
_IDS = {
    "10dlc.brand.update": "brandId",
    "10dlc.campaign.update": "campaignId",
    "10dlc.phone_number.update": "phoneNumber",
}
_FAILED = ("failed", "REJECTED", "FAILED")


@dataclass(frozen=True, slots=True)
class Event:
    """What a call is about, and what it says besides."""

    kinds: tuple[SubmissionKind, ...]
    things: frozenset[str]
    time: datetime | None = None
    reasons: object = None
    findings: tuple[Finding, ...] = ()
    vetting_failed: bool = False

    def is_about(self, reference: Reference) -> bool:
        """Tell whether what was handed in under a reference may have been decided."""
        return reference.kind in self.kinds and reference.thing in self.things


def event_in(body: bytes) -> Event:
    """Read an event; one about other things is about nothing.

    Raises:
        ValueError: the body is no event of Telnyx.
    """
    try:
        told = json.loads(body)
    except RecursionError as error:
        raise ValueError("the call holds no event of Telnyx") from error
    data = told.get("data") if isinstance(told, dict) else None
    if not isinstance(data, dict):
        # Toll-free verifications call with the request itself.
        return _toll_free(told) if isinstance(told, dict) and "verificationStatus" in told else _unreadable()
    kind, payload = text(data, "event_type"), data.get("payload")
    if not kind or not isinstance(payload, dict):
        return _unreadable()
    if kind in _KINDS:
        return _of_registry(kind, data, payload)
    if kind.startswith("number_order."):
        return Event((SubmissionKind.ORDER,), frozenset({text(payload, "id")}))
    if "verificationStatus" in payload or "verificationRequestId" in payload:
        return _toll_free(payload)
    return Event((), frozenset())


def _of_registry(kind: str, data: Mapping[str, Any], payload: Mapping[str, Any]) -> Event:
    failed = text(payload, "status") in _FAILED
    reasons = payload.get("reasons") or payload.get("description")
    paths = BRAND if kind == "10dlc.brand.update" else USE_CASE
    return Event(
        _KINDS[kind],
        frozenset({text(payload, _IDS[kind])} - {""}),
        time(data, "occurred_at"),
        reasons,
        tuple(findings_of_reasons(reasons, paths)) if failed and kind != "10dlc.phone_number.update" else (),
        failed and text(payload, "type") == "ORDER_EXTERNAL_VETTING",
    )


def _toll_free(request: Mapping[str, Any]) -> Event:
    things = {text(request, "id"), text(request, "verificationRequestId")} - {""}
    return Event((SubmissionKind.TOLL_FREE,), frozenset(things))


def _unreadable() -> Event:
    raise ValueError("the call holds no event of Telnyx")
