"""Answers LaunchService.CheckContent from a use case and its brand."""

from __future__ import annotations

from heliograph.registry10dlc.v1 import launch_pb2
from heliograph_kit.errors import Violations
from heliograph_registry10dlc.content_check import findings
from heliograph_registry10dlc.domain import Registration

MAX_BODIES = 10
MAX_BODY = 1600
"""Characters of a text (pinpoint-1 6.3)."""


def check_content(
    request: launch_pb2.CheckContentRequest, use_case: Registration, brand: Registration
) -> launch_pb2.CheckContentResponse:
    """Check the texts of a request. The use case may be a draft: what it does not say yet counts as No.

    Raises:
        InvalidArgument: there are not one to ten texts of 1 to 1,600 characters.
    """
    check_bodies(request)
    found = findings(request.bodies, use_case.fields, brand.fields)
    return launch_pb2.CheckContentResponse(
        findings=[
            launch_pb2.ContentFinding(
                body_index=finding.body_index,
                reason=finding.reason,
                serious=finding.serious,
                description=finding.description,
                excerpt=finding.excerpt,
            )
            for finding in found
        ]
    )


def check_bodies(request: launch_pb2.CheckContentRequest) -> None:
    """Refuse a request before anything is read for it. Raises InvalidArgument with everything that is wrong."""
    violations = Violations()
    if not 1 <= len(request.bodies) <= MAX_BODIES:
        violations.add("bodies", f"must be 1 to {MAX_BODIES} texts", "OUT_OF_RANGE")
    for index, body in enumerate(request.bodies[:MAX_BODIES]):
        if not 1 <= len(body) <= MAX_BODY:
            violations.add(f"bodies[{index}]", f"must be 1 to {MAX_BODY} characters", "INVALID_LENGTH")
    violations.check()
