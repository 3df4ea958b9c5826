"""What a batch tells beside its messages, as it is kept with the ledger: where its recipients come from, and on which terms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict

from heliograph.messaging.v1 import dispatch_pb2


@dataclass(frozen=True)
class Extras:
    """The extras of one batch; empty where there are none."""

    snapshot: str = ""
    policy: dispatch_pb2.DeliveryPolicy | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    caller_trace_id: str = ""


def written(batch: dispatch_pb2.DispatchBatch) -> str:
    """Return the extras of a batch as JSON; empty when there are none."""
    told: dict[str, Any] = {}
    if batch.snapshot:
        told["snapshot"] = batch.snapshot
    if batch.HasField("policy"):
        told["policy"] = MessageToDict(batch.policy)
    if batch.context:
        told["context"] = dict(batch.context)
    if batch.caller_trace_id:
        told["caller_trace_id"] = batch.caller_trace_id
    # PostgreSQL has no text with a NUL.
    return json.dumps(told).replace("\\u0000", "\\ufffd") if told else ""


def read(told: Mapping[str, Any] | None) -> Extras:
    """Return what was written."""
    if not told:
        return Extras()
    policy = told.get("policy")
    return Extras(
        told.get("snapshot", ""),
        None if policy is None else ParseDict(policy, dispatch_pb2.DeliveryPolicy(), ignore_unknown_fields=True),
        told.get("context", {}),
        told.get("caller_trace_id", ""),
    )
