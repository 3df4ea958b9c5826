"""Countries, prices, spend limits and pools: pure rules, as tables."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph_channels import SIMULATOR_NUMBERS, phone_problem
from heliograph_messaging.countries import BadCountries, load_countries
from heliograph_messaging.domain.countries import CountryRule, Prices, SenderIds, sender_id_problem
from heliograph_messaging.domain.keywords import Action, Keyword
from heliograph_messaging.domain.pools import Setup, mismatches
from heliograph_messaging.domain.spending import month_of, over
from heliograph_messaging.regions import country_of
from tests.messaging.test_origination import RULES, P, T

pytestmark = pytest.mark.unit

# -- countries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "country"),
    [
        ("+12065550100", "US"), ("+15551234567", "US"), ("+17875550100", "US"), ("+16715550100", "US"),
        ("+14165550100", "CA"), ("+18765550100", "JM"), ("+442071838750", "GB"), ("+447937404990", "JE"),
        ("+77011234567", "KZ"), ("+79161234567", "RU"), ("+390612345678", "IT"), ("+38349123456", "XK"),
        ("+262692123456", "RE"), ("+8835100012345", ""), ("+999123456", ""), ("", ""), ("12345", ""), ("+", ""),
        ("+0123456789", ""), ("+1", "US"),
    ],
)  # fmt: skip
def test_a_number_belongs_to_a_country(address: str, country: str) -> None:
    assert country_of(address) == country


@given(st.text(max_size=20))
def test_whatever_an_address_is_a_country_is_found_or_none(address: str) -> None:
    assert len(country_of(address)) in (0, 2)


def test_simulator_numbers_are_numbers_of_their_countries_and_come_in_pairs() -> None:
    assert len(SIMULATOR_NUMBERS) == 50
    assert sum(SIMULATOR_NUMBERS.values()) == 25
    assert not any(phone_problem(one) for one in SIMULATOR_NUMBERS)
    assert SIMULATOR_NUMBERS["+14254147755"] is True
    assert SIMULATOR_NUMBERS["+14254147167"] is False
    assert len({country_of(one) for one in SIMULATOR_NUMBERS}) == 25


def test_the_bundled_rules_cover_what_there_is_and_cost_nothing() -> None:
    rules = load_countries()
    assert rules.version
    assert len(rules.rules) > 200
    assert set(rules.rules) <= set(phonenumbers.SUPPORTED_REGIONS)
    assert not any(rule.price_micros for rule in rules.rules.values())
    assert rules.of("US").sender_ids is SenderIds.NOT_SUPPORTED
    assert rules.of("IN").sender_ids is SenderIds.REGISTRATION_REQUIRED
    assert rules.of("FR") == CountryRule(SenderIds.SUPPORTED, two_way=True)


def test_a_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "countries.json"
    path.write_text(
        json.dumps(
            {
                "version": "2026-02-03",
                "otherwise": {"price_micros": 5},
                "countries": [{"country": "CH", "two_way": True}, {"country": "CU", "sender_ids": "SUPPORTED"}],
            }
        )
    )
    bundled, changed = load_countries(), load_countries(path)
    assert changed.version == "2026-02-03"
    assert changed.of("CH") == replace(bundled.of("CH"), two_way=True)
    assert changed.of("CU").sender_ids is SenderIds.SUPPORTED
    assert changed.of("ZZ").price_micros == 5
    assert changed.of("FR") == bundled.of("FR")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "must be an object"),
        (
            '{"countries": [{"country": "fr"}, {"country": "DE", "price_micros": -1, "x": 1}]}',
            "countries[1].price_micros",
        ),
        ('{"countries": [{"country": "FR"}, {"country": "FR"}]}', "FR comes more than once"),
        ('{"countries": [{"sender_ids": "SUPPORTED"}]}', "country"),
        ('{"version": "today"}', "version"),
        ('{"countries": [{"country": "FR", "sender_ids": "MAYBE"}]}', "countries[0].sender_ids"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_every_mistake(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "countries.json"
    path.write_text(content)
    with pytest.raises(BadCountries) as caught:
        load_countries(path)
    assert words in str(caught.value)
    assert "countries.json" in str(caught.value)
    with pytest.raises(BadCountries, match="cannot be read"):
        load_countries(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("text", "good"),
    [("Shop", True), ("ABCDEFGHIJK", True), ("ABCDEFGHIJKL", False), ("12345", False), ("A1", True), ("1A", True),
     ("My Shop", False), ("", False), ("Shöp", False), ("Shop!", False)],
)  # fmt: skip
def test_a_sender_id_is_a_short_word_with_a_letter(text: str, good: bool) -> None:
    assert (sender_id_problem(text) is None) is good


# -- prices and limits ----------------------------------------------------------------------------------------------


def test_a_message_costs_its_parts_by_the_projects_price_else_the_countrys() -> None:
    prices = Prices(RULES, {"CA": 0, "DE": 90_000})
    assert [prices.of(country, 3) for country in ("FR", "CA", "DE", "IN", "ZZ", "")] == [
        210_000,
        0,
        270_000,
        9_000,
        0,
        0,
    ]


@pytest.mark.parametrize(
    ("costs", "spent", "limit", "beyond"),
    [
        ([5, 5], 0, 10, set()),
        ([5, 5], 1, 10, {1}),
        ([5, 5, 4], 1, 10, {1}),
        ([0, 1, 0], 10, 10, {1}),
        ([0], 20, 10, set()),
        ([1], 0, 0, {0}),
        ([], 0, 0, set()),
    ],
    ids=["exactly the limit fits", "one millionth more does not", "a cheaper one behind it fits", "what is free goes",
         "even above the limit", "a limit of nothing", "nobody"],
)  # fmt: skip
def test_a_message_is_over_the_limit_when_it_would_pass_it(
    costs: list[int], spent: int, limit: int, beyond: set[int]
) -> None:
    assert over(costs, spent=spent, limit=limit) == beyond


@given(st.lists(st.integers(0, 50)), st.integers(0, 100), st.integers(0, 500))
def test_what_fits_never_passes_the_limit_and_what_does_not_would_have(
    costs: list[int], spent: int, limit: int
) -> None:
    beyond = over(costs, spent=spent, limit=limit)
    total = spent
    for place, cost in enumerate(costs):
        if place in beyond:
            assert cost > 0
            assert total + cost > limit
        else:
            total += cost
            assert cost == 0 or total <= limit


def test_a_month_is_one_of_utc() -> None:
    assert month_of(datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)) == date(2026, 2, 1)
    assert month_of(datetime(2026, 3, 1, tzinfo=UTC)) == date(2026, 3, 1)


# -- pools ----------------------------------------------------------------------------------------------------------

JOIN = {"JOIN": Keyword("JOIN", Action.OPT_IN, "Welcome")}


@pytest.mark.parametrize(
    ("one", "keywords", "reasons"),
    [
        (Setup(), {}, ["KEYWORD_MISMATCH"]),
        (Setup(), JOIN, []),
        (Setup(T), JOIN, ["MESSAGE_TYPE_MISMATCH"]),
        (Setup(opt_out_list="Other"), JOIN, ["OPT_OUT_LIST_MISMATCH"]),
        (Setup(two_way=True), JOIN, ["TWO_WAY_CONFIG_MISMATCH"]),
        (Setup(two_way=True, self_managed_opt_outs=True), JOIN,
         ["TWO_WAY_CONFIG_MISMATCH", "SELF_MANAGED_OPT_OUTS_MISMATCH"]),
        (Setup(), {"JOIN": Keyword("JOIN", Action.OPT_IN, "Hello")}, ["KEYWORD_MISMATCH"]),
        (Setup(P, "Other", two_way=True, self_managed_opt_outs=True), {},
         ["MESSAGE_TYPE_MISMATCH", "OPT_OUT_LIST_MISMATCH", "TWO_WAY_CONFIG_MISMATCH", "SELF_MANAGED_OPT_OUTS_MISMATCH",
          "KEYWORD_MISMATCH"]),
    ],
)  # fmt: skip
def test_a_number_may_join_a_pool_that_is_set_up_as_itself(
    one: Setup, keywords: dict[str, Keyword], reasons: list[str]
) -> None:
    assert mismatches(one, Setup(), keywords, JOIN) == reasons
