"""Use cases over messages: direct sends, and what became of messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2, messages_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_channels import ChannelProvider, Kind, email_problem, phone_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violation, Violations
from heliograph_kit.ids import derived_id
from heliograph_kit.names import format_name, parse_name
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import dispatch_subject
from heliograph_messaging.contained import likely_address_problems
from heliograph_messaging.content import ContentCache, NoContent, Prepared
from heliograph_messaging.domain.handlebars import DoesNotCompile
from heliograph_messaging.domain.inline import EmailSettings, inline_problems
from heliograph_messaging.domain.recipients import same_address
from heliograph_messaging.errors import (
    AddressInvalid,
    ChannelNotUsable,
    MessageNotFound,
    TemplateDoesNotCompile,
    TemplateNotFound,
)
from heliograph_messaging.pipeline.page import recipients_of
from heliograph_messaging.pipeline.plan import message_ids
from heliograph_messaging.providers import KINDS
from heliograph_messaging.service.channels import bare_address
from heliograph_messaging.service.drafts import MAX_REQUEST_ID
from heliograph_messaging.service.files import Stowed, check_sizes, files_problems, stow
from heliograph_messaging.store.channels import ChannelStore, RequestStore
from heliograph_messaging.store.files import FileStore
from heliograph_messaging.store.messages import Count, LedgerMessage, MessageStore, StoredReceipt
from heliograph_messaging.store.templates import TemplateStore
from heliograph_messaging.translate import read_inline

MAX_RECIPIENTS = 100
MAX_SUBSTITUTIONS = 100
_MESSAGE_ID = re.compile(r"[0-9a-f]{32}")


class Audience(Protocol):
    """The part of the segments service that is asked here."""

    async def read_endpoints(self, project: str, ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Return the endpoints that exist, in the order asked, with these fields as columns."""
        ...


@dataclass(frozen=True)
class Direct:
    """A direct send as the caller wants it."""

    project: str
    channel: str
    content: dispatch_pb2.MessageContent
    recipients: Sequence[messages_pb2.Recipient]
    substitutions: Mapping[str, str]
    request_id: str
    fingerprint: str
    expire_time: datetime | None


