"""Hosts of the web: one object at an `https:` URL. Only hosts that the settings name are asked, also behind redirects."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import time
from collections.abc import Sequence
from typing import BinaryIO

import httpx

from heliograph_segments.domain.import_rows import UnusableFile
from heliograph_segments.places.objects import BLOCK, Halted, Interrupted, NotAllowed, StoredObject, too_large

_log = logging.getLogger(__name__)

_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5
_REDIRECTS = 5
_MOST_SECONDS = 3600.0
_TIMEOUT = httpx.Timeout(30, connect=10)
_MISSING = (404, 410)
_TRANSIENT = (408, 425, 429)


class _Again(Exception):
    """The host may answer better in a moment."""


def permitted(url: httpx.URL, hosts: Sequence[str]) -> None:
    """Check that a URL may be read: `files.example.com`, `files.example.com:8443` or `*.example.com` permits it.

    Raises:
        NotAllowed: it is not https, or its host is not among them.
    """
    if url.scheme != "https":
        raise NotAllowed("only https: is read from the web")
    place = url.host if url.port in (None, 443) else f"{url.host}:{url.port}"
    for host in hosts:
        wild = host.startswith("*.") and place.endswith(host[1:].lower())
        if wild or place == host.lower():
            return
    raise NotAllowed(f"imports may not read from the host {place[:260]} (HELIOGRAPH_SEGMENTS_IMPORT_HOSTS)")


class WebSource:
    """One object. A signed URL is asked with GET alone, and again after a failure."""

    def __init__(self, url: str, hosts: Sequence[str], most_bytes: int) -> None:
        """Take the URL, the hosts that may be asked and how large the object may be.

        Raises:
            NotAllowed: the host may not be asked.
        """
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL:
            raise NotAllowed("is no URL") from None
        self._hosts = hosts
        self._most_bytes = most_bytes
        permitted(self._url, hosts)

    def objects(self) -> Sequence[StoredObject]:
        """Return the one object; what it is like, opening tells."""
        return [StoredObject("", 0, "")]

    def open(self, found: StoredObject, halted: Halted) -> tuple[BinaryIO, str]:
        """Load the object into a file without a name. Its version is the digest of its bytes."""
        problem = ""
        deadline = time.monotonic() + _MOST_SECONDS
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            file = tempfile.TemporaryFile()  # noqa: SIM115
            try:
                version = self._load(file, deadline, halted)
            except (_Again, httpx.TransportError) as error:
                file.close()
                problem = str(error) or type(error).__name__
                _log.warning("%s did not answer well: %s", self._url.host, problem)
            except BaseException:
                file.close()
                raise
            else:
                file.seek(0)
                return file, version
        raise UnusableFile("SOURCE_UNREADABLE", f"the host did not answer well: {problem}")

    def _load(self, file: BinaryIO, deadline: float, halted: Halted) -> str:
        url, digest = self._url, hashlib.sha256()
        # As it is stored: what a packed file is unpacked to is decided by its content, not by the transport.
        with httpx.Client(timeout=_TIMEOUT, headers={"accept-encoding": "identity"}) as client:
            for _ in range(_REDIRECTS + 1):
                with client.stream("GET", url) as answer:
                    if answer.next_request is not None:
                        url = answer.next_request.url
                        try:
                            permitted(url, self._hosts)
                        except NotAllowed as error:
                            raise UnusableFile("SOURCE_NOT_ALLOWED", f"a redirect leads elsewhere: {error}") from None
                        continue
                    _check_status(answer.status_code)
                    for block in answer.iter_bytes(BLOCK):
                        if halted():
                            raise Interrupted
                        if time.monotonic() > deadline:
                            raise UnusableFile("SOURCE_UNREADABLE", "the host took more than an hour")
                        if file.tell() + len(block) > self._most_bytes:
                            raise too_large(self._most_bytes)
                        file.write(block)
                        digest.update(block)
                    return digest.hexdigest()
        raise UnusableFile("SOURCE_UNREADABLE", f"the URL redirects more than {_REDIRECTS} times")


def _check_status(status: int) -> None:
    if status in _TRANSIENT or status >= 500:
        raise _Again(f"status {status}")
    if status in _MISSING:
        raise UnusableFile("SOURCE_NOT_FOUND", f"the host knows no such object (status {status})")
    if status != 200:
        raise UnusableFile("SOURCE_UNREADABLE", f"the host refused (status {status})")
