"""Plans what a gateway machine is to be inside: cards, routes, packet rules and DHCP, as one archive. Pure.

A machine routes by the same plan as an L3 agent's namespace, and answers DHCP by a DHCP agent's; only where
they are put is another thing, and who answers DHCP advertises the router, too. The guest's side is
``drivers/guestimage/guest/gateway``.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from pileus.drivers.dnsmasq import render as dnsmasq
from pileus.drivers.dnsmasq import spec
from pileus.drivers.nft.difference import difference
from pileus.drivers.nft.router import render as render_rules
from pileus.drivers.nft.table import Command, Table
from pileus.host.dhcp import plan as dhcp_plan
from pileus.host.dhcp.terms import mode_of
from pileus.host.l3 import plan as l3_plan
from pileus.host.metadata_endpoint import METADATA_V6
from pileus.host.namespaces.model import Namespace, NamespacePort
from pileus.wire.dhcp import DhcpNetwork
from pileus.wire.gateway import GatewayMachine
from pileus.wire.l3 import RouterDetails

PROGRAM = "/usr/lib/pileus/gateway"
"""In the guest: ``apply`` takes an archive, ``state`` says which is in force."""
_FOLDER = Path("/run/pileus/gateway/dhcp")
_USER, _GROUP = "nobody", "nogroup"
_AUTHORITATIVE = "--dhcp-authoritative"
_MODES: Mapping[str, Literal["stateful", "stateless", "autonomous"]] = {
    "slaac": "autonomous",
    "dhcpv6-stateless": "stateless",
    "dhcpv6-stateful": "stateful",
}
"""How guests get addresses, by what the router is to advertise."""


class Archive(msgspec.Struct, frozen=True):
    """An archive, and what names it: two with the same content have the same name."""

    digest: str
    content: bytes


def plan_archive(machine: GatewayMachine, lease_s: int) -> Archive:
    """Make the archive of a machine. Raises ValueError for what can't be told."""
    files = plan_files(machine, lease_s)
    digest = _digest(files)
    return Archive(digest, _packed({**files, "digest": f"{digest}\n"}))


def plan_files(machine: GatewayMachine, lease_s: int) -> dict[str, str]:
    """The files of a machine's archive, by path."""
    router = l3_plan.quieted(machine.router)
    inside = l3_plan.plan_namespace(router, "")
    files = {
        "cards": _lines(map(_card, inside.ports)),
        "routes": _lines(f"{one.destination} {one.device} {one.via or ''}".rstrip() for one in inside.routes),
        "sysctls": _lines(f"{path} {value}" for path, value in sorted(inside.sysctls.items())),
        "rules.json": _rules(router),
        "translations": _lines(_translations(router)),
    }
    if router.admin_state_up:
        files |= _dhcp(machine, router, inside, lease_s)
    return files


def _card(port: NamespacePort) -> str:
    addresses = [one for one in port.addresses if not one.startswith(METADATA_V6)]
    return " ".join([port.mac.lower(), port.name, str(port.mtu), *addresses])


def _rules(router: RouterDetails) -> str:
    """The packet rules as one load of nft, which takes the place of what is there."""
    rules = msgspec.structs.replace(l3_plan.plan_rules(router), metadata_port=None, helpers=())
    table, counted = render_rules(rules), l3_plan.plan_metering(router)
    commands = [*_emptied(table, "delete"), *difference(table, None)]
    # Chains and counters stay as they are: what has been counted is not forgotten when something changes.
    commands += _emptied(counted, "delete" if counted.absent else "flush")
    if not counted.absent:
        commands += difference(counted, None)
    return json.dumps({"nftables": commands}) + "\n"


def _emptied(table: Table, verb: str) -> list[Command]:
    named = {"table": {"family": table.family, "name": table.name}}
    return [{"add": named}, {verb: named}]


def _translations(router: RouterDetails) -> list[str]:
    """The addresses outside, with those that they lead to: connections of what goes are ended."""
    whole = {f"{one.floating_ip_address} {one.fixed_ip_address}" for one in router.floating_ips}
    single = {f"{one.floating_ip_address} {one.fixed_ip_address}" for one in router.port_forwardings}
    return sorted(whole | single)


def _dhcp(machine: GatewayMachine, router: RouterDetails, inside: Namespace, lease_s: int) -> dict[str, str]:
    cards = {port.port.port_id: l3_plan.interface_name(port) for port in router.interfaces}
    often = Counter(one for network in machine.served for one in _answered(network))
    files: dict[str, str] = {}
    for network in machine.served:
        port_id = network.port.port_id
        if port_id not in cards or not dhcp_plan.is_served(network):
            continue
        server = msgspec.structs.replace(
            dhcp_plan.plan_server(network, inside, lease_s), interface=cards[port_id], namespace=None
        )
        server = _advertising(server, network)
        rendered = dnsmasq.render(server, _FOLDER / port_id, _USER, _GROUP)
        arguments = [
            word
            for word in rendered.arguments[1:]
            # Of two servers on one network neither may refuse what the other gives.
            if word != _AUTHORITATIVE or all(often[one] == 1 for one in _answered(network))
        ]
        below = f"dhcp/{port_id}"
        files[f"{below}/arguments"] = _lines(arguments)
        files |= {f"{below}/{path}": content for path, content in rendered.files.items()}
    return files


def _advertising(server: spec.DhcpNetwork, network: DhcpNetwork) -> spec.DhcpNetwork:
    """The server, which advertises the router, too, where subnets want that: it has to know the prefixes
    anyway, and no other program is needed in the machine."""
    own = {address.subnet_id: address.ip_address for address in network.port.addresses}
    served = {subnet.id: subnet for subnet in server.subnets}
    for subnet in network.subnets:
        mode = _MODES.get(subnet.ipv6_ra_mode or "")
        if mode is not None and subnet.enable_dhcp:
            planned = served.get(subnet.subnet_id) or msgspec.structs.replace(
                dhcp_plan.plan_subnet(subnet, own), mode=mode
            )
            served[subnet.subnet_id] = msgspec.structs.replace(planned, advertised=True)
    return msgspec.structs.replace(server, subnets=tuple(served[key] for key in sorted(served)))


def _answered(network: DhcpNetwork) -> set[tuple[str, int]]:
    """The network with each version of IP in which its guests are answered."""
    return {(network.network_id, one.ip_version) for one in network.subnets if mode_of(one) is not None}


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _digest(files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:32]


def _packed(files: Mapping[str, str]) -> bytes:
    """A gzipped tar; the same files give the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in sorted(files.items()):
            data = content.encode()
            entry = tarfile.TarInfo(path)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(raw.getvalue(), mtime=0)
