"""The one MetaData that every noun declares its tables on, and the column types they use.

    ports = Table(
        "ports", metadata,
        Column("id", Id, primary_key=True),
        Column("name", Name, nullable=False, default=""),
        Column("created_at", Moment, nullable=False),
        Column("profile", JsonText),
    )

Names of constraints and indexes come from the naming convention, so that migrations can speak of them
and :class:`pileus.store.errors.Duplicate` can name them. On MariaDB every table is InnoDB with the
collation utf8mb4_nopad_bin: names are compared byte by byte, trailing blanks too, as on the other two.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, DateTime, Integer, MetaData, String, Text, type_coerce
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.types import TypeDecorator

MARIADB_COLLATION = "utf8mb4_nopad_bin"

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


class Id(String):
    """A UUID with hyphens (36 characters) or without (32)."""

    def __init__(self) -> None:
        super().__init__(36)


class UserId(String):
    """The id of a user or group: up to 64 characters, which those of directories have (SHA-256)."""

    def __init__(self) -> None:
        super().__init__(64)


class Name(String):
    """A name or description that people write: 255 characters."""

    def __init__(self) -> None:
        super().__init__(255)


class LongText(TypeDecorator[str]):
    """Text without a practical bound (16 MiB on MariaDB, where plain TEXT ends at 64 KiB)."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name != "mysql":
            return dialect.type_descriptor(Text())
        from sqlalchemy.dialects.mysql import MEDIUMTEXT  # only where MariaDB is used: it costs 20 ms

        return dialect.type_descriptor(MEDIUMTEXT())


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class JsonText(TypeDecorator[Any]):
    """A JSON value kept as text; None is SQL's NULL. :func:`raw_json` selects it without decoding."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return LongText().load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else _encode(value).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else _decode(value)


def raw_json(column: ColumnElement[Any]) -> ColumnElement[str]:
    """A JsonText column as its text (to pass it on as it is, for example as ``msgspec.Raw``)."""
    return type_coerce(column, Text)


class Moment(TypeDecorator[dt.datetime]):
    """A naive UTC datetime with microseconds.

    SQLite has no such type; ISO 8601 text of constant width sorts as time does and is the form that
    CPython reads fastest (``fromisoformat`` takes 0.1 microseconds, a number and a timedelta twice that).
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "sqlite":
            return _SqliteMoment()
        if dialect.name == "mysql":
            from sqlalchemy.dialects.mysql import DATETIME

            return dialect.type_descriptor(DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime())


class _SqliteMoment(DateTime):
    def bind_processor(self, dialect: Dialect) -> Callable[[dt.datetime | None], str | None]:
        return lambda value: None if value is None else value.isoformat(" ", "microseconds")

    def result_processor(
        self, dialect: Dialect, coltype: object
    ) -> Callable[[str | None], dt.datetime | None]:
        read = dt.datetime.fromisoformat
        return lambda value: None if value is None else read(value)


BigInt = BigInteger

# A number that the database gives: SQLite does so only for a column whose type is exactly INTEGER.
BigSerial = BigInteger().with_variant(Integer(), "sqlite")


@compiles(CreateTable, "mysql")
def _create_mariadb_table(element: CreateTable, compiler: Any, **keywords: Any) -> str:
    text: str = compiler.visit_create_table(element, **keywords)
    return text.rstrip() + f" ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {MARIADB_COLLATION}"
