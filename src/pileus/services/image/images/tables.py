"""The tables of images."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table

from pileus.store.schema import BigInt, Id, JsonText, LongText, Moment, Name, metadata

images = Table(
    "images",
    metadata,
    Column("id", Id, primary_key=True),
    Column("owner", Name, index=True),
    Column("name", Name),
    Column("status", String(30), nullable=False),
    Column("visibility", String(20), nullable=False, index=True),
    Column("protected", Boolean, nullable=False),
    Column("os_hidden", Boolean, nullable=False),
    Column("disk_format", String(20)),
    Column("container_format", String(20)),
    Column("min_disk", Integer, nullable=False),
    Column("min_ram", Integer, nullable=False),
    Column("size", BigInt),
    Column("virtual_size", BigInt),
    # Bytes that the upload under way may have: they count as used.
    Column("reserved", BigInt),
    Column("checksum", String(32)),
    Column("os_hash_algo", String(64)),
    Column("os_hash_value", String(128)),
    Column("created_at", Moment, nullable=False, index=True),
    Column("updated_at", Moment, nullable=False),
    # The object of the store that holds the data or is being written, and the worker that writes it.
    Column("object", String(80)),
    Column("worker", String(64)),
    # What is known of staged data: hashes, sizes, format.
    Column("staged", JsonText),
)

image_properties = Table(
    "image_properties",
    metadata,
    Column("image_id", Id, ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Name, primary_key=True),
    Column("value", LongText, nullable=False),
    Index("ix_image_properties_name", "name"),
)
