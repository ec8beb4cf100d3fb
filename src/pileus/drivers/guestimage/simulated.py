"""A simulated gateway machine: told what to be, it keeps the archive's name.

As the guest's own program it refuses an archive whose cards it has not. Leases and counters are those that
tests put there (``leases``: lines after ``port ID``).
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Sequence

from pileus.drivers.libvirt.domain import DomainSpec
from pileus.drivers.libvirt.hypervisor import GuestSaid

PROGRAM = "/usr/lib/pileus/gateway"
_DIGEST = "gateway-digest"


def gateway_guest(spec: DomainSpec, kept: dict[str, str], command: Sequence[str], input: bytes) -> GuestSaid:
    """Run a command in the machine."""
    match tuple(command):
        case (path, "apply") if path == PROGRAM:
            return _apply(spec, kept, input)
        case (path, "state") if path == PROGRAM:
            digest = kept.get(_DIGEST)
            return GuestSaid(0, f"{digest}\n".encode()) if digest else GuestSaid(1, b"not configured\n")
        case ("/bin/sh", "-c", script) if script.startswith("nft "):
            return GuestSaid(0, kept.get("counters", '{"nftables": []}').encode())
        case ("/bin/sh", "-c", script) if "cat >told" in script:
            kept["told"] = input.decode()
            return GuestSaid(0, b"")
        case ("/bin/sh", "-c", _):
            return GuestSaid(0, f"{kept.get('told', '').strip()}\n{kept.get('leases', '')}".encode())
    return GuestSaid(127, b"not found\n")


def _apply(spec: DomainSpec, kept: dict[str, str], content: bytes) -> GuestSaid:
    try:
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as archive:
            files = {one.name: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]
    except (OSError, tarfile.TarError, ValueError, EOFError):
        return GuestSaid(1, b"an archive that can't be read\n")
    present = {interface.mac.lower() for interface in spec.interfaces}
    for line in files["cards"].splitlines():
        if (mac := line.split()[0]) not in present:
            return GuestSaid(1, f"no card {mac}\n".encode())
    kept[_DIGEST] = files["digest"].strip()
    return GuestSaid(0, files["digest"].encode())
