"""The table of key figures: name, what it is asked of, how it is computed, what it is grouped by.

A figure over messages is an expression over `m`, one row for each message attempted in the range, whatever happened to it
since. So a message that was opened twice is one opened message, and sent = delivered + not delivered always holds.
Names and definitions: pinpoint-2 6.2 to 6.4; the names that begin with `messages-` and `journey-steps` are ours.
"""

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
}

MESSAGES = """
SELECT message_id, any_value(endpoint) AS endpoint, any_value(campaign) AS campaign, any_value(journey) AS journey,
  any_value(run) AS run, any_value(treatment) AS treatment, any_value(activity) AS activity,
  any_value(channel) AS channel,
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
        inner = ROWS[self.source].format(scope=f"{_FAMILIES[self.family]} {SCOPES[scope]}")
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


_EMAIL = "channel = 'EMAIL'"
_SMS = "channel = 'SMS'"
_PUSH = "channel NOT IN ('EMAIL', 'SMS', 'CUSTOM', 'VOICE', 'IN_APP')"
_SENT = "count(*) FILTER (sent)"
_KEPT = "count(*) FILTER (sent AND NOT hard)"
_MAIL_DELIVERED = "count(*) FILTER (sent AND NOT hard AND NOT soft AND NOT rejected)"


def _rate(part: str, whole: str) -> str:
    return f"({part})::DOUBLE / nullif({whole}, 0)"


def _over_messages() -> list[Kpi]:
    """Return our own figures, the same for every kind of parent and every channel."""
    everywhere: tuple[Scope, ...] = ("project", "campaign", "journey")
    by = ("date", "campaign", "campaign-activity", "treatment", "journey-activity", "channel")
    figures = [
        ("targeted", "messages attempted or skipped; sent + failed + skipped + in doubt", "count(*)", "true"),
        ("sent", "messages the provider took", _SENT, "true"),
        ("failed", "messages the provider refused or that could not be built", "count(*)", "failed"),
        ("skipped", "messages that were not attempted", "count(*)", "skipped"),
        ("in-doubt", "messages whose fate is unknown", "count(*)", "in_doubt"),
        ("delivered", "sent messages that a receipt says arrived", "count(*) FILTER (sent AND received)", "true"),
        ("opened", "sent messages opened at least once", "count(*) FILTER (sent AND opened)", "true"),
        ("clicked", "sent messages clicked at least once", "count(*) FILTER (sent AND clicked)", "true"),
        ("bounced", "sent messages that came back", "count(*) FILTER (sent AND (hard OR soft))", "true"),
        ("complained", "sent messages complained about", "count(*) FILTER (sent AND complained)", "true"),
        ("opted-out", "sent messages that made somebody opt out", "count(*) FILTER (sent AND opt_outs > 0)", "true"),
        ("sent-by-parts", "message parts of what was sent", "sum(parts) FILTER (sent)", "true"),
        ("delivery-rate", "delivered / sent", _rate("count(*) FILTER (sent AND received)", _SENT), "true"),
        ("open-rate", "opened / sent", _rate("count(*) FILTER (sent AND opened)", _SENT), "true"),
        ("click-rate", "clicked / sent", _rate("count(*) FILTER (sent AND clicked)", _SENT), "true"),
        ("bounce-rate", "bounced / sent", _rate("count(*) FILTER (sent AND (hard OR soft))", _SENT), "true"),
        ("unique-endpoints", "endpoints that were sent something", "count(DISTINCT endpoint) FILTER (sent)", "true"),
    ]
    reasons = {"failed", "skipped", "in-doubt"}
    return [
        Kpi(
            f"messages-{name}",
            words,
            figure,
            everywhere,
            (*by, "reason") if name in reasons else (*by, "outcome", "reason") if name == "targeted" else by,
            where,
        )
        for name, words, figure, where in figures
    ]


def _of_campaigns() -> list[Kpi]:
    """Return Pinpoint's figures of one campaign, and of all campaigns of a project together (pinpoint-2 6.2, 6.3)."""
    both: tuple[Scope, ...] = ("project", "campaign")
    run, campaign = ("campaign-activity",), ("campaign", "campaign-activity")
    figures: list[tuple[str, str, str, str, tuple[Scope, ...], tuple[str, ...]]] = [
        ("successful-delivery-rate", "(sent - hard bounces) / sent", _rate(_KEPT, _SENT), "true", both, (*run, "date")),
        ("successful-deliveries", "sent - hard bounces", _KEPT, "true", both, campaign),
        ("attempted-deliveries", "sent", _SENT, "true", ("campaign",), run),
        (
            "unique-deliveries",
            "endpoints that a message was delivered to",
            "count(DISTINCT endpoint) FILTER (sent AND NOT hard)",
            "true",
            both,
            (*campaign, "date"),
        ),
        (
            "email-open-rate",
            "opened / delivered e-mails",
            _rate("count(*) FILTER (sent AND opened)", _KEPT),
            _EMAIL,
            both,
            campaign,
        ),
        ("direct-email-opens", "e-mails opened", "count(*) FILTER (sent AND opened)", _EMAIL, ("campaign",), run),
        (
            "push-open-rate",
            "opened / delivered push notifications",
            _rate("count(*) FILTER (sent AND opened)", _KEPT),
            _PUSH,
            both,
            campaign,
        ),
        (
            "direct-push-opens",
            "push notifications opened",
            "count(*) FILTER (sent AND opened)",
            _PUSH,
            ("campaign",),
            run,
        ),
        ("clicks", "clicks, every one", "sum(clicks)", "true", ("campaign",), run),
        (
            "hard-bounce-rate",
            "hard bounces / sent",
            _rate("count(*) FILTER (sent AND hard)", _SENT),
            "true",
            ("campaign",),
            run,
        ),
    ]
    return [
        Kpi(name, words, figure, scopes, groupings, where, "campaigns")
        for name, words, figure, where, scopes, groupings in figures
    ]


