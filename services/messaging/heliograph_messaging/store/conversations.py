"""Who was written to by which number last, and which keywords were answered by themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import plain_array, text_array

ANSWER_WINDOW = timedelta(hours=72)
"""How long a message from a person is taken for an answer to our last one (pinpoint-2 2.4)."""
REPLY_PAUSE = timedelta(minutes=1)
"""How long the same keyword of the same person is not answered again by itself."""

_NOTE = text(
    """INSERT INTO messaging.conversations AS c (project, number, person, message_id, time)
    SELECT DISTINCT ON (x.number, x.person) :project, x.number, x.person, x.message_id, :now
    FROM unnest(CAST(:numbers AS text[]), CAST(:persons AS text[]), CAST(:ids AS uuid[])) WITH ORDINALITY
        AS x (number, person, message_id, place)
    JOIN messaging.numbers n ON n.project = :project AND n.number = x.number
    ORDER BY x.number, x.person, x.place DESC
    ON CONFLICT (project, number, person) DO UPDATE SET message_id = excluded.message_id, time = excluded.time
        WHERE c.time <= excluded.time"""
)
_LAST = text(
    """SELECT x.place, c.message_id FROM unnest(CAST(:numbers AS text[]), CAST(:persons AS text[])) WITH ORDINALITY
        AS x (number, person, place)
    JOIN messaging.conversations c ON c.number = x.number AND c.person = x.person
    WHERE c.project = :project AND c.time > :since"""
)
_MAY_REPLY = text(
    """INSERT INTO messaging.automatic_replies AS r (project, number, person, keyword, time)
    SELECT DISTINCT :project, number, person, keyword, CAST(:now AS timestamptz)
    FROM unnest(CAST(:numbers AS text[]), CAST(:persons AS text[]), CAST(:keywords AS text[]))
        AS x (number, person, keyword) ORDER BY number, person, keyword
    ON CONFLICT (project, number, person, keyword) DO UPDATE SET time = excluded.time WHERE r.time <= :before
    RETURNING number, person, keyword"""
)
_FORGET = (
    text("DELETE FROM messaging.conversations WHERE time <= :answered"),
    text("DELETE FROM messaging.automatic_replies WHERE time <= :replied"),
)


class ConversationStore:
    """Reads and writes who spoke with whom. A pair is (our number, the person's)."""

    async def note(
        self, conn: AsyncConnection, project: str, sent: Sequence[tuple[str, str, str]], *, now: datetime
    ) -> None:
        """Remember messages (from, to, id) as the last ones of their pairs; what left from no number of ours is passed over."""
        await conn.execute(
            _NOTE,
            {
                "project": project,
                "now": now,
                "numbers": text_array([number for number, _, _ in sent]),
                "persons": text_array([person for _, person, _ in sent]),
                "ids": plain_array([message_id for _, _, message_id in sent]),
            },
        )

    async def last(
        self, conn: AsyncConnection, project: str, pairs: Sequence[tuple[str, str]], *, now: datetime
    ) -> Mapping[int, str]:
        """Return the ids of the messages that answers now would answer, by place in `pairs`."""
        rows = await conn.execute(_LAST, {"project": project, "since": now - ANSWER_WINDOW, **_pairs(pairs)})
        return {row.place - 1: row.message_id.hex for row in rows}

    async def may_reply(
        self, conn: AsyncConnection, project: str, asked: Sequence[tuple[str, str, str]], *, now: datetime
    ) -> set[tuple[str, str, str]]:
        """Return which (number, person, keyword) may be answered now, and note that they are. Each at most once a minute."""
        rows = await conn.execute(
            _MAY_REPLY,
            {
                "project": project,
                "now": now,
                "before": now - REPLY_PAUSE,
                "keywords": text_array([keyword for _, _, keyword in asked]),
                **_pairs([(number, person) for number, person, _ in asked]),
            },
        )
        return {(row.number, row.person, row.keyword) for row in rows}

    async def forget(self, conn: AsyncConnection, now: datetime) -> int:
        """Drop what has no meaning any more and return how much it was."""
        times = {"answered": now - ANSWER_WINDOW, "replied": now - REPLY_PAUSE}
        return sum([(await conn.execute(_FORGET[0], times)).rowcount, (await conn.execute(_FORGET[1], times)).rowcount])


def _pairs(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    return {
        "numbers": text_array([number for number, _ in pairs]),
        "persons": text_array([person for _, person in pairs]),
    }
