"""A table of nftables as values, and its JSON (libnftables-json(5)) both ways.

A rule is known by its comment: a label for people and a digest of the expression. So rules
are compared without the forms that different versions of nft print an expression in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

PREFIX = "pileus_"
"""Tables whose name begins so are ours."""

Atom = str | int
Key = Atom | tuple[Atom, ...]
"""An address, prefix (``10.0.0.0/24``), name, port, range of ports (``80-89``) or mark; a tuple where the
type is a concatenation."""
_RANGE = re.compile(r"\d+-\d+")

Expression = Mapping[str, Any]
Command = dict[str, Any]


class Element(msgspec.Struct, frozen=True):
    """An element of a set, or with a value of a map."""

    key: Key
    value: Key | None = None
    comment: str = ""


class NamedSet(msgspec.Struct, frozen=True, kw_only=True):
    """A named set; with a ``value_type`` a map. ``counted``: each element counts packets and bytes."""

    name: str
    type: tuple[str, ...]
    value_type: tuple[str, ...] = ()
    interval: bool = False
    counted: bool = False
    elements: tuple[Element, ...] = ()

    @property
    def shape(self) -> tuple[Any, ...]:
        """The attributes that can't be changed once it is there."""
        return self.type, self.value_type, self.interval, self.counted


class NamedObject(msgspec.Struct, frozen=True):
    """A stateful object that rules name: a ``counter``, or a ``ct helper`` with ``type`` and ``protocol``.
    Its name says all about it: one that is there under the name is the one that is wanted."""

    kind: Literal["counter", "ct helper"]
    name: str
    type: str = ""
    protocol: str = ""


class Rule(msgspec.Struct, frozen=True):
    """A rule: expressions and statements in nft's JSON, and a label of a few words."""

    label: str
    expressions: tuple[Expression, ...]

    @property
    def comment(self) -> str:
        """The comment that identifies the rule."""
        text = json.dumps(self.expressions, sort_keys=True)
        return f"{self.label} {hashlib.sha256(text.encode()).hexdigest()[:12]}"


class Base(msgspec.Struct, frozen=True):
    """Where packets enter a base chain. ``device``: of a chain in a table of the family netdev; it is
    not read back, as nft 1.0.6 does not show it in JSON."""

    type: Literal["filter", "nat", "route"]
    hook: Literal["prerouting", "input", "forward", "output", "postrouting", "ingress"]
    priority: int
    policy: Literal["accept", "drop"] = "accept"
    device: str = ""


