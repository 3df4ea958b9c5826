"""Buckets of S3 and of whatever speaks its protocol: `s3://{bucket}/{key}`.

Credentials and region come as every client of AWS takes them: from AWS_ACCESS_KEY_ID and its companions, a profile, or
the role of the pod.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from heliograph_segments.domain.import_rows import UnusableFile
from heliograph_segments.places.objects import (
    BLOCK,
    MAX_OBJECTS,
    Halted,
    Interrupted,
    NotAllowed,
    NotWritten,
    StoredObject,
    counted,
    too_large,
)

_log = logging.getLogger(__name__)

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5
_MISSING = ("404", "NoSuchKey", "NoSuchBucket", "NotFound")
_CHANGED = ("412", "PreconditionFailed")
_REGION = "us-east-1"  # what servers other than AWS take; AWS redirects to the right one


class S3:
    """The client, made when it is first needed. Any thread may use it."""

    def __init__(self, endpoint: str | None, *, path_style: bool) -> None:
        """Take the URL of a server other than AWS, and whether buckets are paths there instead of hosts."""
        self._endpoint = endpoint
        self._style = "path" if path_style else "auto"
        self._lock = threading.Lock()
        self._client: Any = None

    @property
    def client(self) -> Any:
        """The client."""
        with self._lock:
            if self._client is None:
                session = boto3.session.Session()
                config = Config(
                    connect_timeout=10,
                    read_timeout=60,
                    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
                    # Servers other than AWS do not all know the newer checksums, and none for parts of an object.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": self._style},
                )
                region = session.region_name or _REGION
                self._client = session.client("s3", region, endpoint_url=self._endpoint, config=config)
            return self._client


def bucket_and_key(url: str, allowed: Sequence[str], setting: str) -> tuple[str, str]:
    """Take `s3://{bucket}/{key}` apart; `bucket` or `bucket/prefix` among the allowed permits it.

    Raises:
        NotAllowed: none does.
    """
    bucket, _, key = url.removeprefix("s3://").partition("/")
    for each in allowed:
        permitted, _, prefix = each.partition("/")
        if bucket == permitted and f"{key}/".startswith(f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""):
            return bucket, key
    raise NotAllowed(f"this bucket, or this part of it, is not among those the settings name ({setting})")


class BucketSource:
    """An object, or all objects below a prefix: `a/b` is the object of that name, else all below `a/b/`."""

    def __init__(self, s3: S3, bucket: str, key: str, most_bytes: int) -> None:
        """Take where it is and how large an object may be."""
        self._s3 = s3
        self._bucket = bucket
        self._key = key
        self._most_bytes = most_bytes
        self._prefix = key if not key or key.endswith("/") else f"{key}/"

    def objects(self) -> Sequence[StoredObject]:
        """Return the objects."""
        try:
            return self._single() or counted(self._below(), "bucket below this prefix")
        except (ClientError, BotoCoreError) as error:
            raise _unusable(error) from None

    def _single(self) -> Sequence[StoredObject]:
        if self._key == self._prefix:
            return []
        try:
            head = self._s3.client.head_object(Bucket=self._bucket, Key=self._key)
        except ClientError as error:
            if _code(error) in _MISSING:
                return []
            raise
        return [StoredObject("", head["ContentLength"], _version(head))]

    def _below(self) -> list[StoredObject]:
        found: list[StoredObject] = []
        pages = self._s3.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        for page in pages:
            # Consoles make objects whose names end in a slash so that a folder is to be seen.
            found += [
                StoredObject(each["Key"].removeprefix(self._prefix), each["Size"], _version(each))
                for each in page.get("Contents", ())
                if not each["Key"].endswith("/")
            ]
            if len(found) > MAX_OBJECTS:
                break
        if not found and self._key != self._prefix:
            raise UnusableFile("SOURCE_NOT_FOUND", "there is no such object, and none below this name")
        return found

    def open(self, found: StoredObject, halted: Halted) -> tuple[BinaryIO, str]:
        """Load an object into a file without a name; what breaks off is continued."""
        if found.size > self._most_bytes:
            raise too_large(self._most_bytes)
        key = self._prefix + found.name if found.name else self._key
        file = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            fruitless = 0
            while file.tell() < found.size:
                before = file.tell()
                try:
                    self._load(key, found, file, halted)
                except BotoCoreError as error:
                    fruitless = 0 if file.tell() > before else fruitless + 1
                    if fruitless >= _ATTEMPTS or isinstance(error, NoCredentialsError):
                        raise
                    _log.warning("loading from bucket %s broke off: %s", self._bucket, error)
                    time.sleep(_PAUSE_SECONDS)
        except (ClientError, BotoCoreError) as error:
            file.close()
            raise _unusable(error) from None
        except BaseException:
            file.close()
            raise
        file.seek(0)
        return file, found.version

    def _load(self, key: str, found: StoredObject, file: BinaryIO, halted: Halted) -> None:
        rest = {"Range": f"bytes={file.tell()}-"} if file.tell() else {}
        # Of the version that was listed: the parts of two would make a file that nobody wrote.
        answer = self._s3.client.get_object(Bucket=self._bucket, Key=key, IfMatch=f'"{found.version}"', **rest)
        with closing(answer["Body"]) as body:
            for block in body.iter_chunks(BLOCK):
                if halted():
                    raise Interrupted
                if file.tell() + len(block) > found.size:
                    raise UnusableFile("SOURCE_CHANGED", "an object changed while it was read")
                file.write(block)


class BucketDestination:
    """All objects below a prefix."""

    def __init__(self, s3: S3, bucket: str, key: str) -> None:
        """Take where it is."""
        self._s3 = s3
        self._bucket = bucket
        self._prefix = key if not key or key.endswith("/") else f"{key}/"

    def put(self, name: str, content: bytes) -> None:
        """Write an object; S3 shows whole objects only."""
        try:
            self._s3.client.put_object(
                Bucket=self._bucket, Key=self._prefix + name, Body=content, ContentType="application/gzip"
            )
        except (ClientError, BotoCoreError) as error:
            raise NotWritten(f"{name} cannot be written: {_unusable(error).message}") from None


def _version(told: Mapping[str, Any]) -> str:
    # Quoted in some answers and bare in others.
    return str(told["ETag"]).strip('"')


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _unusable(error: ClientError | BotoCoreError) -> UnusableFile:
    if not isinstance(error, ClientError):
        # Words of the client, which name hosts and no secrets.
        return UnusableFile("SOURCE_UNREADABLE", f"the bucket cannot be read: {error}"[:500])
    if _code(error) in _MISSING:
        return UnusableFile("SOURCE_NOT_FOUND", "there is no such bucket or object")
    if _code(error) in _CHANGED:
        return UnusableFile("SOURCE_CHANGED", "an object changed while it was read")
    return UnusableFile("SOURCE_UNREADABLE", f"the bucket refused: {_code(error)}"[:500])
