"""Reads the country rules: what is bundled, and over it what the operator's file says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from heliograph_channels import problems_of
from heliograph_messaging.domain.countries import CountryRule, CountryRules, SenderIds

MAX_BYTES = 1024 * 1024
_DATA = files("heliograph_messaging") / "data"


class BadCountries(ValueError):
    """A file of country rules cannot be used; the text names every mistake."""


def load_countries(path: Path | None = None) -> CountryRules:
    """Return the country rules, with what a file changes.

    Raises:
        BadCountries: the file cannot be read or is not of the form of `data/countries.schema.json`.
    """
    bundled = _form(json.loads((_DATA / "countries.json").read_text("utf-8")), "countries.json")
    rules = _over(CountryRules(), bundled)
    return rules if path is None else _over(rules, _form(_read(path), str(path)))


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadCountries(f"{path} has more than {MAX_BYTES:,} bytes")
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        if isinstance(error, BadCountries):
            raise
        raise BadCountries(f"{path} cannot be read: {error}") from error


def _form(data: Any, name: str) -> Mapping[str, Any]:
    schema = json.loads((_DATA / "countries.schema.json").read_text("utf-8"))
    problems = [f"{problem.field or 'the whole'} {problem.description}" for problem in problems_of(schema, data)]
    if problems:
        raise BadCountries(f"{name}: {'; '.join(problems)}")
    countries = [entry["country"] for entry in data.get("countries", ())]
    twice = sorted({country for country in countries if countries.count(country) > 1})
    if twice:
        raise BadCountries(f"{name}: {', '.join(twice)} comes more than once")
    return data  # type: ignore[no-any-return]


def _over(rules: CountryRules, data: Mapping[str, Any]) -> CountryRules:
    changed = {entry["country"]: _rule(rules.of(entry["country"]), entry) for entry in data.get("countries", ())}
    return CountryRules(
        data.get("version", rules.version),
        {**rules.rules, **changed},
        _rule(rules.otherwise, data.get("otherwise", {})),
    )


def _rule(rule: CountryRule, entry: Mapping[str, Any]) -> CountryRule:
    return CountryRule(
        SenderIds(entry.get("sender_ids", rule.sender_ids)),
        entry.get("two_way", rule.two_way),
        entry.get("price_micros", rule.price_micros),
    )
