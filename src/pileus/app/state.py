"""The state folder: where one cloud keeps everything that is not in an outside database."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from pileus.core.errors import Invalid


class StateFolder(msgspec.Struct, frozen=True):
    """Names of what lies in the folder ``root``."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "pileus.toml"

    @property
    def database(self) -> Path:
        return self.root / "db" / "pileus.db"

    @property
    def keys(self) -> Path:
        """Secrets that only the server needs, and keeps as its user: token keys, the key of image tickets."""
        return self.root / "keys"

    @property
    def secrets(self) -> Path:
        """Secrets that the administrator's commands need, too: nobody but root (or the caller) goes there,
        and the server reads them before it drops its rights."""
        return self.root / "secrets"

    @property
    def node_secret(self) -> Path:
        return self.secrets / "node.secret"

    @property
    def admin_password(self) -> Path:
        """The first password of the admin."""
        return self.secrets / "admin.password"

    @property
    def image_ticket_key(self) -> Path:
        return self.keys / "image.ticket"

    @property
    def certificate_authority(self) -> Path:
        """The root of the certificates that the compute service gives out, with its key."""
        return self.keys / "certificates.pem"

    @property
    def images(self) -> Path:
        """The store of the image service."""
        return self.root / "images"

    @property
    def run(self) -> Path:
        """Files that live as long as the processes do: sockets, lock, status."""
        return self.root / "run"

    @property
    def socket(self) -> Path:
        return self.run / "server.sock"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def plan(self) -> Path:
        """The plan for the supervisor: which processes to run, and with which settings."""
        return self.root / "plan.json"

    @property
    def logs(self) -> Path:
        return self.root / "log"

    @property
    def access_log(self) -> Path:
        """In a folder of the server's user, who turns it over."""
        return self.logs / "server" / "access.log"

    @property
    def agent(self) -> Path:
        """Files of the node side: its token, and what it remembers of the machine."""
        return self.root / "agent"

    @property
    def node_token(self) -> Path:
        return self.agent / "node.token"

    @property
    def instances(self) -> Path:
        """Disks of this node's machines. QEMU's user passes through, so it is not below ``agent``."""
        return self.root / "instances"

    @property
    def block_storage(self) -> Path:
        """Memory of the storage agent, and files on their way to and from pools of volumes."""
        return self.root / "block-storage"

    @property
    def volumes(self) -> Path:
        """The pool of volumes of a node that declares none."""
        return self.root / "volumes"

    @property
    def volume_backups(self) -> Path:
        """Backups of volumes, where the settings name no other place."""
        return self.root / "volume-backups"

    @property
    def image_cache(self) -> Path:
        """Images that this node's machines were made from."""
        return self.root / "image-cache"

    @property
    def libvirt(self) -> Path:
        """Files of a libvirtd of our own."""
        return self.root / "libvirt"

    @property
    def lab(self) -> Path:
        """The name and size of a lab of several hosts on this machine."""
        return self.root / "lab.json"

    @property
    def limits(self) -> Path:
        """Limits of the kernel as they were before they were raised."""
        return self.agent / "limits.json"

    @property
    def kvm(self) -> Path:
        """Whether machines run under KVM here, as it was found out."""
        return self.agent / "kvm.json"

    @property
    def external_address(self) -> Path:
        """This machine's address in the external network, which its agents make anew after a reboot."""
        return self.agent / "external-address.json"

    @property
    def dhcp(self) -> Path:
        """Files for dnsmasq, which reads them as a user of its own: a folder for each network."""
        return self.root / "dhcp"

    def leases(self, host: str) -> Path:
        """Leases that the switch of a host has given; a machine with a lab has several such files."""
        return self.agent / f"leases-{host}.jsonl"

    @property
    def bfd(self) -> Path:
        """Files for BIRD, which reads them as a user of its own: a folder for each router."""
        return self.root / "bfd"

    @property
    def connections(self) -> Path:
        """Files for conntrackd: a folder for each router of high availability."""
        return self.agent / "ct"

    @property
    def physical_switches(self) -> Path:
        """Files of the switches that are reached over ssh: the lines that each has been given."""
        return self.agent / "switches"

    @property
    def virtual_routers(self) -> Path:
        """Files for keepalived: a folder for each router of high availability."""
        return self.agent / "vrrp"

    @property
    def hosts(self) -> Path:
        """Simulated hosts: a folder each."""
        return self.root / "hosts"

    @property
    def openrc(self) -> Path:
        return self.root / "openrc"

    @property
    def clouds(self) -> Path:
        return self.root / "clouds.yaml"


class BadStateFolder(Invalid):
    pass


def default_root(simulated: bool) -> Path:
    """``/var/lib/pileus`` for root, else below the user's state directory; simulated clouds apart."""
    name = "pileus-simulated" if simulated else "pileus"
    if os.geteuid() == 0:
        return Path("/var/lib") / name
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / name
