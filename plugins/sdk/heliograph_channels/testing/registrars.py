"""The contract of a registrar as tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from jsonschema import Draft202012Validator

from heliograph_channels.registrars import Decision, DecisionState, Registrar, Submission, SubmissionKind

__all__ = ["RegistrarContract"]

_APPROVALS = {
    SubmissionKind.BRAND: DecisionState.VERIFIED,
    SubmissionKind.USE_CASE: DecisionState.APPROVED,
    SubmissionKind.NUMBER: DecisionState.READY,
}
_START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class RegistrarContract:
    """Inherit, override the fixture `registrar`, set `patience` to the time after which all is decided.

    `fields` are papers the registrar approves; `bad_fields` papers it rejects (empty = cannot be provoked).
    """

    patience: ClassVar[timedelta] = timedelta(days=60)
    fields: ClassVar[Mapping[SubmissionKind, Mapping[str, str]]] = {kind: {} for kind in SubmissionKind}
    bad_fields: ClassVar[Mapping[SubmissionKind, Mapping[str, str]]] = {}

    @pytest.fixture
    def registrar(self) -> Registrar:
        """Return the registrar under test."""
        raise NotImplementedError("override the fixture `registrar`")

    def submission(self, kind: SubmissionKind, *, id: str = "a" * 32, bad: bool = False) -> Submission:
        """Build papers of one kind."""
        return Submission(kind, id, (self.bad_fields if bad else self.fields)[kind], _START)

    def test_the_name_can_be_typed_by_an_operator(self, registrar: Registrar) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", registrar.name)

    def test_the_settings_schema_is_a_json_schema(self, registrar: Registrar) -> None:
        Draft202012Validator.check_schema(dict(registrar.settings_schema))

    def test_an_unknown_setting_is_named(self, registrar: Registrar) -> None:
        assert [problem.field for problem in registrar.check_settings({"no_such": 1})] == ["no_such"]
        with pytest.raises(ValueError):
            registrar.configured({"no_such": 1})

    def test_no_settings_are_good_settings(self, registrar: Registrar) -> None:
        assert list(registrar.check_settings({})) == []
        assert registrar.configured({}).name == registrar.name

    @pytest.mark.parametrize("kind", list(SubmissionKind))
    async def test_submitting_again_gives_the_same_reference(self, registrar: Registrar, kind: SubmissionKind) -> None:
        first = await registrar.submit(self.submission(kind))
        assert 1 <= len(first) <= 1000
        assert await registrar.submit(self.submission(kind)) == first

    async def test_different_papers_have_different_references(self, registrar: Registrar) -> None:
        papers = [self.submission(kind, id=letter * 32) for kind in SubmissionKind for letter in "ab"]
        references = [await registrar.submit(paper) for paper in papers]
        assert len(set(references)) == len(papers)

    @pytest.mark.parametrize("kind", list(SubmissionKind))
    async def test_good_papers_are_approved_in_the_words_of_their_kind(
        self, registrar: Registrar, kind: SubmissionKind
    ) -> None:
        reference = await registrar.submit(self.submission(kind))
        decisions = await registrar.poll([reference], _START + self.patience)
        assert decisions
        assert decisions[0].state is _APPROVALS[kind]
        assert all(decision.reference == reference for decision in decisions)

    async def test_a_poll_of_nothing_answers_nothing(self, registrar: Registrar) -> None:
        assert list(await registrar.poll([], _START)) == []

    async def test_an_unknown_reference_has_no_decisions(self, registrar: Registrar) -> None:
        assert list(await registrar.poll(["never-heard-of", ""], _START + self.patience)) == []

    @pytest.mark.parametrize("kind", list(SubmissionKind))
    async def test_decisions_only_ever_grow(self, registrar: Registrar, kind: SubmissionKind) -> None:
        reference = await registrar.submit(self.submission(kind))
        earlier: list[Decision] = []
        for step in range(9):
            now = _START + self.patience * step / 8
            decisions = list(await registrar.poll([reference], now))
            assert decisions[: len(earlier)] == earlier
            assert decisions == list(await registrar.poll([reference], now))
            assert all(_START <= decision.at <= now for decision in decisions)
            assert decisions == sorted(decisions, key=lambda decision: decision.at)
            earlier = decisions

    @pytest.mark.parametrize("kind", list(SubmissionKind))
    async def test_a_rejection_names_cause_and_field(self, registrar: Registrar, kind: SubmissionKind) -> None:
        if kind not in self.bad_fields:
            pytest.skip("no papers that this registrar rejects")
        reference = await registrar.submit(self.submission(kind, bad=True))
        (decision,) = await registrar.poll([reference], _START + self.patience)
        assert decision.state is DecisionState.REJECTED
        assert decision.cause
        assert decision.field in self.bad_fields[kind]

    def __init_subclass__(cls, **more: object) -> None:
        """Mark the coroutine tests, so that authors need no particular pytest-asyncio mode."""
        super().__init_subclass__(**more)
        for name, member in vars(RegistrarContract).items():
            if name.startswith("test_") and asyncio.iscoroutinefunction(member):
                pytest.mark.asyncio(member)
