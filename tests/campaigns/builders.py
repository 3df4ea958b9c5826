"""Campaigns with defaults, so that a test states only what matters to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from heliograph.campaigns.v1 import campaigns_pb2 as pb
from heliograph.messaging.v1 import dispatch_pb2

SHOP = "projects/shop"
SEGMENT = f"{SHOP}/segments/everybody"
TEMPLATE = f"{SHOP}/templates/hello"


def content(template: str = TEMPLATE, **fields: Any) -> dispatch_pb2.MessageContent:
    """Return what a treatment says."""
    return dispatch_pb2.MessageContent(template=template, **fields)


def at(instant: datetime) -> pb.Schedule:
    """Return a schedule that starts at an instant."""
    start = Timestamp()
    start.FromDatetime(instant)
    return pb.Schedule(start_time=start)


def a_campaign(**changes: Any) -> pb.Campaign:
    """Return an immediate e-mail campaign to everybody."""
    defaults: dict[str, Any] = {"display_name": "News", "segment": SEGMENT, "channel": "EMAIL", "content": content()}
    return pb.Campaign(**(defaults | changes))


def treatments(*sizes: int) -> list[pb.Treatment]:
    """Return further treatments of these sizes in percent."""
    return [pb.Treatment(display_name=f"T{n}", size_percent=size, content=content()) for n, size in enumerate(sizes)]


def a_request(request_id: str = "", **changes: Any) -> pb.CreateCampaignRequest:
    """Return a request for such a campaign."""
    return pb.CreateCampaignRequest(parent=SHOP, campaign=a_campaign(**changes), request_id=request_id)
