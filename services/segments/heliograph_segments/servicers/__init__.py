"""gRPC in and out: parse, call, translate; no rules, no SQL."""

from __future__ import annotations

from heliograph_segments.servicers.audience import AudienceServicer
from heliograph_segments.servicers.endpoints import EndpointServicer
from heliograph_segments.servicers.erasures import ErasureServicer
from heliograph_segments.servicers.jobs import JobServicer
from heliograph_segments.servicers.segments import SegmentServicer

__all__ = ["AudienceServicer", "EndpointServicer", "ErasureServicer", "JobServicer", "SegmentServicer"]
