"""The guest image, booted: QEMU with TCG, its user-mode network closed but for ssh on loopback and metadata.

KVM is never used here, since on some machines it is there and hangs.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pileus.app.commands.image import default_cache
from pileus.drivers.guestimage import BUILD_PACKAGES, GuestImage, build_image
from pileus.drivers.guestimage.console import said
from pileus.drivers.guestimage.disk import MIB, SECTOR

pytestmark = [pytest.mark.real, pytest.mark.slow]

PROGRAMS = {
    "apt-get": "apt",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mformat": "mtools",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
}
INSTANCE = "5b3a1f0e-7f6c-4a58-9d2c-2d3f6c1b9a77"
METADATA_NET = "net=169.254.169.0/24,dhcpstart=169.254.169.15"
USER_DATA = """#!/bin/bash
echo "user data speaks"
echo "run by $(id -un) on $(hostname)" >> /root/user-data-was-here
exit 3
"""


def search_path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin:/sbin"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    missing = [package for name, package in PROGRAMS.items() if not shutil.which(name, path=search_path())]
    if missing:
        pytest.skip(f"no guest can be built and booted without {' '.join(missing)}")
    file = tmp_path_factory.mktemp("image") / "guest.qcow2"
    return build_image(file, default_cache(), lambda text: None)


class Guest:
    """A virtual machine with a disk of its own over the image.

    ``netdev`` is QEMU's, its ssh answers at ``address``; QEMU and ssh are started behind ``inside``, the
    words that put a program into a network namespace.
    """

    def __init__(
        self,
        image: Path,
        folder: Path,
        machine: str,
        netdev: str,
        *devices: str,
        address: tuple[str, int],
        inside: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.address = address
        self.inside = inside
        self.console = folder / "console"
        self.disk = folder / "disk.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2", str(self.disk))
        command = [
            *inside,
            *("qemu-system-x86_64", "-machine", f"{machine},accel=tcg", "-m", "192", "-display", "none"),
            *("-nodefaults", "-serial", f"file:{self.console}"),
            *("-qmp", f"unix:{folder}/qmp,server=on,wait=off"),
            *("-drive", f"file={self.disk},if=virtio", "-device", "virtio-rng-pci"),
            *("-netdev", f"{netdev},id=net0"),
            *("-device", "virtio-net-pci,netdev=net0,csum=off,romfile=,mac=52:54:00:12:34:56"),
            *devices,
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def said(self) -> list[str]:
        return [line.text for line in said(self.console.read_text(errors="replace"))]

    def wait_for(self, what: Callable[[list[str]], bool], wanted: str, timeout_s: float = 90) -> list[str]:
        deadline = time.monotonic() + timeout_s
        while True:
            lines = self.said() if self.console.exists() else []
            if what(lines):
                return lines
            assert self.process.poll() is None, f"QEMU ended before {wanted}: {lines}"
            assert time.monotonic() < deadline, f"no {wanted} within {timeout_s} s: {lines}"
            time.sleep(0.1)

    def wait_ready(self, boots: int = 1) -> list[str]:
        return self.wait_for(
            lambda lines: sum(line.startswith("ready ") for line in lines) >= boots, f"boot {boots} ready"
        )

    def ssh(self, user: str, command: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Log in, trusting only the host key that the guest printed on its console."""
        key = next(line for line in reversed(self.said()) if line.startswith("host-key "))
        hosts = self.folder / "known_hosts"
        host, port = self.address
        hosts.write_text(f"[{host}]:{port},{host} {key.removeprefix('host-key ')}\n")
        return subprocess.run(
            [
                *self.inside,
                *("ssh", "-F", "none", "-p", str(port), "-i", str(self.folder / "key")),
                *("-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o", f"UserKnownHostsFile={hosts}"),
                *("-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", *options),
                f"{user}@{host}",
                command,
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def qmp(self, name: str, **arguments: object) -> object:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.folder / "qmp"))
            stream = connection.makefile("rw")
            stream.readline()  # the greeting
            for command, values in (("qmp_capabilities", {}), (name, arguments)):
                stream.write(json.dumps({"execute": command, "arguments": values}) + "\n")
                stream.flush()
                reply = {}
                while not reply.keys() & {"return", "error"}:  # events come in between
                    reply = json.loads(stream.readline())
                assert "return" in reply, reply
            return reply["return"]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


StartGuest = Callable[..., Guest]


