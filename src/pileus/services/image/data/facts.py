"""Facts about data, found while it is received."""

from __future__ import annotations

import msgspec

from pileus.core.formats import Finding

HASH_ALGORITHM = "sha512"


class Facts(msgspec.Struct, frozen=True):
    """Sizes in bytes, hashes as hex digits, and what the readers found."""

    size: int
    checksum: str
    os_hash_value: str
    format: str
    virtual_size: int
    danger: str = ""

    @property
    def finding(self) -> Finding:
        return Finding(self.format, self.virtual_size, self.danger)
