"""Simulated nftables: it takes the same commands and keeps the same tables; no packet passes.

A load is atomic, and refused for the reasons that the kernel has: names that are not there,
elements that are, chains and sets still in use.
"""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.core.files import write_atomically
from pileus.drivers.nft.connections import Listening
from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.driver import FilterFailed, Namespace
from pileus.drivers.nft.table import (
    PREFIX,
    Command,
    InstalledTable,
    Table,
    TableKey,
    parse_element,
    parse_ruleset,
)

_HOST = ""
HELPERS = frozenset({"Q.931", "amanda", "ftp", "irc", "netbios-ns", "pptp", "sane", "sip", "snmp", "tftp"})
"""The helpers for connections that a kernel may have."""


class SimulatedFilter:
    """``PacketFilter`` without packets. ``loads`` counts what changed something, ``forgotten`` has the
    addresses whose connections were to be forgotten."""

    def __init__(self, state_file: Path | None = None) -> None:
        self.loads = 0
        self.forgotten: list[tuple[Namespace, str | Listening]] = []
        self._generations: Counter[str] = Counter()
        self._file = state_file
        self._rulesets: dict[str, Ruleset] = {}
        if state_file is not None and state_file.exists():
            saved = msgspec.json.decode(state_file.read_bytes(), type=dict[str, dict[str, Any]])
            self._rulesets = {namespace: Ruleset(tables) for namespace, tables in saved.items()}

    async def read(
        self, namespaces: Collection[Namespace]
    ) -> dict[Namespace, dict[TableKey, InstalledTable]]:
        """See PacketFilter."""
        return {namespace: self._list(namespace) for namespace in namespaces}

    async def generations(self, namespaces: Collection[Namespace]) -> dict[Namespace, int]:
        """See PacketFilter."""
        return {namespace: self._generations[namespace or _HOST] for namespace in namespaces}

    async def apply(self, wanted: Mapping[Namespace, Sequence[Table]]) -> dict[Namespace, list[Command]]:
        """See PacketFilter."""
        commands = {
            namespace: [
                command
                for table in tables
                for command in difference(table, self._list(namespace).get((table.family, table.name)))
            ]
            for namespace, tables in wanted.items()
        }
        try:
            self._load(commands)
        except FilterFailed as failure:
            done = {name: some for name, some in commands.items() if name not in failure.reasons}
            raise FilterFailed(failure.reasons, done) from failure
        return commands

    async def remove(self, gone: Mapping[Namespace, Collection[TableKey]]) -> None:
        """See PacketFilter."""
        self._load(
            {
                namespace: [
                    {"delete": {"table": {"family": family, "name": name}}}
                    for family, name in tables
                    if (family, name) in self._list(namespace)
                ]
                for namespace, tables in gone.items()
            }
        )

    async def forget_connections(self, gone: Mapping[Namespace, Collection[str | Listening]]) -> int:
        """See PacketFilter. There are no connections."""
        self.forgotten += [
            (namespace, address) for namespace, addresses in gone.items() for address in addresses
        ]
        return 0

    def forget_namespace(self, namespace: str) -> None:
        """A namespace that is deleted takes its tables along."""
        self._rulesets.pop(namespace, None)
        self._generations[namespace] += 1
        self._store()

    def _list(self, namespace: Namespace) -> dict[TableKey, InstalledTable]:
        ruleset = self._rulesets.get(namespace or _HOST)
        return parse_ruleset(ruleset.listed()) if ruleset is not None else {}

    def _load(self, commands: Mapping[Namespace, Sequence[Command]]) -> None:
        reasons: dict[Namespace, str] = {}
        for namespace, listed in commands.items():
            if not listed:
                continue
            present = self._rulesets.get(namespace or _HOST, Ruleset({}))
            changed = copy.deepcopy(present)
            try:
                for command in json.loads(json.dumps(listed)):
                    changed.do(command)
            except Refused as error:
                reasons[namespace] = str(error)
                continue
            self._rulesets[namespace or _HOST] = changed
            self._generations[namespace or _HOST] += 1
            self.loads += 1
        self._store()
        if reasons:
            raise FilterFailed(reasons)

    def _store(self) -> None:
        if self._file is not None:
            saved = {namespace: ruleset.tables for namespace, ruleset in self._rulesets.items()}
            write_atomically(self._file, msgspec.json.encode(saved))


class Refused(Exception):
    """A command that the kernel would not take."""


