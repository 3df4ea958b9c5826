"""What a project and an API key are, and which ones are allowed. Pure: no clock, no randomness, no database."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType

ProjectId = NewType("ProjectId", str)
KeyId = NewType("KeyId", str)

DISPLAY_NAME_LENGTH = 64
"""Longest display name in characters (pinpoint-1 1.1)."""
TAG_COUNT = 50
"""Most tags of one resource (pinpoint-1 0)."""
TAG_KEY_LENGTH = 128
TAG_VALUE_LENGTH = 256
REQUEST_ID_LENGTH = 64
KEY_PROJECT_COUNT = 100
"""Most projects in the scope of one key; a wider key takes all projects."""

_CHOSEN_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
# The id is ours (32 hex digits). The secret of a bootstrap key may come from any generator, so its alphabet is wide.
_TOKEN = re.compile(r"hg_([0-9a-f]{32})_([A-Za-z0-9_-]{32,128})")
_NO_SUCH_HASH = bytes(32)

Report = Callable[[str, str, str], None]
"""Takes the field, what to do about it, and the reason for code."""


class KeyRole(StrEnum):
    """What an API key may do; the meaning of each is beside `heliograph.common.v1.Role`."""

    ADMIN = "ADMIN"
    EDITOR = "EDITOR"
    SENDER = "SENDER"
    INGEST = "INGEST"
    VIEWER = "VIEWER"


@dataclass(frozen=True)
class ProjectDraft:
    """A project as its creator wishes it. `chosen_id` is empty when an id is to be made."""

    display_name: str
    tags: Mapping[str, str] = field(default_factory=dict)
    chosen_id: str = ""

    def check(self, report: Report) -> None:
        """Report everything that is wrong; nothing reported means the draft is good."""
        _check_display_name("project.display_name", self.display_name, report)
        if self.chosen_id and not _CHOSEN_ID.fullmatch(self.chosen_id):
            report("project_id", "use 1 to 63 of a-z, 0-9 and -, beginning with a letter", "PROJECT_ID_MALFORMED")
        check_tags("project.tags", self.tags, report)

    def finish(self, made_id: str, now: datetime) -> Project:
        """Return the project to store."""
        return Project(ProjectId(self.chosen_id or made_id), self.display_name, now, dict(self.tags))


@dataclass(frozen=True)
class Project:
    """A project that exists, or existed: the id of a deleted one is never given away again."""

    id: ProjectId
    display_name: str
    create_time: datetime
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The resource name."""
        return f"projects/{self.id}"


@dataclass(frozen=True)
class ApiKeyDraft:
    """A key as its creator wishes it; `projects` are bare ids, and `unknown_roles` counts values we do not know."""

    display_name: str
    roles: Sequence[KeyRole]
    projects: Sequence[str] = ()
    all_projects: bool = False
    unknown_roles: int = 0

    def check(self, report: Report) -> None:
        """Report everything that is wrong with the draft itself; whether its projects exist is asked elsewhere."""
        _check_display_name("api_key.display_name", self.display_name, report)
        if self.unknown_roles:
            report("api_key.roles", "use ADMIN, EDITOR, SENDER, INGEST or VIEWER", "ROLE_UNKNOWN")
        elif not self.roles:
            report("api_key.roles", "name at least one role", "ROLE_MISSING")
        if self.all_projects and self.projects:
            report("api_key.projects", "leave it empty when all_projects is set", "SCOPE_AMBIGUOUS")
        if not self.all_projects and not self.projects:
            report("api_key.projects", "name at least one project or set all_projects", "SCOPE_MISSING")
        if len(self.projects) > KEY_PROJECT_COUNT:
            report("api_key.projects", f"name at most {KEY_PROJECT_COUNT} projects", "TOO_MANY_PROJECTS")

    def finish(self, made_id: str, now: datetime) -> ApiKey:
        """Return the key to store, each role and project once and in order."""
        roles = tuple(role for role in KeyRole if role in self.roles)
        return ApiKey(
            KeyId(made_id), self.display_name, roles, tuple(sorted(set(self.projects))), self.all_projects, now
        )


@dataclass(frozen=True)
class ApiKey:
    """A key without its secret."""

    id: KeyId
    display_name: str
    roles: tuple[KeyRole, ...]
    projects: tuple[str, ...]
    all_projects: bool
    create_time: datetime
    revoke_time: datetime | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return f"apiKeys/{self.id}"

    @property
    def manages_keys(self) -> bool:
        """True while this key may create and revoke keys."""
        return self.revoke_time is None and self.all_projects and KeyRole.ADMIN in self.roles

    def revoked(self, now: datetime) -> ApiKey:
        """Return the key as it is after its revocation; the first revocation counts."""
        return self if self.revoke_time is not None else replace(self, revoke_time=now)


@dataclass(frozen=True)
class Token:
    """A bearer token taken apart. Its `repr` tells the id only."""

    key: KeyId
    secret: str = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """What is stored of the secret. One round of SHA-256 is enough for 256 random bits (reliability 7)."""
        return hashlib.sha256(self.secret.encode()).digest()

    def text(self) -> str:
        """Return the token as the caller sends it."""
        return f"hg_{self.key}_{self.secret}"

    def proves(self, stored_hash: bytes | None) -> bool:
        """Tell whether the secret belongs to the hash, in the same time whether right, wrong or without a hash."""
        return hmac.compare_digest(self.secret_hash, stored_hash or _NO_SUCH_HASH) and stored_hash is not None


def parse_token(text: str) -> Token | None:
    """Take `hg_{id}_{secret}` apart; None when the text has another form."""
    found = _TOKEN.fullmatch(text)
    return Token(KeyId(found[1]), found[2]) if found else None


def check_request_id(request_id: str, report: Report) -> None:
    """Report a request id that is longer than 64 characters."""
    if len(request_id) > REQUEST_ID_LENGTH:
        report("request_id", f"use at most {REQUEST_ID_LENGTH} characters", "TOO_LONG")


def check_tags(path: str, tags: Mapping[str, str], report: Report) -> None:
    """Report tags beyond 50, keys outside 1 to 128 characters or beginning with `aws:`, values above 256."""
    if len(tags) > TAG_COUNT:
        report(path, f"use at most {TAG_COUNT} tags, not {len(tags)}", "TOO_MANY_TAGS")
    for key, value in sorted(tags.items()):
        where = f"{path}[{key[:TAG_KEY_LENGTH]}]"
        if not 1 <= len(key) <= TAG_KEY_LENGTH:
            report(where, f"use a key of 1 to {TAG_KEY_LENGTH} characters", "TAG_KEY_LENGTH")
        if key.casefold().startswith("aws:"):
            report(where, "use a key that does not begin with aws:", "TAG_KEY_RESERVED")
        if len(value) > TAG_VALUE_LENGTH:
            report(where, f"use a value of at most {TAG_VALUE_LENGTH} characters", "TAG_VALUE_LENGTH")


def _check_display_name(path: str, value: str, report: Report) -> None:
    if not 1 <= len(value) <= DISPLAY_NAME_LENGTH or not value.strip():
        report(path, f"use 1 to {DISPLAY_NAME_LENGTH} characters, not only blanks", "DISPLAY_NAME_LENGTH")
    # PostgreSQL's text cannot hold it, and no screen can show it.
    elif "\x00" in value:
        report(path, "leave out the NUL character", "DISPLAY_NAME_MALFORMED")
