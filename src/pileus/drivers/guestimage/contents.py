"""The contents of the guest: its initramfs and root file system, of unpacked packages and our own files.

Our own files lie in ``guest/``: ``guest/initramfs`` and ``guest/root`` are laid over what packages bring.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

from pileus.drivers.guestimage.errors import CannotBuildImage
from pileus.drivers.guestimage.kernel import Modules
from pileus.drivers.guestimage.program import run
from pileus.drivers.guestimage.tree import Tree, newc

_OWN = Path(__file__).parent / "guest"
_LIBRARIES = "lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"

FIRST_MODULES = ("virtio_pci", "virtio_blk")  # enough to find the root on an ordinary machine
MORE_MODULES = ("virtio_scsi", "ata_piix", "sd_mod")  # tried where it isn't on a virtio disk
ROOT_MODULES = (
    *("virtio_net", "virtio_rng", "virtio_balloon", "virtio_console"),
    *("button", "evdev"),  # the power button
    *("sr_mod", "isofs", "vfat", "nls_cp437", "nls_ascii", "nls_utf8"),  # config drives
    *("8021q", "bridge", "dummy"),  # for people who try networks out inside
)


class Kind(NamedTuple):
    """A kind of guest: what it has besides the base. ``layer``: a folder of ours that is laid over all."""

    name: str
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    modules: tuple[str, ...] = ()
    layer: str | None = None


GUEST = Kind("guest", ("dropbear-bin",), ("dropbear", "dropbearkey", "dbclient"))
GATEWAY = Kind(
    "gateway",
    ("nftables", "conntrack", "dnsmasq-base", "qemu-guest-agent"),
    ("nft", "conntrack", "dnsmasq", "qemu-ga"),
    (
        *("nf_tables", "nf_nat", "nf_conntrack_netlink"),
        *("nft_chain_nat", "nft_nat", "nft_ct", "nft_limit", "nft_redir", "nft_masq", "nft_objref"),
    ),
    "gateway",
)
"""A router and DHCP server, which is told what to be through QEMU's agent."""
TESTER = Kind(
    "tester",
    (*GUEST.packages, "netcat-traditional", "bash", "iproute2", "iputils-ping"),
    (*GUEST.programs, "nc.traditional", "bash", "ip", "ping"),
    layer="tester",
)
"""A guest for OpenStack's scenario tests, which log in and expect what CirrOS has."""

# quiet: what the guest itself says is easy to find; the kernel's own log is in dmesg. devkmsg: our lines are
# never throttled. console: the last one named is /dev/console. notests: a quarter of a second less.
# no_timer_check: the kernel counts ticks for some milliseconds and panics when they are missing (it says that
# IO-APIC and timer do not work), as they are where an emulated processor gets no turn meanwhile.
COMMAND_LINE = (
    "console=tty0 console=ttyS0,115200 quiet printk.devkmsg=on panic=10 audit=0"
    " cryptomgr.notests no_timer_check"
)


# Busybox's shell prefers its own programs to those of the same name in PATH, so where others are wanted it is
# not the shell.
_LINKS = {
    "usr/bin/ssh": "dbclient",
    "usr/lib/tester/nc": "/bin/nc.traditional",
    "bin/sh": "bash",
    "sbin/ip": "/bin/ip",
    "bin/ping6": "ping",
}
"""Other names of programs, for those kinds that have them."""


