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
from tests.unit.gateways.scene import LEASE_S, machine, served
from tests.unit.l3.scene import floating, inner

import pileus.drivers.guestimage
from pileus.host.gateways.plan import plan_archive, plan_files
from pileus.wire.dhcp import HostRoute

SCRIPTS = Path(pileus.drivers.guestimage.__file__).parent / "guest" / "gateway/usr/lib/pileus"


def test_golden(golden: Callable[[str, str], None]) -> None:
    one = machine(floating_ips=(floating(9),), routes=(HostRoute("192.0.2.0/24", "10.1.0.9"),))
    files = plan_files(one, LEASE_S)
    files["rules.json"] = json.dumps(json.loads(files["rules.json"]), indent=1) + "\n"
    text = "".join(f"== {path}\n{content}" for path, content in sorted(files.items()))
    golden("gateways/machine.txt", text)


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
