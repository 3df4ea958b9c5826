"""What a template would say, to whom something would be missing, and what is wrong with it. Stores nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, Protocol, TypeAlias, cast

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_channels import Content, EmailContent, PushContent, SmsContent, VoiceContent
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import Violations
from heliograph_kit.names import ResourceName, format_name
from heliograph_messaging.content import NoContent, Prepared, prepare
from heliograph_messaging.domain.contents import PLATFORMS, InAppText, platform_of
from heliograph_messaging.domain.filled import CannotSend, one_click
from heliograph_messaging.domain.findings import (
    Finding,
    email_findings,
    errors_first,
    in_app_findings,
    payload_bytes,
    push_findings,
    sms_findings,
)
from heliograph_messaging.domain.handlebars import Compiled, Failure, Occasion, RenderingFailed, missing_variables
from heliograph_messaging.domain.inline import EMPTY
from heliograph_messaging.domain.paths import Variable
from heliograph_messaging.domain.tracking import Signer
from heliograph_messaging.errors import EndpointNotFound, TemplateNotFound
from heliograph_messaging.pipeline.page import Values, recipients_of
from heliograph_messaging.pipeline.tracking import NOWHERE, Tracking
from heliograph_messaging.service.drafts import TemplateDraft, canonical, checked
from heliograph_messaging.store.templates import StoredTemplate, TemplateStore

MAX_SUBSTITUTIONS = 100
MAX_SAMPLE = 1_000
Source: TypeAlias = Literal["SUBSTITUTION", "ENDPOINT", "DEFAULT", "MISSING"]
_SAMPLE_MESSAGE = "0" * 32
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Audience(Protocol):
    """The part of the segments service that is asked here."""

    async def read_endpoints(self, project: str, ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Return the endpoints that exist, in the order asked, with these fields as columns."""
        ...


@dataclass(frozen=True)
class Asked:
    """What is to be previewed, for whom, and with which values. Either `template` or `draft` is given."""

    project: str
    template: ResourceName | None
    version: int
    draft: TemplateDraft | None
    endpoint_id: str
    substitutions: Mapping[str, str]
    platform: str
    sample: Sequence[str]


@dataclass(frozen=True)
class ShownVariable:
    """A variable, its value and where that comes from."""

    variable: Variable
    value: str
    source: Source


@dataclass
class Preview:
    """What came of it. `content` is None when it would not be sent; `size` is that of a notification's payload."""

    platform: str = ""
    content: Content | InAppText | None = None
    size: int = 0
    variables: Sequence[ShownVariable] = ()
    missing: Sequence[tuple[Variable, int]] = ()
    sampled: int = 0
    complete: int = 0
    findings: list[Finding] = field(default_factory=list)