class Unpacked:
    """A folder into which packages were unpacked, whatever their layout of /bin and /usr/bin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, *names: str) -> Path:
        """The one file whose path ends with ``names``. Raises CannotBuildImage."""
        for place in self.folder.rglob(names[-1]):
            if place.parts[-len(names) :] == names and place.is_file() and not place.is_symlink():
                return place
        raise CannotBuildImage(reason=f"the Debian packages have no file {'/'.join(names)}")

    @property
    def busybox(self) -> Path:
        return self.find("bin", "busybox")

    def modules(self) -> Modules:
        """The modules of the one kernel that was unpacked."""
        return Modules(self.find("modules.builtin").parent)

    def libraries(self, programs: tuple[str, ...]) -> dict[str, Path]:
        """The shared libraries that ``programs`` load, by file name, as their own loader finds them here."""
        loader = self.find("x86_64-linux-gnu", _LOADER)
        path = ":".join(str(self.folder / usr / _LIBRARIES) for usr in ("", "usr"))
        found = {_LOADER: loader}
        for program in programs:
            # The loader of the unpacked libc, so that this machine's libraries play no part.
            command = (
                str(loader),
                "--inhibit-cache",
                "--library-path",
                path,
                "--list",
                str(self.program(program)),
            )
            for line in (run(command)).decode().splitlines():
                name, arrow, place = line.strip().partition(" => ")
                if arrow and "/" not in name:  # the loader is listed by its path
                    found[name] = Path(place.rpartition(" (")[0]).resolve()
        return found

    def program(self, name: str) -> Path:
        """The program of a name. Raises CannotBuildImage."""
        for folder in ("usr/sbin", "usr/bin", "sbin", "bin"):
            # A link may lead out of the folder, to what this machine has.
            if (place := self.folder / folder / name).is_file() and not place.is_symlink():
                return place
        raise CannotBuildImage(reason=f"the Debian packages have no program {name}")


def initramfs(unpacked: Unpacked, epoch: int) -> bytes:
    """The initramfs, gzipped: busybox, the modules that find a disk, and a first process that mounts it."""
    modules = unpacked.modules()
    tree = Tree()
    for name in ("dev", "proc", "sys", "root"):
        tree.folder(name)
    tree.file("bin/busybox", unpacked.busybox.read_bytes(), 0o755)
    for applet in ("sh", "mount", "insmod", "dd", "ls", "usleep", "switch_root"):
        tree.link(f"bin/{applet}", "busybox")
    first = modules.closure(FIRST_MODULES)
    more = [name for name in modules.closure(MORE_MODULES) if name not in first]
    for listing, names in (("modules.first", first), ("modules.more", more)):
        tree.file(listing, "".join(f"/modules/{name}.ko\n" for name in names).encode())
        for name in names:
            tree.file(f"modules/{name}.ko", modules.file(name).read_bytes())
    tree.overlay(_OWN / "initramfs")
    return gzip.compress(newc(tree, epoch), 9, mtime=epoch)


def root(unpacked: Unpacked, kind: Kind = GUEST) -> Tree:
    """The root file system of a kind of guest."""
    tree = Tree()
    for name in ("dev", "proc", "sys", "run", "mnt", "root", "var/log", "var/lib/pileus", "etc/dropbear"):
        tree.folder(name)
    tree.folder("tmp", 0o1777)
    tree.folder("var/tmp", 0o1777)
    tree.folder("root", 0o700)
    tree.folder("home/pileus", 0o750, owner=1000)
    tree.link("var/run", "../run")
    tree.overlay(_OWN / "root")
    if kind.layer is not None:
        tree.overlay(_OWN / kind.layer)
    tree.file("etc/shadow", tree.nodes["etc/shadow"].content, 0o600)
    tree.file("bin/busybox", unpacked.busybox.read_bytes(), 0o755)
    for link, program in _LINKS.items():
        if Path(program).name in kind.programs:
            tree.link(link, program)
    for applet in (run((str(unpacked.busybox), "--list-full"))).decode().split():
        tree.link(applet, "/bin/busybox")
    for program in kind.programs:
        place = unpacked.program(program)
        tree.file(str(place.relative_to(unpacked.folder)), place.read_bytes(), 0o755)
    for name, library in (unpacked.libraries(kind.programs)).items():
        folder = "lib64" if name == _LOADER else _LIBRARIES
        tree.file(f"{folder}/{name}", library.read_bytes(), 0o755)
    modules = unpacked.modules()
    names = modules.closure((*FIRST_MODULES, *MORE_MODULES, *ROOT_MODULES, *kind.modules))
    folder = f"lib/modules/{modules.version}"
    for name in names:
        tree.file(f"{folder}/{modules.path(name)}", modules.file(name).read_bytes())
    tree.file(f"{folder}/modules.dep", modules.dep_file(names).encode())
    tree.file(f"{folder}/modules.alias", modules.alias_file(names).encode())
    return tree
