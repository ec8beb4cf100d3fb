"""A network's server as dnsmasq's arguments and files. Pure. (dnsmasq(8), RFC 2132, 3442, 8415.)

Arguments hold what only a restart can change: where to listen, which subnets there are. The
rest are files of three folders that dnsmasq watches: ``hosts`` has one per port, ``options`` one
for the network and one for each subnet and port with options of its own, ``names`` one for each
port whose name is in a domain of its own. A new file is taken in as it appears; a changed or
deleted one when dnsmasq is told (SIGHUP).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pileus.core.addresses import parse_address, parse_prefix
from pileus.core.memo import Memos
from pileus.drivers.advertising.advertisers import LIFETIME_S, VALID_S
from pileus.drivers.dnsmasq.spec import DhcpHost, DhcpNetwork, DhcpOption, DhcpSubnet

MEMOS = Memos()
PROGRAM = "dnsmasq"
TAGGED = "set:"
"""Begins the tag of a host whose port has options of its own; see ``driver`` for its cost."""
_MAX_LEASES = 1 << 17
_ADVERTISED_EVERY_S = 200
_LABEL = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)


class Rendered(msgspec.Struct, frozen=True):
    """``files``: path below the network's folder to content."""

    arguments: tuple[str, ...]
    files: dict[str, str]


def render(network: DhcpNetwork, folder: Path, user: str, group: str) -> Rendered:
    """Render the arguments of a network's server and the files in its folder. Raises ValueError for
    values that could not be told to dnsmasq."""
    for name in (network.network_id, *(one.id for one in network.subnets)):
        _name(name)
    files = {"options/network": _network_options(network)}
    files |= {f"options/subnet-{subnet.id}": _subnet_options(subnet) for subnet in network.subnets}
    for host in network.hosts:
        files |= _host_files(host)
    arguments = _arguments(network, folder, user, group)
    if odd := next((word for word in (*arguments, *files) if not word.isprintable()), None):
        raise ValueError(f"{odd!r} has characters that can't be printed")
    return Rendered(arguments, files)


def host_fault(host: DhcpHost) -> str | None:
    """Why a host can't be told to dnsmasq as it is described; None if it can."""
    try:
        _host_files(host)
    except ValueError as error:
        return str(error)
    return None


@MEMOS.remember(1 << 15)
def _host_files(host: DhcpHost) -> Mapping[str, str]:
    files = {f"hosts/{_name(host.port_id)}": _host(host)}
    if host.options:
        files[f"options/port-{host.port_id}"] = _lines(
            _option(f"port-{host.port_id}", option) for option in host.options
        )
    if host.fqdn:
        name = _hostname(host.fqdn)
        files[f"names/{host.port_id}"] = _lines(f"{parse_address(one)} {name}" for one in host.addresses)
    return files


def _arguments(network: DhcpNetwork, folder: Path, user: str, group: str) -> tuple[str, ...]:
    """``--pid-file`` in the network's folder is also the label by which the process is found again."""
    return (
        PROGRAM,
        f"--pid-file={folder / 'pid'}",
        "--conf-file=/dev/null",
        *(("--port=53", "--domain-needed", "--bogus-priv") if network.names else ("--port=0",)),
        "--no-hosts",
        "--no-resolv",
        "--no-ping",
        "--bind-dynamic",
        f"--interface={network.interface}",
        "--except-interface=lo",
        # A client that comes back with an address of elsewhere is told so, and not left waiting.
        "--dhcp-authoritative",
        f"--dhcp-lease-max={_MAX_LEASES}",
        f"--dhcp-leasefile={folder / 'leases'}",
        f"--dhcp-hostsdir={folder / 'hosts'}",
        f"--dhcp-optsdir={folder / 'options'}",
        f"--hostsdir={folder / 'names'}",
        f"--log-facility={folder / 'log'}",
        "--quiet-dhcp",
        "--quiet-dhcp6",
        "--quiet-ra",
        f"--user={user}",
        f"--group={group}",
        *(_domain(network.domain, network.names) if network.domain else ()),
        *_own_domains(network),
        *(_range(subnet, network.lease_s) for subnet in network.subnets),
        *_advertising(network),
    )


def _advertising(network: DhcpNetwork) -> tuple[str, ...]:
    if not any(subnet.advertised for subnet in network.subnets):
        return ()
    mtu = f",mtu:{network.mtu}" if network.mtu is not None else ""
    return "--enable-ra", f"--ra-param={network.interface}{mtu},{_ADVERTISED_EVERY_S},{LIFETIME_S}"


