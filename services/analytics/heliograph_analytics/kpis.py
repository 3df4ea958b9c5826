"""The table of key figures: name, what it is asked of, how it is computed, what it is grouped by.

A figure over messages is an expression over `m`, one row for each message attempted in the range, whatever happened to it
since. So a message that was opened twice is one opened message, and sent = delivered + not delivered always holds.
Names and definitions: pinpoint-2 6.2 to 6.4; the names that begin with `messages-`, `sms-` and
`journey-steps` are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

from heliograph_analytics.figures import Kpi, Scope
from heliograph_analytics.sms_kpis import of_sms

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
        [*_over_messages(), *_of_campaigns(), *_transactional(), *_of_journeys(), *_of_applications(), *of_sms(),
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
