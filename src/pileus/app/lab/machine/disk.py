"""A disk with a fresh Debian: its full kernel, systemd, openssh, and nothing of ours.

mmdebstrap makes the file system of what ``apt`` resolves today, and the disk is kept in the user's cache
folder for as long as the versions stay the same. QEMU boots its kernel without a boot loader. Needs root, as
mmdebstrap mounts /proc and /dev.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pileus.app.lab.machine.registries import (
    NAMES_INSIDE,
    CannotMakeMachine,
    Registries,
    certificates,
    from_inside,
)
from pileus.drivers.guestimage.program import is_installed, run
from pileus.drivers.process import ProgramFailed

Say = Callable[[str], None]

PACKAGES = (
    "linux-image-amd64", "systemd-sysv", "udev", "dbus", "openssh-server", "ca-certificates",
    "python3", "iproute2", "iputils-ping", "procps", "kmod", "sudo", "zstd",
)  # fmt: skip
HOSTNAME = "debian"
ROOT_LABEL, WHEELS_LABEL, WHEELS = "debian-root", "wheels", "/srv/wheels"
DISK_GIB = 16
NEEDED = ("mmdebstrap", "unshare", "qemu-img", "mke2fs", "ssh-keygen")
_RECIPE = 1
"""Counted up when what is made of the same packages differs."""
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_BOOTSTRAP_S, _FILE_SYSTEM_S, _APT_S = 1200.0, 300.0, 300.0
_RETRIES = 'Acquire::Retries "5";'
_NETWORK = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n"
_FSTAB = f"""LABEL={ROOT_LABEL} / ext4 errors=remount-ro 0 1
LABEL={WHEELS_LABEL} {WHEELS} ext4 ro,nofail 0 0
"""


_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# In a mount and process namespace of its own: whatever was started or mounted ends with it.
_AROUND = """
raw=$1 root=$2 ways=$3 files=$4 wheels=$5; shift 5
mount -o loop "$raw" "$root"
tar -xf "$files" -C "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
[ -z "$wheels" ] || mount -o loop,ro "$wheels" "$root/srv/wheels"
(cd "$ways"; find . -type f) | while read -r file; do mount --bind "$ways/$file" "$root/etc/$file"; done
"$@"
umount --recursive "$root"
"""


@dataclass(frozen=True)
class More:
    """One step of making a disk: ``files`` (a tar) are laid at its root, then ``command`` runs there, a line
    of shell; ``wheels``: a file system with Python packages that is there meanwhile."""

    files: bytes
    command: str
    wheels: Path | None = None


@dataclass(frozen=True)
class Disk:
    """A folder of the cache: the disk, how its kernel is started, and how root logs in."""

    folder: Path

    @property
    def image(self) -> Path:
        return self.folder / "disk.qcow2"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"

    @property
    def key(self) -> Path:
        """root's private key."""
        return self.folder / "id_ed25519"

    @property
    def host_key(self) -> str:
        """The machine's own public key."""
        return (self.folder / "host_key.pub").read_text().strip()


def default_cache() -> Path:
    """pileus/machine below the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus" / "machine"


def missing_programs() -> list[str]:
    """List the programs that the builder runs and this machine has not."""
    return [program for program in NEEDED if not is_installed(program)]


def debian_disk(suite: str, registries: Registries, cache: Path, say: Say) -> Disk:
    """The disk of today's packages of ``suite``, built unless the cache has it. Raises CannotMakeMachine."""
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        versions = _versions(suite, registries, cache / f"apt-{suite}")
        recipe = f"{_RECIPE}\n{registries}\n{versions}"
        disk = Disk(cache / f"{suite}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}")
        if not disk.image.exists():
            with tempfile.TemporaryDirectory(prefix=f".{suite}-", dir=cache) as work:
                made = _build(suite, registries, Path(work), say)
                (made.folder / "versions").write_text(versions)
                for old in cache.glob(f"{suite}-*"):
                    shutil.rmtree(old)
                made.folder.rename(disk.folder)
    except ProgramFailed as error:
        raise CannotMakeMachine(reason=f"{error.arguments[0]}: {error.stderr.strip()[-600:]}") from error
    return disk


