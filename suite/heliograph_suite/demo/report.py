"""The tables at the end of the demonstration: every number with how it was obtained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from heliograph_suite.demo.kpis import source_of


def show(figures: dict[str, Any], console: Console, json_path: Path) -> None:
    """Print all tables and what to try next."""
    for table in (
        _audience(figures),
        _campaign(figures),
        _treatments(figures),
        _journey(figures),
        _registration(figures),
        _kpis(figures),
    ):
        console.print()
        console.print(table)
    console.print(f"\n{figures['seconds']} s in all. The same figures: {json_path}")
    console.print(
        "Next: make demo ARGS=--stay leaves everything running · heliograph up starts an empty installation · "
        "the README makes the first calls · docs/plugin-guide.md adds a channel"
    )


def _audience(figures: dict[str, Any]) -> Table:
    audience = figures["audience"]
    table = Table("audience", "", "from", title="Audience")
    table.add_row("users", _n(audience["users"]), "CountEvents: users who made a purchase")
    table.add_row("endpoints", _n(audience["endpoints"]), "created_count of the import job")
    table.add_row("purchases", _n(audience["purchases"]), "acknowledged by StreamEvents")
    table.add_row("repeat buyers", _n(audience["repeat_buyers"]), "CountSegment: e-mail, Metrics.Orders >= 2")
    for segment in figures["segments"].values():
        table.add_row(segment["title"], _n(segment["members"]), "CountSegment")
    return table


def _campaign(figures: dict[str, Any]) -> Table:
    mail, sms = figures["campaign"], figures["sms"]
    table = Table("recipients", "e-mail", "SMS", "from", title="Campaign funnels")
    for key, source in (
        ("segment", "CountSegment"),
        ("holdout", "ListRuns: cohorts that get nothing"),
        ("targeted", "ListRuns: handed to messaging"),
        ("accepted", "ListRuns: MESSAGES events of the provider's acceptance"),
        ("failed", "ListRuns: MESSAGES events"),
        ("in_doubt", "ListRuns: MESSAGES events"),
    ):
        table.add_row(key.replace("_", " "), _n(mail[key]), _n(sms.get(key, 0)), source)
    for reason in sorted({*mail["skipped"], *sms["skipped"]}):
        table.add_row(
            f"skipped: {reason}",
            _n(mail["skipped"].get(reason, 0)),
            _n(sms["skipped"].get(reason, 0)),
            "MESSAGES events",
        )
    table.add_row("in the mailbox", _n(mail["mailbox"]), "", "lines that the SMTP server wrote")
    table.add_row("sent from", "", sms["origination"], "GetMessage of the first SMS")
    table.add_row("before READY", "", "refused", sms["before_ready"])
    return table


def _treatments(figures: dict[str, Any]) -> Table:
    table = Table(
        "treatment",
        "name",
        "targeted",
        "accepted",
        "failed",
        "skipped",
        title="E-mail campaign by treatment (ListRuns)",
    )
    for treatment in figures["campaign"]["treatments"]:
        table.add_row(
            treatment["treatment"],
            treatment["name"],
            *(_n(treatment[key]) for key in ("targeted", "accepted", "failed")),
            _n(sum(treatment["skipped"].values())),
        )
    return table


def _journey(figures: dict[str, Any]) -> Table:
    journey = figures["journey"]
    table = Table("step", "type", "arrived", "waiting", "left by", title="Journey (GetRunMetrics)")
    for step in journey["steps"]:
        left = ", ".join(f"{outcome} {_n(count)}" for outcome, count in sorted(step["left"].items()))
        table.add_row(step["activity"], step["type"], _n(step["arrived"]), _n(step["waiting"]), left)
    exits = ", ".join(f"{reason} {_n(count)}" for reason, count in sorted(journey["exited"].items())) or "none"
    table.caption = (
        f"entered {_n(journey['entered'])} = active {_n(journey['active'])} + completed {_n(journey['completed'])}"
        f" + exited ({exits})"
    )
    return table


def _registration(figures: dict[str, Any]) -> Table:
    table = Table("what", "from", "to", "at (hurried clock)", "cause", title="10DLC history (ListMoves)")
    for move in figures["registration"]:
        table.add_row(move["kind"], move["from"], move["to"], move["at"][:19], move["cause"])
    return table


def _kpis(figures: dict[str, Any]) -> Table:
    table = Table("KPI", "value", "from", title="Charts (AnalyticsService, from events alone)")
    for name, value in figures["kpis"].items():
        table.add_row(name, _n(value), source_of(name))
    return table


def _n(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.2f}" if value >= 100 else f"{value:.4g}"