class Previews:
    """Shows templates and drafts."""

    def __init__(
        self, database: Database, store: TemplateStore, audience: Audience, tracking: Tracking, clock: Clock
    ) -> None:
        """Take the templates, who knows endpoints, what makes links for unsubscribing, and the clock."""
        self._database = database
        self._store = store
        self._audience = audience
        self._tracking = tracking
        self._clock = clock

    async def preview(self, asked: Asked) -> Preview:
        """Show what is asked for.

        Raises:
            InvalidArgument, TemplateDoesNotCompile: every violation of the request, or of the draft.
            TemplateNotFound, EndpointNotFound: there is no such thing.
            Unavailable: endpoints are to be looked up and segments does not answer.
        """
        _check(asked)
        template = await self._template(asked)
        if isinstance(template.content, InAppText):
            return Preview(content=template.content, findings=in_app_findings(template.content))
        try:
            prepared = prepare(template.kind, EMPTY[template.kind], template)
        except NoContent as error:
            return Preview(findings=[Finding("EMPTY", "", str(error), error=True)])
        page = await self._endpoint(asked, prepared)
        seen = self._shown(asked, prepared, page, await self._tracking.signer(asked.project))
        if asked.sample:
            sample = await self._audience.read_endpoints(asked.project, list(asked.sample), prepared.fields())
            _look_for_missing(seen, prepared, sample, asked.substitutions, self._occasion())
        seen.findings = errors_first(seen.findings)
        return seen

    async def _template(self, asked: Asked) -> StoredTemplate:
        draft = asked.draft
        if draft is not None:
            compiled = checked(draft, at="draft")
            return StoredTemplate(
                asked.project, "", draft.kind, 0, 0, 0, "", 0, draft.description, draft.content, draft.lenient,
                canonical(draft.default_substitutions), compiled.fields(), compiled.names(), _BEGINNING, _BEGINNING, "",
            )  # fmt: skip
        name = cast(ResourceName, asked.template)
        async with self._database.transaction() as conn:
            found = await self._store.get(conn, asked.project, name.id, asked.version)
        if found is None or name.project != asked.project:
            raise TemplateNotFound(str(name), asked.version)
        return found

    async def _endpoint(self, asked: Asked, prepared: Prepared) -> audience_pb2.MemberPage:
        """Return a page of one recipient: the endpoint asked for, or nobody in particular."""
        if not asked.endpoint_id:
            return audience_pb2.MemberPage(endpoint_ids=[""], addresses=[""], channels=[""])
        page = await self._audience.read_endpoints(asked.project, [asked.endpoint_id], prepared.fields())
        if not page.endpoint_ids:
            raise EndpointNotFound(format_name(asked.project, "endpoints", asked.endpoint_id))
        return page

    def _shown(self, asked: Asked, prepared: Prepared, page: audience_pb2.MemberPage, signer: Signer | None) -> Preview:
        platform = asked.platform.lower() or platform_of(page.channels[0] if page.channels else "")
        seen = Preview(platform=platform)
        said = prepared.platforms.get(platform) if prepared.kind == "PUSH" else prepared
        if said is None:
            seen.findings.append(Finding("EMPTY", f"push.{platform}", "there is nothing to say there", error=True))
            return seen
        seen.variables = _variables(said, page, asked.substitutions)
        if lacking := _always_missing(said, seen.variables):
            words = "has no value and no default: the message would not be sent"
            seen.findings += [Finding("MISSING_VALUE", path, words, error=True) for path in lacking]
            return seen
        batch = _substituted(page, said.compiled.variables, asked.substitutions)
        values = Values(batch, recipients_of(page), said.defaults)
        letters = said.page([values.column(variable) for variable in said.compiled.variables], len(values))
        try:
            seen.content = _clickable(signer, said, letters.render(0, self._occasion()))
        except CannotSend as problem:
            seen.findings.append(_finding(signer, said, problem))
            return seen
        _look_at(seen, page.addresses[0] if page.addresses else "")
        return seen

    def _occasion(self) -> Occasion:
        return Occasion(self._clock.now(), _SAMPLE_MESSAGE)


def _finding(signer: Signer | None, said: Prepared, problem: CannotSend) -> Finding:
    failed = problem.__cause__
    if isinstance(failed, RenderingFailed) and failed.failure is Failure.MISSING_VARIABLE:
        return Finding("MISSING_VALUE", failed.variable, str(problem), error=True)
    reason = "PUBLIC_URL_MISSING" if said.one_click and signer is None else "INVALID_CONTENT"
    return Finding(reason, "", str(problem), error=True)


def _clickable(signer: Signer | None, said: Prepared, content: Content) -> Content:
    """Return an e-mail with the headers of one-click unsubscribing that a message gets at the very end."""
    if not said.one_click or not isinstance(content, EmailContent):
        return content
    if signer is None:
        raise CannotSend(NOWHERE)
    link = one_click(signer.unsubscribe_url(_SAMPLE_MESSAGE))
    return replace(content, headers={**content.headers, **link})


def _check(asked: Asked) -> None:
    found = Violations()
    if asked.template is None and (asked.draft is None or not asked.draft.kind):
        found.add("source", "needs a template or a draft", "INVALID_ARGUMENT")
    if asked.version < 0 or (asked.version and asked.template is None):
        found.add("version", "must not be negative, and goes with a template alone", "INVALID_ARGUMENT")
    if len(asked.substitutions) > MAX_SUBSTITUTIONS:
        found.add("substitutions", f"must have at most {MAX_SUBSTITUTIONS} entries", "INVALID_ARGUMENT")
    if asked.platform and asked.platform.lower() not in PLATFORMS:
        found.add("platform", f"must be one of {', '.join(PLATFORMS).upper()}", "INVALID_ARGUMENT")
    if len(asked.sample) > MAX_SAMPLE:
        found.add("sample_endpoint_ids", f"must be at most {MAX_SAMPLE:,}, not {len(asked.sample)}", "INVALID_ARGUMENT")
    found.check()


