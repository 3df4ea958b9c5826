"""The schema of the messaging service, and the tables every service has."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="messaging")
mail = outbox_tables(metadata)
TIME = DateTime(timezone=True)
