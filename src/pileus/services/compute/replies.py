"""Types of replies, under the name by which compute's nouns know them. Source: Compute API reference."""

from __future__ import annotations

from pileus.resource.replies import (
    COUNT,
    COUNT_OR_NULL,
    FLAG,
    INTEGER,
    INTEGER_OR_NULL,
    LINKS,
    MOMENT,
    MOMENT_OR_NULL,
    NULL,
    NUMBER,
    TEXT,
    TEXT_BY_KEY,
    TEXT_OR_NULL,
    TEXTS,
    UUID,
    UUID_OR_NULL,
    Fields,
    always,
    named,
    named_list,
)

__all__ = [
    "COUNT",
    "COUNT_OR_NULL",
    "FLAG",
    "INTEGER",
    "INTEGER_OR_NULL",
    "LINKS",
    "MOMENT",
    "MOMENT_OR_NULL",
    "NULL",
    "NUMBER",
    "TEXT",
    "TEXTS",
    "TEXT_BY_KEY",
    "TEXT_OR_NULL",
    "UUID",
    "UUID_OR_NULL",
    "Fields",
    "always",
    "named",
    "named_list",
]
