"""Types of attributes: what a value from outside may be, and what it becomes inside.

A :class:`Type` has a ``parse`` that returns the normalised value or raises
:class:`BadValue`, a JSON schema for OpenAPI, a ``query`` that reads the text of a
query parameter, and sometimes a ``show`` that makes the value JSON again (never
asked about None). Types know nothing of HTTP or of a service: a :class:`BadValue`
carries the sentence twice, in the words of neutron-lib's validators and in those
of JSON schema validators (Keystone, Nova, Glance, Cinder), and the dialect picks one.

Compose them: ``nullable(ip_address)``, ``list_of(uuid, unique=True)``,
``one_of(cidr, ip_address)``. A type of a noun's own is a function of the same form::

    def parse_vlan(value: Any) -> int: ...
    VLAN = Type("vlan", parse_vlan, {"type": "integer", "minimum": 1, "maximum": 4094})
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pileus.core import addresses
from pileus.core.repeats import first_repeat
from pileus.core.times import parse_time

Parse = Callable[[Any], Any]
Schema = dict[str, Any]

_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}")
_BREAKING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of characters that end a line, or are not shown: control, format, surrogates, separators."""
_TRUE = {"true", "1", "on", "yes", "t", "y"}
_FALSE = {"false", "0", "off", "no", "f", "n"}


class BadValue(ValueError):
    """A value is not of the type. ``text`` is neutron-lib's sentence without its full stop, ``schema``
    the JSON schema validator's; ``path`` leads to the offending part inside the value, and
    ``value`` is that part. ``conversion`` marks what neutron-lib's converters (not validators) refuse;
    ``unknown_key`` is a key that the part must not have."""

    def __init__(
        self,
        text: str,
        schema: str | None = None,
        *,
        value: Any = None,
        path: tuple[str | int, ...] = (),
        conversion: bool = False,
        unknown_key: str | None = None,
    ) -> None:
        super().__init__(text)
        self.text = text
        self.schema = schema if schema is not None else text
        self.value = value
        self.path = path
        self.conversion = conversion
        self.unknown_key = unknown_key


class Type:
    """A named way to check and normalise a value. Immutable by habit."""

    __slots__ = ("accepts_none", "name", "parse", "query", "schema", "show")

    def __init__(
        self,
        name: str,
        parse: Parse,
        schema: Schema,
        *,
        query: Parse | None = None,
        accepts_none: bool = False,
        show: Callable[[Any], Any] | None = None,
    ) -> None:
        self.name = name
        self.parse = parse
        self.schema = schema
        self.query = query or parse
        self.accepts_none = accepts_none
        self.show = show

    def __repr__(self) -> str:
        return f"<type {self.name}>"


def _not_a(value: Any, text: str, kind: str, *, conversion: bool = False) -> BadValue:
    return BadValue(
        text.format(value),
        f"{value!r} is not of type '{kind}'",
        value=value,
        conversion=conversion,
    )


def string(maximum: int | None = 255, *, minimum: int = 0, pattern: str | None = None) -> Type:
    """Text of ``minimum`` to ``maximum`` characters, wholly matching ``pattern`` where one is given."""
    matcher = re.compile(pattern) if pattern else None

    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise _not_a(value, "'{}' is not a valid string", "string")
        if maximum is not None and len(value) > maximum:
            raise BadValue(
                f"'{value}' exceeds maximum length of {maximum}", f"{value!r} is too long", value=value
            )
        if len(value) < minimum or (minimum and not value.strip()):
            raise BadValue(
                f"'{value}' Blank strings are not permitted", f"{value!r} is too short", value=value
            )
        if "\x00" in value:
            raise BadValue(
                f"'{value!r}' is not a valid string", f"{value!r} is not a valid string", value=value
            )
        if matcher and not matcher.fullmatch(value):
            raise BadValue(
                f"'{value}' is not a valid input", f"{value!r} does not match {pattern!r}", value=value
            )
        return value

    schema: Schema = {"type": "string"}
    if maximum is not None:
        schema["maxLength"] = maximum
    if minimum:
        schema["minLength"] = minimum
    if pattern:
        schema["pattern"] = f"^(?:{pattern})$"
    return Type("string", parse, schema, query=lambda text: text)