def _transactional() -> list[Kpi]:
    """Return Pinpoint's figures of direct sends (pinpoint-2 6.2), but for those by country and price."""
    mail = [
        ("sent", "sent", _SENT),
        ("delivered", "sent - soft bounces - hard bounces - rejected", _MAIL_DELIVERED),
        ("delivery-rate", "delivered / sent", _rate(_MAIL_DELIVERED, _SENT)),
        ("hard-bounced", "hard bounces", "count(*) FILTER (sent AND hard)"),
        ("soft-bounced", "soft bounces", "count(*) FILTER (sent AND soft)"),
        ("opened", "opens, every one", "sum(opens)"),
        ("clicked", "clicks, every one", "sum(clicks)"),
        ("unique-opens", "endpoints that opened", "count(DISTINCT endpoint) FILTER (opened)"),
        ("unique-clicks", "endpoints that clicked", "count(DISTINCT endpoint) FILTER (clicked)"),
        ("with-complaints", "complaints", "count(*) FILTER (complained)"),
        ("complaint-rate", "complaints / sent", _rate("count(*) FILTER (sent AND complained)", _SENT)),
    ]
    got = "count(*) FILTER (sent AND received)"
    texts = [
        ("sent", "sent", _SENT, ("date",)),
        ("sent-by-parts", "message parts sent", "sum(parts) FILTER (sent)", ()),
        ("delivered", "delivered by receipt", got, ("date",)),
        ("delivered-by-parts", "message parts delivered by receipt", "sum(parts) FILTER (sent AND received)", ()),
        ("delivery-rate", "delivered / sent", _rate(got, _SENT), ("date",)),
    ]
    names = {"complaint-rate": "txn-emails-complaint-rate"}
    kpis = [
        Kpi(
            names.get(name, f"txn-emails-{name}"),
            f"transactional e-mails: {words}",
            figure,
            ("project",),
            ("date",),
            _EMAIL,
            "transactional",
        )
        for name, words, figure in mail
    ]
    kpis += [
        Kpi(
            f"txn-sms-{name}",
            f"transactional SMS: {words}",
            figure,
            ("project",),
            groupings,
            _SMS,
            "transactional",
        )
        for name, words, figure, groupings in texts
    ]
    return kpis


