"""Key figures of SMS, to be grouped by registered 10DLC use case: Pinpoint had none of these (S117), ours do.

Every SMS is in one group, those that left under no registration in the one with the empty name; so the figures of all use cases
add up to the project's.
"""

from __future__ import annotations

from heliograph_analytics.figures import Kpi, Scope

_BY = ("ten-dlc-registration", "date", "campaign", "carrier")
_ENDED = "sent AND hard"
_FIGURES: tuple[tuple[str, str, str, str], ...] = (
    ("sent", "SMS the provider took", "count(*) FILTER (sent)", "true"),
    ("sent-by-parts", "message parts of the SMS the provider took", "sum(parts) FILTER (sent)", "true"),
    ("delivered", "SMS that a receipt says arrived", "count(*) FILTER (sent AND received AND NOT hard)", "true"),
    ("failed", "SMS that were refused, or taken and not delivered", "count(*)", f"failed OR ({_ENDED})"),
    ("opted-out", "SMS that made somebody opt out", "count(*) FILTER (sent AND opt_outs > 0)", "true"),
    (
        "delivery-rate",
        "delivered / sent",
        "(count(*) FILTER (sent AND received AND NOT hard))::DOUBLE / nullif(count(*) FILTER (sent), 0)",
        "true",
    ),
)


def of_sms() -> list[Kpi]:
    """Return the figures; failures are also grouped by the carriers' word for them."""
    scopes: tuple[Scope, ...] = ("project", "campaign", "journey")
    return [
        Kpi(
            f"sms-{name}",
            words,
            figure,
            scopes,
            (*_BY, "record-status", "reason") if name == "failed" else _BY,
            f"channel = 'SMS' AND ({where})",
        )
        for name, words, figure, where in _FIGURES
    ]