def _own_domains(network: DhcpNetwork) -> Iterable[str]:
    """Domains that hosts have of their own: what is not known in one does not exist, and is not refused,
    as clients take for a failure (of the one address version that a name does not have)."""
    if not network.names:
        return ()
    domains = {_hostname(host.fqdn).partition(".")[2] for host in network.hosts if host.fqdn}
    return (f"--local=/{domain}/" for domain in sorted(domains))


def _domain(name: str, names: bool) -> tuple[str, ...]:
    """The network's domain; with names, what is not known there is not known at all."""
    name = _hostname(name)
    return (f"--domain={name}", f"--local=/{name}/") if names else (f"--domain={name}",)


def _range(subnet: DhcpSubnet, lease_s: int) -> str:
    """``static``: only ports that we know are served."""
    cidr = parse_prefix(subnet.cidr)
    lease = "infinite" if lease_s < 0 else f"{max(lease_s, 120)}s"  # dnsmasq knows none below two minutes
    if cidr.version == 4:
        return f"--dhcp-range=set:subnet-{subnet.id},{cidr.network_address},static,{cidr.netmask},{lease}"
    if subnet.advertised and subnet.mode != "stateful":
        mode = "ra-only" if subnet.mode == "autonomous" else "ra-stateless"
        return (
            f"--dhcp-range=set:subnet-{subnet.id},{cidr.network_address},{mode},{cidr.prefixlen},{VALID_S}s"
        )
    if subnet.mode == "stateless":
        return f"--dhcp-range=set:subnet-{subnet.id},{cidr.network_address},static,{cidr.prefixlen}"
    return f"--dhcp-range=set:subnet-{subnet.id},{cidr.network_address},static,{cidr.prefixlen},{lease}"


def _network_options(network: DhcpNetwork) -> str:
    return f"option:mtu,{network.mtu}\n" if network.mtu is not None else ""


def _subnet_options(subnet: DhcpSubnet) -> str:
    tag = f"subnet-{subnet.id}"
    if parse_prefix(subnet.cidr).version == 6:
        resolvers = ",".join(f"[{parse_address(resolver)}]" for resolver in subnet.resolvers)
        return _lines([f"tag:{tag},option6:dns-server{resolvers and f',{resolvers}'}"])
    # An option without a value keeps dnsmasq from announcing itself.
    lines = [
        f"tag:{tag},option:dns-server{''.join(f',{parse_address(r)}' for r in subnet.resolvers)}",
        f"tag:{tag},option:router{f',{parse_address(subnet.gateway)}' if subnet.gateway else ''}",
    ]
    if subnet.routes:
        routes = [(str(parse_prefix(r.destination)), r.via) for r in subnet.routes]
        if subnet.gateway and not any(destination == "0.0.0.0/0" for destination, _ in routes):
            # A client that takes these routes ignores the router option (RFC 3442).
            routes.append(("0.0.0.0/0", subnet.gateway))
        text = ",".join(f"{destination},{parse_address(via)}" for destination, via in routes)
        # 249 is the same option by the number that Windows gave it first.
        lines += [f"tag:{tag},option:classless-static-route,{text}", f"tag:{tag},249,{text}"]
    return _lines(lines)


def _host(host: DhcpHost) -> str:
    """One line for each address: which of them is given depends on the subnet that the request came from.
    ``id:*``: a port is known by its MAC, whatever its client calls itself (a boot loader, then a system)."""
    if not re.fullmatch(r"([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}", host.mac):
        raise ValueError(f"{host.mac!r} is no MAC address")
    start = host.mac.lower() + (f",{TAGGED}port-{host.port_id}" if host.options else "")
    name = f",{_hostname(host.hostname)}" if host.hostname else ""
    lines = []
    for text in host.addresses:
        address = parse_address(text)
        lines.append(
            f"{start},id:*,{address}{name}" if address.version == 4 else f"{start},[{address}]{name}"
        )
    return _lines(lines or [start])


def _option(tag: str, option: DhcpOption) -> str:
    if not re.fullmatch(r"[a-z0-9-]+", option.name):
        raise ValueError(f"{option.name!r} is no option's name")
    if not option.value.isprintable():
        raise ValueError(f"the value of option {option.name} has a line break or another control character")
    if option.version == 6:
        name = f"option6:{option.name}"
    else:
        name = option.name if option.name.isdigit() else f"option:{option.name}"
    return f"tag:{tag},{name}" + (f",{option.value}" if option.value else "")


def _hostname(name: str) -> str:
    if not _LABEL.fullmatch(name.removesuffix(".")):
        raise ValueError(f"{name!r} is no host's or domain's name")
    return name.removesuffix(".")


def _name(text: str) -> str:
    """An id as part of a file's name and of a tag."""
    if not re.fullmatch(r"[\w-][\w.-]{0,99}", text, re.ASCII):
        raise ValueError(f"{text!r} is no id")
    return text


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
