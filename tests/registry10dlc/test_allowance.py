"""What carriers let through and what things cost: the tables, and what operators put over them."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from heliograph_channels.us_carriers import Carrier
from heliograph_messaging.config import MessagingSettings
from heliograph_registry10dlc.allowance import BUNDLED, DEFAULT, Allowance, allowance, load_allowances
from heliograph_registry10dlc.data_files import BadDataFile
from heliograph_registry10dlc.domain.states import NumberType
from heliograph_registry10dlc.prices import load_prices

HIGH, MIDDLE, LOW = Allowance(75, 200_000), Allowance(40, 40_000), Allowance(4, 10_000)
UNVETTED = Allowance(0.2, 2_000)
STANDARD = (
    "TWO_FACTOR_AUTHENTICATION ACCOUNT_NOTIFICATION CUSTOMER_CARE DELIVERY_NOTIFICATION FRAUD_ALERT HIGHER_EDUCATION "
    "POLLING_VOTING PUBLIC_SERVICE_ANNOUNCEMENT SECURITY_ALERT CHARITY"
).split()
OF_STANDARD = {
    0: UNVETTED, 1: LOW, 25: LOW, 26: LOW, 49: LOW, 50: LOW, 51: MIDDLE, 65: MIDDLE, 66: MIDDLE, 75: MIDDLE, 76: HIGH, 85: HIGH,
    86: HIGH, 100: HIGH,
}  # fmt: skip
OF_MIXED = {
    0: UNVETTED, 1: UNVETTED, 25: UNVETTED, 26: LOW, 49: LOW, 50: LOW, 51: LOW, 65: LOW, 66: MIDDLE, 75: MIDDLE, 76: MIDDLE,
    85: MIDDLE, 86: HIGH, 100: HIGH,
}  # fmt: skip
OF_LOW_VOLUME = dict.fromkeys(OF_STANDARD, UNVETTED)
CASES = [
    (use_case, score, granted)
    for use_cases, rows in (
        (STANDARD, OF_STANDARD),
        (["MIXED", "MARKETING"], OF_MIXED),
        (["LOW_VOLUME"], OF_LOW_VOLUME),
    )
    for use_case in use_cases
    for score, granted in rows.items()
]


@pytest.mark.parametrize(("use_case", "score", "granted"), CASES)
def test_a_score_and_a_use_case_have_the_allowance_of_their_band(use_case: str, score: int, granted: Allowance) -> None:
    assert allowance(use_case, score) == granted


def test_a_use_case_nobody_knows_is_a_standard_one() -> None:
    assert allowance("", 51) == allowance("SOMETHING_NEW", 51) == MIDDLE


@pytest.mark.parametrize(
    ("version", "use_case", "score", "granted"),
    [
        ("2023-per-minute", "MARKETING", 0, Allowance(1.25, 2_000)),
        ("2023-per-minute", "MARKETING", 25, Allowance(1.25, 2_000)),
        ("2023-per-minute", "MARKETING", 26, LOW),
        ("2023-per-minute", "LOW_VOLUME", 100, Allowance(1.25, 2_000)),
        ("2024-even-bands", "MARKETING", 75, HIGH),
        ("2024-even-bands", "MARKETING", 74, MIDDLE),
        ("2024-even-bands", "MIXED", 50, MIDDLE),
        ("2024-even-bands", "CUSTOMER_CARE", 49, LOW),
        ("2024-even-bands", "CUSTOMER_CARE", 1, LOW),
        ("2024-even-bands", "CUSTOMER_CARE", 0, Allowance(1.25, 2_000)),
        ("2024-even-bands", "LOW_VOLUME", 100, Allowance(1.25, 2_000)),
    ],
)
def test_another_version_has_other_bands(version: str, use_case: str, score: int, granted: Allowance) -> None:
    table = load_allowances(version=version).table
    assert table.version == version
    assert table.source
    assert allowance(use_case, score, table) == granted


def test_every_use_case_of_the_form_has_a_class() -> None:
    assert {DEFAULT.class_of(use_case).name for use_case, _, _ in CASES} == {one.name for one in DEFAULT.classes}


def test_the_default_is_the_later_table_and_the_shares_are_one() -> None:
    bundled = load_allowances()
    assert bundled.table.version == DEFAULT.version == "2024-bands"
    assert bundled.shares[Carrier.T_MOBILE] == 0.30
    assert sum(bundled.shares.values()) == pytest.approx(1)


def test_an_operator_replaces_a_table_adds_one_and_chooses(tmp_path: Path) -> None:
    bands = [{"least_score": 10, "parts_per_second": 7.5, "parts_per_day": 7}]
    own = _table("own", [{"name": "ALL", "bands": bands}])
    changed = _table("2024-bands", [{"name": "ALL", "bands": []}])
    shares = {"ATT": 0.25, "T_MOBILE": 0.25, "VERIZON": 0.25, "OTHER": 0.25}
    path = _written(tmp_path, {"default": "own", "tables": [own, changed], "shares": shares})
    loaded = load_allowances(path)
    assert allowance("MARKETING", 10, loaded.table) == Allowance(7.5, 7)
    assert allowance("MARKETING", 9, loaded.table) == Allowance(1, 1)
    assert loaded.shares[Carrier.OTHER] == 0.25
    assert allowance("CUSTOMER_CARE", 100, load_allowances(path, "2024-bands").table) == Allowance(1, 1)
    assert load_allowances(path, "2023-per-minute").table.version == "2023-per-minute"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"default": "none"}, "no table of allowances has the version 'none'"),
        ({"shares": {"ATT": 0.5, "T_MOBILE": 0.5, "VERIZON": 0.5, "OTHER": 0}}, "shares must add up to 1"),
        ({"shares": {"ATT": 1, "T_MOBILE": 0, "VERIZON": 0, "OTHER": 0}}, "shares.T_MOBILE must be at least 0.01"),
        ({"tables": [{"version": "x"}]}, "tables[0].unvetted is required; tables[0].classes is required"),
        ({"more": 1}, "more is not a setting"),
        ([], "the whole must be an object"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_every_mistake(tmp_path: Path, data: Any, told: str) -> None:
    with pytest.raises(BadDataFile) as caught:
        load_allowances(_written(tmp_path, data))
    assert told in str(caught.value)


def test_a_table_that_contradicts_itself_is_refused_with_every_mistake(tmp_path: Path) -> None:
    band = {"parts_per_second": 1, "parts_per_day": 1}
    classes: list[dict[str, Any]] = [
        {"name": "A", "use_cases": ["MIXED"], "bands": [{"least_score": 1, **band}, {"least_score": 2, **band}]},
        {"name": "B", "use_cases": ["MIXED"], "bands": []},
    ]
    with pytest.raises(BadDataFile) as caught:
        load_allowances(_written(tmp_path, {"tables": [_table("x", classes), _table("x", classes[1:])]}))
    told = str(caught.value)
    assert "the version x comes more than once" in told
    assert "x: exactly one class must name no use cases" in told
    assert "x: MIXED belongs to more than one class" in told
    assert "x: the bands of A must go from the highest score down, each score once" in told


def test_a_file_that_is_not_there_or_no_json_or_huge_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("{")
    (tmp_path / "huge").write_text(" " * (1024 * 1024 + 1))
    for name in ("missing", "text", "huge"):
        with pytest.raises(BadDataFile, match=name):
            load_allowances(tmp_path / name)


def test_prices_are_those_of_the_list(tmp_path: Path) -> None:
    prices = load_prices()
    assert prices.of("BRAND") == Decimal("4.00")
    assert prices.of("VETTING") == Decimal(40)
    low, other = prices.of_use_case("LOW_VOLUME"), prices.of_use_case("MARKETING")
    assert low is not None
    assert other is not None
    assert low < other
    assert all(prices.of_number(number_type) is not None for number_type in NumberType)
    assert prices.of_number(NumberType.TEN_DLC) == Decimal(1)
    assert prices.of("ELSE") is None
    data = {"version": "ours", "prices": [{"item": "BRAND", "amount": "0.00"}, {"item": "LUNCH", "amount": "9.50"}]}
    changed = load_prices(_written(tmp_path, data))
    assert changed.version == "ours"
    assert (changed.of("BRAND"), changed.of("LUNCH"), changed.of("VETTING")) == (
        Decimal(0),
        Decimal("9.50"),
        Decimal(40),
    )
    assert changed.prices[0].description == prices.prices[0].description


@pytest.mark.parametrize("amount", ["4", "4.0", "-4.00", "4,00", 4])
def test_a_price_is_dollars_and_cents(tmp_path: Path, amount: object) -> None:
    with pytest.raises(BadDataFile, match=r"prices\[0\].amount"):
        load_prices(_written(tmp_path, {"prices": [{"item": "BRAND", "amount": amount}]}))


def _table(version: str, classes: list[dict[str, Any]]) -> dict[str, Any]:
    return {"version": version, "unvetted": {"parts_per_second": 1, "parts_per_day": 1}, "classes": classes}


def _written(folder: Path, data: Any) -> Path:
    path = folder / "data.json"
    path.write_text(json.dumps(data))
    return path


def test_messaging_takes_the_same_share_for_the_carrier_that_counts_days() -> None:
    assert MessagingSettings.model_fields["day_cap_share"].default == BUNDLED.shares[Carrier.T_MOBILE]
