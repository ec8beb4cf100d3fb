"""Addresses of ports: what they ask for is checked, the rest is drawn and looked up.

A pure pass (``slots_of``) turns what each port asks for into *slots*: an address asked for by name, or
"one of these subnets". Then the drawn candidates are asked of the database in one
statement; only a subnet too full for luck is read whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from pileus.core.addresses import parse_address, parse_prefix
from pileus.core.errors import Conflict, Invalid
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.facts import SubnetFacts
from pileus.services.network.rules import addresses
from pileus.services.network.rules.device_owners import is_trusted
from pileus.services.network.subnets.tables import ip_allocations
from pileus.store.tx import Tx


class InvalidIpForNetwork(Invalid):
    message = "IP address {ip_address} is not a valid IP for any of the subnets on the specified network."


class InvalidIpForSubnet(Invalid):
    message = "IP address {ip_address} is not a valid IP for the specified subnet."


class IpAddressAlreadyAllocated(Conflict):
    message = "IP address {ip} already allocated in subnet {subnet_id}"


class IpAddressGenerationFailure(Conflict):
    message = "No more IP addresses available on network {net_id}."


class Slot(NamedTuple):
    """One address that a port is to have: ``address``, or any of the subnets ``choices``, in order."""

    choices: tuple[str, ...]
    address: str | None = None


_TAKEN_AMONG = select(ip_allocations.c.subnet_id, ip_allocations.c.ip_address).where(
    ip_allocations.c.subnet_id.in_(bindparam("subnets", expanding=True)),
    ip_allocations.c.ip_address.in_(bindparam("addresses", expanding=True)),
)
_TAKEN = select(ip_allocations.c.subnet_id, ip_allocations.c.ip_address).where(
    ip_allocations.c.subnet_id.in_(bindparam("subnets", expanding=True))
)


def slots_of(
    port: Mapping[str, Any],
    network_subnets: Sequence[SubnetFacts],
    config: NetworkConfig,
    keep: Collection[tuple[str, str]] = (),
) -> list[Slot]:
    """The slots of one port. ``port["fixed_ips"]`` is None for "as usual": one IPv4 address, one IPv6 address
    from a managed subnet, and one on each automatic subnet. ``keep`` are (subnet, address) it has already."""
    asked = port["fixed_ips"]
    owner = port["device_owner"]
    usable = [one for one in network_subnets if not one.service_types or owner in one.service_types]
    if asked is None:
        if network_subnets and not usable:
            raise IpAddressGenerationFailure(
                f"No valid service subnet for the given device owner, network_id={port['network_id']}, "
                f"device_owner={owner}."
            )
        slots = []
        for version in (4, 6):
            choices = tuple(one.id for one in usable if one.ip_version == version and not one.is_automatic)
            if choices:
                slots.append(Slot(choices))
        return slots + _slaac(port, usable, ())
    if len(asked) > config.max_fixed_ips and not is_trusted(owner):  # the bound is for guests
        raise InvalidInput("Exceeded maximum amount of fixed ips per port")
    by_id = {one.id: one for one in network_subnets}
    slots = [_asked(port, requested, by_id, usable, keep) for requested in asked]
    if asked:
        named = {slot.choices[0] for slot in slots}
        slots += _slaac(port, usable, named)
    return slots


def _slaac(port: Mapping[str, Any], usable: Iterable[SubnetFacts], named: Collection[str]) -> list[Slot]:
    if port["device_owner"].startswith("network:router"):
        return []
    return [
        Slot((one.id,), addresses.eui64(one.cidr, port["mac_address"]))
        for one in usable
        if one.is_automatic and one.id not in named
    ]


def _asked(
    port: Mapping[str, Any],
    requested: Mapping[str, str],
    by_id: Mapping[str, SubnetFacts],
    usable: Sequence[SubnetFacts],
    keep: Collection[tuple[str, str]],
) -> Slot:
    subnet_id, address = requested.get("subnet_id"), requested.get("ip_address")
    if subnet_id is None:
        if address is None:
            raise InvalidInput("IP allocation requires subnet_id or ip_address")
        subnet = next((one for one in usable if _may_have(port, one, address)), None)
        if subnet is None:
            raise InvalidIpForNetwork(ip_address=address)
    else:
        found = by_id.get(subnet_id)
        if found is None:
            raise InvalidInput(
                f"Failed to create port on network {port['network_id']}, because fixed_ips included "
                f"invalid subnet {subnet_id}"
            )
        subnet = found
    if address is None:
        if subnet.is_automatic:
            return Slot((subnet.id,), addresses.eui64(subnet.cidr, port["mac_address"]))
        return Slot((subnet.id,))
    if not _may_have(port, subnet, address):
        raise InvalidIpForSubnet(ip_address=address)
    if (
        subnet.is_automatic
        and (subnet.id, address) not in keep
        and address != addresses.eui64(subnet.cidr, port["mac_address"])
        and not port["device_owner"].startswith("network:router")
    ):
        raise InvalidInput(
            f"IPv6 address {address} can not be directly assigned to a port on subnet {subnet.id} "
            "since the subnet is configured for automatic addresses"
        )
    return Slot((subnet.id,), address)


def _may_have(port: Mapping[str, Any], subnet: SubnetFacts, address: str) -> bool:
    owner = port["device_owner"]
    of_router = not owner or owner.startswith("network:router")
    return addresses.may_have(parse_prefix(subnet.cidr), parse_address(address), of_router)


def allocate(
    tx: Tx,
    wanted: Sequence[tuple[str, Sequence[Slot]]],
    by_id: Mapping[str, SubnetFacts],
    config: NetworkConfig,
    keep: Collection[tuple[str, str]] = (),
) -> list[list[dict[str, str]]]:
    """Fixed IPs for each (network id, slots), in order. One statement, and one more for full subnets.

    IpAddressAlreadyAllocated where an address asked for is taken (those in ``keep`` are the asker's own),
    IpAddressGenerationFailure where there are no more.
    """
    named = {
        (slot.choices[0], slot.address) for _, slots in wanted for slot in slots if slot.address is not None
    }
    _refuse_twice(wanted)
    need: dict[str, int] = {}
    for _, slots in wanted:
        for slot in slots:
            if slot.address is None:
                need[slot.choices[0]] = need.get(slot.choices[0], 0) + 1
    free: dict[str, list[str]] = {}
    avoid: dict[str, set[str]] = {}
    for subnet_id, address in named:
        avoid.setdefault(subnet_id, set()).add(address)
    for subnet_id, count in need.items():
        if not config.lowest:
            subnet = by_id[subnet_id]
            drawn = addresses.draw(subnet.pools(), 2 * count + 4, config.dice)
            free[subnet_id] = [addresses.text(one, subnet.ip_version) for one in drawn]
    taken = _taken_among(tx, free, named - set(keep))
    for subnet_id, address in sorted(named - set(keep)):
        if address in taken.get(subnet_id, ()):
            raise IpAddressAlreadyAllocated(ip=address, subnet_id=subnet_id)
    for subnet_id, candidates in free.items():
        out = taken.get(subnet_id, set()) | avoid.get(subnet_id, set())
        free[subnet_id] = [address for address in candidates if address not in out]
    short = {subnet_id for subnet_id, count in need.items() if len(free.get(subnet_id, ())) < count}
    if short:
        # Whoever may go to another subnet does so when the first is full: read those as well.
        short |= {
            choice
            for _, slots in wanted
            for slot in slots
            if short & {*slot.choices}
            for choice in slot.choices
        }
        _read_whole(tx, short, need, free, avoid, by_id, wanted, config)
    return [_fill(network_id, slots, free) for network_id, slots in wanted]


def _refuse_twice(wanted: Sequence[tuple[str, Sequence[Slot]]]) -> None:
    seen: set[tuple[str, str]] = set()
    for _, slots in wanted:
        for slot in slots:
            if slot.address is not None:
                key = (slot.choices[0], slot.address)
                if key in seen:
                    raise IpAddressAlreadyAllocated(ip=slot.address, subnet_id=key[0])
                seen.add(key)


def _taken_among(
    tx: Tx, drawn: Mapping[str, Sequence[str]], named: Collection[tuple[str, str]]
) -> dict[str, set[str]]:
    asked = {address for candidates in drawn.values() for address in candidates}
    asked |= {address for _, address in named}
    where = {*drawn, *(subnet_id for subnet_id, _ in named)}
    taken: dict[str, set[str]] = {}
    if asked:
        parameters = {"subnets": sorted(where), "addresses": sorted(asked)}
        for row in tx.rows(_TAKEN_AMONG, parameters):
            taken.setdefault(row.subnet_id, set()).add(row.ip_address)
    return taken


def _read_whole(
    tx: Tx,
    subnet_ids: Collection[str],
    need: Mapping[str, int],
    free: dict[str, list[str]],
    avoid: Mapping[str, set[str]],
    by_id: Mapping[str, SubnetFacts],
    wanted: Sequence[tuple[str, Sequence[Slot]]],
    config: NetworkConfig,
) -> None:
    taken: dict[str, set[int]] = {
        subnet_id: {addresses.number(one) for one in avoid.get(subnet_id, ())} for subnet_id in subnet_ids
    }
    for row in tx.rows(_TAKEN, {"subnets": sorted(subnet_ids)}):
        taken[row.subnet_id].add(addresses.number(row.ip_address))
    everyone = sum(need.values())
    for subnet_id in subnet_ids:
        subnet = by_id[subnet_id]
        chosen = addresses.choose(subnet.pools(), taken[subnet_id], everyone, config.dice, config.lowest)
        free[subnet_id] = [addresses.text(one, subnet.ip_version) for one in chosen]


def _fill(network_id: str, slots: Sequence[Slot], free: dict[str, list[str]]) -> list[dict[str, str]]:
    given = []
    for slot in slots:
        if slot.address is not None:
            given.append({"subnet_id": slot.choices[0], "ip_address": slot.address})
            continue
        subnet_id = next((choice for choice in slot.choices if free.get(choice)), None)
        if subnet_id is None:
            raise IpAddressGenerationFailure(net_id=network_id)
        given.append({"subnet_id": subnet_id, "ip_address": free[subnet_id].pop(0)})
    return given
