"""Direct sends as callers want them, and what can be said against them without looking anything up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from heliograph.messaging.v1.contents_pb2 import ContentOverrides
from heliograph.messaging.v1.dispatch_pb2 import MessageContent
from heliograph_kit.errors import Violations
from heliograph_messaging.domain.recipients import channel_of, on_channel
from heliograph_messaging.providers import KINDS
from heliograph_messaging.service import direct_content
from heliograph_messaging.service.drafts import MAX_REQUEST_ID

MAX_RECIPIENTS = 100
MAX_SUBSTITUTIONS = 100
MAX_CONTEXT, MAX_CONTEXT_NAME, MAX_CONTEXT_VALUE = 20, 64, 256
MAX_TRACE_ID = 128
_TRACE_ID = re.compile(r"[!-~]*")
_OUT = "INVALID_ARGUMENT"


@dataclass(frozen=True)
class Person:
    """One recipient by `address` or `endpoint_id`, or one user; what he gets in the place of what all get."""

    address: str = ""
    endpoint_id: str = ""
    user_id: str = ""
    channel: str = ""
    substitutions: Mapping[str, str] = field(default_factory=dict)
    overrides: ContentOverrides = field(default_factory=ContentOverrides)
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Direct:
    """A direct send. `channel` is empty when each endpoint is reached through its own; `method` is the RPC."""

    project: str
    method: str
    channel: str
    contents: Mapping[str, MessageContent]
    people: Sequence[Person]
    substitutions: Mapping[str, str]
    request_id: str
    fingerprint: str
    expire_time: datetime | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    trace_id: str = ""
    stray_content: bool = False
    """`content` was given without the channel it is for, or `contents` beside one."""

    @property
    def to_users(self) -> bool:
        """Whether its people are users."""
        return self.method == "SendUsersMessages"

    def content_field(self, channel: str) -> str:
        """Return the field that holds the content of a channel."""
        return "content" if self.channel else f"contents[{channel}]"

    def person_field(self, index: int) -> str:
        """Return the field of one of its people."""
        return f"{'users' if self.to_users else 'recipients'}[{index}]"

    def context_of(self, person: Person) -> dict[str, str]:
        """Return the context of one of its people."""
        return {**self.context, **person.context}


def check(direct: Direct) -> None:
    """Check everything that needs no look-up.

    Raises:
        InvalidArgument: every violation.
    """
    found = Violations()
    if direct.channel and direct.channel not in KINDS:
        found.add("channel", f"must be one of {', '.join(KINDS)}", _OUT)
    if direct.stray_content:
        found.add("contents", "give either channel and content, or contents by channel", _OUT)
    if not direct.contents and not direct.stray_content:
        found.add("contents", "must hold what is to be said on at least one channel", _OUT)
    for channel, content in direct.contents.items():
        at = direct.content_field(channel)
        if channel not in KINDS:
            if not direct.channel:
                found.add(at, f"the channel must be one of {', '.join(KINDS)}", _OUT)
            continue
        found.extend(direct_content.problems(direct.project, channel, content), under=at)
    if len(direct.request_id) > MAX_REQUEST_ID:
        found.add("request_id", f"must have at most {MAX_REQUEST_ID} characters", _OUT)
    if len(direct.trace_id) > MAX_TRACE_ID or not _TRACE_ID.fullmatch(direct.trace_id):
        found.add("trace_id", f"must have at most {MAX_TRACE_ID} printable ASCII characters without blanks", _OUT)
    if len(direct.substitutions) > MAX_SUBSTITUTIONS:
        found.add("substitutions", f"must have at most {MAX_SUBSTITUTIONS} entries", _OUT)
    if problem := _context_problem(direct.context):
        found.add("context", problem, _OUT)
    _check_people(direct, found)
    found.check()


def _check_people(direct: Direct, found: Violations) -> None:
    if not 1 <= len(direct.people) <= MAX_RECIPIENTS:
        name = "users" if direct.to_users else "recipients"
        found.add(name, f"must be 1 to {MAX_RECIPIENTS}, not {len(direct.people)}", _OUT)
    users: dict[str, int] = {}
    for index, person in enumerate(direct.people[:MAX_RECIPIENTS]):
        at = direct.person_field(index)
        if direct.to_users:
            if not person.user_id:
                found.add(f"{at}.user_id", "is required", _OUT)
            elif (first := users.setdefault(person.user_id, index)) != index:
                found.add(at, f"is the same user as users[{first}]", _OUT)
        else:
            _check_recipient(direct, person, at, found)
        if len(person.substitutions) > MAX_SUBSTITUTIONS:
            found.add(f"{at}.substitutions", f"must have at most {MAX_SUBSTITUTIONS} entries", _OUT)
        if person.context and (problem := _context_problem(direct.context_of(person))):
            found.add(f"{at}.context", problem, _OUT)
        found.extend(direct_content.override_problems(direct.channel, person.overrides), under=f"{at}.overrides")


def _check_recipient(direct: Direct, person: Person, at: str, found: Violations) -> None:
    if bool(person.address) == bool(person.endpoint_id):
        found.add(at, "needs either an address or an endpoint_id", _OUT)
    elif person.endpoint_id and person.channel:
        found.add(f"{at}.channel", "is the endpoint's own; leave it out", _OUT)
    elif direct.channel and person.channel and not on_channel(person.channel, direct.channel):
        found.add(f"{at}.channel", "the request names another channel for all", _OUT)
    elif person.address and not direct.channel and channel_of(person.channel) not in KINDS:
        found.add(f"{at}.channel", f"must be one of {', '.join(KINDS)}", _OUT)


def _context_problem(context: Mapping[str, str]) -> str | None:
    if len(context) > MAX_CONTEXT:
        return f"must have at most {MAX_CONTEXT} entries"
    if any(not 1 <= len(name) <= MAX_CONTEXT_NAME or len(value) > MAX_CONTEXT_VALUE for name, value in context.items()):
        return f"names have 1 to {MAX_CONTEXT_NAME} characters, values at most {MAX_CONTEXT_VALUE}"
    return None