def _versions(suite: str, registries: Registries, folder: Path) -> str:
    """List what apt would install of the suite into an empty file system, package by package."""
    for path in ("lists/partial", "archives/partial", "etc/preferences.d", "etc/apt.conf.d"):
        (folder / path).mkdir(parents=True, exist_ok=True)
    (folder / "status").write_text("")
    (folder / "sources.list").write_text(_source(suite, registries, keyring=_KEYRING))
    lines = [
        f'Dir::Etc "{folder}/etc";', f'Dir::Etc::SourceList "{folder}/sources.list";',
        f'Dir::Etc::SourceParts "{folder}/none";', f'Dir::State::Lists "{folder}/lists";',
        f'Dir::State::Status "{folder}/status";', f'Dir::Cache "{folder}";', 'APT::Sandbox::User "root";',
        *registries.apt_lines(inside=False),
    ]  # fmt: skip
    settings = folder / "apt.conf"
    settings.write_text("\n".join(lines) + "\n")
    environment = {"APT_CONFIG": str(settings)}
    run(("apt-get", "update", "-qq"), environment=environment, timeout_s=_APT_S)
    wanted = ("?essential", "?priority(required)", "?priority(important)", *PACKAGES)
    planned = run(
        ("apt-get", "install", "--simulate", "-qq", *wanted), environment=environment, timeout_s=_APT_S
    ).decode()
    return "\n".join(sorted(line for line in planned.splitlines() if line.startswith("Inst "))) + "\n"


def _source(suite: str, registries: Registries, keyring: str = "") -> str:
    signed = f"[signed-by={keyring}] " if keyring and Path(keyring).exists() else ""
    return f"deb {signed}{registries.mirror} {suite} main\n"


