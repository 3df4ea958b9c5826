"""The registrar `telnyx`: 10DLC, toll-free verification and numbers through version 2 of Telnyx's API.

It keeps nothing that must survive. Telnyx tells of most things the present state only, so a poll tells the decision that holds now
and, within one process, always with the same time; of toll-free verifications it tells the whole history.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from heliograph_channel_telnyx.registry.api import Api
from heliograph_channel_telnyx.registry.brands import Brands
from heliograph_channel_telnyx.registry.campaigns import Campaigns
from heliograph_channel_telnyx.registry.events import Event, event_in
from heliograph_channel_telnyx.registry.numbers import Numbers
from heliograph_channel_telnyx.registry.references import Reference, thing_in
from heliograph_channel_telnyx.registry.settings import SCHEMA, problems
from heliograph_channel_telnyx.registry.toll_free import TollFree
from heliograph_channel_telnyx.settings import public_key
from heliograph_channel_telnyx.signatures import check
from heliograph_channels import (
    Decision,
    DecisionState,
    Finding,
    Forged,
    Problem,
    Refused,
    Registrar,
    Submission,
    SubmissionKind,
    WebhookRequest,
    with_defaults,
)
from heliograph_channels.http_client import HttpClient

__all__ = ["TelnyxRegistrar"]

_REMEMBERED = 20_000

_log = logging.getLogger(__name__)


class TelnyxRegistrar(Registrar):
    """Papers through Telnyx. What the hook hands over has no account: it is to be configured first."""

    name = "telnyx"
    settings_schema: Mapping[str, object] = SCHEMA
    secrets = frozenset({"api_key"})
    chooses_area_code = True

    def __init__(
        self, settings: Mapping[str, object] | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Take checked settings and a clock for the pauses that Telnyx asks for; None: it can only be configured.

        Raises:
            OSError: `ca_file` cannot be read.
        """
        self._desk = None if settings is None else _Desk(cast("dict[str, Any]", with_defaults(SCHEMA, settings)), now)

    def check_settings(self, settings: Mapping[str, object]) -> Sequence[Problem]:
        """Check the schema, the public key and the addresses."""
        return [*super().check_settings(settings), *problems(settings)]

    def configured(self, settings: Mapping[str, object]) -> TelnyxRegistrar:
        """Return a registrar of this account.

        Raises:
            ValueError: the settings do not fit.
            OSError: `ca_file` cannot be read.
        """
        if wrong := self.check_settings(settings):
            raise ValueError("; ".join(f"{problem.field} {problem.description}" for problem in wrong))
        return TelnyxRegistrar(settings)

    async def submit(self, submission: Submission) -> str:
        """Hand papers in; see `Brands`, `Campaigns`, `Numbers` and `TollFree` for how a repetition is recognised."""
        return str(await self._opened().submit(submission))

    async def poll(self, references: Sequence[str], now: datetime) -> Sequence[Decision]:
        """Ask Telnyx about each reference. One that cannot be asked about now tells what it told before.

        Raises:
            Exception: Telnyx answered about none of them.
        """
        return await self._opened().poll(references, now)

    async def webhook(self, request: WebhookRequest, now: datetime) -> Sequence[Decision]:
        """Check the signature, then ask Telnyx about what the event is about, as far as this process knows of it."""
        return await self._opened().webhook(request, now)

    async def close(self) -> None:
        """Close the connections."""
        if self._desk is not None:
            await self._desk.api.close()

    def _opened(self) -> _Desk:
        if self._desk is None:
            raise RuntimeError("the registrar telnyx needs settings: api_key and webhook_url")
        return self._desk