class Messages:
    """Use cases over messages."""

    def __init__(
        self,
        database: Database,
        store: MessageStore,
        channels: ChannelStore,
        templates: TemplateStore,
        requests: RequestStore,
        catalogue: Mapping[str, ChannelProvider],
        cache: ContentCache,
        audience: Audience,
        outbox: Outbox,
        clock: Clock,
        ids: Callable[[], str],
        files: FileStore,
    ) -> None:
        """Take everything it asks."""
        self._files = files
        self._database = database
        self._store = store
        self._channels = channels
        self._templates = templates
        self._requests = requests
        self._catalogue = catalogue
        self._cache = cache
        self._audience = audience
        self._outbox = outbox
        self._clock = clock
        self._ids = ids

    async def send(self, direct: Direct) -> messages_pb2.SendMessagesResponse:
        """Hand a direct send over to the workers; nothing is sent twice for one request id.

        Raises:
            InvalidArgument, AddressInvalid, TemplateDoesNotCompile: every violation.
            TemplateNotFound, ChannelNotUsable: it could never be sent.
            RequestIdReused: the request id belongs to another request.
            Unavailable: endpoints are to be looked up and segments does not answer.
        """
        _check(direct)
        async with self._database.transaction() as conn:
            if direct.request_id:
                kept = await self._requests.find(conn, direct.project, "SendMessages", direct.request_id)
                if kept is not None:
                    return _first_answer(direct, kept)
            provider = await self._provider(conn, direct)
            prepared = await self._prepared(conn, direct)
            if direct.channel == "EMAIL":
                await check_sizes(conn, self._files, direct.project, direct.content)
        await _check_addresses(direct, provider)
        fields = prepared.fields()
        wanted = [recipient.endpoint_id for recipient in direct.recipients if recipient.endpoint_id]
        page = audience_pb2.MemberPage()
        if wanted:
            page = await self._audience.read_endpoints(direct.project, wanted, fields)
        run_id = derived_id("direct", direct.project, direct.request_id) if direct.request_id else self._ids()
        stowed = stow(direct.project, direct.content)
        batch = _batch(direct, prepared, page, run_id, stowed)
        answer = _answer(direct, batch)
        async with self._database.transaction() as conn:
            if direct.request_id:
                kept = await self._requests.keep(
                    conn, direct.project, "SendMessages", direct.request_id, direct.fingerprint,
                    answer.SerializeToString(), self._clock.now(),
                )  # fmt: skip
                if kept is not None:
                    return _first_answer(direct, kept)
            if batch.recipients.addresses:
                for data in stowed.files:
                    await self._files.keep(conn, direct.project, data)
                subject = dispatch_subject("transactional", direct.project)
                await self._outbox.add(conn, Outgoing(subject, batch, batch.batch_id, direct.project))
        return answer

    async def get(self, project: str, message_id: str) -> tuple[LedgerMessage, Sequence[StoredReceipt]]:
        """Return a message and what its provider reported.

        Raises:
            MessageNotFound: the ledger has none.
        """
        if not _MESSAGE_ID.fullmatch(message_id):
            raise MessageNotFound(format_name(project, "messages", message_id))
        async with self._database.transaction() as conn:
            message = await self._store.get(conn, project, message_id)
            if message is None:
                raise MessageNotFound(format_name(project, "messages", message_id))
            return message, await self._store.receipts(conn, project, message_id)

    async def of_run(
        self, project: str, run_id: str, *, status: str, after: str | None, size: int
    ) -> Sequence[LedgerMessage]:
        """Return messages of a run with ids above `after`, by id; `status` empty: of every status."""
        async with self._database.transaction() as conn:
            return await self._store.of_run(conn, project, run_id, status=status, after=after, size=size)

    async def counts(self, project: str, run_id: str, *, treatment_id: str, activity_id: str) -> Sequence[Count]:
        """Count the messages of a run by status, reason, treatment and activity."""
        async with self._database.transaction() as conn:
            return await self._store.counts(conn, project, run_id, treatment_id=treatment_id, activity_id=activity_id)

    async def _provider(self, conn: AsyncConnection, direct: Direct) -> ChannelProvider:
        name = format_name(direct.project, "channels", direct.channel)
        channel = await self._channels.get(conn, direct.project, direct.channel)
        if channel is None:
            raise ChannelNotUsable(name, "is not set up")
        if not channel.enabled and direct.channel != "EMAIL":
            raise ChannelNotUsable(name, "is switched off")
        provider = self._catalogue.get(channel.provider)
        if provider is None:
            raise ChannelNotUsable(name, f"needs the channel plugin {channel.provider!r}, which is not installed")
        return provider

    async def _prepared(self, conn: AsyncConnection, direct: Direct) -> Prepared:
        content, inline = direct.content, read_inline(direct.channel, direct.content)
        try:
            if not content.template:
                return self._cache.prepare(direct.channel, inline)
            name = parse_name(content.template, "templates", field="content.template")
            template = await self._templates.get(conn, direct.project, name.id, content.template_version)
            if template is None or name.project != direct.project:
                raise TemplateNotFound(content.template, content.template_version)
            return self._cache.prepare(direct.channel, inline, template)
        except DoesNotCompile as error:
            reason = TemplateDoesNotCompile.reason
            raise TemplateDoesNotCompile(
                [Violation(f"content.{_field(direct.channel, one.part)}", str(one), reason) for one in error.errors]
            ) from error
        except NoContent as error:
            found = Violations()
            found.add("content.template" if content.template else "content", str(error), "INVALID_ARGUMENT")
            found.check()
            raise


