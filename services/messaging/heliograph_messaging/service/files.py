"""Files that go with e-mails: uploading them, and taking what a request carries out of the batch that goes over the bus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph.messaging.v1 import dispatch_pb2
from heliograph_kit.clock import Clock
from heliograph_kit.database import Database
from heliograph_kit.errors import InvalidArgument, Violations
from heliograph_kit.names import format_name, parse_name
from heliograph_messaging.domain.limits import MAX_MESSAGE_BYTES, Problem, file_problems, travelling
from heliograph_messaging.store.files import KEPT, FileStore, file_id
from heliograph_messaging.translate import named_files

MAX_ATTACHMENTS = 20
_TOO_LARGE = "ATTACHMENTS_TOO_LARGE"


@dataclass(frozen=True)
class StoredFile:
    """A file that was uploaded: its id, how many bytes it has, and until when it is kept."""

    id: str
    size: int
    expire_time: datetime


@dataclass(frozen=True)
class Stowed:
    """A content that names files instead of carrying them, and the bytes to store with it."""

    content: dispatch_pb2.MessageContent
    files: Sequence[bytes]


class Files:
    """Use cases over files."""

    def __init__(self, database: Database, store: FileStore, clock: Clock) -> None:
        """Take where they are kept."""
        self._database = database
        self._store = store
        self._clock = clock

    async def upload(self, project: str, pieces: AsyncIterator[bytes]) -> StoredFile:
        """Store a file that comes in pieces. Safe to repeat: the same bytes are the same file.

        Raises:
            InvalidArgument: it is empty, or has more than 10 MB.
        """
        found, data = Violations(), bytearray()
        async for piece in pieces:
            data += piece
            if len(data) > MAX_MESSAGE_BYTES:
                found.add("data", f"a file has at most {MAX_MESSAGE_BYTES:,} bytes", _TOO_LARGE)
                found.check()
        if not data:
            found.add("data", "the file is empty", "INVALID_ARGUMENT")
        found.check()
        async with self._database.transaction() as conn:
            id = await self._store.keep(conn, project, bytes(data))
        return StoredFile(id, len(data), self._clock.now() + KEPT)


def stow(project: str, content: dispatch_pb2.MessageContent) -> Stowed:
    """Put names of files in the place of their bytes, so that a batch fits the bus whatever goes with it."""
    files: list[bytes] = []
    if not content.email_raw and not any(attachment.data for attachment in content.email_attachments):
        return Stowed(content, files)
    slim = dispatch_pb2.MessageContent()
    slim.CopyFrom(content)
    for attachment in slim.email_attachments:
        if attachment.data:
            files.append(attachment.data)
            attachment.file = format_name(project, "files", file_id(attachment.data))
            attachment.ClearField("data")
    if slim.email_raw:
        files.append(slim.email_raw)
        slim.email_raw_file = format_name(project, "files", file_id(slim.email_raw))
        slim.ClearField("email_raw")
    return Stowed(slim, files)


def files_problems(project: str, content: dispatch_pb2.MessageContent) -> list[Problem]:
    """Check what a content says of its files; their sizes are checked when they are looked up."""
    found: list[Problem] = []
    if len(content.email_attachments) > MAX_ATTACHMENTS:
        words = f"must be at most {MAX_ATTACHMENTS}, not {len(content.email_attachments)}"
        found.append(Problem("email_attachments", words))
    for index, attachment in enumerate(content.email_attachments):
        at = f"email_attachments[{index}]"
        found += file_problems(attachment.name, attachment.content_type, at)
        if bool(attachment.file) == bool(attachment.data):
            found.append(Problem(at, "needs either a file or data"))
        if attachment.file and not _is_file(project, attachment.file):
            found.append(Problem(f"{at}.file", "must have the form projects/{project}/files/{file}, of this project"))
    if content.email_raw and content.email_raw_file:
        found.append(Problem("email_raw", "must not stand beside email_raw_file"))
    if content.email_raw_file and not _is_file(project, content.email_raw_file):
        found.append(Problem("email_raw_file", "must have the form projects/{project}/files/{file}, of this project"))
    if (content.email_raw or content.email_raw_file) and content.email_attachments:
        found.append(Problem("email_attachments", "do not go with a whole message, which holds its own"))
    return found


def _is_file(project: str, name: str) -> bool:
    try:
        return parse_name(name, "files").project == project
    except InvalidArgument:
        return False


async def check_sizes(
    conn: AsyncConnection, store: FileStore, project: str, content: dispatch_pb2.MessageContent
) -> None:
    """Keep the named files for another while and check that they fit, with those carried along, into a message.

    Raises:
        InvalidArgument: a file is not there (FILE_NOT_FOUND), or together they are too large (ATTACHMENTS_TOO_LARGE).
    """
    found, ids = Violations(), named_files(project, content)
    sizes = await store.use(conn, project, ids) if ids else {}
    total = len(content.email_raw)
    for index, attachment in enumerate(content.email_attachments):
        size = len(attachment.data)
        if attachment.file:
            id = parse_name(attachment.file, "files").id
            if id not in sizes:
                found.add(f"content.email_attachments[{index}].file", "there is no such file", "FILE_NOT_FOUND")
            size = sizes.get(id, 0)
        total += travelling(size)
    if content.email_raw_file:
        id = parse_name(content.email_raw_file, "files").id
        if id not in sizes:
            found.add("content.email_raw_file", "there is no such file", "FILE_NOT_FOUND")
        total += sizes.get(id, 0)
    if total > MAX_MESSAGE_BYTES:
        words = f"they take {total:,} bytes as they travel, at most {MAX_MESSAGE_BYTES:,} fit"
        found.add("content.email_attachments" if content.email_attachments else "content.email_raw", words, _TOO_LARGE)
    found.check()