@pytest.fixture
def start(image: GuestImage, tmp_path: Path) -> Iterator[StartGuest]:
    with contextlib.ExitStack() as guests:

        def start(machine: str, net: str, *devices: str) -> Guest:
            """A guest on a network of QEMU's own, closed to the world; ``net`` are more options of it."""
            port = free_port()
            netdev = f"user,restrict=on,{net},hostfwd=tcp:127.0.0.1:{port}-:22"
            guest = Guest(image.file, tmp_path, machine, netdev, *devices, address=("127.0.0.1", port))
            guests.callback(guest.stop)
            return guest

        yield start


def run(*command: str) -> None:
    subprocess.run(command, check=True, env={**os.environ, "PATH": search_path()}, stdout=subprocess.DEVNULL)


def make_key(folder: Path) -> str:
    """A key pair that Guest.ssh logs in with; back comes its public half."""
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", 'a "key" of tests', "-f", str(folder / "key"))
    return (folder / "key.pub").read_text()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def metadata(public_key: str, hostname: str = "web1.novalocal") -> str:
    """meta_data.json in Nova's shape."""
    return json.dumps(
        {
            "uuid": INSTANCE,
            "name": "web1",
            "hostname": hostname,
            "public_keys": {"my key": public_key},
            "keys": [{"name": "my key", "type": "ssh", "data": public_key}],
            "meta": {"note": 'quotes " and \\ and é'},
            "availability_zone": "nova",
            "launch_index": 0,
            "devices": [],
        }
    )


def serve_metadata(folder: Path) -> str:
    """Network options that answer at 169.254.169.254 with the files below ``folder``."""
    responder = Path(__file__).with_name("guest_metadata.py")
    return f"{METADATA_NET},guestfwd=tcp:169.254.169.254:80-cmd:{sys.executable} {responder} {folder}"


@pytest.mark.alone  # fetches the packages for all
def test_small_and_made_of_named_packages(image: GuestImage) -> None:
    assert image.size == image.file.stat().st_size < 40 * MIB
    names = {package.name for package in image.packages}
    assert {"busybox-static", "dropbear-bin", "syslinux", "libc6"} <= names
    assert any(name.startswith("linux-image-") for name in names)


def test_the_same_packages_give_the_same_image(image: GuestImage, tmp_path: Path) -> None:
    again = build_image(tmp_path / "again.qcow2", default_cache(), lambda text: None)
    assert again.file.read_bytes() == image.file.read_bytes()


def test_boot_log_in_reboot_and_power_button(start: StartGuest, tmp_path: Path) -> None:
    latest = tmp_path / "metadata" / "openstack" / "latest"
    latest.mkdir(parents=True)
    (latest / "user_data").write_text(USER_DATA)
    (latest / "meta_data.json").write_text(metadata(make_key(tmp_path)))
    guest = start("pc", serve_metadata(tmp_path / "metadata"))

    lines = guest.wait_ready()
    assert "lease 169.254.169.15/24 interface eth0 server 169.254.169.2" in lines
    assert f"metadata hostname=web1 instance={INSTANCE} keys=1 source=service" in lines
    assert "ssh ready keys=1" in lines
    assert "user-data exit=3" in lines
    assert "user data speaks" in guest.console.read_text()

    assert guest.ssh("pileus", "id -un; hostname; hostname -f").stdout.split() == [
        "pileus",
        "web1",
        "web1.novalocal",
    ]
    assert guest.ssh("root", "cat user-data-was-here").stdout == "run by root on web1\n"
    refused = guest.ssh("root", "true", "-o", "PubkeyAuthentication=no", "-o", "BatchMode=no")
    assert refused.returncode == 255
    assert "(publickey)" in refused.stderr
    assert guest.ssh("pileus", "cat /etc/shadow").returncode == 1

    guest.ssh("pileus", "echo mine > notes; sync")
    guest.ssh("root", "reboot")
    lines = guest.wait_ready(boots=2)
    assert sum(line.startswith("host-key ") for line in lines) == 2
    assert len({line for line in lines if line.startswith("host-key ")}) == 1, "the host key is kept"
    assert sum(line.startswith("user-data ") for line in lines) == 1, "user data runs once for an instance"
    assert guest.ssh("pileus", "cat notes").stdout == "mine\n"

    guest.qmp("netdev_add", type="user", id="net1", net="10.99.0.0/24", restrict=True)
    guest.qmp("device_add", driver="virtio-net-pci", id="card1", netdev="net1", romfile="")
    guest.wait_for(
        lambda lines: any("interface eth1" in line for line in lines), "lease of a card plugged in"
    )
    guest.qmp("device_del", id="card1")
    guest.wait_for(lambda lines: "gone interface eth1" in lines, "word of the card plugged out")

    guest.qmp("system_powerdown")
    assert guest.process.wait(timeout=40) == 0
    assert guest.said()[-2:] == ["power button", "stopping"]
    check_file_system(guest.disk, tmp_path)


