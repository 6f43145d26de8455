"""Declares the database's tables: current objects, the bounded log of changes, settings, and rows set aside."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table

SCHEMA_VERSION = "0001"
"""The newest Alembic revision, which this program needs (a test holds it against migrations/versions)."""

METADATA = MetaData()

objects = Table(
    "objects",
    METADATA,
    Column("resource", String, primary_key=True),
    Column("namespace", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("rv_start", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("checksum", Integer, nullable=False),
)

# A change keeps the state before it: the state after it is the next change's `previous`, or the current object.
# So every change in the log has both, however much before it was trimmed, and a create writes its data once.
changes = Table(
    "changes",
    METADATA,
    Column("revision", Integer, primary_key=True),
    Column("resource", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("type", String, nullable=False),
    Column("created", Integer, nullable=False),
    Column("previous_revision", Integer),
    Column("previous_rv_start", Integer),
    Column("previous", LargeBinary),
    Column("checksum", Integer, nullable=False),
)

settings = Table(
    "settings",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", String, nullable=False),
)

quarantine = Table(
    "quarantine",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("found", String, nullable=False),
    Column("resource", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("why", String, nullable=False),
)
