"""Applies the L3 agent's packet rules: all routers in one call of the driver, and the connections
of floating IPs and port forwardings that went are forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec.structs import replace

from pileus.core import log
from pileus.drivers.nft import metering
from pileus.drivers.nft.connections import Listening
from pileus.drivers.nft.driver import FilterFailed, Namespace, PacketFilter
from pileus.drivers.nft.forwarding import FORWARDED_ADDRESS, FORWARDED_PORT
from pileus.drivers.nft.router import FLOATING_TO_FIXED, RouterRules, render
from pileus.drivers.nft.table import Command, Table, parse_element

_log = log.get("host.l3")


class RuleApplier:
    """Brings routers' tables into force."""

    def __init__(self, packet_filter: PacketFilter) -> None:
        self._filter = packet_filter
        self._generations: dict[str, int] = {}
        self._besides: dict[str, Sequence[Table]] = {}
        self.missing_helpers: dict[str, str] = {}
        """Conntrack helpers that the kernel refuses, by the names of their objects, with the reason."""

    async def enforce(
        self, wanted: Mapping[str, RouterRules], besides: Mapping[str, Sequence[Table]] | None = None
    ) -> tuple[int, dict[str, str]]:
        """Make the tables in these namespaces as described, and those ``besides``; how much changed,
        and which could not be made, by namespace with the reason."""
        if not wanted:
            return 0, {}
        self._besides = dict(besides or {})
        wanted = {name: self._possible(rules) for name, rules in wanted.items()}
        done, failed = await self._load(wanted)
        if any(wanted[name].helpers for name in failed):
            await self._find_missing(wanted, failed)
            again = {name: self._possible(wanted[name]) for name in failed}
            more, failed = await self._load(again)
            done = {**done, **more}
        changed = {name: some for name, commands in done.items() if (some := _translations_changed(commands))}
        await self.forget(changed)
        names = [name for name in wanted if name not in failed]
        self._generations |= {
            str(key): value for key, value in (await self._filter.generations(names)).items()
        }
        changes = sum(map(_size, (command for commands in done.values() for command in commands)))
        return changes + bool(failed), failed

    async def forget(self, gone: Mapping[Namespace, Collection[str | Listening]]) -> None:
        """End the connections of addresses, and of ports, that lead nowhere any more, or only now."""
        if not gone:
            return
        try:
            await self._filter.forget_connections(dict(gone))
        except FilterFailed as failure:
            _log.warning("connections by addresses that went are not ended", why=str(failure))

    async def _load(
        self, wanted: Mapping[str, RouterRules]
    ) -> tuple[Mapping[Namespace, list[Command]], dict[str, str]]:
        tables: dict[Namespace, Sequence[Table]] = {
            name: [render(rules), *self._besides.get(name, ())] for name, rules in wanted.items()
        }
        try:
            return await self._filter.apply(tables), {}
        except FilterFailed as failure:
            return failure.done, {str(namespace): why for namespace, why in failure.reasons.items()}

    def _possible(self, rules: RouterRules) -> RouterRules:
        """The rules without the helpers that this kernel has not."""
        if not self.missing_helpers:
            return rules
        possible = tuple(one for one in rules.helpers if one.object.name not in self.missing_helpers)
        return replace(rules, helpers=possible)

    async def _find_missing(self, wanted: Mapping[str, RouterRules], failed: Mapping[str, str]) -> None:
        """Find the helpers that are refused where the same rules without any are taken, one by one."""
        bare = {name: replace(wanted[name], helpers=()) for name in failed if wanted[name].helpers}
        _, refused = await self._load(bare)
        for name, rules in bare.items():
            if name in refused:
                continue
            for one in wanted[name].helpers:
                if one.object.name in self.missing_helpers:
                    continue
                _, why = await self._load({name: replace(rules, helpers=(one,))})
                if why:
                    self.missing_helpers[one.object.name] = why[name]
                    _log.warning(
                        "this node's kernel has no such conntrack helper: routers here do without it",
                        helper=one.helper,
                        protocol=one.protocol,
                        why=why[name],
                    )

    async def counted(self, names: Iterable[str]) -> dict[str, dict[str, tuple[int, int]]]:
        """The counters of metering labels in these namespaces: packets and bytes by label."""
        try:
            found = await self._filter.read(list(names))
        except FilterFailed as failure:
            _log.warning("counters can't be read", why=str(failure))
            return {}
        return {
            str(name): {
                metering.label_id(counter): both
                for (kind, counter), both in tables[key].objects.items()
                if kind == "counter"
            }
            for name, tables in found.items()
            if (key := ("inet", metering.TABLE)) in tables
        }

    async def changed(self, names: Iterable[str]) -> set[str]:
        """Those namespaces whose rules somebody has changed since they were brought into force."""
        known = {name: self._generations[name] for name in names if name in self._generations}
        self._generations = known
        found = await self._filter.generations(list(known))
        return {name for name, value in known.items() if found.get(name, value) != value}


def _translations_changed(commands: Iterable[Command]) -> set[str | Listening]:
    """The floating IPs, and the forwarded ports, that a load took away or gave to another port; and the
    floating IPs that came: a stream that met the address before its rule would go past the rule for good."""
    commands = list(commands)
    gone: set[str | Listening] = set()
    made = {command["add"]["map"]["name"] for command in commands if "map" in command.get("add", {})}
    for command in commands:
        target = command.get("delete", {}).get("element", {})
        came = command.get("add", {}).get("element", {})
        if came.get("name") == FLOATING_TO_FIXED and FLOATING_TO_FIXED not in made:
            gone |= {str(parse_element(listed)[0].key) for listed in came["elem"]}
        for listed in target.get("elem", ()):
            key = parse_element(listed)[0].key
            if target["name"] == FLOATING_TO_FIXED:
                gone.add(str(key))
            elif target["name"] in (FORWARDED_ADDRESS, FORWARDED_PORT) and isinstance(key, tuple):
                protocol, address, ports = map(str, key)
                first, _, last = ports.partition("-")
                gone.add(Listening(address, protocol, int(first), int(last or first)))
    return gone


def _size(command: Command) -> int:
    """Elements count one by one."""
    ((_, target),) = command.items()
    ((kind, body),) = target.items()
    return len(body["elem"]) if kind == "element" else 1