def check_file_system(disk: Path, folder: Path) -> None:
    """The guest left its root clean: nothing to replay, nothing to repair."""
    raw = folder / "raw"
    run("qemu-img", "convert", "-O", "raw", str(disk), str(raw))
    with raw.open("rb") as whole:
        whole.seek(446 + 16 + 8)  # the second row of the partition table: first block, number of blocks
        first, count = (int.from_bytes(whole.read(4), "little") for _ in range(2))
        whole.seek(first * SECTOR)
        root = folder / "root.ext4"
        root.write_bytes(whole.read(count * SECTOR))
    header = subprocess.run(
        ["dumpe2fs", "-h", str(root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PATH": search_path()},
    ).stdout
    assert "needs_recovery" not in header
    run("e2fsck", "-f", "-n", str(root))


def test_another_instance_on_the_same_disk_is_configured_anew(start: StartGuest, tmp_path: Path) -> None:
    """As a server made from a snapshot: new user data, new keys, a host key of its own."""
    latest = tmp_path / "metadata" / "openstack" / "latest"
    latest.mkdir(parents=True)
    public_key = make_key(tmp_path)
    (latest / "meta_data.json").write_text(metadata(public_key))
    guest = start("pc", serve_metadata(tmp_path / "metadata"))
    assert "user-data none" in guest.wait_ready()
    other = metadata(public_key, "clone").replace(INSTANCE, INSTANCE[::-1])
    (latest / "meta_data.json").write_text(other)
    (latest / "user_data").write_text("#cloud-config\nhostname: no\n")
    guest.ssh("root", "reboot")
    lines = guest.wait_ready(boots=2)
    assert len({line for line in lines if line.startswith("host-key ")}) == 2
    assert any(line.startswith("user-data ignored") for line in lines)
    assert guest.ssh("pileus", "hostname").stdout == "clone\n"


def test_config_drive_on_q35(start: StartGuest, tmp_path: Path) -> None:
    """A fixed address from the drive, and its metadata where the service never answers."""
    drive = tmp_path / "drive"
    run("truncate", "-s", "1M", str(drive))
    run("mformat", "-i", str(drive), "-v", "config-2", "-T", "2048", "-h", "16", "-s", "32", "::")
    device = ("-drive", f"file={drive},if=virtio,format=raw,readonly=on")
    run("mmd", "-i", str(drive), "::openstack", "::openstack/latest")
    network = {
        "links": [{"id": "tap1", "type": "ovs", "mtu": 1400, "ethernet_mac_address": "52:54:00:12:34:56"}],
        "networks": [
            {
                "id": "network0",
                "type": "ipv4",
                "link": "tap1",
                "ip_address": "10.7.0.15",
                "netmask": "255.255.255.0",
                "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.7.0.2"}],
            }
        ],
        "services": [{"type": "dns", "address": "10.7.0.3"}],
    }
    for name, content in (
        ("meta_data.json", metadata(make_key(tmp_path), "driven")),
        ("network_data.json", json.dumps(network)),
        ("user_data", USER_DATA),
    ):
        (tmp_path / name).write_text(content)
        run("mcopy", "-i", str(drive), str(tmp_path / name), f"::openstack/latest/{name}")
    guest = start("q35", "net=10.7.0.0/24", *device)
    lines = guest.wait_ready()
    assert "static 10.7.0.15/24 gateway 10.7.0.2 interface eth0" in lines
    assert f"metadata hostname=driven instance={INSTANCE} keys=1 source=config-drive" in lines
    assert "user-data exit=3" in lines
    seen = guest.ssh("root", "cat /sys/class/net/eth0/mtu /etc/resolv.conf; ip route")
    assert "1400" in seen.stdout
    assert "nameserver 10.7.0.3" in seen.stdout
    assert "default via 10.7.0.2" in seen.stdout