class Ruleset:
    """The tables of one namespace. A table: ``chains`` (name to body, with ``rules``) and ``sets``."""

    def __init__(self, tables: dict[str, Any]) -> None:
        self.tables = tables

    def listed(self) -> dict[str, Any]:
        """List the rules as ``nft -j list ruleset`` does."""
        entries: list[dict[str, Any]] = [{"metainfo": {"json_schema_version": 1}}]
        for label, table in self.tables.items():
            family, _, name = label.partition(" ")
            entries.append({"table": {"family": family, "name": name}})
            entries += [
                {kind: body | {"elem": list(elements.values())}}
                for kind, body, elements in table["sets"].values()
            ]
            entries += [
                {kind: body | ({"packets": 0, "bytes": 0} if kind == "counter" else {})}
                for kind, body in table.get("objects", {}).values()
            ]
            chains = table["chains"].values()
            entries += [{"chain": {k: v for k, v in chain.items() if k != "rules"}} for chain in chains]
            entries += [{"rule": rule} for chain in chains for rule in chain["rules"]]
        return {"nftables": entries}

    def do(self, command: Command) -> None:
        """Take one command in. Raises Refused."""
        ((verb, target),) = command.items()
        ((kind, body),) = target.items()
        if kind == "table":
            self._table_command(verb, f"{body['family']} {body['name']}")
            return
        label = f"{body['family']} {body['table']}"
        table = self.tables.get(label)
        if table is None:
            raise Refused(f"Error: No such file or directory: table {label}")
        if kind == "chain":
            self._chain_command(verb, table, body)
        elif kind in ("set", "map"):
            self._set_command(verb, table, kind, body)
        elif kind == "element":
            self._element_command(verb, table, body)
        elif kind in ("counter", "ct helper"):
            self._object_command(verb, table, kind, body)
        elif kind == "rule" and verb == "add":
            self._need(table["chains"], body["chain"])
            for name in _references(body["expr"]):
                self._need(table["sets"], name)
            for name in _objects(body["expr"]):
                self._need(table.get("objects", {}), name)
            table["chains"][body["chain"]]["rules"].append(body)
        else:
            raise Refused(f"Error: {verb} {kind}")

    def _table_command(self, verb: str, label: str) -> None:
        if verb == "add":
            if not label.partition(" ")[2].startswith(PREFIX):
                raise Refused(f"Error: {label} is not ours")
            self.tables.setdefault(label, {"chains": {}, "sets": {}})
        else:
            self._need(self.tables, label)
            del self.tables[label]

    def _chain_command(self, verb: str, table: dict[str, Any], body: dict[str, Any]) -> None:
        chains = table["chains"]
        if verb == "add":
            chains.setdefault(body["name"], body | {"rules": []})
            return
        self._need(chains, body["name"])
        if verb == "flush":
            chains[body["name"]]["rules"] = []
        elif chains[body["name"]]["rules"]:
            raise Refused(f"Error: Could not process rule: Device or resource busy: chain {body['name']}")
        else:
            del chains[body["name"]]

    def _set_command(self, verb: str, table: dict[str, Any], kind: str, body: dict[str, Any]) -> None:
        sets = table["sets"]
        if verb == "add":
            elements = body.pop("elem", [])
            sets.setdefault(body["name"], (kind, body, {}))
            self._add(sets[body["name"]][2], elements)
            return
        self._need(sets, body["name"])
        rules = (rule for chain in table["chains"].values() for rule in chain["rules"])
        if any(body["name"] in _references(rule["expr"]) for rule in rules):
            raise Refused(f"Error: Could not process rule: Device or resource busy: set {body['name']}")
        del sets[body["name"]]

    def _object_command(self, verb: str, table: dict[str, Any], kind: str, body: dict[str, Any]) -> None:
        objects = table.setdefault("objects", {})  # a state file of earlier versions has none
        if verb == "add":
            if kind == "ct helper" and body["type"] not in HELPERS:
                raise Refused(f"Error: Could not process rule: No such file or directory: {body['type']}")
            objects.setdefault(f"{kind} {body['name']}", (kind, body))
            return
        name = f"{kind} {body['name']}"
        self._need(objects, name)
        rules = (rule for chain in table["chains"].values() for rule in chain["rules"])
        if any(name in _objects(rule["expr"]) for rule in rules):
            raise Refused(f"Error: Could not process rule: Device or resource busy: {name}")
        del objects[name]

    def _element_command(self, verb: str, table: dict[str, Any], body: dict[str, Any]) -> None:
        self._need(table["sets"], body["name"])
        elements = table["sets"][body["name"]][2]
        if verb == "add":
            self._add(elements, body["elem"])
            return
        for listed in body["elem"]:
            key = repr(parse_element(listed)[0].key)
            self._need(elements, key)
            del elements[key]

    @staticmethod
    def _add(elements: dict[str, Any], listed: Sequence[Any]) -> None:
        for entry in listed:
            element = parse_element(entry)[0]
            key = repr(element.key)
            if key in elements and parse_element(elements[key])[0].value != element.value:
                raise Refused(f"Error: Could not process rule: File exists: {element.key}")
            elements.setdefault(key, entry)

    @staticmethod
    def _need(names: Collection[str], name: str) -> None:
        if name not in names:
            raise Refused(f"Error: No such file or directory: {name}")


def _objects(expressions: Sequence[Any]) -> set[str]:
    """The counters and helpers that a rule names."""
    return {
        f"{kind} {name}"
        for expression in expressions
        for kind, name in expression.items()
        if kind in ("counter", "ct helper") and isinstance(name, str)
    }


def _references(expressions: Any) -> set[str]:
    """The sets and maps that a rule looks into."""
    if isinstance(expressions, str):
        return {expressions[1:]} if expressions.startswith("@") else set()
    if isinstance(expressions, dict):
        expressions = list(expressions.values())
    if isinstance(expressions, list):
        return {name for part in expressions for name in _references(part)}
    return set()
