"""The contract of a registrar as tests."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
from jsonschema import Draft202012Validator

from heliograph_channels.inbound import Forged, WebhookRequest
from heliograph_channels.registrars import (
    ERRANDS,
    Decision,
    DecisionState,
    Refused,
    Registrar,
    Submission,
    SubmissionKind,
)
from heliograph_channels.schema import secret_fields
from heliograph_channels.testing.papers import APPROVALS, PAPERS, SUBMITTED, WORDS

__all__ = ["RegistrarContract"]

_GARBAGE = {"empty": b"", "no text": b"\xff\xfe\x00", "no object": b"[1, 2", "null": b"null", "deep": b"[" * 20_000}
_NEEDS_PARENT = (SubmissionKind.VETTING, SubmissionKind.USE_CASE, SubmissionKind.NUMBER, SubmissionKind.ORDER)


class RegistrarContract:
    """Inherit, override the fixture `registrar`, set `patience` to the time after which all is decided.

    `fields` are papers the registrar approves; `bad_fields` papers it rejects after a while, `refused_fields` papers it
    refuses at once (empty = cannot be provoked). `parents` and `registered` are the lasting ids that the papers of a
    kind are handed in with. Kinds that the registrar does not take are left out.
    """

    patience: ClassVar[timedelta] = timedelta(days=60)
    fields: ClassVar[Mapping[SubmissionKind, Mapping[str, str]]] = PAPERS
    bad_fields: ClassVar[Mapping[SubmissionKind, Mapping[str, str]]] = {}
    refused_fields: ClassVar[Mapping[SubmissionKind, Mapping[str, str]]] = {}
    parents: ClassVar[Mapping[SubmissionKind, str]] = dict.fromkeys(_NEEDS_PARENT, "parent-1")
    registered: ClassVar[Mapping[SubmissionKind, str]] = {}

    @pytest.fixture
    def registrar(self) -> Registrar:
        """Return the registrar under test."""
        raise NotImplementedError("override the fixture `registrar`")

    @pytest.fixture
    def settings(self) -> Mapping[str, object]:
        """Return good settings; override where there must be some."""
        return {}

    @pytest.fixture(params=list(SubmissionKind))
    def kind(self, request: pytest.FixtureRequest, registrar: Registrar) -> SubmissionKind:
        """Return each kind the registrar takes."""
        kind: SubmissionKind = request.param
        if kind not in registrar.kinds:
            pytest.skip(f"the registrar takes no {kind}")
        return kind

    def submission(
        self, kind: SubmissionKind, *, id: str = "a" * 32, fields: Mapping[str, str] | None = None
    ) -> Submission:
        """Build papers of one kind, good ones if no fields are given."""
        return Submission(
            kind,
            id,
            self.fields[kind] if fields is None else fields,
            SUBMITTED,
            parent_reference=self.parents.get(kind, ""),
            registered_id=self.registered.get(kind, ""),
        )

    def test_the_name_can_be_typed_by_an_operator(self, registrar: Registrar) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9-]{0,62}", registrar.name)

    def test_the_settings_schema_is_a_json_schema(self, registrar: Registrar) -> None:
        Draft202012Validator.check_schema(dict(registrar.settings_schema))

    def test_an_unknown_setting_is_named(self, registrar: Registrar, settings: Mapping[str, object]) -> None:
        strange = {**settings, "no_such": 1}
        assert [problem.field for problem in registrar.check_settings(strange)] == ["no_such"]
        with pytest.raises(ValueError):
            registrar.configured(strange)

    async def test_good_settings_are_good(self, registrar: Registrar, settings: Mapping[str, object]) -> None:
        assert list(registrar.check_settings(settings)) == []
        configured = registrar.configured(settings)
        assert configured.name == registrar.name
        await configured.close()

    def test_secrets_are_settings_that_are_never_shown(self, registrar: Registrar) -> None:
        assert registrar.secrets == secret_fields(registrar.settings_schema)

    def test_it_takes_something(self, registrar: Registrar) -> None:
        assert registrar.kinds
        assert registrar.kinds <= set(SubmissionKind)

    async def test_submitting_again_gives_the_same_reference(self, registrar: Registrar, kind: SubmissionKind) -> None:
        first = await registrar.submit(self.submission(kind))
        assert 1 <= len(first) <= 1000
        assert await registrar.submit(self.submission(kind)) == first

    async def test_handing_in_anew_later_gives_another_reference(
        self, registrar: Registrar, kind: SubmissionKind
    ) -> None:
        papers = self.submission(kind)
        first = await registrar.submit(papers)
        again = replace(papers, submitted_at=SUBMITTED + timedelta(minutes=5), earlier_reference=first)
        assert await registrar.submit(again) != first

    async def test_different_papers_have_different_references(self, registrar: Registrar) -> None:
        kinds = sorted(registrar.kinds)
        papers = [self.submission(kind, id=letter * 32) for kind in kinds for letter in "ab"]
        references = [await registrar.submit(paper) for paper in papers]
        assert len(set(references)) == len(papers)

    async def test_good_papers_are_approved_in_the_words_of_their_kind(
        self, registrar: Registrar, kind: SubmissionKind
    ) -> None:
        reference = await registrar.submit(self.submission(kind))
        decisions = await registrar.poll([reference], SUBMITTED + self.patience)
        if kind in ERRANDS or registrar.decides_by_operator:
            assert list(decisions) == []
            return
        assert decisions
        assert decisions[0].state is APPROVALS[kind]
        assert all(decision.reference == reference for decision in decisions)
        assert {decision.state for decision in decisions} <= WORDS[kind]

    async def test_a_decision_tells_what_its_word_promises(self, registrar: Registrar, kind: SubmissionKind) -> None:
        reference = await registrar.submit(self.submission(kind))
        for decision in await registrar.poll([reference], SUBMITTED + self.patience):
            assert decision.at.tzinfo is not None
            assert decision.score is None or 0 <= decision.score <= 100
            if decision.state is DecisionState.SCORED:
                assert decision.score is not None
            if decision.state is DecisionState.BOUGHT:
                assert re.fullmatch(r"\+[1-9][0-9]{6,14}", decision.number)
            if decision.state in (DecisionState.VERIFIED, DecisionState.APPROVED):
                assert decision.registered_id

    async def test_a_poll_of_nothing_answers_nothing(self, registrar: Registrar) -> None:
        assert list(await registrar.poll([], SUBMITTED)) == []

    async def test_an_unknown_reference_has_no_decisions(self, registrar: Registrar) -> None:
        assert list(await registrar.poll(["never-heard-of", ""], SUBMITTED + self.patience)) == []

    async def test_a_poll_of_several_tells_each_its_own(self, registrar: Registrar, kind: SubmissionKind) -> None:
        reference = await registrar.submit(self.submission(kind))
        alone = list(await registrar.poll([reference], SUBMITTED + self.patience))
        asked = ["never-heard-of", reference]
        assert list(await registrar.poll(asked, SUBMITTED + self.patience)) == alone

    async def test_decisions_only_ever_grow(self, registrar: Registrar, kind: SubmissionKind) -> None:
        reference = await registrar.submit(self.submission(kind))
        earlier: list[Decision] = []
        for step in range(9):
            now = SUBMITTED + self.patience * step / 8
            decisions = list(await registrar.poll([reference], now))
            assert decisions[: len(earlier)] == earlier
            assert decisions == list(await registrar.poll([reference], now))
            assert all(SUBMITTED <= decision.at <= now for decision in decisions)
            assert decisions == sorted(decisions, key=lambda decision: decision.at)
            earlier = decisions

    async def test_a_rejection_names_cause_and_field(self, registrar: Registrar, kind: SubmissionKind) -> None:
        if kind not in self.bad_fields:
            pytest.skip("no papers that this registrar rejects")
        reference = await registrar.submit(self.submission(kind, fields=self.bad_fields[kind]))
        (decision,) = await registrar.poll([reference], SUBMITTED + self.patience)
        assert decision.state in (DecisionState.REJECTED, DecisionState.FAILED)
        assert decision.cause
        assert decision.field in self.bad_fields[kind]
        assert {finding.field for finding in decision.findings} <= set(self.bad_fields[kind])

    async def test_a_refusal_says_what_to_mend(self, registrar: Registrar, kind: SubmissionKind) -> None:
        if kind not in self.refused_fields:
            pytest.skip("no papers that this registrar refuses at once")
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await registrar.submit(self.submission(kind, fields=self.refused_fields[kind]))
            assert caught.value.findings
            assert all(finding.cause for finding in caught.value.findings)
            assert {finding.field for finding in caught.value.findings} <= {"", *self.refused_fields[kind]}

    @pytest.mark.parametrize("body", _GARBAGE.values(), ids=_GARBAGE)
    async def test_a_call_of_a_stranger_tells_nothing(self, registrar: Registrar, body: bytes) -> None:
        call = WebhookRequest("POST", "https://heliograph.example/registrars/trial", {}, body)
        with pytest.raises((Forged, ValueError)):
            await registrar.webhook(call, SUBMITTED)

    async def test_it_can_be_closed(self, registrar: Registrar) -> None:
        await registrar.close()

    def __init_subclass__(cls, **more: object) -> None:
        """Mark the coroutine tests, so that authors need no particular pytest-asyncio mode."""
        super().__init_subclass__(**more)
        for name, member in vars(RegistrarContract).items():
            if name.startswith("test_") and asyncio.iscoroutinefunction(member):
                pytest.mark.asyncio(member)
