"""Use cases of one-time passwords (pinpoint-2 1.7)."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import contents_pb2, dispatch_pb2, otp_pb2
from heliograph_channels import phone_problem
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import RequestIdReused, Violations
from heliograph_kit.ids import derived_id
from heliograph_kit.outbox import Outbox, Outgoing
from heliograph_kit.streams import dispatch_subject
from heliograph_kit.telemetry import counter
from heliograph_messaging.domain import otp
from heliograph_messaging.domain.origination import number_problem
from heliograph_messaging.domain.otp import Wish
from heliograph_messaging.domain.results import Result, refused
from heliograph_messaging.pipeline.page import recipients_of
from heliograph_messaging.pipeline.plan import message_ids
from heliograph_messaging.pipeline.right_of_way import RightOfWay
from heliograph_messaging.service.direct_answers import taken_message
from heliograph_messaging.service.direct_batches import Judged
from heliograph_messaging.service.direct_content import Contents
from heliograph_messaging.service.direct_requests import Person
from heliograph_messaging.service.drafts import MAX_REQUEST_ID
from heliograph_messaging.store.channels import RequestStore
from heliograph_messaging.store.originations import OriginationStore
from heliograph_messaging.store.otps import OtpStore

_METHOD = "SendOTP"
_REGISTERED = re.compile(r"[!-~]{0,64}")
_FORGET_SECONDS = 600
TEXTS: Mapping[str, str] = json.loads(
    files("heliograph_messaging").joinpath("data/otp_texts.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Limits:
    """How many codes may be sent within an hour to one destination, and to the 10,000 numbers around it; 0: no limit."""

    destination: int
    block: int


@dataclass(frozen=True)
class Asked:
    """A code that is to be sent. `entity_id` and `template_id` are registrations in India."""

    project: str
    channel: str
    destination: str
    origination: str
    wish: Wish
    entity_id: str
    template_id: str
    request_id: str
    fingerprint: str


class _Throttled(Exception):
    """A limit is used up; rolls back what was counted."""


class Otps:
    """Sends and verifies one-time passwords."""

    def __init__(
        self,
        database: Database,
        store: OtpStore,
        numbers: OriginationStore,
        requests: RequestStore,
        contents: Contents,
        outbox: Outbox,
        right_of_way: RightOfWay,
        clock: Clock,
        ids: Callable[[], str],
        *,
        pepper: bytes,
        limits: Limits,
        below: Callable[[int], int] = secrets.randbelow,
    ) -> None:
        """Take everything it works with; `pepper` keys the hashes, `below(n)` gives a secret number of 0 to n - 1."""
        self._database = database
        self._store = store
        self._numbers = numbers
        self._requests = requests
        self._contents = contents
        self._outbox = outbox
        self._right_of_way = right_of_way
        self._clock = clock
        self._ids = ids
        self._pepper = pepper
        self._limits = limits
        self._below = below

    async def send(self, asked: Asked) -> otp_pb2.SendOTPResponse:
        """Make a code and hand it to the workers; no second code is made for one request id.

        Raises:
            InvalidArgument: every violation; ADDRESS_INVALID of numbers that are none or not the project's.
            RequestIdReused: the request id belongs to another request.
        """
        with self._right_of_way.first():
            return await self._send(asked)

    async def _send(self, asked: Asked) -> otp_pb2.SendOTPResponse:
        found = _violations(asked)
        async with self._database.transaction() as conn:
            if (kept := await self._kept(conn, asked)) is not None:
                return kept
            if asked.origination and not number_problem(asked.origination):
                await self._check_owned(conn, asked, found)
        found.check()
        way = await self._contents.way(asked.project, "SMS")
        if way.provider is None:
            return _answer(asked, refused("CHANNEL_NOT_USABLE", way.problem))
        for problem in (await self._contents.bad_addresses(way, "SMS", [asked.destination])).values():
            return _answer(asked, refused("ADDRESS_INVALID", f"the address {problem}"))
        try:
            async with self._database.transaction() as conn:
                return await self._write(conn, asked)
        except _Throttled:
            words = "too many one-time passwords were sent to this number, or to numbers around it, within an hour"
            return _answer(asked, refused("THROTTLED", words))

    async def verify(self, project: str, destination: str, reference: str, code: str) -> bool:
        """Tell whether a code is right; the right one is right once. A wrong one counts as an attempt."""
        hashed = otp.hashed(self._pepper, project=project, destination=destination, reference=reference, code=code)
        if "\x00" in destination + reference:
            return False
        async with self._database.statement() as conn:
            valid, last = await self._store.attempt(
                conn, project, destination, reference, hashed, now=self._clock.now()
            )
        outcome = "success" if valid else "final failure" if last else "failure"
        counter("heliograph.messaging.otp.verifications").add(1, {"heliograph.outcome": outcome})
        return valid

    async def forget_old(self, stopping: asyncio.Event) -> None:
        """Delete what is void by time, until told to stop."""
        while not stopping.is_set():
            async with self._database.transaction() as conn:
                await self._store.forget(conn, now=self._clock.now())
            try:
                await asyncio.wait_for(stopping.wait(), _FORGET_SECONDS)
            except TimeoutError:
                continue

    async def _write(self, conn: AsyncConnection, asked: Asked) -> otp_pb2.SendOTPResponse:
        now = self._clock.now()
        run_id = self._ids()
        if asked.request_id:
            run_id = derived_id("otp", asked.project, asked.request_id)
        code = otp.new_code(asked.wish.length, self._below)
        batch = _batch(asked, code, run_id, now)
        answer = _answer(asked, None, message_ids(batch, recipients_of(batch.recipients))[0])
        if asked.request_id:
            twin = await self._requests.keep(
                conn, asked.project, _METHOD, asked.request_id, asked.fingerprint, answer.SerializeToString(), now
            )
            if twin is not None:
                return _first(asked, twin)
        limits = {asked.destination: self._limits.destination, otp.block_of(asked.destination): self._limits.block}
        counted = {key: limit for key, limit in limits.items() if limit}
        if await self._store.count(conn, asked.project, counted, now=now) is not None:
            raise _Throttled
        hashed = otp.hashed(
            self._pepper,
            project=asked.project,
            destination=asked.destination,
            reference=asked.wish.reference,
            code=code,
        )
        await self._store.put(
            conn, asked.project, asked.destination, asked.wish.reference, code_hash=hashed,
            allowed_attempts=asked.wish.attempts, expire_time=now + asked.wish.validity,
        )  # fmt: skip
        subject = dispatch_subject("transactional", asked.project)
        await self._outbox.add(conn, Outgoing(subject, batch, batch.batch_id, asked.project))
        return answer

    async def _kept(self, conn: AsyncConnection, asked: Asked) -> otp_pb2.SendOTPResponse | None:
        if not asked.request_id:
            return None
        kept = await self._requests.find(conn, asked.project, _METHOD, asked.request_id)
        return None if kept is None else _first(asked, kept)

    async def _check_owned(self, conn: AsyncConnection, asked: Asked, found: Violations) -> None:
        numbers = await self._numbers.of_project(conn, asked.project)
        if not any(number.number == asked.origination and number.state != "RELEASED" for number in numbers):
            found.add("origination", "is not a number of this project", "ADDRESS_INVALID")


def _violations(asked: Asked) -> Violations:
    found = Violations()
    if asked.channel not in ("", "SMS"):
        found.add("channel", "must be SMS", "INVALID_ARGUMENT")
    for problem in otp.problems(asked.wish, TEXTS):
        found.add(problem.field, problem.words, "INVALID_ARGUMENT")
    if words := phone_problem(asked.destination):
        found.add("destination", words, "ADDRESS_INVALID")
    if number_problem(asked.origination) and not otp.is_sender_id(asked.origination):
        found.add("origination", "must be a number in E.164 form, a short code or a sender id", "ADDRESS_INVALID")
    if len(asked.request_id) > MAX_REQUEST_ID:
        found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", "INVALID_ARGUMENT")
    for name, id in (("entity_id", asked.entity_id), ("template_id", asked.template_id)):
        if not _REGISTERED.fullmatch(id):
            found.add(name, "must be at most 64 printable characters without blanks", "INVALID_ARGUMENT")
    return found


def _batch(asked: Asked, code: str, run_id: str, now: datetime) -> dispatch_pb2.DispatchBatch:
    text = otp.text_of(TEXTS[asked.wish.language], code=code, brand=asked.wish.brand)
    content = dispatch_pb2.MessageContent(
        # The brand is the caller's: what looks like a variable in it is none.
        sms_body="{{Text}}", sms_message_type=contents_pb2.SMS_MESSAGE_TYPE_TRANSACTIONAL, sms_entity_id=asked.entity_id, sms_template_id=asked.template_id,
    )  # fmt: skip
    if number_problem(asked.origination):
        content.from_address = asked.origination
    else:
        content.origination_number = asked.origination
    batch = dispatch_pb2.DispatchBatch(
        batch_id=derived_id("batch", run_id),
        project=f"projects/{asked.project}",
        message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
        source=dispatch_pb2.MessageSource(run_id=run_id),
        channel="SMS",
        content=content,
        substitutions={"Text": text},
    )
    page = batch.recipients
    page.endpoint_ids.append("")
    page.user_ids.append("")
    page.channels.append("SMS")
    page.addresses.append(asked.destination)
    page.opted_out.append(False)
    page.inactive.append(False)
    # A code that is void already helps nobody.
    batch.expire_time.FromDatetime((now + asked.wish.validity).replace(tzinfo=None))
    return batch


def _answer(asked: Asked, result: Result | None, message_id: str = "") -> otp_pb2.SendOTPResponse:
    one = Judged(Person(address=asked.destination), "SMS", asked.destination, refused=result, message_id=message_id)
    return otp_pb2.SendOTPResponse(message=taken_message(asked.project, one))


def _first(asked: Asked, kept: tuple[str, bytes]) -> otp_pb2.SendOTPResponse:
    if kept[0] != asked.fingerprint:
        raise RequestIdReused(asked.request_id)
    return otp_pb2.SendOTPResponse.FromString(kept[1])