@pytest.fixture
def namespace() -> Iterator[tuple[str, ...]]:
    """A network namespace with a tap of QEMU's, and the words that put a program into it."""
    if os.geteuid() or not shutil.which("ip") or not shutil.which("dnsmasq", path=search_path()):
        pytest.skip("DHCP as Neutron speaks it needs root, iproute2 and dnsmasq-base")
    name = f"guestimage-{os.getpid()}"
    inside = ("ip", "netns", "exec", name)
    run("ip", "netns", "add", name)
    try:
        run(*inside, "ip", "link", "set", "lo", "up")
        run(*inside, "ip", "tuntap", "add", "tap0", "mode", "tap")
        run(*inside, "ip", "link", "set", "tap0", "up")
        for address in ("10.8.0.2/24", "169.254.169.254/32", "2001:db8:8::2/64"):
            run(
                *inside,
                "ip",
                "address",
                "add",
                address,
                "dev",
                "tap0",
                *(["nodad"] if ":" in address else []),
            )
        yield inside
    finally:
        run("ip", "netns", "delete", name)


class Cloud:
    """What a guest finds on the tap: dnsmasq with ``options``, and metadata at ``service``."""

    def __init__(self, namespace: tuple[str, ...], folder: Path, service: str, *options: str) -> None:
        latest = folder / "metadata" / "openstack" / "latest"
        latest.mkdir(parents=True)
        (latest / "meta_data.json").write_text(metadata(make_key(folder)))
        dnsmasq = (
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file", "--user=root"),
            *("--port=0", "--interface=tap0", "--bind-dynamic", "--leasefile-ro", *options),
        )
        web = (
            sys.executable,
            "-m",
            "http.server",
            "80",
            "--bind",
            service,
            "--directory",
            str(folder / "metadata"),
        )
        self._processes = [
            subprocess.Popen(
                [*namespace, *command],
                env={**os.environ, "PATH": search_path()},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in (dnsmasq, web)
        ]

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


TAP = "tap,ifname=tap0,script=no,downscript=no"
ADVERTISE = ("--enable-ra", "--dhcp-range=2001:db8:8::,ra-only,64")
SLAAC = "2001:db8:8:0:5054:ff:fe12:3456"


def test_routes_mtu_and_ipv6_as_a_cloud_gives_them(
    image: GuestImage, tmp_path: Path, namespace: tuple[str, ...]
) -> None:
    routes = "169.254.169.254/32,10.8.0.2,10.44.0.0/16,10.8.0.3,0.0.0.0/0,10.8.0.1"
    options = (f"121,{routes}", "3,10.8.0.99", "26,1450", "6,10.8.0.53")
    dhcp = ("--dhcp-range=10.8.0.10,10.8.0.10,1h", *(f"--dhcp-option-force={option}" for option in options))
    with contextlib.ExitStack() as started:
        cloud = Cloud(namespace, tmp_path, "169.254.169.254", *dhcp, *ADVERTISE)
        started.callback(cloud.stop)
        guest = Guest(image.file, tmp_path, "q35", TAP, address=("10.8.0.10", 22), inside=namespace)
        started.callback(guest.stop)
        lines = guest.wait_ready()
        assert "lease 10.8.0.10/24 gateway 10.8.0.1 interface eth0 mtu 1450 server 10.8.0.2" in lines
        seen = guest.ssh("root", "ip route; cat /sys/class/net/eth0/mtu /etc/resolv.conf").stdout
        assert "default via 10.8.0.1 dev eth0" in seen, "the router option does not count beside option 121"
        assert "10.44.0.0/16 via 10.8.0.3 dev eth0" in seen
        assert "169.254.169.254 via 10.8.0.2 dev eth0" in seen
        assert "1450\n" in seen
        assert "nameserver 10.8.0.53" in seen
        guest.wait_for(
            lambda lines: f"slaac {SLAAC}/64 interface eth0" in lines, "address from a router advertisement"
        )


def test_metadata_where_there_is_ipv6_alone(
    image: GuestImage, tmp_path: Path, namespace: tuple[str, ...]
) -> None:
    run(*namespace, "ip", "address", "add", "fe80::a9fe:a9fe/64", "dev", "tap0", "nodad")
    with contextlib.ExitStack() as started:
        cloud = Cloud(namespace, tmp_path, "fe80::a9fe:a9fe%tap0", *ADVERTISE)
        started.callback(cloud.stop)
        guest = Guest(image.file, tmp_path, "pc", TAP, address=(SLAAC, 22), inside=namespace)
        started.callback(guest.stop)
        lines = guest.wait_ready()
        assert f"metadata hostname=web1 instance={INSTANCE} keys=1 source=service" in lines
        assert guest.ssh("pileus", "hostname").stdout == "web1\n"
        guest.wait_for(lambda lines: "no lease interface eth0" in lines, "word that no lease came")


def test_build_packages_are_those_that_the_tests_look_for() -> None:
    assert set(BUILD_PACKAGES) <= set(PROGRAMS.values())