def _field(channel: str, part: str) -> str:
    """Return the field of MessageContent that holds a part."""
    match channel:
        case "EMAIL":
            return f"email_{part}"
        case "SMS":
            return "sms_body"
        case "PUSH":
            return f"push.{part}" if "." in part else f"push.default_message.{part}"
        case "VOICE":
            return "voice.body"
        case _:
            return "custom_data"


def _check(direct: Direct) -> None:
    """Check everything that needs no database."""
    found, content = Violations(), direct.content
    if direct.channel not in KINDS:
        found.add("channel", f"must be one of {', '.join(KINDS)}", "INVALID_ARGUMENT")
    if len(direct.request_id) > MAX_REQUEST_ID:
        found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", "INVALID_ARGUMENT")
    if not 1 <= len(direct.recipients) <= MAX_RECIPIENTS:
        found.add("recipients", f"must be 1 to {MAX_RECIPIENTS}, not {len(direct.recipients)}", "INVALID_ARGUMENT")
    if content.template_version < 0:
        found.add("content.template_version", "must not be negative", "INVALID_ARGUMENT")
    if direct.channel in KINDS:
        inline = read_inline(direct.channel, content)
        for problem in inline_problems(inline):
            field = ".".join(part for part in ("content", problem.field) if part)
            found.add(field, problem.words, problem.reason)
        replies = inline.settings.reply_to if isinstance(inline.settings, EmailSettings) else ()
        for index, address in enumerate(replies):
            if words := _mailbox_problem(address):
                found.add(f"content.email_reply_to[{index}]", words, "ADDRESS_INVALID")
    if direct.channel == "EMAIL":
        for problem in files_problems(direct.project, content):
            found.add(f"content.{problem.field}", problem.words, problem.reason)
    if content.origination_number and (words := phone_problem(content.origination_number)):
        found.add("content.origination_number", words, "ADDRESS_INVALID")
    if content.from_address and direct.channel == "EMAIL" and (words := _mailbox_problem(content.from_address)):
        found.add("content.from_address", words, "ADDRESS_INVALID")
    if len(direct.substitutions) > MAX_SUBSTITUTIONS:
        found.add("substitutions", f"must have at most {MAX_SUBSTITUTIONS} entries", "INVALID_ARGUMENT")
    _check_recipients(direct, found)
    found.check()


def _mailbox_problem(address: str) -> str | None:
    broken = any(ord(character) < 32 for character in address)
    return "must be one line" if broken else email_problem(bare_address(address))


def _check_recipients(direct: Direct, found: Violations) -> None:
    seen: dict[tuple[str, str], int] = {}
    for index, recipient in enumerate(direct.recipients[:MAX_RECIPIENTS]):
        field = f"recipients[{index}]"
        if bool(recipient.address) == bool(recipient.endpoint_id):
            found.add(field, "needs either an address or an endpoint_id", "INVALID_ARGUMENT")
            continue
        if len(recipient.substitutions) > MAX_SUBSTITUTIONS:
            found.add(f"{field}.substitutions", f"must have at most {MAX_SUBSTITUTIONS} entries", "INVALID_ARGUMENT")
        key = (same_address(direct.channel, recipient.address), recipient.endpoint_id)
        if key in seen:
            found.add(field, f"is the same as recipients[{seen[key]}]", "INVALID_ARGUMENT")
        seen.setdefault(key, index)


async def _check_addresses(direct: Direct, provider: ChannelProvider) -> None:
    given = {index: recipient.address for index, recipient in enumerate(direct.recipients) if recipient.address}
    problems = await likely_address_problems(provider, Kind(direct.channel), list(given.values()))
    bad = [
        Violation(f"recipients[{index}].address", problem, AddressInvalid.reason)
        for index, problem in zip(given, problems, strict=True)
        if problem
    ]
    if bad:
        raise AddressInvalid(bad)


