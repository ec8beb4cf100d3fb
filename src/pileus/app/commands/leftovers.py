"""Remains of a cloud on a machine: packages, a user, a cache; told, and removed if asked."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pileus.app import privileges
from pileus.core.errors import Unavailable

BROUGHT = Path("/var/lib/pileus-installed")
"""Where the launcher writes which packages it has brought (``packages``, a name a line)."""
DOMAINS = Path("/etc/libvirt/qemu")
SWITCH_SOCKET = Path("/var/run/openvswitch/db.sock")


class StillUsed(Unavailable):
    message = "The Debian packages stay: {why}"


@dataclass(frozen=True)
class Leftovers:
    """``packages``: those brought by the launcher that are still installed; ``user``: the server's, if Pileus
    made it; ``cache``: the folder of built images."""

    packages: list[str] = field(default_factory=list)
    user: str = ""
    cache: Path | None = None

    def lines(self) -> list[str]:
        """Each in words."""
        found = []
        if self.packages:
            shown = ", ".join(self.packages[:6]) + (" …" if len(self.packages) > 6 else "")
            found.append(f"{len(self.packages)} Debian packages ({shown})")
        if self.user:
            found.append(f"the user {self.user}")
        if self.cache:
            found.append(f"images in {self.cache} ({_mib(self.cache):.0f} MiB)")
        return found


def find(user: str) -> Leftovers:
    """Look what is there; ``user`` is the server's in the settings."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus"
    return Leftovers(
        packages=_installed(_brought()), user=_made_user(user), cache=cache if cache.is_dir() else None
    )


def remove(leftovers: Leftovers) -> None:
    """Remove all of it; raises StillUsed where packages can't go, after the rest is gone."""
    if leftovers.cache:
        shutil.rmtree(leftovers.cache)
    if leftovers.user:
        _run("userdel", leftovers.user)
    if leftovers.packages:
        _check_unused(leftovers.packages)
        _run("apt-get", "-q", "-y", "purge", *leftovers.packages)
    shutil.rmtree(BROUGHT, ignore_errors=True)


def _brought() -> list[str]:
    try:
        return sorted(
            {line.strip() for line in (BROUGHT / "packages").read_text().splitlines() if line.strip()}
        )
    except FileNotFoundError:
        return []


def _installed(packages: Sequence[str]) -> list[str]:
    if not packages:
        return []
    argv = ["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\\n", "--", *packages]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    installed = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in packages if name in installed]


def _made_user(name: str) -> str:
    """The user's name where Pileus made it: the comment says so."""
    try:
        return name if pwd.getpwnam(name).pw_gecos == privileges.COMMENT else ""
    except KeyError:
        return ""


def _check_unused(packages: Sequence[str]) -> None:
    """Raise StillUsed where somebody else needs what would go."""
    domains = sorted(file.stem for file in DOMAINS.glob("*.xml"))
    if domains:
        raise StillUsed(why=f"libvirt has machines that are not ours ({', '.join(domains[:5])})")
    if SWITCH_SOCKET.exists():
        done = subprocess.run(
            ["ovs-vsctl", "-t", "5", "list-br"], capture_output=True, text=True, check=False
        )
        if bridges := done.stdout.split():
            raise StillUsed(why=f"Open vSwitch has bridges that are not ours ({', '.join(bridges[:5])})")
    done = subprocess.run(
        ["apt-get", "-q", "-s", "purge", *packages], capture_output=True, text=True, check=False
    )
    going = {line.split()[1] for line in done.stdout.splitlines() if line.startswith(("Purg ", "Remv "))}
    others = sorted(going - {name.partition(":")[0] for name in packages})
    if others:
        raise StillUsed(why=f"others need them ({', '.join(others[:5])})")


def _run(*argv: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no word"]
        raise Unavailable(f"{argv[0]} failed: {said[0]}")


def _mib(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / (1 << 20)
