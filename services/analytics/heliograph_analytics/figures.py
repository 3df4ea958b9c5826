"""What a key figure is: an expression over messages, steps or actives, and the SQL that it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Scope = Literal["project", "campaign", "journey"]
Family = Literal["campaigns", "transactional", "journeys", "all"]
Source = Literal["messages", "steps", "actives"]

GROUPINGS: dict[str, tuple[str, str]] = {
    # grouping: (key of the answer, expression over m)
    "date": ("Date", "strftime(moment, '%Y-%m-%d')"),
    "campaign": ("CampaignId", "campaign"),
    "campaign-activity": ("CampaignActivityId", "run"),
    "treatment": ("TreatmentId", "treatment"),
    "journey-activity": ("JourneyActivityId", "activity"),
    "reason": ("Reason", "reason"),
    "channel": ("Channel", "channel"),
    "outcome": ("Outcome", "outcome"),
    "ten-dlc-registration": ("TenDlcRegistrationId", "registration"),
    "record-status": ("RecordStatus", "record_status"),
    "carrier": ("Carrier", "carrier"),
}
_OF_ATTRIBUTES: dict[str, str] = {
    # Columns of m that only these groupings read; looking into the attributes of every event takes its time.
    "ten-dlc-registration": "coalesce(max(attributes['ten_dlc_registration_id']), '') AS registration,",
    "record-status": """coalesce(max(attributes['record_status']) FILTER (outcome IN ('FAILED', 'BOUNCED')),
        max(attributes['record_status']) FILTER (outcome = 'DELIVERED'), max(attributes['record_status']), '')
        AS record_status,""",
    "carrier": "coalesce(max(attributes['carrier_name']), '') AS carrier,",
}

MESSAGES = """
SELECT message_id, any_value(endpoint) AS endpoint, any_value(campaign) AS campaign, any_value(journey) AS journey,
  any_value(run) AS run, any_value(treatment) AS treatment, any_value(activity) AS activity,
  any_value(channel) AS channel,
  {columns}
  min(time) FILTER (outcome IN ('ACCEPTED', 'FAILED', 'SKIPPED', 'IN_DOUBT')) AS moment,
  bool_or(outcome = 'ACCEPTED') AS sent,
  bool_or(outcome = 'FAILED') AND NOT bool_or(outcome = 'ACCEPTED') AS failed,
  bool_or(outcome = 'SKIPPED') AND NOT bool_or(outcome IN ('ACCEPTED', 'FAILED')) AS skipped,
  bool_or(outcome = 'IN_DOUBT') AND NOT bool_or(outcome IN ('ACCEPTED', 'FAILED', 'SKIPPED')) AS in_doubt,
  CASE WHEN bool_or(outcome = 'ACCEPTED') THEN 'ACCEPTED' WHEN bool_or(outcome = 'FAILED') THEN 'FAILED'
    WHEN bool_or(outcome = 'SKIPPED') THEN 'SKIPPED' ELSE 'IN_DOUBT' END AS outcome,
  coalesce(arg_max(reason, time) FILTER (outcome IN ('FAILED', 'SKIPPED', 'IN_DOUBT')), '') AS reason,
  bool_or(outcome = 'DELIVERED') AS received,
  bool_or(type = '_email.softbounce') AS soft,
  bool_or(outcome = 'BOUNCED' AND type <> '_email.softbounce') AS hard,
  bool_or(type IN ('_email.rejected', '_email.rendering_failure')) AS rejected,
  bool_or(outcome = 'COMPLAINED') AS complained,
  bool_or(outcome = 'OPENED') AS opened, count(*) FILTER (outcome = 'OPENED') AS opens,
  bool_or(outcome = 'CLICKED') AS clicked, count(*) FILTER (outcome = 'CLICKED') AS clicks,
  count(*) FILTER (outcome = 'OPTED_OUT') AS opt_outs,
  coalesce(max(metrics['number_of_message_parts']), 1) AS parts
FROM events
WHERE project = $project AND source = 'message' AND message_id <> '' AND time >= $start {scope}
GROUP BY message_id
HAVING min(time) FILTER (outcome IN ('ACCEPTED', 'FAILED', 'SKIPPED', 'IN_DOUBT')) BETWEEN $start AND $end
"""
STEPS = """
SELECT time AS moment, endpoint, run, activity, outcome, '' AS reason, coalesce(attributes['to_activity'], '') AS to_activity
FROM events
WHERE project = $project AND source = 'journey' AND time BETWEEN $start AND $end {scope}
"""
ACTIVES = """
SELECT time AS moment, endpoint, nullif(user_id, '') AS user_id
FROM events
WHERE project = $project AND source = 'app' AND time BETWEEN $start AND $end {scope}
"""
ROWS: dict[Source, str] = {"messages": MESSAGES, "steps": STEPS, "actives": ACTIVES}

_FAMILIES: dict[Family, str] = {
    "campaigns": "AND campaign <> ''",
    "transactional": "AND campaign = '' AND journey = ''",
    "journeys": "AND journey <> ''",
    "all": "",
}
SCOPES: dict[Scope, str] = {"project": "", "campaign": "AND campaign = $parent", "journey": "AND journey = $parent"}


@dataclass(frozen=True)
class Kpi:
    """One key figure. `where` chooses rows of `m`; the figure is left out where `figure` is NULL."""

    name: str
    description: str
    figure: str
    scopes: tuple[Scope, ...]
    groupings: tuple[str, ...] = ()
    where: str = "true"
    family: Family = "all"
    source: Source = "messages"

    @property
    def value_key(self) -> str:
        """The key of the value in answers: the name without hyphens, each word capitalised."""
        return "".join(word.capitalize() for word in self.name.split("-"))

    def query(self, scope: Scope, group_by: Sequence[str]) -> str:
        """Return the SQL: groups first, then the figure. Parameters: project, start, end, and parent below a project."""
        columns = " ".join(_OF_ATTRIBUTES.get(grouping, "") for grouping in group_by)
        inner = ROWS[self.source].format(scope=f"{_FAMILIES[self.family]} {SCOPES[scope]}", columns=columns)
        groups = [f"{GROUPINGS[grouping][1]}" for grouping in group_by]
        # Without data there is no row, not a zero (pinpoint-2 6.1).
        # Every part of the text comes from the tables above; what callers say arrives as parameters.
        if not groups:
            return (
                f"SELECT * FROM (SELECT {self.figure} AS figure, count(*) AS n FROM ({inner}) m "  # noqa: S608
                f"WHERE {self.where}) WHERE n > 0 AND figure IS NOT NULL"
            )
        places = ", ".join(str(place + 1) for place in range(len(groups)))
        columns = ", ".join(f"{group} AS g{place}" for place, group in enumerate(groups))
        return (
            f"SELECT * FROM (SELECT {columns}, {self.figure} AS figure FROM ({inner}) m "  # noqa: S608
            f"WHERE {self.where} GROUP BY {places}) WHERE figure IS NOT NULL ORDER BY {places} LIMIT 10000"
        )