class _Desk:
    """One account, and what this process knows of what it asked about."""

    def __init__(self, settings: Mapping[str, Any], now: Callable[[], datetime]) -> None:
        client = HttpClient(
            timeout=float(settings["timeout"]), connections=settings["connections"], ca_file=settings.get("ca_file")
        )
        self.api = Api(client, str(settings["base_url"]).rstrip("/"), str(settings["api_key"]), now)
        self._brands = Brands(self.api, settings)
        self._campaigns = Campaigns(self.api, settings)
        self._numbers = Numbers(self.api, settings)
        self._toll_free = TollFree(self.api, settings)
        self._key = public_key(str(settings.get("public_key") or ""))
        # A call that waits for a connection waits in its time limit.
        self._places = asyncio.Semaphore(settings["connections"])
        self._known: OrderedDict[str, list[Decision]] = OrderedDict()

    async def submit(self, submission: Submission) -> Reference:
        kind = submission.kind
        known = thing_in(submission.registered_id) or thing_in(submission.earlier_reference)
        if kind is SubmissionKind.BRAND:
            reference = await self._brands.submit(submission)
        elif kind is SubmissionKind.VETTING:
            reference = await self._brands.order_vetting(submission)
        elif kind is SubmissionKind.USE_CASE:
            reference = await self._campaigns.submit(submission)
        elif kind is SubmissionKind.NUMBER:
            reference = await self._numbers.associate(submission)
        elif kind is SubmissionKind.TOLL_FREE:
            reference = await self._toll_free.submit(submission)
        elif kind is SubmissionKind.ORDER:
            reference = await self._numbers.order(submission)
        elif kind is SubmissionKind.DISASSOCIATION:
            reference = await self._numbers.disassociate(submission)
        elif kind is SubmissionKind.RELEASE:
            reference = await self._numbers.release(submission)
        else:
            reference = await self._about_known(submission, known)
        if not reference.thing:
            raise RuntimeError("Telnyx took the papers and told no id: the next attempt finds them by their mark")
        self._remember(str(reference), [])
        return reference

    async def _about_known(self, submission: Submission, known: str) -> Reference:
        """Do what concerns a brand or campaign that Telnyx has."""
        if not known:
            raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "it is not registered with Telnyx")])
        of_brand = any(path.startswith("companyInfo.") for path in submission.fields)
        if submission.kind is SubmissionKind.RENEWAL:
            if of_brand:
                raise Refused([Finding("", "ATTRIBUTES_MISMATCH", "brands of Telnyx do not run out")])
            return await self._campaigns.renew(submission, known)
        if submission.kind is SubmissionKind.AMENDMENT:
            await self._campaigns.amend(submission, known)
        elif of_brand:
            await self._brands.withdraw(submission, known)
        else:
            await self._campaigns.withdraw(submission, known)
        return Reference.of(submission, known)

    async def poll(self, references: Sequence[str], now: datetime) -> list[Decision]:
        read = {text: reference for text in references if (reference := Reference.read(text)) is not None}
        told = await asyncio.gather(*(self._ask(one, now) for one in read.values()), return_exceptions=True)
        failed = [one for one in told if isinstance(one, Exception)]
        if failed:
            if len(failed) == len(told):
                raise failed[0]
            _log.warning("Telnyx did not tell about %d of %d: %s", len(failed), len(told), failed[0])
        decisions: list[Decision] = []
        for text, one in zip(read, told, strict=True):
            if isinstance(one, BaseException) and not isinstance(one, Exception):
                raise one
            decisions.extend(self._known.get(text, []) if isinstance(one, BaseException) else one)
        return [decision for decision in decisions if decision.at <= now]

    async def webhook(self, request: WebhookRequest, now: datetime) -> list[Decision]:
        if self._key is None:
            raise Forged("without the setting public_key nobody can tell whether a call is Telnyx's")
        check(request, self._key, now)
        event = event_in(request.body)
        told: list[Decision] = []
        for text in list(self._known):
            reference = Reference.read(text)
            if reference is not None and event.is_about(reference):
                told.extend(await self._told(event, reference, now))
        return told

    async def _told(self, event: Event, reference: Reference, now: datetime) -> list[Decision]:
        if reference.kind is SubmissionKind.VETTING and event.vetting_failed:
            failed = self._brands.vetting_failed(reference, min(event.time or now, now), event.reasons)
            return self._remember(str(reference), [failed])
        return await self._ask(reference, now, event.findings)

    async def _ask(self, reference: Reference, now: datetime, found: Sequence[Finding] = ()) -> list[Decision]:
        """Ask Telnyx; `found` are what an event says to mend, which is more than the thing itself does."""
        async with self._places:
            if reference.kind is SubmissionKind.TOLL_FREE:
                return self._remember(str(reference), await self._toll_free.decisions(reference, now))
            decision = await self._decision(reference, now)
        if decision is None:
            before = self._known.get(str(reference), [])
            return before if before and before[-1].state is DecisionState.FAILED else []
        at = min(max(decision.at, reference.time), now)
        decision = replace(decision, at=at)
        if found and decision.state is DecisionState.REJECTED:
            decision = replace(
                decision, cause=found[0].cause, field=found[0].field, words=found[0].words, findings=tuple(found)
            )  # fmt: skip
        before = self._known.get(str(reference), [])
        if before and before[-1].state is decision.state:
            return before
        return self._remember(str(reference), [decision])

    async def _decision(self, reference: Reference, now: datetime) -> Decision | None:
        match reference.kind:
            case SubmissionKind.BRAND:
                return await self._brands.decision(reference, now)
            case SubmissionKind.VETTING:
                return await self._brands.vetting(reference, now)
            case SubmissionKind.USE_CASE | SubmissionKind.RENEWAL:
                return await self._campaigns.decision(reference, now)
            case SubmissionKind.NUMBER:
                return await self._numbers.association(reference, now)
            case SubmissionKind.DISASSOCIATION:
                return await self._numbers.detached(reference, now)
            case SubmissionKind.ORDER:
                return await self._numbers.bought(reference, now)
            case _:
                return None

    def _remember(self, reference: str, decisions: list[Decision]) -> list[Decision]:
        if decisions or reference not in self._known:
            self._known[reference] = decisions
        self._known.move_to_end(reference)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return decisions
