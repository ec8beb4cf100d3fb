"""A host's own network as values: bridges, bonds, VLANs and plain interfaces.

The same values are put into Open vSwitch by the node's agent and written as files of ifupdown, netplan and
systemd-networkd. Addresses are the files' affair: they are wanted at boot, before any agent runs.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

OWNER_KEY, OWNER = "pileus-owner", "host"
"""The label in external_ids of the bridges and ports that are declared here."""

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$")]
"""A name that the kernel (15 characters) and each of the files can hold."""


class Addressed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an interface gets its addresses. ``method`` is about IPv4, ``method6`` about IPv6 (``auto``: from
    router advertisements); a static one has those of ``addresses`` (with prefix lengths) of its version."""

    name: Name
    method: Literal["manual", "dhcp", "static"] = "manual"
    method6: Literal["manual", "auto", "dhcp", "static"] = "manual"
    addresses: tuple[str, ...] = ()
    gateway: str = ""
    gateway6: str = ""
    dns: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    mtu: Annotated[int, msgspec.Meta(ge=576, le=65535)] | None = None


class Interface(Addressed, frozen=True, kw_only=True):
    """A network card that is in no bridge and no bond."""


class Bridge(Addressed, frozen=True, kw_only=True):
    """A bridge and the network cards that are its ports; bonds and VLANs name it by themselves. ``linux`` is
    the kernel's own (brctl), which the Linux-bridge agent uses."""

    kind: Literal["openvswitch", "linux"] = "openvswitch"
    ports: tuple[Name, ...] = ()


class Vlan(Addressed, frozen=True, kw_only=True):
    """A VLAN of the host's own: of a bridge of Open vSwitch (an internal port with a tag), or of a network
    card (the kernel's device)."""

    link: Name
    vlan_id: Annotated[int, msgspec.Meta(ge=1, le=4094)]


class Bond(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Several network cards as one port of a bridge of Open vSwitch (ovs-vswitchd.conf.db(5), Port).

    ``primary`` is the card that an active-backup bond prefers. ``lacp_time``: how often the other side is
    asked to tell of itself (1 or 30 seconds).
    """

    name: Name
    bridge: Name
    members: tuple[Name, ...]
    mode: Literal["active-backup", "balance-slb", "balance-tcp"] = "active-backup"
    lacp: Literal["off", "active", "passive"] = "off"
    lacp_time: Literal["fast", "slow"] = "slow"
    primary: str = ""
    up_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    down_delay_ms: Annotated[int, msgspec.Meta(ge=0, le=600_000)] = 0
    mtu: Annotated[int, msgspec.Meta(ge=576, le=65535)] | None = None

    def other_config(self) -> dict[str, str]:
        """The keys of ``other_config`` that say more than the columns of a port do."""
        found: dict[str, str] = {}
        if self.lacp != "off":
            found["lacp-time"] = self.lacp_time
        if self.primary:
            found["bond-primary"] = self.primary
        return found


class HostNetwork(msgspec.Struct, frozen=True, kw_only=True):
    """All that is declared of a host's network."""

    interfaces: tuple[Interface, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    bonds: tuple[Bond, ...] = ()
    vlans: tuple[Vlan, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.interfaces or self.bridges or self.bonds or self.vlans)

    def switches(self) -> dict[str, Bridge]:
        """The bridges of Open vSwitch by name."""
        return {bridge.name: bridge for bridge in self.bridges if bridge.kind == "openvswitch"}

    def inner_vlans(self) -> tuple[Vlan, ...]:
        """VLANs that are internal ports of a bridge of Open vSwitch."""
        switches = self.switches()
        return tuple(vlan for vlan in self.vlans if vlan.link in switches)

    def kernel_vlans(self) -> tuple[Vlan, ...]:
        """VLANs that are devices of the kernel."""
        switches = self.switches()
        return tuple(vlan for vlan in self.vlans if vlan.link not in switches)

    def cards(self) -> tuple[str, ...]:
        """Network cards that are named as ports, members or links and declared as nothing else."""
        named = [port for bridge in self.bridges for port in bridge.ports]
        named += [member for bond in self.bonds for member in bond.members]
        named += [vlan.link for vlan in self.kernel_vlans()]
        declared = set(self.names())
        return tuple(dict.fromkeys(name for name in named if name not in declared))

    def names(self) -> list[str]:
        """The names of all that is declared."""
        addressed: tuple[Addressed, ...] = (*self.interfaces, *self.bridges, *self.vlans)
        return [*(one.name for one in addressed), *(bond.name for bond in self.bonds)]
