"""dnsmasq's arguments and files as rendered, and its lease file as read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pileus.drivers.dnsmasq import files
from pileus.drivers.dnsmasq.leases import Release, parse_leases, release_packet
from pileus.drivers.dnsmasq.render import render
from pileus.drivers.dnsmasq.spec import DhcpHost, DhcpNetwork, DhcpOption, DhcpRoute, DhcpSubnet, Lease

NETWORK = DhcpNetwork(
    network_id="n1",
    interface="tapdhcp",
    namespace="dhcp-n1",
    mtu=1450,
    domain="example.org.",
    lease_s=600,
    subnets=(
        DhcpSubnet(
            id="s4",
            cidr="10.0.0.0/24",
            server="10.0.0.2",
            gateway="10.0.0.1",
            resolvers=("9.9.9.9",),
            routes=(DhcpRoute("169.254.169.254/32", "10.0.0.2"), DhcpRoute("10.9.0.0/16", "0.0.0.0")),
        ),
        DhcpSubnet(id="s5", cidr="10.1.0.0/24"),
        DhcpSubnet(id="s6", cidr="fd00:1::/64", resolvers=("fd00:1::53",)),
        DhcpSubnet(id="s7", cidr="fd00:2::/64", mode="stateless"),
    ),
    hosts=(
        DhcpHost(port_id="p1", mac="FA:16:3e:00:00:01", addresses=("10.0.0.5", "fd00:1::5"), hostname="web"),
        DhcpHost(
            port_id="p2",
            mac="fa:16:3e:00:00:02",
            addresses=(),
            options=(
                DhcpOption("bootfile-name", "ipxe.efi"),
                DhcpOption("42", "10.0.0.3"),
                DhcpOption("ntp-server", "[fd00::3]", 6),
            ),
        ),
    ),
)


def test_rendering(golden: Callable[[str, str], None]) -> None:
    rendered = render(NETWORK, Path("/run/pileus/dhcp/n1"), "nobody", "nogroup")
    text = "\n".join(rendered.arguments) + "\n"
    for path, content in sorted(rendered.files.items()):
        text += f"\n== {path}\n{content}"
    golden("dnsmasq/network.txt", text)


def test_leases_of_both_families() -> None:
    text = (
        "1795246557 fa:16:3e:00:00:05 10.7.0.5 host-5 01:fa:16:3e:00:00:05\n"
        "0 06-fa:16:3e:00:00:06 10.7.0.6 * *\n"
        "duid 00:01:00:01:2a\n"
        "1795246558 318 fd00:1::5 web 00:01:00:01:ff\n"
    )
    assert parse_leases(text) == [
        Lease("10.7.0.5", "fa:16:3e:00:00:05", "host-5", "01:fa:16:3e:00:00:05", 1795246557),
        Lease("10.7.0.6", "fa:16:3e:00:00:06", None, "", 0),
        Lease("fd00:1::5", "", "web", "00:01:00:01:ff", 1795246558),
    ]


def test_a_release_speaks_for_the_client() -> None:
    packet = release_packet(Release("10.7.0.2", Lease("10.7.0.5", "fa:16:3e:00:00:05", None, "01:aa", 0)))
    assert packet[:4] == b"\x01\x01\x06\x00"
    assert packet[12:16] == bytes((10, 7, 0, 5))
    assert packet[28:34] == bytes.fromhex("fa163e000005")
    assert packet[236:] == bytes.fromhex("6382536335010736040a0700023d0201aaff")


def test_only_what_differs_is_written(tmp_path: Path) -> None:
    first = files.bring(tmp_path, {"hosts/a": "1", "options/x": "2", "hosts/b": "3"})
    assert set(first.added) == {"hosts/a", "options/x", "hosts/b"} and not first.replaced
    stamp = (tmp_path / "hosts/a").stat().st_mtime_ns
    (tmp_path / "hosts" / ".half").write_text("a process died here")
    second = files.bring(tmp_path, {"hosts/a": "1", "hosts/b": "4"})
    assert (second.added, second.replaced, second.deleted) == ((), ("hosts/b",), ("options/x",))
    assert second.before == {"hosts/b": "3", "options/x": "2"}
    assert (tmp_path / "hosts/a").stat().st_mtime_ns == stamp
    assert files.read(tmp_path) == {"hosts/a": "1", "hosts/b": "4"}
    assert not (tmp_path / "hosts" / ".half").exists()