class Chain(msgspec.Struct, frozen=True):
    """A chain; without a base others jump to it."""

    name: str
    rules: tuple[Rule, ...] = ()
    base: Base | None = None


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A whole table as it shall be."""

    name: str
    family: Literal["ip", "ip6", "inet", "arp", "bridge", "netdev"] = "ip"
    sets: tuple[NamedSet, ...] = ()
    chains: tuple[Chain, ...] = ()
    objects: tuple[NamedObject, ...] = ()
    absent: bool = False
    """There shall be no such table."""


class InstalledChain(msgspec.Struct):
    """A chain as read; of its rules the comments, in order."""

    base: Base | None
    comments: list[str] = []


class InstalledSet(msgspec.Struct):
    """A set or map as read, its elements by key; ``counters``: packets and bytes, where it counts."""

    declared: NamedSet
    elements: dict[Key, Element] = {}
    counters: dict[Key, tuple[int, int]] = {}


class InstalledTable(msgspec.Struct):
    """A table as read; of its objects packets and bytes, which only counters have."""

    sets: dict[str, InstalledSet] = {}
    chains: dict[str, InstalledChain] = {}
    objects: dict[tuple[str, str], tuple[int, int]] = {}


TableKey = tuple[str, str]
"""Family and name."""


def parse_ruleset(listed: Mapping[str, Any]) -> dict[TableKey, InstalledTable]:
    """Parse the output of ``nft -j list ruleset``: of it the tables that are ours."""
    found: dict[TableKey, InstalledTable] = {}
    for entry in listed["nftables"]:
        ((kind, body),) = entry.items()
        name = body.get("name" if kind == "table" else "table", "")
        if not name.startswith(PREFIX):
            continue
        table = found.setdefault((body["family"], name), InstalledTable())
        if kind == "chain":
            table.chains[body["name"]] = InstalledChain(_base(body))
        elif kind == "rule":
            table.chains[body["chain"]].comments.append(body.get("comment", ""))
        elif kind in ("set", "map"):
            table.sets[body["name"]] = _installed_set(body)
        elif kind in ("counter", "ct helper"):
            table.objects[kind, body["name"]] = body.get("packets", 0), body.get("bytes", 0)
    return found


def set_body(family: str, table: str, declared: NamedSet, elements: Sequence[Element] = ()) -> Command:
    """The object that adds a set or map."""
    body: dict[str, Any] = {"family": family, "table": table, "name": declared.name}
    body["type"] = _type(declared.type)
    if declared.value_type:
        body["map"] = _type(declared.value_type)
    if declared.interval:
        body["flags"] = ["interval"]
    if declared.counted:
        body["stmt"] = [{"counter": None}]
    if elements:
        body["elem"] = [element_json(element) for element in elements]
    return {"map" if declared.value_type else "set": body}


def object_body(family: str, table: str, kind: str, name: str, wanted: NamedObject | None = None) -> Command:
    """The object that adds (``wanted``) or deletes a counter or a helper."""
    body: dict[str, Any] = {"family": family, "table": table, "name": name}
    if wanted is not None and kind == "ct helper":
        body |= {"type": wanted.type, "protocol": wanted.protocol, "l3proto": family}
    return {kind: body}


def elements_body(family: str, table: str, name: str, elements: Iterable[Element]) -> Command:
    """The object that adds or deletes elements."""
    listed = [element_json(element) for element in elements]
    return {"element": {"family": family, "table": table, "name": name, "elem": listed}}


def chain_body(family: str, table: str, name: str, base: Base | None = None) -> Command:
    """The object that adds, flushes or deletes a chain."""
    body: dict[str, Any] = {"family": family, "table": table, "name": name}
    if base is not None:
        body |= {"type": base.type, "hook": base.hook, "prio": base.priority, "policy": base.policy}
        if base.device:
            body["dev"] = base.device
    return {"chain": body}


def rule_body(family: str, table: str, chain: str, rule: Rule) -> Command:
    """The object that adds a rule."""
    return {
        "rule": {
            "family": family,
            "table": table,
            "chain": chain,
            "expr": list(rule.expressions),
            "comment": rule.comment,
        }
    }


def element_json(element: Element) -> Any:
    """An element as nft takes it."""
    key: Any = _key_json(element.key)
    if element.comment:
        key = {"elem": {"val": key, "comment": element.comment}}
    return key if element.value is None else [key, _key_json(element.value)]


def parse_element(listed: Any) -> tuple[Element, tuple[int, int] | None]:
    """An element as nft prints it, and its counter."""
    value = None
    if isinstance(listed, list):
        listed, value = listed[0], _key(listed[1])
    if isinstance(listed, dict) and "elem" in listed:
        body = listed["elem"]
        counter = body.get("counter")
        counted = (counter["packets"], counter["bytes"]) if counter else None
        return Element(_key(body["val"]), value, body.get("comment", "")), counted
    return Element(_key(listed), value), None


def _installed_set(body: Mapping[str, Any]) -> InstalledSet:
    declared = NamedSet(
        name=body["name"],
        type=_type_words(body["type"]),
        value_type=_type_words(body["map"]) if "map" in body else (),
        interval="interval" in body.get("flags", ()),
        counted=any("counter" in statement for statement in body.get("stmt", ())),
    )
    installed = InstalledSet(declared)
    for listed in body.get("elem", ()):
        element, counter = parse_element(listed)
        installed.elements[element.key] = element
        if counter is not None:
            installed.counters[element.key] = counter
    return installed


def _base(body: Mapping[str, Any]) -> Base | None:
    if "hook" not in body:
        return None
    return Base(body["type"], body["hook"], body["prio"], body.get("policy", "accept"))


def _type(words: tuple[str, ...]) -> Any:
    return words[0] if len(words) == 1 else list(words)


def _type_words(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _key_json(key: Key) -> Any:
    if isinstance(key, tuple):
        return {"concat": [_key_json(part) for part in key]}
    if isinstance(key, str) and "/" in key:
        address, _, length = key.partition("/")
        return {"prefix": {"addr": address, "len": int(length)}}
    if isinstance(key, str) and _RANGE.fullmatch(key):
        return {"range": [int(part) for part in key.split("-")]}
    return key


def _key(value: Any) -> Key:
    if isinstance(value, dict):
        if "concat" in value:
            return tuple(_atom(part) for part in value["concat"])
        return _atom(value)
    return _atom(value)


def _atom(value: Any) -> Atom:
    if isinstance(value, dict):
        if "prefix" in value:
            return f"{value['prefix']['addr']}/{value['prefix']['len']}"
        if "range" in value:
            return "-".join(map(str, value["range"]))
        return json.dumps(value, sort_keys=True)  # not of our making: never wanted, so it goes
    return value if isinstance(value, int) else str(value)
