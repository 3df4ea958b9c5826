"""Tables of the sample service."""

from sqlalchemy import Column, Integer, MetaData, Table, Text

from heliograph_kit.outbox import outbox_tables

metadata = MetaData(schema="post")
letters = Table(
    "letters",
    metadata,
    Column("project", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("times", Integer, nullable=False),
)
mail = outbox_tables(metadata)
