"""What people sent to us, each once, whoever reports it and how often."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from heliograph_messaging.store.arrays import text_array


@dataclass(frozen=True)
class InboundRow:
    """A message from a person, as it is stored. With project and provider `inbound_id` is unique."""

    inbound_id: str
    channel: str
    origination: str
    destination: str
    body: str
    time: datetime
    media_urls: Sequence[str]
    attributes: Mapping[str, str]


# The lists travel as JSON: arrays of arrays cannot be unnested.
_ADD = text(
    """INSERT INTO messaging.inbound_messages (project, provider, inbound_id, channel, origination, destination, body,
        time, media_urls, attributes)
    SELECT :project, :provider, inbound_id, channel, origination, destination, body, CAST(time AS timestamptz),
        ARRAY(SELECT jsonb_array_elements_text(CAST(media_urls AS jsonb))), CAST(attributes AS jsonb)
    FROM unnest(CAST(:ids AS text[]), CAST(:channels AS text[]), CAST(:originations AS text[]),
        CAST(:destinations AS text[]), CAST(:bodies AS text[]), CAST(:times AS text[]), CAST(:media_urls AS text[]),
        CAST(:attributes AS text[]))
        AS new (inbound_id, channel, origination, destination, body, time, media_urls, attributes)
    ORDER BY inbound_id
    ON CONFLICT DO NOTHING RETURNING inbound_id"""
)


class InboundStore:
    """Writes what people sent."""

    async def add(
        self, conn: AsyncConnection, project: str, provider: str, messages: Sequence[InboundRow]
    ) -> Sequence[InboundRow]:
        """Store messages; return those that were not known, in the order given."""
        added = await conn.execute(
            _ADD,
            {
                "project": project,
                "provider": provider,
                "ids": text_array([one.inbound_id for one in messages]),
                "channels": text_array([one.channel for one in messages]),
                "originations": text_array([one.origination for one in messages]),
                "destinations": text_array([one.destination for one in messages]),
                "bodies": text_array([one.body for one in messages]),
                "times": text_array([one.time.isoformat() for one in messages]),
                "media_urls": text_array([json.dumps(list(one.media_urls)) for one in messages]),
                "attributes": text_array([json.dumps(dict(one.attributes)) for one in messages]),
            },
        )
        fresh = set(added.scalars())
        # The same message twice in one call is one row; it is told of once.
        return list({one.inbound_id: one for one in messages if one.inbound_id in fresh}.values())
