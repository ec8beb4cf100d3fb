"""The operations that have ended on a node, until the server names them no more."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import msgspec

from pileus.core import log
from pileus.core.files import write_atomically
from pileus.wire.hypervisor import OperationReport

_log = log.get("host.blockdev")


class Journal:
    """Kept in one small file that is written whole. Without it what has ended would be done again."""

    def __init__(self, path: Path, *, durable: bool = True) -> None:
        self.ended: dict[str, OperationReport] = {}
        self._path = path
        self._durable = durable

    def open(self) -> None:
        """Read it; one that can't be read begins anew, as each operation may be done twice."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.ended = msgspec.json.decode(self._path.read_bytes(), type=dict[str, OperationReport])
        except FileNotFoundError:
            self.ended = {}
        except msgspec.DecodeError as error:
            _log.error("the journal can't be read: beginning a new one", error=str(error))
            self.ended = {}

    def note(self, report: OperationReport) -> None:
        """An operation has ended so."""
        self.ended[report.operation_id] = report
        self._save()

    def keep(self, named: Collection[str]) -> None:
        """Forget operations that are not ``named`` any more."""
        kept = {key: report for key, report in self.ended.items() if key in named}
        if len(kept) != len(self.ended):
            self.ended = kept
            self._save()

    def _save(self) -> None:
        write_atomically(self._path, msgspec.json.encode(self.ended), durable=self._durable)
