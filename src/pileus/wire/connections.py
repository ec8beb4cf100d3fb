"""How volumes are opened: told by storage agents, and given to hypervisor agents."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from pileus.wire.records import Record
from pileus.wire.types import Count, Line, NameLine, Text, Word

FILE, BLOCK, NBD, ISCSI, RBD = "file", "block", "nbd", "iscsi", "rbd"
PROTOCOLS = (FILE, BLOCK, NBD, ISCSI, RBD)
"""The kinds of connections."""


class VolumeConnection(Record, frozen=True):
    """How QEMU, or an outside initiator, opens a volume.

    ========  ==========================================================================================
    kind      fields
    ========  ==========================================================================================
    file      ``path``, ``disk_format``: a file that the host itself sees
    block     ``path``: a device of the host
    nbd       ``address``, ``port``, ``name`` (the export's), ``certificate`` (whom to trust; empty: no TLS)
    iscsi     ``address``, ``port``, ``name`` (the target's IQN), ``lun``, ``username``, ``password`` (CHAP)
    rbd       ``name`` (POOL/IMAGE), ``monitors`` (ADDRESS:PORT), ``username``, ``password`` (the key)
    ========  ==========================================================================================
    """

    kind: Word
    disk_format: Word = "raw"
    path: Line = ""
    address: Line = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    name: Line = ""
    lun: Count = 0
    username: NameLine = ""
    password: NameLine = ""
    monitors: tuple[Line, ...] = ()
    certificate: Text = ""

    def __repr__(self) -> str:
        """Show where the volume is; the password is no log's."""
        place = self.path or f"{self.address}:{self.port}/{self.name}"
        return f"VolumeConnection({self.kind!r}, {self.disk_format!r}, {place!r})"