def line(maximum: int | None = 255, *, minimum: int = 0, pattern: str | None = None) -> Type:
    """Text as ``string`` takes it, without control characters: for what ends in a file or a command."""
    inner = string(maximum, minimum=minimum, pattern=pattern)

    def parse(value: Any) -> str:
        text: str = inner.parse(value)
        if any(unicodedata.category(character) in _BREAKING for character in text):
            raise BadValue(
                f"{value!r} is not a valid string", f"{value!r} has control characters", value=value
            )
        return text

    return Type("line", parse, {"format": "line", **inner.schema}, query=inner.query)


def _parse_uuid(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise BadValue(f"'{value}' is not a valid UUID", f"{value!r} is not a 'uuid'", value=value)
    return value


uuid = Type("uuid", _parse_uuid, {"type": "string", "format": "uuid"}, query=lambda text: text)


def _parse_boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    elif isinstance(value, int) and value in (0, 1):
        return value == 1
    raise _not_a(value, "'{}' cannot be converted to boolean", "boolean", conversion=True)


boolean = Type("boolean", _parse_boolean, {"type": "boolean"})
"""true, false, and the words and digits that Neutron's and Nova's own checks take for them."""


def _parse_strict_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _not_a(value, "'{}' is not a valid boolean value", "boolean")
    return value


strict_boolean = Type("boolean", _parse_strict_boolean, {"type": "boolean"}, query=_parse_boolean)
"""true or false and nothing else in a body (Keystone); words in a query string."""


def integer(minimum: int = -(2**31), maximum: int = 2**31 - 1) -> Type:
    """A whole number within bounds (an INTEGER column's); digits in a string are taken, as OpenStack does."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise _not_a(value, "'{}' is not an integer", "integer", conversion=True)
        try:
            number = int(value) if isinstance(value, int) else int(value[:40])
        except ValueError:
            raise _not_a(value, "'{}' is not an integer", "integer", conversion=True) from None
        if number < minimum:
            raise BadValue(
                f"'{number}' is too small - must be at least '{minimum}'",
                f"{number} is less than the minimum of {minimum}",
                value=value,
            )
        if number > maximum:
            raise BadValue(
                f"'{number}' is too large - must be no larger than '{maximum}'",
                f"{number} is greater than the maximum of {maximum}",
                value=value,
            )
        return number

    return Type("integer", parse, {"type": "integer", "minimum": minimum, "maximum": maximum})


def strict_integer(minimum: int = -(2**31), maximum: int = 2**31 - 1) -> Type:
    """As ``integer``, but only JSON's own numbers (Keystone); a query's are text all the same."""
    lenient = integer(minimum, maximum)

    def parse(value: Any) -> int:
        if isinstance(value, str):
            raise _not_a(value, "'{}' is not an integer", "integer")
        number: int = lenient.parse(value)
        return number

    return Type("integer", parse, lenient.schema, query=lenient.parse)


def _parse_ip(value: Any) -> str:
    try:
        return addresses.address(value)
    except ValueError:
        raise BadValue(
            f"'{value}' is not a valid IP address", f"{value!r} is not a 'ipv4' or 'ipv6'", value=value
        ) from None


ip_address = Type(
    "ip_address", _parse_ip, {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
)
"""An IPv4 or IPv6 address, in its normal form."""


def _parse_cidr(value: Any) -> str:
    try:
        return addresses.prefix(value)
    except ValueError:
        raise BadValue(
            f"'{value}' is not a valid IP subnet", f"{value!r} is not a 'cidr'", value=value
        ) from None


cidr = Type("cidr", _parse_cidr, {"type": "string", "format": "cidr"})
"""A prefix; host bits are cleared (Neutron stores 10.0.0.5/24 as 10.0.0.0/24)."""


def _parse_address_or_prefix(value: Any) -> str:
    try:
        return addresses.address_or_prefix(value)
    except ValueError:
        raise BadValue(
            f"'{value}' is not a valid IP subnet", f"{value!r} is not a 'cidr'", value=value
        ) from None


address_or_prefix = Type(
    "address_or_prefix", _parse_address_or_prefix, {"type": "string", "format": "address-or-cidr"}
)
"""An address, or a prefix with its host bits as given (Neutron's address pairs)."""


def _parse_mac(value: Any) -> str:
    if isinstance(value, str) and _MAC.fullmatch(value):
        return value.lower().replace("-", ":")
    raise BadValue(f"'{value}' is not a valid MAC address", f"{value!r} is not a 'mac'", value=value)


mac = Type("mac", _parse_mac, {"type": "string", "pattern": "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$"})
"""A MAC address, in lower case with colons."""


def _parse_any(value: Any) -> Any:
    return value


anything = Type("anything", _parse_any, {}, accepts_none=True)


null = Type("null", _parse_any, {"type": "null"}, accepts_none=True)
"""Nothing, said as null."""

binary = Type("binary", _parse_any, {"type": "string", "format": "binary"})
"""Bytes that are no JSON: of a body that streams, or of a reply."""


def _parse_time(value: Any) -> dt.datetime:
    if isinstance(value, str):
        try:
            return parse_time(value)
        except ValueError:
            pass
    raise BadValue(f"'{value}' is not a valid time", f"{value!r} is not a 'date-time'", value=value)


_TIME: Schema = {"type": "string", "format": "date-time"}

timestamp = Type(
    "timestamp", _parse_time, _TIME, show=lambda moment: moment.isoformat(timespec="seconds") + "Z"
)
"""ISO 8601 in, naive UTC inside, ``2026-01-31T10:20:30Z`` out (Neutron, Nova, Glance)."""

timestamp_micro = Type(
    "timestamp", _parse_time, _TIME, show=lambda moment: moment.isoformat(timespec="microseconds") + "Z"
)
"""The same with microseconds (Keystone)."""

timestamp_plain = Type(
    "timestamp", _parse_time, _TIME, show=lambda moment: moment.isoformat(timespec="microseconds")
)
"""The same with microseconds and without the Z (Cinder)."""


def enum(*values: Any) -> Type:
    """One of the values given."""

    def parse(value: Any) -> Any:
        # True == 1 in Python, and is no answer where 1 is asked for
        for allowed in values:
            if value == allowed and isinstance(value, bool) == isinstance(allowed, bool):
                return allowed
        raise BadValue(
            f"{value} is not in {list(values)}", f"{value!r} is not one of {list(values)!r}", value=value
        )

    return Type("enum", parse, {"enum": list(values)})


def nullable(inner: Type) -> Type:
    """``None``, or what ``inner`` takes."""

    def parse(value: Any) -> Any:
        return None if value is None else inner.parse(value)

    return Type(
        f"nullable {inner.name}",
        parse,
        {"anyOf": [inner.schema, {"type": "null"}]} if inner.schema else {},
        query=inner.query,
        accepts_none=True,
        show=inner.show,
    )


def list_of(
    item: Type,
    *,
    unique: bool = False,
    maximum: int | None = None,
    minimum: int = 0,
    none_is_empty: bool = False,
) -> Type:
    """A list whose items are of one type; ``None`` stands for the empty list where said so."""

    def parse(value: Any) -> list[Any]:
        if value is None and none_is_empty:
            return []
        if not isinstance(value, list):
            raise _not_a(value, "'{}' is not a list", "array")
        if maximum is not None and len(value) > maximum:
            raise BadValue(
                f"'{value}' exceeds maximum length of {maximum}", f"{value!r} is too long", value=value
            )
        if len(value) < minimum:
            raise BadValue("List should not be empty", f"{value!r} is too short", value=value)
        parsed = []
        for position, one in enumerate(value):
            parsed.append(_inside(item.parse, one, position))
        if unique:
            _refuse_duplicates(value, parsed)
        return parsed

    schema: Schema = {"type": "array", "items": item.schema}
    if unique:
        schema["uniqueItems"] = True
    if maximum is not None:
        schema["maxItems"] = maximum
    if minimum:
        schema["minItems"] = minimum
    return Type(f"list of {item.name}", parse, schema, query=item.query, accepts_none=none_is_empty)


def _refuse_duplicates(value: list[Any], parsed: list[Any]) -> None:
    position = first_repeat(parsed)
    if position is not None:
        raise BadValue(
            f"Duplicate items in the list: '{parsed[position]}'",
            f"{value!r} has non-unique elements",
            value=value,
        )


def _inside(parse: Parse, value: Any, step: str | int) -> Any:
    try:
        return parse(value)
    except BadValue as bad:
        bad.path = (step, *bad.path)
        raise


def dict_of(
    fields: Mapping[str, Type], *, required: Iterable[str] = (), additional: Type | None = None
) -> Type:
    """A dictionary with known keys; ``additional`` is the type of the values of other keys (None: none)."""
    known = dict(fields)
    needed = tuple(required)

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _not_a(value, "'{}' is not a dictionary", "object")
        for key in needed:
            if key not in value:
                raise BadValue(
                    f"Validation of dictionary's keys failed. Expected keys: {sorted(needed)} "
                    f"Provided keys: {sorted(value)}",
                    f"{key!r} is a required property",
                    value=value,
                )
        parsed = {}
        for key, one in value.items():
            kind = known.get(key, additional)
            if kind is None:
                raise BadValue(
                    f"Unexpected keys supplied: {key}",
                    f"Additional properties are not allowed ({key!r} was unexpected)",
                    value=value,
                    unknown_key=key,
                )
            parsed[key] = _inside(kind.parse, one, key)
        return parsed

    schema: Schema = {"type": "object", "properties": {key: kind.schema for key, kind in known.items()}}
    if needed:
        schema["required"] = list(needed)
    schema["additionalProperties"] = additional.schema if additional else False
    return Type("dictionary", parse, schema)


def one_of(*choices: Type) -> Type:
    """The first of the types that takes the value; the last one's sentence when none does."""

    def parse_by(name: str) -> Parse:
        def parse(value: Any) -> Any:
            for choice in choices[:-1]:
                try:
                    return getattr(choice, name)(value)
                except BadValue:
                    continue
            return getattr(choices[-1], name)(value)

        return parse

    return Type(
        " or ".join(choice.name for choice in choices),
        parse_by("parse"),
        {"anyOf": [choice.schema for choice in choices]},
        query=parse_by("query"),
        accepts_none=any(choice.accepts_none for choice in choices),
    )


def normalised(inner: Type, change: Callable[[Any], Any]) -> Type:
    """``inner``, and then ``change`` on what it returned; ``change`` may raise :class:`BadValue`."""

    def parse(value: Any) -> Any:
        return change(inner.parse(value))

    return Type(
        inner.name, parse, inner.schema, query=inner.query, accepts_none=inner.accepts_none, show=inner.show
    )


def with_default_none(inner: Type, replacement: Sequence[Any] | Mapping[str, Any] | str) -> Type:
    """``inner``, where ``None`` stands for a (copied) replacement, as Neutron's ``convert_none_to_…`` do."""

    def parse(value: Any) -> Any:
        if value is None:
            return replacement.copy() if isinstance(replacement, list | dict) else replacement
        return inner.parse(value)

    return Type(inner.name, parse, inner.schema, query=inner.query, accepts_none=True, show=inner.show)
