"""What is worth a look before a campaign starts: its texts against what is registered for the numbers they leave from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from heliograph_campaigns.domain import Content, Draft
from heliograph_campaigns.errors import RegistryAway
from heliograph_campaigns.service import Campaigns

MAX_BODY = 1600
"""Characters of a text (pinpoint-1 6.3); the registry takes no longer one."""
_TEN_DLC = "TEN_DLC"
_TOO_LONG = f"has more than {MAX_BODY:,} characters; it is not sent so"


class Check(StrEnum):
    """Whether a text was held against what is registered for it."""

    NOT_NEEDED = "NOT_NEEDED"
    DONE = "DONE"
    NO_USE_CASE = "NO_USE_CASE"
    UNREACHABLE = "UNREACHABLE"


@dataclass(frozen=True)
class RegisteredNumber:
    """A number as the registry keeps it. `ready`: SMS may leave from it. `use_case` is a name; empty: it belongs to none."""

    number: str
    kind: str
    ready: bool
    use_case: str


@dataclass(frozen=True)
class Finding:
    """Something worth a look in a text; `use_case` is the name of the one it does not fit, empty: the text alone."""

    use_case: str
    reason: str
    serious: bool
    description: str
    excerpt: str = ""


@dataclass(frozen=True)
class TreatmentPreview:
    """What one treatment would say, and what was found about it."""

    display_name: str
    sms_body: str = ""
    check: Check = Check.NOT_NEEDED
    use_cases: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()


class Texts(Protocol):
    """Where the texts of templates come from."""

    async def sms_text(self, content: Content) -> str:
        """Return the text of an SMS, without variables filled. Raises TemplateUnusable."""
        ...


class Registry(Protocol):
    """Where registrations are."""

    async def numbers(self, project: str) -> Sequence[RegisteredNumber]:
        """Return the numbers of a project. Raises RegistryAway."""
        ...

    async def findings(self, project: str, use_case: str, bodies: Sequence[str]) -> Sequence[Sequence[Finding]] | None:
        """Return what is found about each text; None when the use case is gone. Raises RegistryAway."""
        ...


class Previews:
    """Previews of stored campaigns and of drafts."""

    def __init__(self, campaigns: Campaigns, texts: Texts, registry: Registry) -> None:
        """Take what is asked."""
        self._campaigns = campaigns
        self._texts = texts
        self._registry = registry

    async def of_stored(self, project: str, campaign_id: str) -> list[TreatmentPreview]:
        """Look at a campaign in its latest version. Raises CampaignNotFound, TemplateUnusable."""
        campaign = await self._campaigns.get(project, campaign_id)
        return await self._look_at(project, campaign.draft)

    async def of_draft(self, project: str, draft: Draft) -> list[TreatmentPreview]:
        """Look at a campaign that is not stored.

        Raises:
            InvalidArgument, SegmentUnusable, TemplateUnusable: it could not be created.
        """
        return await self._look_at(project, await self._campaigns.examined(project, draft))

    async def _look_at(self, project: str, draft: Draft) -> list[TreatmentPreview]:
        contents = [("", draft.content), *((t.display_name, t.content) for t in draft.additional_treatments)]
        if draft.channel != "SMS":
            return [TreatmentPreview(name) for name, _ in contents]
        bodies = [await self._texts.sms_text(content) for _, content in contents]
        numbers = [content.origination_number for _, content in contents]
        try:
            registered = await self._registry.numbers(project)
            ways = [use_cases_of(number, registered) for number in numbers]
            found = await self._found(project, bodies, ways)
        except RegistryAway:
            ways = [(Check.UNREACHABLE, ()) for _ in contents]
            found = {}
        return [
            _preview(index, name, body, check, [use_case for use_case in use_cases if use_case in found], found)
            for index, ((name, _), body, (check, use_cases)) in enumerate(zip(contents, bodies, ways, strict=True))
        ]

    async def _found(
        self, project: str, bodies: Sequence[str], ways: Sequence[tuple[Check, tuple[str, ...]]]
    ) -> dict[str, dict[int, Sequence[Finding]]]:
        """Ask about each use case once, with every text that may leave for it; those that are gone are left out."""
        wanted: dict[str, list[int]] = {}
        for index, (_, use_cases) in enumerate(ways):
            for use_case in use_cases:
                wanted.setdefault(use_case, []).append(index)

        async def ask(use_case: str, indexes: Sequence[int]) -> dict[int, Sequence[Finding]] | None:
            fit = [index for index in indexes if 1 <= len(bodies[index]) <= MAX_BODY]
            if not fit:
                return {}
            answers = await self._registry.findings(project, use_case, [bodies[index] for index in fit])
            return None if answers is None else dict(zip(fit, answers, strict=True))

        answers = await asyncio.gather(*(ask(use_case, indexes) for use_case, indexes in wanted.items()))
        return {use_case: answer for use_case, answer in zip(wanted, answers, strict=True) if answer is not None}


def use_cases_of(number: str, registered: Sequence[RegisteredNumber]) -> tuple[Check, tuple[str, ...]]:
    """Return the use cases a text may leave for: that of the number it names, else of every READY 10DLC number.

    Which of several numbers a message leaves from is decided for each recipient in the moment of sending (pinpoint-2 3.1), so
    without a named number the text has to fit all of them. A pool counts as no number named: its members are messaging's.
    A number of the project that is of another kind needs no use case.
    """
    if number:
        named = [one for one in registered if one.number == number]
        if named and all(one.kind != _TEN_DLC for one in named):
            return Check.NOT_NEEDED, ()
        candidates = [one for one in named if one.kind == _TEN_DLC]
    else:
        candidates = [one for one in registered if one.kind == _TEN_DLC and one.ready]
    use_cases = tuple(sorted({one.use_case for one in candidates if one.use_case}))
    return (Check.DONE, use_cases) if use_cases else (Check.NO_USE_CASE, ())


def _preview(
    index: int,
    name: str,
    body: str,
    check: Check,
    use_cases: Sequence[str],
    found: Mapping[str, Mapping[int, Sequence[Finding]]],
) -> TreatmentPreview:
    own = [Finding("", "TEXT_TOO_LONG", serious=True, description=_TOO_LONG)] if len(body) > MAX_BODY else []
    if check is Check.DONE and not use_cases:
        check = Check.NO_USE_CASE
    asked = (finding for use_case in use_cases for finding in found[use_case].get(index, ()))
    return TreatmentPreview(name, body, check, tuple(use_cases), (*own, *asked))
