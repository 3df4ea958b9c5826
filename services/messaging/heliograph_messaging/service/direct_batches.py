"""Who of a direct send is written to, and the batches that go to the workers. Nothing is looked up here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from heliograph.messaging.v1 import dispatch_pb2
from heliograph.segments.v1 import audience_pb2
from heliograph_kit.ids import derived_id
from heliograph_messaging.content import Prepared
from heliograph_messaging.domain.recipients import Recipients, channel_of, on_channel, same_address
from heliograph_messaging.domain.results import Result, refused
from heliograph_messaging.pipeline.page import MAX_RECIPIENTS, recipients_of
from heliograph_messaging.pipeline.plan import message_ids
from heliograph_messaging.service.direct_content import Way
from heliograph_messaging.service.direct_requests import Direct, Person

Overridden = tuple[str, bytes]
"""A channel, and what takes the place of its content, serialised."""
Cell = Sequence[str]
LEFT_OUT = ("ENDPOINT_INACTIVE", "ENDPOINT_CHANNEL_MISMATCH", "ENDPOINT_MISSING_CHANNEL")
"""Why endpoints of users are not even mentioned."""


@dataclass
class Judged:
    """One message that is wanted: to whom, on which channel, and why it is not taken; `place` is in the page of endpoints.

    `kind` is the channel type, which of notifications tells the kind of device.
    """

    person: Person
    channel: str
    address: str
    kind: str = ""
    endpoint_id: str = ""
    user_id: str = ""
    place: int | None = None
    refused: Result | None = None
    message_id: str = ""

    @property
    def overridden(self) -> Overridden:
        """Return which content it has."""
        return self.channel, over(self.person)


def over(person: Person) -> bytes:
    """Return what somebody gets in the place of the content, serialised."""
    return person.overrides.SerializeToString(deterministic=True)


class Endpoints:
    """A page of endpoints, by id and by user."""

    def __init__(self, page: audience_pb2.MemberPage) -> None:
        """Take the page as segments answered it."""
        self.known: Recipients = recipients_of(page)
        self._ordinals = page.ordinals
        self._place = {endpoint_id: index for index, endpoint_id in enumerate(self.known.endpoint_ids)}
        self._of_user: dict[str, list[int]] = {}
        for index, user_id in enumerate(self.known.user_ids):
            self._of_user.setdefault(user_id, []).append(index)
        self.columns: dict[str, list[Cell]] = {column.path: _cells(column) for column in page.columns}

    def of(self, endpoint_id: str) -> int | None:
        """Return where an endpoint is, None when it does not exist."""
        return self._place.get(endpoint_id)

    def of_user(self, user_id: str) -> Sequence[int]:
        """Return where the endpoints of a user are."""
        return self._of_user.get(user_id, ())

    def ordinal(self, place: int | None) -> int:
        """Return the ordinal of an endpoint; 0 of a bare address."""
        return self._ordinals[place] if place is not None and self._ordinals else 0


def judge(direct: Direct, endpoints: Endpoints, ways: Mapping[str, Way]) -> list[Judged]:
    """Return every message that is wanted, in the order asked, with why it is not taken; addresses are looked at later.

    Endpoints of users that are inactive, or for whose channel nothing is said, are left out (pinpoint-2 1.3).
    """
    wanted: list[Judged] = []
    for person in direct.people:
        if direct.to_users:
            wanted += [_of_endpoint(direct, person, place, endpoints) for place in endpoints.of_user(person.user_id)]
        elif person.endpoint_id:
            found = endpoints.of(person.endpoint_id)
            if found is None:
                none = refused("ENDPOINT_NOT_FOUND", "there is no such endpoint")
                wanted.append(Judged(person, "", "", endpoint_id=person.endpoint_id, refused=none))
            else:
                wanted.append(_of_endpoint(direct, person, found, endpoints))
        else:
            channel = direct.channel or channel_of(person.channel)
            wanted.append(Judged(person, channel, person.address, person.channel or channel))
    if direct.to_users:
        wanted = [one for one in wanted if one.refused is None or one.refused.reason not in LEFT_OUT]
    for one in wanted:
        if one.refused is None:
            one.refused = _no_way(one, direct, ways.get(one.channel))
    return wanted


def check_addresses(wanted: Sequence[Judged], problems: Mapping[tuple[str, str], str]) -> None:
    """Refuse bad addresses and those that come twice; `problems` are the bad ones of (channel, address)."""
    seen: set[tuple[str, str]] = set()
    for one in wanted:
        if one.refused is not None:
            continue
        key = (one.channel, same_address(one.channel, one.address))
        if problem := problems.get((one.channel, one.address)):
            one.refused = refused("ADDRESS_INVALID", f"the address {problem}")
        elif key in seen:
            one.refused = refused("DUPLICATE_ADDRESS", "another recipient of this call has the same address")
        seen.add(key)


def _of_endpoint(direct: Direct, person: Person, place: int, endpoints: Endpoints) -> Judged:
    known = endpoints.known
    kind = known.channels[place]
    channel = direct.channel or channel_of(kind)
    one = Judged(person, channel, known.addresses[place], kind, known.endpoint_ids[place], known.user_ids[place], place)
    if known.inactive[place]:
        one.refused = refused("ENDPOINT_INACTIVE", "the endpoint is inactive")
    elif not kind:
        one.refused = refused("ENDPOINT_MISSING_CHANNEL", "the endpoint has no channel")
    elif direct.channel and not on_channel(kind, direct.channel):
        one.refused = refused("ENDPOINT_CHANNEL_MISMATCH", f"the endpoint is on {kind}, not on {direct.channel}")
    elif channel not in direct.contents:
        one.refused = refused("ENDPOINT_CHANNEL_MISMATCH", f"nothing is said for {channel}")
    elif not one.address:
        one.refused = refused("ENDPOINT_MISSING_ADDRESS", "the endpoint has no address")
    return one


def _no_way(one: Judged, direct: Direct, way: Way | None) -> Result | None:
    if one.channel not in direct.contents or way is None:
        return refused("ENDPOINT_CHANNEL_MISMATCH", f"nothing is said for {one.channel}")
    return None if way.provider is not None else refused("CHANNEL_NOT_USABLE", way.problem)


def batches_of(
    direct: Direct, wanted: Sequence[Judged], endpoints: Endpoints, prepared: Mapping[Overridden, Prepared], run_id: str
) -> list[dispatch_pb2.DispatchBatch]:
    """Return the batches of those that are taken, and note the ids of their messages.

    One for each channel; those who get something in the place of the content, or have a context of their own, are in
    batches apart, since a batch has one content and one context.
    """
    groups: dict[tuple[Overridden, tuple[tuple[str, str], ...]], list[Judged]] = {}
    for one in wanted:
        if one.refused is None:
            context = tuple(sorted(direct.context_of(one.person).items()))
            groups.setdefault((one.overridden, context), []).append(one)
    made: list[dispatch_pb2.DispatchBatch] = []
    for (overridden, context), members in groups.items():
        for start in range(0, len(members), MAX_RECIPIENTS):
            some = members[start : start + MAX_RECIPIENTS]
            batch = dispatch_pb2.DispatchBatch(
                batch_id=derived_id("batch", run_id, *([str(len(made))] if made else [])),
                project=f"projects/{direct.project}",
                message_class=dispatch_pb2.MESSAGE_CLASS_TRANSACTIONAL,
                source=dispatch_pb2.MessageSource(run_id=run_id),
                channel=overridden[0],
                content=_content(direct, some[0], prepared[overridden]),
                recipients=_page(direct, some, endpoints, prepared[overridden]),
                context=dict(context),
                caller_trace_id=direct.trace_id,
            )
            if direct.expire_time is not None:
                batch.expire_time.FromDatetime(direct.expire_time.replace(tzinfo=None))
            for one, message_id in zip(some, message_ids(batch, recipients_of(batch.recipients)), strict=True):
                one.message_id = message_id
            made.append(batch)
    return made


def _content(direct: Direct, one: Judged, prepared: Prepared) -> dispatch_pb2.MessageContent:
    content = dispatch_pb2.MessageContent()
    content.CopyFrom(direct.contents[one.channel])
    if one.person.overrides.ByteSize():
        content.overrides.CopyFrom(one.person.overrides)
    if content.template:
        # The version that was looked at: the worker need not ask again which one is active.
        content.template_version = prepared.template_version
    return content


def _page(
    direct: Direct, members: Sequence[Judged], endpoints: Endpoints, prepared: Prepared
) -> audience_pb2.MemberPage:
    """Put the page together: endpoints as segments knows them, bare addresses, and every value of a variable.

    Substitutions of a recipient and of the message go before what the endpoint says (pinpoint-2 1.5), so they are written
    into the columns; the pipeline takes columns first.
    """
    known, columns = endpoints.known, endpoints.columns
    page = audience_pb2.MemberPage()
    for one in members:
        page.endpoint_ids.append(one.endpoint_id)
        page.user_ids.append(one.user_id)
        page.channels.append(one.kind)
        page.addresses.append(one.address)
        page.opted_out.append(False if one.place is None else known.opted_out[one.place])
        page.inactive.append(False)
        page.ordinals.append(endpoints.ordinal(one.place))
    own = {path for one in members for path in one.person.substitutions}
    paths = {variable.path for variable in prepared.variables}
    for path in sorted(paths & (own | set(direct.substitutions) | set(columns))):
        column = page.columns.add(path=path)
        for one in members:
            if path in one.person.substitutions:
                cell: Cell = (one.person.substitutions[path],)
            elif path in direct.substitutions:
                cell = (direct.substitutions[path],)
            elif one.place is not None and path in columns:
                cell = columns[path][one.place]
            else:
                cell = ()
            column.values.extend(cell)
            column.counts.append(len(cell))
    return page


def _cells(column: audience_pb2.MemberColumn) -> list[Cell]:
    values = list(column.values)
    if not column.counts:
        return [(value,) for value in values]
    cells: list[Cell] = []
    start = 0
    for size in column.counts:
        cells.append(values[start : start + size])
        start += size
    return cells
