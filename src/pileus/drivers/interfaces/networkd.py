"""A host's network as files of systemd-networkd. (systemd.network(5), systemd.netdev(5).)

networkd knows no Open vSwitch: bridges, bonds and inner VLANs are made in the switch's database, by the
agent, and stay there over a restart; these files give them their addresses and bring their members up.
"""

from __future__ import annotations

from collections.abc import Iterator

from pileus.drivers.interfaces.checks import of_version
from pileus.drivers.interfaces.spec import Addressed, Bridge, HostNetwork, Vlan

_HEAD = "# Made by `pileus node network`."
_DHCP = {(False, False): "no", (True, False): "ipv4", (False, True): "ipv6", (True, True): "yes"}


def render(network: HostNetwork) -> dict[str, str]:
    """Write the files of ``/etc/systemd/network`` by name."""
    masters = {
        port: bridge.name for bridge in network.bridges if bridge.kind == "linux" for port in bridge.ports
    }
    vlans: dict[str, list[str]] = {}
    for vlan in network.kernel_vlans():
        vlans.setdefault(vlan.link, []).append(vlan.name)
    bond_mtu = {member: bond.mtu for bond in network.bonds for member in bond.members}
    files: dict[str, str] = {}
    for bridge in network.bridges:
        if bridge.kind == "linux":
            files[f"20-{bridge.name}.netdev"] = _bridge_device(bridge)
    for vlan in network.kernel_vlans():
        files[f"20-{vlan.name}.netdev"] = _vlan_device(vlan)
    for card in network.cards():
        one = Addressed(name=card, mtu=bond_mtu.get(card))
        files[f"30-{card}.network"] = _network(one, masters.get(card), vlans.get(card, ()))
    for one in (*network.interfaces, *network.bridges, *network.vlans):
        files[f"30-{one.name}.network"] = _network(one, masters.get(one.name), vlans.get(one.name, ()))
    return files


def one_text(files: dict[str, str]) -> str:
    """All files in one text, each below a line with its name."""
    return "\n".join(f"# /etc/systemd/network/{name}\n{text}" for name, text in files.items())


def _bridge_device(bridge: Bridge) -> str:
    return _text(
        {"NetDev": [f"Name={bridge.name}", "Kind=bridge"], "Bridge": ["STP=no", "ForwardDelaySec=0"]}
    )


def _vlan_device(vlan: Vlan) -> str:
    return _text({"NetDev": [f"Name={vlan.name}", "Kind=vlan"], "VLAN": [f"Id={vlan.vlan_id}"]})


def _network(one: Addressed, master: str | None, vlans: tuple[str, ...] | list[str]) -> str:
    body = [f"DHCP={_DHCP[one.method == 'dhcp', one.method6 == 'dhcp']}"]
    body.append(f"IPv6AcceptRA={'yes' if one.method6 in ('auto', 'dhcp') else 'no'}")
    if (one.method, one.method6) == ("manual", "manual"):
        body.append("LinkLocalAddressing=no")
    if master:
        body.append(f"Bridge={master}")
    body += [f"VLAN={name}" for name in vlans]
    body += [f"Address={address}" for address in (*of_version(one, 4), *of_version(one, 6))]
    body += [f"Gateway={gateway}" for gateway in (one.gateway, one.gateway6) if gateway]
    body += [f"DNS={address}" for address in one.dns]
    if one.search:
        body.append(f"Domains={' '.join(one.search)}")
    link = [f"MTUBytes={one.mtu}"] if one.mtu else []
    if (one.method, one.method6) == ("manual", "manual"):
        link.append("RequiredForOnline=carrier")
    sections = {"Match": [f"Name={one.name}"], "Link": link, "Network": body}
    return _text({name: lines for name, lines in sections.items() if lines})


def _text(sections: dict[str, list[str]]) -> str:
    def lines() -> Iterator[str]:
        yield _HEAD
        for name, body in sections.items():
            yield from ("", f"[{name}]", *body)

    return "\n".join(lines()) + "\n"