def _batch(
    direct: Direct, prepared: Prepared, endpoints: audience_pb2.MemberPage, run_id: str, stowed: Stowed
) -> dispatch_pb2.DispatchBatch:
    """Put the batch together: endpoints as segments knows them, bare addresses, and every value of a variable.

    Substitutions of a recipient and of the message go before what the endpoint says (pinpoint-2 1.5), so they are written
    into the columns; the pipeline takes columns first.
    """
    known = recipients_of(endpoints)
    place = {endpoint_id: index for index, endpoint_id in enumerate(known.endpoint_ids)}
    columns = {column.path: _cells(column) for column in endpoints.columns}
    page = audience_pb2.MemberPage()
    taken = [r for r in direct.recipients if r.address or r.endpoint_id in place]
    for recipient in taken:
        index = place.get(recipient.endpoint_id) if recipient.endpoint_id else None
        page.endpoint_ids.append(recipient.endpoint_id)
        page.user_ids.append("" if index is None else known.user_ids[index])
        page.channels.append(direct.channel if index is None else known.channels[index])
        page.addresses.append(recipient.address if index is None else known.addresses[index])
        page.opted_out.append(False if index is None else known.opted_out[index])
        page.inactive.append(False if index is None else known.inactive[index])
        page.ordinals.append(endpoints.ordinals[index] if index is not None and endpoints.ordinals else 0)
    own = {path for recipient in taken for path in recipient.substitutions}
    paths = {variable.path for variable in prepared.variables}
    for path in sorted(paths & (own | set(direct.substitutions) | set(columns))):
        column = page.columns.add(path=path)
        for recipient in taken:
            if path in recipient.substitutions:
                cell: Sequence[str] = (recipient.substitutions[path],)
            elif path in direct.substitutions:
                cell = (direct.substitutions[path],)
            elif recipient.endpoint_id and path in columns:
                cell = columns[path][place[recipient.endpoint_id]]
            else:
                cell = ()
            column.values.extend(cell)
            column.counts.append(len(cell))
    batch = dispatch_pb2.DispatchBatch(
        batch_id=derived_id("batch", run_id),
        project=f"projects/{direct.project}",
        message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
        source=dispatch_pb2.MessageSource(run_id=run_id),
        channel=direct.channel,
        content=stowed.content,
        recipients=page,
    )
    if direct.expire_time is not None:
        batch.expire_time.FromDatetime(direct.expire_time.replace(tzinfo=None))
    return batch


def _cells(column: audience_pb2.MemberColumn) -> list[Sequence[str]]:
    values = list(column.values)
    if not column.counts:
        return [(value,) for value in values]
    cells: list[Sequence[str]] = []
    start = 0
    for size in column.counts:
        cells.append(values[start : start + size])
        start += size
    return cells


def _answer(direct: Direct, batch: dispatch_pb2.DispatchBatch) -> messages_pb2.SendMessagesResponse:
    page = recipients_of(batch.recipients)
    ids = message_ids(batch, page)
    by_endpoint = dict(zip(page.endpoint_ids, ids, strict=True))
    by_address = {
        address: id
        for endpoint_id, address, id in zip(page.endpoint_ids, page.addresses, ids, strict=True)
        if not endpoint_id
    }
    answer = messages_pb2.SendMessagesResponse(run_id=batch.source.run_id)
    for recipient in direct.recipients:
        found = by_address.get(recipient.address) if recipient.address else by_endpoint.get(recipient.endpoint_id)
        answer.messages.add(
            message=format_name(direct.project, "messages", found) if found else "",
            address=recipient.address,
            endpoint_id=recipient.endpoint_id,
            reason="" if found else "ENDPOINT_NOT_FOUND",
        )
    return answer


def _first_answer(direct: Direct, kept: tuple[str, bytes]) -> messages_pb2.SendMessagesResponse:
    if kept[0] != direct.fingerprint:
        raise RequestIdReused(direct.request_id)
    return messages_pb2.SendMessagesResponse.FromString(kept[1])
