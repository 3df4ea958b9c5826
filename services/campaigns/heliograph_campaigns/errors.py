"""What the campaigns service refuses, each with its reason."""

from __future__ import annotations

from heliograph_kit.errors import Aborted, FailedPrecondition, NotFound


class CampaignNotFound(NotFound):
    """There is no such campaign, or it was deleted."""

    reason = "CAMPAIGN_NOT_FOUND"

    def __init__(self, name: str) -> None:
        super().__init__("there is no such campaign", resource_type="campaign", resource=name)


class SegmentUnusable(FailedPrecondition):
    """The campaign's segment is missing."""

    reason = "SEGMENT_UNUSABLE"

    def __init__(self, segment: str) -> None:
        super().__init__(
            "the segment does not exist; create it first",
            subject=segment,
            segment=segment,
        )


class TemplateUnusable(FailedPrecondition):
    """A template is missing or speaks on another channel."""

    reason = "TEMPLATE_UNUSABLE"

    def __init__(self, template: str, why: str) -> None:
        super().__init__(f"the template cannot be used: {why}", subject=template, template=template)


class PoolUnusable(FailedPrecondition):
    """A pool that the campaign's SMS are to leave from is missing."""

    reason = "POOL_UNUSABLE"

    def __init__(self, pool: str) -> None:
        super().__init__("the pool cannot be used: it does not exist", subject=pool, pool=pool)


class CampaignNotEditable(FailedPrecondition):
    """Only a scheduled or paused campaign can be changed."""

    reason = "CAMPAIGN_NOT_EDITABLE"

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"the campaign is {state}; only a scheduled or paused campaign can be changed",
            subject=name,
            state=state,
        )


class CampaignNotPausable(FailedPrecondition):
    """Only a campaign that waits for its start can be paused."""

    reason = "CAMPAIGN_NOT_PAUSABLE"

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"the campaign is {state}; only a scheduled campaign can be paused",
            subject=name,
            state=state,
        )


class CampaignNotResumable(FailedPrecondition):
    """Only a paused campaign can be resumed."""

    reason = "CAMPAIGN_NOT_RESUMABLE"

    def __init__(self, name: str, state: str) -> None:
        super().__init__(
            f"the campaign is {state}; only a paused campaign can be resumed",
            subject=name,
            state=state,
        )


class StaleEtag(Aborted):
    """The campaign changed since the caller read it."""

    reason = "CONFLICT"

    def __init__(self) -> None:
        super().__init__("the campaign changed since you read it; read it again and repeat the change")


class RegistryAway(Exception):
    """The 10DLC registry did not answer. Callers are told in the answer; it is never refused to them."""