def _of_journeys() -> list[Kpi]:
    """Return Pinpoint's figures of a journey's e-mails (pinpoint-2 6.4), and ours of its steps."""
    mail = [
        ("sent", _SENT),
        ("delivered", _MAIL_DELIVERED),
        ("opened", "count(*) FILTER (sent AND opened)"),
        ("clicked", "sum(clicks)"),
        ("complained", "count(*) FILTER (complained)"),
        ("hardbounced", "count(*) FILTER (sent AND hard)"),
        ("softbounced", "count(*) FILTER (sent AND soft)"),
        ("rejected", "count(*) FILTER (rejected)"),
        ("unsubscribed", "sum(opt_outs)"),
    ]
    one: tuple[Scope, ...] = ("journey",)
    kpis = [
        Kpi(f"journey-emails-{name}", f"e-mails of the journey: {name}", figure, one, (), _EMAIL)
        for name, figure in mail
    ]
    kpis += [
        Kpi(f"emails-{name}", f"e-mails of the journey: {name}", figure, one, ("journey-activity",), _EMAIL)
        for name, figure in mail
    ]
    steps = ("date", "campaign-activity", "journey-activity", "outcome")
    kpis += [
        Kpi(
            "journey-steps",
            "participants that left an activity",
            "count(*)",
            one,
            steps,
            "activity <> ''",
            "all",
            "steps",
        ),
        Kpi(
            "journey-entered",
            "participants that entered",
            "count(*)",
            one,
            ("date", "campaign-activity"),
            "activity = '' AND to_activity <> ''",
            "all",
            "steps",
        ),
        Kpi(
            "journey-left",
            "participants that left the journey",
            "count(*)",
            one,
            steps,
            "to_activity = ''",
            "all",
            "steps",
        ),
    ]
    return kpis


def _of_applications() -> list[Kpi]:
    """Return who was active: whoever has at least one event of the application (pinpoint-2 6.5)."""
    return [
        Kpi(
            f"active-{what}",
            f"{what} with at least one event of the application",
            f"count(DISTINCT {column})",
            ("project",),
            ("date",),
            source="actives",
        )
        for what, column in (("endpoints", "endpoint"), ("users", "user_id"))
    ]


KPIS: dict[str, Kpi] = {
    kpi.name: kpi
    for kpi in sorted(
        [*_over_messages(), *_of_campaigns(), *_transactional(), *_of_journeys(), *_of_applications(),
         Kpi("txn-sms-error-distribution", "transactional SMS that failed, by reason", "count(*)", ("project",),
             ("reason",), f"{_SMS} AND failed", "transactional")],
        key=lambda kpi: kpi.name,
    )
}  # fmt: skip

ALWAYS_GROUPED: dict[str, str] = {"txn-sms-error-distribution": "reason"}
"""Figures that are only ever asked for by group, without the grouping being in their name."""


def find(name: str, scope: Scope, group_by: Sequence[str]) -> tuple[Kpi, tuple[str, ...]] | None:
    """Return a key figure and its groupings, those in the name first; None when there is no such thing."""
    base, marker, suffix = name.partition("-grouped-by-")
    wanted = tuple(dict.fromkeys(([suffix] if marker else []) + list(group_by)))
    kpi = KPIS.get(base)
    if base in ALWAYS_GROUPED and not wanted:
        wanted = (ALWAYS_GROUPED[base],)
    if kpi is None or scope not in kpi.scopes or not set(wanted) <= set(kpi.groupings):
        return None
    return kpi, wanted
