"""Recognises a request that comes again under the same `request_id`."""

from __future__ import annotations

import hashlib

from google.protobuf.message import Message


def fingerprint(message: Message) -> str:
    """Return 32 hexadecimal digits that are equal for equal requests of one type, whatever their `request_id` is.

    Stable within one version of the protos and when fields are added that the request does not use.
    """
    if "request_id" in message.DESCRIPTOR.fields_by_name:
        copy = type(message)()
        copy.CopyFrom(message)
        copy.ClearField("request_id")
        message = copy
    digest = hashlib.blake2b(message.DESCRIPTOR.full_name.encode(), digest_size=16)
    digest.update(b"\0")
    digest.update(message.SerializeToString(deterministic=True))
    return digest.hexdigest()
