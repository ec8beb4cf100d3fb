"""An ordinary Debian with systemd and cloud-init, for the test that boots one on a cloud of ours.

mmdebstrap makes the root file system from Debian's packages; the disk around it (boot sector, FAT with
syslinux, ext4) is put together as the small guest image's is. A month's image is kept in the user's cache
folder: making one takes minutes, finding it again nothing. Needs root, as mmdebstrap mounts /proc and /dev.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pileus.app.commands.image import default_cache
from pileus.drivers.guestimage import disk
from pileus.drivers.guestimage.build import KERNEL, PROGRAMS, TOOLS
from pileus.drivers.guestimage.contents import Unpacked
from pileus.drivers.guestimage.packages import Registry
from pileus.drivers.guestimage.program import is_installed, run

SUITE = "bookworm"
PACKAGES = (
    "linux-image-cloud-amd64", "systemd-sysv", "udev", "dbus", "iproute2",
    "cloud-init", "cloud-guest-utils", "isc-dhcp-client", "openssh-server", "sudo",
)  # fmt: skip
ROOT_MIB = 1536
_ROOT_LABEL = "debian-root"
# As Debian's cloud images have it; the last console named is /dev/console, where cloud-init writes.
_COMMAND_LINE = f"root=LABEL={_ROOT_LABEL} ro console=tty0 console=ttyS0,115200 no_timer_check"
_NEEDED = ("mmdebstrap", "unshare", "qemu-img", "mke2fs", "debugfs", "mformat", "mcopy")
_BOOTSTRAP_S, _FILE_SYSTEM_S = 900.0, 120.0


def missing_programs() -> list[str]:
    """What the builder runs and this machine has not."""
    return [program for program in _NEEDED if not is_installed(program)]


def debian_image(say: Callable[[str], None]) -> Path:
    """This month's image (qcow2), built unless the cache has it; ``say`` is told of each long step.

    Raises ProgramFailed and CannotBuildImage.
    """
    folder = default_cache().parent / "test-images"
    # A changed builder makes another image.
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    image = folder / f"debian-{SUITE}-{time.strftime('%Y-%m')}-{recipe}.qcow2"
    if not image.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".debian-", dir=folder) as work:
            built = _build(Path(work), say)
            for old in folder.glob(f"debian-{SUITE}-*.qcow2"):
                old.unlink()
            built.replace(image)
    return image


def _build(work: Path, say: Callable[[str], None]) -> Path:
    say("mmdebstrap")
    root = work / "root"
    bootstrap = (
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}",
        '--aptopt=APT::Install-Recommends "false"', SUITE, str(root),
    )  # fmt: skip
    # In a mount namespace of its own: however it ends, nothing of this machine stays mounted below root.
    run(("unshare", "--mount", "--propagation", "private", *bootstrap), timeout_s=_BOOTSTRAP_S)
    _settle(root)

    say("making the file systems")
    packages = Unpacked(work / "packages")
    for package in Registry(default_cache(), say).fetch(KERNEL, PROGRAMS, TOOLS):
        if package.name in TOOLS:
            run(("dpkg-deb", "-x", str(package.file), str(packages.folder)))
    loader = disk.BootLoader(
        packages.find("bin", "syslinux"),
        packages.find("mbr", "mbr.bin"),
        packages.find("bios", "ldlinux.c32"),
    )
    config = f"DEFAULT debian\nLABEL debian\nKERNEL /vmlinuz\nINITRD /initrd\nAPPEND {_COMMAND_LINE}\n"
    boot_files = {
        "vmlinuz": _only(root / "boot", "vmlinuz-*").read_bytes(),
        "initrd": _only(root / "boot", "initrd.img-*").read_bytes(),
        "syslinux.cfg": config.encode(),
    }
    boot, file_system, raw = work / "boot.fat", work / "root.ext4", work / "disk.raw"
    disk.make_fat(boot, boot_files, loader, int(time.time()))
    with file_system.open("wb") as content:
        content.truncate(ROOT_MIB * disk.MIB)
    # disk.make_ext4 takes a tree in memory; here, as root, mke2fs reads owners and modes from the folder.
    options = ("-q", "-F", "-t", "ext4", "-L", _ROOT_LABEL, "-d", str(root))
    run(("mke2fs", *options, str(file_system)), timeout_s=_FILE_SYSTEM_S)
    disk.assemble(raw, boot, file_system, loader.boot_code.read_bytes())

    say("writing the qcow2")
    image = work / "disk.qcow2"
    disk.to_qcow2(raw, image)
    return image


def _settle(root: Path) -> None:
    """Make a bootstrapped tree one that any number of servers can start from."""
    run(("chroot", str(root), "systemctl", "enable", "systemd-networkd"))
    # Nothing may fetch packages or look for errors while a test waits for an emulated processor.
    run(("chroot", str(root), "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer"))
    (root / "etc" / "fstab").write_text(f"LABEL={_ROOT_LABEL} / ext4 errors=remount-ro 0 1\n")
    (root / "etc" / "cloud" / "cloud.cfg.d" / "95_minimal.cfg").write_text(
        "locale: false\nmanage_etc_hosts: true\n"
    )
    # What makes one machine of it: each finds its own at first boot.
    (root / "etc" / "machine-id").write_text("")
    for path in ("etc/hostname", "etc/resolv.conf"):
        (root / path).unlink(missing_ok=True)
    for key in (root / "etc" / "ssh").glob("ssh_host_*"):
        key.unlink()


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found
