"""What a direct send says, channel by channel: checked, compiled, and the channel it leaves through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.messaging.v1.contents_pb2 import ContentOverrides
from heliograph.messaging.v1.dispatch_pb2 import MessageContent
from heliograph_channels import ChannelProvider, Kind, email_problem, phone_problem
from heliograph_kit.database import Database
from heliograph_kit.errors import InvalidArgument, Violation
from heliograph_kit.names import InvalidName, parse_name
from heliograph_messaging.contained import likely_address_problems
from heliograph_messaging.content import ContentCache, NoContent, Prepared
from heliograph_messaging.domain.handlebars import DoesNotCompile
from heliograph_messaging.domain.inline import EmailSettings, inline_problems
from heliograph_messaging.domain.limits import MAX_EMAIL_CHARACTERS, MAX_SMS_CHARACTERS
from heliograph_messaging.domain.origination import number_problem
from heliograph_messaging.domain.recipients import PUSH_PLATFORMS
from heliograph_messaging.domain.results import Result, refused
from heliograph_messaging.errors import TemplateDoesNotCompile, TemplateNotFound
from heliograph_messaging.number_errors import PoolNotFound
from heliograph_messaging.pipeline.lanes import reaches
from heliograph_messaging.service.channels import bare_address
from heliograph_messaging.service.files import check_sizes, files_problems
from heliograph_messaging.store.files import FileStore
from heliograph_messaging.store.recent import RecentChannels, RecentPools, RecentTemplates
from heliograph_messaging.translate import read_inline

_OUT, _LARGE, _ADDRESS = "INVALID_ARGUMENT", "TEMPLATE_TOO_LARGE", "ADDRESS_INVALID"
_TITLES, _BODIES = ("subject", "title"), ("text", "body")


def problems(project: str, channel: str, content: MessageContent) -> list[Violation]:
    """Return what is wrong with a content, by its own fields; no look-up."""
    found: list[Violation] = []
    if content.template_version < 0:
        found.append(Violation("template_version", "must not be negative", _OUT))
    inline = read_inline(channel, content)
    found += [Violation(*problem) for problem in inline_problems(inline)]
    replies = inline.settings.reply_to if isinstance(inline.settings, EmailSettings) else ()
    for index, address in enumerate(replies):
        if words := _mailbox_problem(address):
            found.append(Violation(f"email_reply_to[{index}]", words, _ADDRESS))
    if channel == "EMAIL":
        found += [Violation(*problem) for problem in files_problems(project, content)]
        if content.from_address and (words := _mailbox_problem(content.from_address)):
            found.append(Violation("from_address", words, _ADDRESS))
    if content.origination_number:
        check = number_problem if channel == "SMS" else phone_problem
        if words := check(content.origination_number):
            found.append(Violation("origination_number", words, _ADDRESS))
    if channel == "SMS" and content.origination_pool:
        found += _pool_problems(project, content.origination_pool)
    return found


def _pool_problems(project: str, pool: str) -> Sequence[Violation]:
    try:
        if parse_name(pool, "pools", field="origination_pool").project == project:
            return ()
    except InvalidName as error:
        return error.violations
    return InvalidName("origination_pool", f"projects/{project}/pools/{{pool}}").violations


def _mailbox_problem(address: str) -> str | None:
    broken = any(ord(character) < 32 for character in address)
    return "must be one line" if broken else email_problem(bare_address(address))


def override_problems(channel: str, overrides: ContentOverrides) -> list[Violation]:
    """Return what is wrong with what takes the place of a content; `channel` may be empty."""
    found: list[Violation] = []
    if len(overrides.title) + len(overrides.body) + len(overrides.raw_content) > MAX_EMAIL_CHARACTERS:
        found.append(Violation("", f"must have at most {MAX_EMAIL_CHARACTERS:,} characters", _LARGE))
    if channel == "SMS" and len(overrides.body) > MAX_SMS_CHARACTERS:
        found.append(Violation("body", f"must have at most {MAX_SMS_CHARACTERS:,} characters", _LARGE))
    if overrides.raw_content and channel not in ("", "PUSH"):
        found.append(Violation("raw_content", "is for notifications only", _OUT))
    return found


@dataclass(frozen=True)
class Way:
    """How messages leave through a channel now: its provider, or why there is none."""

    provider: ChannelProvider | None
    problem: str = ""

    def reaches(self, kind: str) -> bool:
        """Tell whether its provider reaches endpoints of a channel type."""
        if self.provider is None:
            return False
        return kind not in PUSH_PLATFORMS or reaches(self.provider, kind)


class Contents:
    """Looks up channels, pools and templates, at most once a second each, and compiles what is said."""

    def __init__(
        self,
        database: Database,
        channels: RecentChannels,
        pools: RecentPools,
        templates: RecentTemplates,
        files: FileStore,
        catalogue: Mapping[str, ChannelProvider],
        cache: ContentCache,
    ) -> None:
        """Take the stores, the plugins and the compiled content."""
        self._database = database
        self._channels = channels
        self._pools = pools
        self._templates = templates
        self._files = files
        self._catalogue = catalogue
        self._cache = cache

    async def check_files(self, project: str, content: MessageContent, *, at: str) -> None:
        """Check that the files of an e-mail are there and fit into it, and keep them for another while.

        Raises:
            InvalidArgument: FILE_NOT_FOUND, ATTACHMENTS_TOO_LARGE.
        """
        if not (content.email_attachments or content.email_raw or content.email_raw_file):
            return
        try:
            async with self._database.transaction() as conn:
                await check_sizes(conn, self._files, project, content)
        except InvalidArgument as error:
            fields = (one.field.removeprefix("content.") for one in error.violations)
            found = [
                Violation(f"{at}.{field}", one.description, one.reason)
                for field, one in zip(fields, error.violations, strict=True)
            ]
            raise InvalidArgument(found) from error

    async def check_pool(self, project: str, content: MessageContent) -> None:
        """Check that the pool that SMS are to leave from is there.

        Raises:
            PoolNotFound: it is not.
        """
        name = content.origination_pool
        if name and not await self._pools.exists(project, parse_name(name, "pools").id):
            raise PoolNotFound(name)

    async def way(self, project: str, kind: str) -> Way:
        """Return how messages leave through a channel. Direct e-mail goes even while it is switched off (pinpoint-2 1.3)."""
        channel = await self._channels.lately(project, kind)
        if channel is None:
            return Way(None, f"the channel {kind} is not set up")
        if not channel.enabled and kind != "EMAIL":
            return Way(None, f"the channel {kind} is switched off")
        provider = self._catalogue.get(channel.provider)
        if provider is None:
            return Way(None, f"the channel {kind} needs the plugin {channel.provider!r}, which is not installed")
        return Way(provider)

    async def bad_addresses(self, way: Way, kind: str, addresses: Sequence[str]) -> dict[str, str]:
        """Return what is wrong with those addresses that can never be sent to, by address."""
        if way.provider is None:
            return {}
        problems = await likely_address_problems(way.provider, Kind(kind), addresses)
        return {address: problem for address, problem in zip(addresses, problems, strict=True) if problem}

    async def prepared(
        self, project: str, channel: str, content: MessageContent, overrides: ContentOverrides, *, at: str, over: str
    ) -> Prepared | Result:
        """Return a content compiled, with what takes its place, or what those are told who have none.

        `at` and `over` are the fields of both, for violations.

        Raises:
            InvalidName: the template's name is none.
            TemplateNotFound: there is no such template or version in the project.
            TemplateDoesNotCompile: with every mistake, or the template is for another channel.
        """
        template, whole = None, content
        if overrides.ByteSize():
            whole = MessageContent()
            whole.CopyFrom(content)
            whole.overrides.CopyFrom(overrides)
        if content.template:
            name = parse_name(content.template, "templates", field=f"{at}.template")
            if name.project == project:
                template = await self._templates.lately(project, name.id, content.template_version)
            if template is None:
                raise TemplateNotFound(content.template, content.template_version)
        try:
            return self._cache.prepare(channel, read_inline(channel, whole), template)
        except DoesNotCompile as error:
            reason = TemplateDoesNotCompile.reason
            found = [
                Violation(_field(channel, one.part, overrides, at, over), str(one), reason) for one in error.errors
            ]
            raise TemplateDoesNotCompile(found) from error
        except NoContent as error:
            if template is not None and template.kind != channel:
                raise TemplateDoesNotCompile([Violation(f"{at}.template", str(error), _OUT)]) from error
            return refused("FAILURE_PERMANENT", str(error))


def _field(channel: str, part: str, overrides: ContentOverrides, at: str, over: str) -> str:
    """Return the field that holds a part: of what takes the place of the content, or of the content."""
    own = part.rpartition(".")[2]
    for name, parts in (("title", _TITLES), ("body", _BODIES), ("raw_content", ("raw_content",))):
        if own in parts and getattr(overrides, name):
            return f"{over}.{name}"
    match channel:
        case "EMAIL":
            return f"{at}.email_{part}"
        case "SMS":
            return f"{at}.sms_body"
        case "PUSH":
            return f"{at}.push.{part}" if "." in part else f"{at}.push.default_message.{part}"
        case "VOICE":
            return f"{at}.voice.body"
        case _:
            return f"{at}.custom_data"
