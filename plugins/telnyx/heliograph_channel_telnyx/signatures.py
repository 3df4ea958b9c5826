"""Whether a webhook comes from Telnyx, and now (Telnyx's "Webhook signing": Ed25519 over time and body)."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from heliograph_channels import Forged, WebhookRequest

__all__ = ["TOLERANCE_SECONDS", "check"]

TOLERANCE_SECONDS = 300
"""How far the signed time may be from ours, in both directions: a call from the future could be repeated until then."""


def check(request: WebhookRequest, key: Ed25519PublicKey, now: datetime) -> None:
    """Check the signature of a call and its age.

    Raises:
        Forged: the signature is missing or wrong, or was made more than 5 minutes from now.
    """
    stamp = request.headers.get("telnyx-timestamp", "")
    given = request.headers.get("telnyx-signature-ed25519", "")
    if not stamp or not given:
        raise Forged("the call has no signature")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise Forged("the time of the signature is no number")
    try:
        key.verify(base64.b64decode(given, validate=True), stamp.encode() + b"|" + request.body)
    except (InvalidSignature, ValueError, binascii.Error) as error:
        raise Forged("the signature does not fit") from error
    if abs(now.timestamp() - int(stamp)) > TOLERANCE_SECONDS:
        raise Forged("the signature is more than 5 minutes away from now")
