"""The archive of a gateway machine: what is in it, and what changes it."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.unit.gateways.scene import LEASE_S, machine, machine_of_six, served, six
from tests.unit.l3.scene import floating, inner

import pileus.drivers.guestimage
from pileus.host.gateways.plan import plan_archive, plan_files
from pileus.wire.dhcp import DhcpNetwork, HostRoute
from pileus.wire.l3 import RouterPort

SCRIPTS = Path(pileus.drivers.guestimage.__file__).parent / "guest" / "gateway/usr/lib/pileus"


def test_golden(golden: Callable[[str, str], None]) -> None:
    one = machine(floating_ips=(floating(9),), routes=(HostRoute("192.0.2.0/24", "10.1.0.9"),))
    files = plan_files(one, LEASE_S)
    files["rules.json"] = json.dumps(json.loads(files["rules.json"]), indent=1) + "\n"
    text = "".join(f"== {path}\n{content}" for path, content in sorted(files.items()))
    golden("gateways/machine.txt", text)


def test_golden_ipv6(golden: Callable[[str, str], None]) -> None:
    modes = ("slaac", "dhcpv6-stateless", "dhcpv6-stateful", None)
    several = [six(number, mode) for number, mode in enumerate(modes, 1)]
    one = machine_of_six(*several, routes=(HostRoute("2001:db8:99::/64", "2001:db8:3::9"),))
    files = plan_files(one, LEASE_S)
    del files["rules.json"]  # of IPv4; nothing of IPv6 is translated
    files = {path: content for path, content in files.items() if "/options/network" not in path}
    text = "".join(f"== {path}\n{content}" for path, content in sorted(files.items()))
    golden("gateways/ipv6.txt", text)


def test_what_is_advertised_and_given() -> None:
    def words(*several: tuple[RouterPort, DhcpNetwork]) -> list[str]:
        files = plan_files(machine_of_six(*several), LEASE_S)
        (text,) = [content for path, content in files.items() if path.endswith("/arguments")]
        return [
            word for word in text.splitlines() if word.startswith(("--dhcp-range", "--enable-ra", "--ra-"))
        ]

    start = "--dhcp-range=set:subnet-six1,2001:db8:1::"
    told = ["--enable-ra", "--ra-param=qr-00000001-qr,mtu:1450,200,1800"]
    assert words(six(1, "slaac")) == [f"{start},ra-only,64,86400s", *told]
    assert words(six(1, "dhcpv6-stateless")) == [f"{start},ra-stateless,64,86400s", *told]
    assert words(six(1, "dhcpv6-stateful")) == [f"{start},static,64,{LEASE_S}s", *told]
    # Another router advertises; this one gives addresses only, or nothing.
    assert words(six(1, None)) == [f"{start},static,64,{LEASE_S}s"]
    assert words(six(1, None, address_mode="dhcpv6-stateless")) == [f"{start},static,64"]
    assert words(six(1, None, address_mode="slaac")) == []
    port, network = six(1, "slaac")
    down = replace(network, admin_state_up=False)
    assert not [
        path for path in plan_files(machine_of_six((port, down)), LEASE_S) if path.startswith("dhcp/")
    ]


def test_servers_of_two_versions_on_one_network_are_each_the_only_one() -> None:
    one, (port, network) = machine(), six(2, "dhcpv6-stateful")
    beside = one.served[0].network_id
    port, network = replace(port, network_id=beside), replace(network, network_id=beside)
    router = replace(one.router, interfaces=(*one.router.interfaces, port))
    both = plan_files(replace(one, router=router, served=(*one.served, network)), LEASE_S)
    texts = [text for path, text in both.items() if path.endswith("arguments")]
    assert len(texts) == 2 and all("--dhcp-authoritative" in text for text in texts)


def test_an_archive_is_named_by_its_content() -> None:
    one = plan_archive(machine(), LEASE_S)
    assert plan_archive(machine(), LEASE_S) == one
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(one.content))) as archive:
        names = set(archive.getnames())
        digest = archive.extractfile("digest")
        assert digest is not None and digest.read().decode() == f"{one.digest}\n"
    assert {"cards", "routes", "sysctls", "rules.json", "translations", "digest"} <= names
    for other in (machine(2), machine(floating_ips=(floating(9),)), machine(admin_state_up=False)):
        assert plan_archive(other, LEASE_S).digest != one.digest
    assert plan_archive(machine(), LEASE_S + 1).digest != one.digest


def test_one_that_is_down_answers_nothing() -> None:
    files = plan_files(machine(admin_state_up=False, floating_ips=(floating(9),)), LEASE_S)
    assert not [path for path in files if path.startswith("dhcp/")]
    assert files["translations"] == "" and files["routes"] == ""
    assert all(len(line.split()) == 3 for line in files["cards"].splitlines())


def test_two_servers_on_one_network_refuse_nothing_of_each_other() -> None:
    one = machine()
    arguments = next(text for path, text in plan_files(one, LEASE_S).items() if path.endswith("arguments"))
    assert "--dhcp-authoritative" in arguments
    second = inner(2, network_id=one.served[0].network_id)
    router = replace(one.router, interfaces=(*one.router.interfaces, second))
    two = replace(one, router=router, served=(*one.served, served(second, 2)))
    several = [text for path, text in plan_files(two, LEASE_S).items() if path.endswith("arguments")]
    assert len(several) == 2 and not any("--dhcp-authoritative" in text for text in several)


def test_a_machine_has_no_metadata_of_its_own() -> None:
    files = plan_files(machine(), LEASE_S)
    assert "169.254.169.254" not in files["rules.json"] and "fe80::a9fe:a9fe" not in files["cards"]
    options = next(text for path, text in files.items() if path.endswith("options/subnet-s1"))
    assert "169.254.169.254/32,10.1.0.2" in options and "0.0.0.0/0,10.1.0.1" in options


@pytest.mark.parametrize("name", ["gateway", "guest-agent"])
def test_scripts_are_such_as_the_guest_reads(name: str) -> None:
    shell = shutil.which("busybox")
    words = (shell, "sh") if shell else ("sh",)
    done = subprocess.run((*words, "-n", str(SCRIPTS / name)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