def _substituted(
    page: audience_pb2.MemberPage, variables: Sequence[Variable], substitutions: Mapping[str, str]
) -> dispatch_pb2.DispatchBatch:
    """Return a batch to the recipients of a page, with substitutions in the place of what endpoints say."""
    batch = dispatch_pb2.DispatchBatch(recipients=page)
    wanted = {variable.path for variable in variables} & set(substitutions)
    kept = [column for column in page.columns if column.path not in wanted]
    del batch.recipients.columns[:]
    batch.recipients.columns.extend(kept)
    count = len(recipients_of(page))
    for path in sorted(wanted):
        batch.recipients.columns.add(path=path, values=[substitutions[path]] * count, counts=[1] * count)
    return batch


def _variables(said: Prepared, page: audience_pb2.MemberPage, substitutions: Mapping[str, str]) -> list[ShownVariable]:
    variables = said.compiled.variables
    batch, recipients = _substituted(page, variables, substitutions), recipients_of(page)
    with_defaults, without = Values(batch, recipients, said.defaults), Values(batch, recipients, {})
    shown = []
    # A list that is gone through is shown as the text that it would be.
    alone = {Variable(variable.path, variable.index) for variable in variables}
    for variable in sorted(alone, key=lambda one: (one.path, -1 if one.index is None else one.index)):
        value = cast(str | None, with_defaults.column(variable)[0])
        source: Source = "ENDPOINT"
        if value is None:
            source = "MISSING"
        elif without.column(variable)[0] is None:
            source = "DEFAULT"
        elif variable.path in substitutions and not variable.index:
            source = "SUBSTITUTION"
        shown.append(ShownVariable(variable, value or "", source))
    return shown


def _always_missing(said: Prepared, shown: Sequence[ShownVariable]) -> list[str]:
    """Return the paths without whose values a strict content is sent to nobody."""
    if said.lenient:
        return []
    there = {one.variable for one in shown if one.source != "MISSING"}
    return sorted({one.variable.path for one in missing_variables(said.compiled, there) if one.always})


def _look_for_missing(
    seen: Preview,
    prepared: Prepared,
    sample: audience_pb2.MemberPage,
    substitutions: Mapping[str, str],
    occasion: Occasion,
) -> None:
    recipients = recipients_of(sample)
    values = Values(_substituted(sample, prepared.variables, substitutions), recipients, prepared.defaults)
    counts: dict[Variable, int] = {}
    incomplete: set[int] = set()
    for channel in set(recipients.channels):
        said = prepared.on(channel)
        here = [position for position, one in enumerate(recipients.channels) if one == channel]
        for position, lacking in _lacking(said.compiled, values, here, occasion) if said else ():
            incomplete.add(position)
            for variable in lacking:
                counts[variable] = counts.get(variable, 0) + 1
    seen.missing = sorted(counts.items(), key=lambda one: (one[0].path, one[0].index or 0))
    seen.sampled, seen.complete = len(recipients), len(recipients) - len(incomplete)


def _lacking(
    compiled: Compiled, values: Values, positions: Sequence[int], occasion: Occasion
) -> Iterator[tuple[int, set[Variable]]]:
    """Return recipients whose message would lack something, and what: also what only their blocks and helpers need."""
    columns = [values.column(variable) for variable in compiled.variables]
    alone = list({Variable(variable.path, variable.index) for variable in compiled.variables})
    texts = [values.column(variable) for variable in alone]
    page = compiled.page(columns, len(values))
    for position in positions:
        there = {variable for variable, text in zip(alone, texts, strict=True) if text[position] is not None}
        lacking = {one.variable for one in missing_variables(compiled, there) if one.always}
        try:
            page.render(position, occasion)
        except RenderingFailed as failed:
            if not lacking and failed.failure is Failure.MISSING_VARIABLE:
                lacking = {variable for variable in alone if variable.path == failed.variable} - there
            yield position, lacking
        else:
            if lacking:  # left out by a lenient template
                yield position, lacking


def _look_at(seen: Preview, address: str) -> None:
    match seen.content:
        case SmsContent(body=body):
            seen.findings += sms_findings(body, address)
        case EmailContent(html=html, text=text):
            seen.findings += email_findings(html, text)
        case PushContent() as push:
            words = {name: str(getattr(push, name)) for name in _COUNTED if getattr(push, name)}
            seen.size = payload_bytes(words, push.raw)
            seen.findings += push_findings(seen.platform, seen.size)
        case VoiceContent() | _:
            pass


_COUNTED = (
    "title", "body", "url", "sound", "media_url", "image_url", "image_icon_url", "small_image_icon_url",
)  # fmt: skip
