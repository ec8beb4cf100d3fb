"""A file of what became of leases, line by line, so that an agent that was killed still knows what it has
given and what it has not told."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from pileus.core import log
from pileus.core.files import write_atomically
from pileus.host.l2.dhcp.answer import ENDED, RENEWED
from pileus.wire.dhcp import LeaseChange

_log = log.get("host.l2.dhcp")

Key = tuple[str, str]
"""A network and an address."""
Held = dict[Key, tuple[str, int]]
"""Who holds an address, and the second at which that ends; 0: never."""

_read = msgspec.json.Decoder(LeaseChange | int).decode
_write = msgspec.json.encode
_SHORT = 1000
"""Lines that are never too many."""


class Journal:
    """``path``: None keeps nothing. A line is a change, or how many of the oldest changes were told."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lines = 0
        self._failed = False

    def read(self) -> tuple[Held, list[LeaseChange]]:
        """The leases that are held, and the changes that were not told. A line that can't be read, cut off
        by the end of a machine, is passed over."""
        held: Held = {}
        news: list[LeaseChange] = []
        for line in filter(None, self._read_lines()):
            self._lines += 1
            try:
                found = _read(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if isinstance(found, int):
                del news[: max(0, found)]
                continue
            news.append(found)
            key = found.network_id, found.ip_address
            if found.kind == ENDED:
                held.pop(key, None)
            else:
                held[key] = found.mac_address or "", found.expires_s
        return held, news

    def _read_lines(self) -> list[bytes]:
        try:
            return self._path.read_bytes().splitlines() if self._path is not None else []
        except FileNotFoundError:
            return []
        except OSError as error:
            self._complain(error)
            return []

    def note(self, change: LeaseChange) -> None:
        """Write a change down."""
        self._append(_write(change))

    def told(self, number: int) -> None:
        """The oldest changes have been told."""
        self._append(_write(number))

    def _append(self, line: bytes) -> None:
        if self._path is None:
            return
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
            try:
                os.write(file, b"\n" + line)  # what stands before it may have been cut off
            finally:
                os.close(file)
            self._lines += 1
        except OSError as error:
            self._complain(error)

    def shorten(self, held: Mapping[Key, tuple[str, int]], news: Iterable[LeaseChange]) -> None:
        """Write the file anew where most of its lines say nothing any more."""
        if self._path is None or self._lines <= _SHORT + 2 * len(held):
            return
        lines = [_write(one) for one in (*_as_changes(held), len(held), *news)]
        try:
            write_atomically(self._path, b"\n".join(lines), 0o600, durable=False)
            self._lines = len(lines)
        except OSError as error:
            self._complain(error)

    def remove(self) -> None:
        """Take the file away."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _complain(self, error: OSError) -> None:
        if not self._failed:
            _log.warning("leases can't be kept: a restart forgets them", why=str(error))
        self._failed = True


def _as_changes(held: Mapping[Key, tuple[str, int]]) -> Iterator[LeaseChange]:
    for (network_id, address), (mac, expires) in held.items():
        yield LeaseChange(network_id, RENEWED, address, mac, expires)
