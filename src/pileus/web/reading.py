"""Queries and JSON as they arrive, with bounds on what a parser may be asked to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import msgspec

MAX_FIELDS = 1000
MAX_DEPTH = 64

_decode = msgspec.json.Decoder().decode


def read_query(text: bytes) -> list[tuple[str, str]]:
    """The pairs of a query string; repeated names and empty values are kept. Raises ValueError."""
    try:
        pairs = parse_qsl(
            text.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace"
        )
    except ValueError:
        raise ValueError(f"A query may have {MAX_FIELDS} fields at most") from None
    if any("\x00" in name or "\x00" in value for name, value in pairs):
        # no database takes a NUL in a text
        raise ValueError("A query must not hold NUL characters")
    return pairs


def read_json(body: bytes) -> Any:
    """A body as JSON; raises ValueError with the reason.

    Depth is bounded, since what is barely read may be too deep to be printed in an error's text.
    """
    try:
        document = _decode(body)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    level = [document]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for one in level:
            if type(one) is dict:
                below += one.values()
            elif type(one) is list:
                below += one
        if not below:
            return document
        level = below
    raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
