"""One flow, and the difference between the flows that shall be and those that are.

A flow is written as ovs-ofctl(8) reads it. Two flows are equal when a switch would do the
same with them: the texts are compared in the canonical forms of ``match`` and ``actions``,
so that a flow of ours equals the same flow in a dump.

    >>> Flow(0, 10, "tcp,tp_dst=80", "strip_vlan,output:3") == parse_flow(
    ...     " table=0, priority=10,tcp,tp_dst=0x50 actions=pop_vlan,output:3"
    ... )
    True
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from pileus.drivers.openflow.actions import canonical_actions, check_actions
from pileus.drivers.openflow.fields import BadFlow, integer
from pileus.drivers.openflow.match import Match, canonical_match, check_prerequisites, matches_vlan

DEFAULT_PRIORITY = 32768
_OPTIONS = frozenset(("idle_timeout", "hard_timeout", "importance"))
_OPTION_FLAGS = frozenset(
    ("send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts")
)
_STATISTICS = frozenset(("duration", "n_packets", "n_bytes", "idle_age", "hard_age"))

Key = tuple[int, int, Match]
"""Identifies a flow in a switch: table, priority and match."""


class Flow(msgspec.Struct, frozen=True, eq=False):
    """``match`` and ``actions`` in the words of ovs-ofctl; ``options`` are time limits and flags.

    ``cookie`` says whose flow it is (64 bits, 0: nobody's).
    """

    table: int
    priority: int
    match: str
    actions: str
    cookie: int = 0
    options: str = ""

    @property
    def key(self) -> Key:
        """Table, priority and canonical match; raises BadFlow."""
        return self.table, self.priority, canonical_match(self.match)

    @property
    def effect(self) -> tuple[str, int, str]:
        """Canonical actions, cookie and options: what may differ between two flows of one key."""
        form = canonical_actions(self.actions, _needs_vlan(self.actions) and matches_vlan(self.key[2]))
        return form, self.cookie, self.options

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Flow) and self.key == other.key and self.effect == other.effect

    def __ne__(self, other: object) -> bool:
        return not self == other  # the struct's own would compare the texts

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        """A line as ovs-ofctl reads it."""
        match = f",{self.match}" if self.match else ""
        options = f",{self.options}" if self.options else ""
        cookie = f"cookie={self.cookie:#x}," if self.cookie else ""
        actions = self.actions or "drop"
        return f"{cookie}table={self.table},priority={self.priority}{options}{match},actions={actions}"

    def check(self) -> None:
        """Raise BadFlow for what no switch would take."""
        if not 0 <= self.table <= 254:
            raise BadFlow(f"there is no table {self.table}")
        if not 0 <= self.priority <= 65535:
            raise BadFlow(f"priority {self.priority} is not between 0 and 65535")
        if not 0 <= self.cookie < 1 << 64:
            raise BadFlow(f"cookie {self.cookie} does not fit into 64 bits")
        if not str(self).isprintable():
            raise BadFlow(f"{str(self)!r} has characters that can't be printed")
        check_prerequisites(self.key[2])
        check_actions(self.actions)
        _ = self.effect


class Difference(NamedTuple):
    """``add``: flows to write (new, or with other actions, cookie or options than the installed one
    of the same key); ``delete``: flows to take away. No key is in both."""

    add: list[Flow]
    delete: list[Flow]


def difference(
    desired: Iterable[Flow], installed: Iterable[Flow], is_ours: Callable[[int], bool]
) -> Difference:
    """Compute the changes that make the installed flows the desired ones. Flows whose cookie ``is_ours``
    refuses are left alone, unless a desired one has their key. Of desired flows with one key the last
    counts."""
    wanted = {flow.key: flow for flow in desired}
    add = dict(wanted)
    delete = []
    for flow in installed:
        key = flow.key
        same = wanted.get(key)
        if same is None:
            if is_ours(flow.cookie):
                delete.append(flow)
        elif same.effect == flow.effect:
            del add[key]
    return Difference(list(add.values()), delete)


def parse_flow(line: str) -> Flow:
    """A flow from a line of a dump or of a file of flows; raises BadFlow if there are no actions."""
    head, found, actions = line.partition("actions=")
    if not found:
        raise BadFlow(f"{line.strip()}: no actions")
    table, priority, cookie = 0, DEFAULT_PRIORITY, 0
    match: list[str] = []
    options: list[str] = []
    for token in head.replace(" ", "").split(","):
        name, equals, value = token.partition("=")
        if name == "priority":
            priority = int(value)
        elif name == "table":
            table = int(value)
        elif name == "cookie":
            cookie = integer(value)
        elif name in (_OPTIONS if equals else _OPTION_FLAGS):
            options.append(token)
        elif token and name not in _STATISTICS:
            match.append(token)
    return Flow(table, priority, ",".join(match), actions.strip(), cookie, ",".join(sorted(options)))


def _needs_vlan(actions: str) -> bool:
    return "mod_vlan" in actions or "set_vlan" in actions
