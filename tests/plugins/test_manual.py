"""The registrar of whoever registers by hand: the contract, and what the desk relies on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from heliograph_channels import Registrar, Submission, SubmissionKind, load_registrars
from heliograph_channels.testing import RegistrarContract
from heliograph_registrar_manual import ManualRegistrar

PAPERS = Submission(SubmissionKind.BRAND, "c" * 32, {}, datetime(2026, 3, 1, 12, tzinfo=UTC))


class TestContract(RegistrarContract):
    @pytest.fixture
    def registrar(self) -> Registrar:
        return ManualRegistrar()


def test_it_is_found_by_its_name_and_leaves_decisions_to_an_operator() -> None:
    registrar = load_registrars(["manual"])["manual"]
    assert registrar.decides_by_operator
    assert registrar.kinds == set(SubmissionKind)


async def test_a_reference_is_that_of_one_handing_in() -> None:
    first = await ManualRegistrar().submit(PAPERS)
    assert first == f"manual:BRAND:{'c' * 32}:2026-03-01T12:00:00+00:00"
    elsewhere = replace(PAPERS, submitted_at=PAPERS.submitted_at.astimezone(timezone(timedelta(hours=5))))
    assert await ManualRegistrar().submit(elsewhere) == first
    others = [
        replace(PAPERS, kind=SubmissionKind.USE_CASE),
        replace(PAPERS, id="d" * 32),
        replace(PAPERS, submitted_at=PAPERS.submitted_at + timedelta(microseconds=1)),
    ]
    assert len({first, *[await ManualRegistrar().submit(other) for other in others]}) == 4


async def test_it_takes_no_settings() -> None:
    with pytest.raises(ValueError, match="takes no settings"):
        ManualRegistrar().configured({"name": "x"})
