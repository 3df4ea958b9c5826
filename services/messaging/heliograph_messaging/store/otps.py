"""One-time passwords, and how many were sent lately."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

# At most `limit` instants stay in a row, so the row does not grow; the lock on it makes the count exact.
_COUNT = text(
    """INSERT INTO messaging.otp_sends AS s (project, key, times, last_time)
    VALUES (:project, :key, ARRAY[CAST(:now AS timestamptz)], :now)
    ON CONFLICT (project, key) DO UPDATE SET last_time = :now,
        times = (SELECT coalesce(array_agg(t), '{}') FROM unnest(s.times) AS t WHERE t > :since) || CAST(:now AS timestamptz)
    WHERE (SELECT count(*) FROM unnest(s.times) AS t WHERE t > :since) < :limit
    RETURNING key"""
)
_PUT = text(
    """INSERT INTO messaging.otps (project, destination, reference_id, code_hash, allowed_attempts, failed_attempts, used,
        expire_time)
    VALUES (:project, :destination, :reference, :hash, :allowed, 0, false, :expire)
    ON CONFLICT (project, destination, reference_id) DO UPDATE SET code_hash = excluded.code_hash,
        allowed_attempts = excluded.allowed_attempts, failed_attempts = 0, used = false, expire_time = excluded.expire_time"""
)
# One statement decides and counts: of callers at the same time each waits for the row and looks at it again. What is
# compared are keyed hashes, so the time it takes tells nothing about the code.
_TRY = text(
    """UPDATE messaging.otps SET used = code_hash = :hash,
        failed_attempts = failed_attempts + CASE WHEN code_hash = :hash THEN 0 ELSE 1 END
    WHERE project = :project AND destination = :destination AND reference_id = :reference
        AND NOT used AND failed_attempts < allowed_attempts AND expire_time > :now
    RETURNING used, failed_attempts >= allowed_attempts AS void"""
)
_FORGET = text("DELETE FROM messaging.otps WHERE expire_time < :now")
_FORGET_SENDS = text("DELETE FROM messaging.otp_sends WHERE last_time < :since")
WINDOW = timedelta(hours=1)


class OtpStore:
    """Reads and writes one-time passwords."""

    async def count(
        self, conn: AsyncConnection, project: str, limits: Mapping[str, int], *, now: datetime
    ) -> str | None:
        """Count one more for each key; return the key whose limit for an hour is used up, None when there is none.

        The caller rolls back when there is one: the others must not count.
        """
        # In one order for everybody, so that two never wait for each other.
        for key, limit in sorted(limits.items()):
            parameters = {"project": project, "key": key, "limit": limit, "now": now, "since": now - WINDOW}
            if (await conn.execute(_COUNT, parameters)).one_or_none() is None:
                return key
        return None

    async def put(
        self,
        conn: AsyncConnection,
        project: str,
        destination: str,
        reference: str,
        *,
        code_hash: bytes,
        allowed_attempts: int,
        expire_time: datetime,
    ) -> None:
        """Store a code; the one before for the same destination and reference is void."""
        parameters = {
            "project": project, "destination": destination, "reference": reference, "hash": code_hash,
            "allowed": allowed_attempts, "expire": expire_time,
        }  # fmt: skip
        await conn.execute(_PUT, parameters)

    async def attempt(
        self, conn: AsyncConnection, project: str, destination: str, reference: str, code_hash: bytes, *, now: datetime
    ) -> tuple[bool, bool]:
        """Try a code; return whether it is right, and whether this wrong one was the last attempt."""
        parameters = {
            "project": project, "destination": destination, "reference": reference, "hash": code_hash, "now": now,
        }  # fmt: skip
        row = (await conn.execute(_TRY, parameters)).one_or_none()
        return (False, False) if row is None else (row.used, row.void)

    async def forget(self, conn: AsyncConnection, *, now: datetime) -> None:
        """Delete what is void by time."""
        await conn.execute(_FORGET, {"now": now})
        await conn.execute(_FORGET_SENDS, {"since": now - WINDOW})
