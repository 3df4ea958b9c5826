"""Rows of the campaigns service and what they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from heliograph_campaigns.domain import (
    Campaign,
    CampaignState,
    Content,
    Draft,
    Inherited,
    Limits,
    QuietTime,
    RunState,
    Treatment,
)


@dataclass(frozen=True)
class Run:
    """A run as its worker and its readers see it. Counts are people."""

    project: str
    id: str
    campaign_id: str
    campaign_version: int
    state: RunState
    failure_reason: str
    scheduled_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    snapshot: str
    cursor: int
    produced: int
    holdout: int
    dispatched: bool
    lease_token: int
    attempts: int
    traceparent: str


def draft_to_json(draft: Draft) -> dict[str, Any]:
    """Write a draft for storage."""
    return {
        **asdict(draft),
        "start_time": draft.start_time.isoformat() if draft.start_time else None,
    }


def draft_from_json(value: Mapping[str, Any]) -> Draft:
    """Read a stored draft."""
    start = value["start_time"]
    return Draft(
        **{
            **value,
            "content": Content(**value["content"]),
            "additional_treatments": tuple(
                Treatment(**{**treatment, "content": Content(**treatment["content"])})
                for treatment in value["additional_treatments"]
            ),
            "start_time": datetime.fromisoformat(start) if start else None,
            # Campaigns of before these were known have none of them.
            "limits": Limits(**value.get("limits", {})),
            "quiet_time": _quiet_time(value),
            "inherited": Inherited(
                Limits(**value.get("inherited", {}).get("limits", {})), _quiet_time(value.get("inherited", {}))
            ),
        }
    )


def _quiet_time(value: Mapping[str, Any]) -> QuietTime | None:
    quiet = value.get("quiet_time")
    return QuietTime(**quiet) if quiet else None


def changing_columns(campaign: Campaign) -> dict[str, Any]:
    """Write the columns that a change of a campaign may touch."""
    return {
        "version": campaign.version,
        "draft": draft_to_json(campaign.draft),
        "segment": campaign.draft.segment,
        "state": campaign.state,
        "state_reason": campaign.state_reason,
        "start_time": campaign.draft.start_time,
        "update_time": campaign.update_time,
    }


def campaign_from_row(row: RowMapping) -> Campaign:
    """Read a campaign."""
    return Campaign(
        project=row["project"],
        id=row["campaign_id"],
        draft=draft_from_json(row["draft"]),
        state=CampaignState(row["state"]),
        state_reason=row["state_reason"],
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def run_from_row(row: RowMapping) -> Run:
    """Read a run."""
    return Run(
        project=row["project"],
        id=row["run_id"],
        campaign_id=row["campaign_id"],
        campaign_version=row["campaign_version"],
        state=RunState(row["state"]),
        failure_reason=row["failure_reason"],
        scheduled_time=row["scheduled_time"],
        start_time=row["start_time"],
        end_time=row["end_time"],
        snapshot=row["snapshot"],
        cursor=row["cursor"],
        produced=row["produced"],
        holdout=row["holdout"],
        dispatched=row["dispatched"],
        lease_token=row["lease_token"],
        attempts=row["attempts"],
        traceparent=row["traceparent"],
    )