def _build(suite: str, registries: Registries, work: Path, say: Say) -> Disk:
    say(f"installing {suite} with mmdebstrap")
    root = work / "root"
    options = [f"--aptopt={line}" for line in (_RETRIES, *registries.apt_lines(inside=False))]
    options.append("--dpkgopt=force-unsafe-io")  # a tree that a crash takes is made anew
    bootstrap = (
        "mmdebstrap", "--mode=root", "--variant=important", f"--include={','.join(PACKAGES)}", *options,
        suite, str(root), registries.mirror,
    )  # fmt: skip
    # In a mount namespace of its own: however it ends, nothing of this machine stays mounted below root.
    run(("unshare", "--mount", "--propagation", "private", *bootstrap), timeout_s=_BOOTSTRAP_S)
    made = Disk(work / "made")
    made.folder.mkdir(mode=0o700)
    run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "machine", "-f", str(made.key)))
    _settle(root, suite, registries, made)
    shutil.copyfile(_only(root / "boot", "vmlinuz-*"), made.kernel)
    shutil.copyfile(_only(root / "boot", "initrd.img-*"), made.initrd)
    say("making its disk")
    file_system(work / "root.ext4", root, DISK_GIB << 30, ROOT_LABEL)
    run(
        ("qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(work / "root.ext4"), str(made.image)),
        timeout_s=_FILE_SYSTEM_S,
    )
    return made


def change(base: Path, image: Path, registries: Registries, more: More) -> None:
    """Make ``image``: the disk ``base`` with what ``more`` does to it. Its programs run here, in no machine:
    what takes an emulated processor half an hour is then a matter of minutes.

    Raises ProgramFailed.
    """
    with tempfile.TemporaryDirectory(prefix=".change-", dir=image.parent) as work:
        raw, root, ways, made = (Path(work) / name for name in ("disk.raw", "root", "ways", "made.qcow2"))
        root.mkdir()
        for name, content in {**_ways(registries, inside=False), **_names()}.items():
            (ways / name).parent.mkdir(parents=True, exist_ok=True)
            (ways / name).write_text(content)
        packed = Path(work) / "files.tar"
        packed.write_bytes(more.files)
        run(("qemu-img", "convert", "-O", "raw", str(base), str(raw)), timeout_s=_FILE_SYSTEM_S)
        apart = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        paths = (raw, root, ways, packed, more.wheels or "")
        environment = [f"{name}={url}" for name, url in registries.environment]
        command = ("chroot", root, "env", "-i", _PATH, "HOME=/root", *environment, "sh", "-euc", more.command)
        run((*apart, "sh", "-euc", _AROUND, "sh", *map(str, (*paths, *command))), timeout_s=_BOOTSTRAP_S)
        run(("qemu-img", "convert", "-O", "qcow2", str(raw), str(made)), timeout_s=_FILE_SYSTEM_S)
        made.rename(image)


def file_system(file: Path, folder: Path, size: int, label: str) -> None:
    """An ext4 file system of ``size`` bytes with the content of ``folder`` in ``file``."""
    with file.open("wb") as content:
        content.truncate(size)
    # A disk's unused blocks stay holes; their tables are written when the machine uses them.
    extended = "lazy_itable_init=1,lazy_journal_init=1"
    command = ("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-E", extended, "-d")
    run((*command, str(folder), str(file)), timeout_s=_FILE_SYSTEM_S)


def _settle(root: Path, suite: str, registries: Registries, made: Disk) -> None:
    """Give the tree its network, root's key and the way to the registries."""
    for unit in ("systemd-networkd.service", "ssh.service"):
        run(("chroot", str(root), "systemctl", "enable", unit))
    # Nothing may fetch packages by itself while a story waits for an emulated processor.
    run(("chroot", str(root), "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer"))
    home = root / "root" / ".ssh"
    home.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(made.key.with_suffix(".pub"), home / "authorized_keys")
    shutil.copyfile(root / "etc" / "ssh" / "ssh_host_ed25519_key.pub", made.folder / "host_key.pub")
    apt = root / "etc" / "apt"
    for file in (apt / "apt.conf.d" / "99mmdebstrap", root / "etc/dpkg/dpkg.cfg.d/99mmdebstrap"):
        file.unlink(missing_ok=True)
    (root / WHEELS.lstrip("/")).mkdir(parents=True, exist_ok=True)
    written = _ways(registries, inside=True) | {
        "fstab": _FSTAB,
        "hostname": f"{HOSTNAME}\n",
        "hosts": f"127.0.0.1 localhost\n127.0.1.1 {HOSTNAME}\n::1 localhost\n",
        "resolv.conf": f"nameserver {NAMES_INSIDE}\n",
        "machine-id": "",
        "systemd/network/80-user.network": _NETWORK,
        "apt/sources.list": _source(suite, registries),
    }
    _write(root, written)
    known = set(certificates(root / "etc/ssl/certs/ca-certificates.crt"))
    more = [one for one in registries.authorities if one not in known]
    for number, one in enumerate(more):
        (root / "usr/local/share/ca-certificates" / f"host-{number}.crt").write_text(one)
    if more:
        run(("chroot", str(root), "update-ca-certificates"))


def _ways(registries: Registries, *, inside: bool) -> dict[str, str]:
    """Files of /etc that say how registries are reached: from ``inside`` of a machine, or from this one."""
    environment = ((name, from_inside(url) if inside else url) for name, url in registries.environment)
    return {
        "apt/apt.conf.d/90registries": "\n".join([_RETRIES, *registries.apt_lines(inside=inside), ""]),
        "pip.conf": "\n".join(
            ["[global]", f"find-links = {WHEELS}", *registries.pip_lines(inside=inside), ""]
        ),
        "environment": "".join(f"{name}={url}\n" for name, url in environment),
    }


def _names() -> dict[str, str]:
    """This machine's name servers, for programs that run in a folder of it."""
    return {"resolv.conf": Path("/etc/resolv.conf").read_text()}


def _write(root: Path, written: dict[str, str]) -> None:
    for name, content in written.items():
        file = root / "etc" / name
        file.unlink(missing_ok=True)
        file.write_text(content)


def _only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found
