"""Use cases of direct sends: to recipients by address and endpoint, and to all endpoints of users."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from heliograph.messaging.v1.contents_pb2 import ContentOverrides
from heliograph.segments.v1 import audience_pb2
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import HeliographError, InvalidArgument, RequestIdReused, Violation
from heliograph_kit.ids import derived_id
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import dispatch_subject
from heliograph_messaging.content import Prepared
from heliograph_messaging.domain.results import Result, refused
from heliograph_messaging.errors import TemplateDoesNotCompile
from heliograph_messaging.pipeline.right_of_way import RightOfWay
from heliograph_messaging.service.direct_answers import Answer, answer_of, read_answer
from heliograph_messaging.service.direct_batches import (
    LEFT_OUT,
    Endpoints,
    Judged,
    Overridden,
    batches_of,
    check_addresses,
    judge,
    over,
)
from heliograph_messaging.service.direct_content import Contents
from heliograph_messaging.service.direct_requests import Direct, check
from heliograph_messaging.service.files import Stowed, stow
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.files import FileStore

MAX_BYTES = 32 * 1024 * 1024
"""All batches of one call together: a large content comes once for each recipient that has something of his own."""


class Audience(Protocol):
    """The part of the segments service that is asked here."""

    async def read_endpoints(self, project: str, ids: Sequence[str], fields: Sequence[str]) -> audience_pb2.MemberPage:
        """Return the endpoints that exist, in the order asked, with these fields as columns."""
        ...

    async def read_user_endpoints(
        self, project: str, users: Sequence[str], fields: Sequence[str]
    ) -> audience_pb2.MemberPage:
        """Return all endpoints of users, user by user, with these fields as columns."""
        ...


class DirectSends:
    """Hands direct sends to the workers."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        files: FileStore,
        requests: RequestStore,
        audience: Audience,
        outbox: Outbox,
        right_of_way: RightOfWay,
        clock: Clock,
        ids: Callable[[], str],
    ) -> None:
        """Take everything it asks."""
        self._database = database
        self._contents = contents
        self._files = files
        self._requests = requests
        self._audience = audience
        self._outbox = outbox
        self._right_of_way = right_of_way
        self._clock = clock
        self._ids = ids

    async def send(self, direct: Direct) -> Answer:
        """Hand a direct send over to the workers; nothing is sent twice for one request id.

        On the good way nothing is read that was read within the last second, and all is written in one statement.

        Raises:
            InvalidArgument, TemplateDoesNotCompile, InvalidName: every violation.
            TemplateNotFound: a content names a template that is not there.
            PoolNotFound: SMS are to leave from a pool that is not there.
            RequestIdReused: the request id belongs to another request.
            Unavailable: endpoints are to be looked up and segments does not answer.
        """
        check(direct)
        with self._right_of_way.first():
            return await self._send(direct)

    async def _send(self, direct: Direct) -> Answer:
        # Names of files go over the bus, not their bytes.
        stowed = {channel: stow(direct.project, content) for channel, content in direct.contents.items()}
        files = [data for one in stowed.values() for data in one.files]
        try:
            wanted, outgoing, run_id = await self._made(direct, stowed)
        except HeliographError:
            # What made the first request possible may be gone since; its answer is still the answer.
            kept = await self._kept(direct) if direct.request_id else None
            if kept is None:
                raise
            return kept
        answer = answer_of(direct, wanted, run_id)
        opening = self._database.transaction if files else self._database.statement
        async with opening() as conn:
            for data in files:
                await self._files.keep(conn, direct.project, data)
            if not direct.request_id:
                await self._outbox.add(conn, *outgoing)
                return answer
            if await self._requests.keep_with(
                conn, self._outbox, direct.project, direct.method, direct.request_id, direct.fingerprint,
                answer.SerializeToString(), self._clock.now(), outgoing,
            ):  # fmt: skip
                return answer
        first = await self._kept(direct)
        assert first is not None, "a request that cannot be kept is there"
        return first

    async def _made(self, direct: Direct, stowed: Mapping[str, Stowed]) -> tuple[list[Judged], list[Outgoing], str]:
        ways = {channel: await self._contents.way(direct.project, channel) for channel in direct.contents}
        prepared = await self._prepared(direct)
        if (mail := direct.contents.get("EMAIL")) is not None:
            await self._contents.check_files(direct.project, mail, at=direct.content_field("EMAIL"))
        if (sms := direct.contents.get("SMS")) is not None:
            await self._contents.check_pool(direct.project, sms)
        endpoints = Endpoints(await self._endpoints(direct, prepared))
        wanted = judge(direct, endpoints, ways)
        bad: dict[tuple[str, str], str] = {}
        for channel, way in ways.items():
            # Devices that another provider of the channel reaches have addresses of another form; the worker asks that one.
            given = [
                one.address
                for one in wanted
                if one.refused is None and one.channel == channel and way.reaches(one.kind)
            ]
            found = await self._contents.bad_addresses(way, channel, list(dict.fromkeys(given)))
            bad |= {(channel, address): problem for address, problem in found.items()}
        check_addresses(wanted, bad)
        ready: dict[Overridden, Prepared] = {}
        for one in wanted:
            content = prepared.get(one.overridden)
            if isinstance(content, Prepared):
                ready[one.overridden] = content
                # Of a notification each kind of device has its own part.
                words = f"nothing is said for {one.kind}"
                content = None if content.on(one.kind) else refused("ENDPOINT_CHANNEL_MISMATCH", words)
            one.refused = one.refused or content
        if direct.to_users:
            wanted = [one for one in wanted if one.refused is None or one.refused.reason not in LEFT_OUT]
        run_id = self._ids()
        if direct.request_id:
            run_id = _run_id(direct)
        slim = replace(direct, contents={channel: one.content for channel, one in stowed.items()})
        batches = batches_of(slim, wanted, endpoints, ready, run_id)
        if sum(batch.ByteSize() for batch in batches) > MAX_BYTES:
            words = f"with what each has of his own, these are more than {MAX_BYTES // 1024**2} MiB; send to fewer at a time"
            raise InvalidArgument([Violation(direct.person_field(0).partition("[")[0], words, "INVALID_ARGUMENT")])
        subject = dispatch_subject("transactional", direct.project)
        return wanted, [Outgoing(subject, batch, batch.batch_id, direct.project) for batch in batches], run_id

    async def _prepared(self, direct: Direct) -> dict[Overridden, Prepared | Result]:
        """Compile every content, and every one that takes the place of it for somebody; all mistakes at once."""
        prepared: dict[Overridden, Prepared | Result] = {}
        mistakes: list[Violation] = []
        given: list[tuple[bytes, ContentOverrides, str]] = [(b"", ContentOverrides(), "")]
        for index, person in enumerate(direct.people):
            if serialised := over(person):
                given.append((serialised, person.overrides, f"{direct.person_field(index)}.overrides"))
        for channel, content in direct.contents.items():
            at = direct.content_field(channel)
            for serialised, overrides, field in given:
                if (channel, serialised) in prepared:
                    continue
                try:
                    prepared[channel, serialised] = await self._contents.prepared(
                        direct.project, channel, content, overrides, at=at, over=field
                    )
                except TemplateDoesNotCompile as error:
                    mistakes += [one for one in error.violations if one not in mistakes]
        if mistakes:
            compiled = any(one.reason == TemplateDoesNotCompile.reason for one in mistakes)
            raise TemplateDoesNotCompile(mistakes) if compiled else InvalidArgument(mistakes)
        return prepared

    async def _endpoints(
        self, direct: Direct, prepared: dict[Overridden, Prepared | Result]
    ) -> audience_pb2.MemberPage:
        fields = sorted({path for one in prepared.values() if isinstance(one, Prepared) for path in one.fields()})
        if direct.to_users:
            users = [person.user_id for person in direct.people]
            return await self._audience.read_user_endpoints(direct.project, users, fields)
        ids = [person.endpoint_id for person in direct.people if person.endpoint_id]
        if not ids:
            return audience_pb2.MemberPage()
        return await self._audience.read_endpoints(direct.project, list(dict.fromkeys(ids)), fields)

    async def _kept(self, direct: Direct) -> Answer | None:
        """Return the answer that was given to a request id, None when it is new.

        Raises:
            RequestIdReused: it belongs to another request.
        """
        async with self._database.statement() as conn:
            kept = await self._requests.find(conn, direct.project, direct.method, direct.request_id)
        if kept is None:
            return None
        if kept[0] != direct.fingerprint:
            raise RequestIdReused(direct.request_id)
        return read_answer(direct, kept[1])


def _run_id(direct: Direct) -> str:
    """Return the run of a request id; ids of the two RPCs are apart."""
    if direct.to_users:
        return derived_id("direct-users", direct.project, direct.request_id)
    return derived_id("direct", direct.project, direct.request_id)
