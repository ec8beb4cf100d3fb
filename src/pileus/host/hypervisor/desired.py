"""The desired state of a host: its servers as they were last read, and up to which position."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pileus.wire import scopes
from pileus.wire.hypervisor import HypervisorState, Incoming, ServerDetails


class Desired:
    """The desired servers of one host. ``kept``: those of which what is here is kept for another host's sake;
    ``incoming``: those that come from another one; ``known``: whether they were ever read."""

    def __init__(self, host: str) -> None:
        self.servers: dict[str, ServerDetails] = {}
        self.kept: set[str] = set()
        self.incoming: dict[str, Incoming] = {}
        self.known = False
        self.position = 0
        """Everything that was wanted by then has been read."""
        self._host = host
        self._read_at: dict[str, int] = {}

    def with_ports(self) -> dict[str, ServerDetails]:
        """Servers whose ports are to be on the switch: this host's, and those that come."""
        return {**{key: one.server for key, one in self.incoming.items()}, **self.servers}

    def named_in(self, changed: Iterable[str]) -> set[str] | None:
        """The servers that changed scopes speak of; None: all."""
        if scopes.hypervisor(self._host) in changed:
            return None
        return {key for kind, key in map(scopes.split, changed) if kind == "server"}

    def take(self, state: HypervisorState, asked: Collection[str] | None) -> None:
        """An answer about the servers that were ``asked`` for (None: all)."""
        if asked is None:
            self.servers = {}
            self.kept = set()
            self.incoming = {}
            self.position = state.position
            self._read_at.clear()
        for server_id in asked or ():
            self.servers.pop(server_id, None)
            self.kept.discard(server_id)
            self.incoming.pop(server_id, None)
            self._read_at[scopes.server(server_id)] = state.position
        self.servers |= {server.server_id: server for server in state.servers}
        self.kept.update(state.kept)
        self.incoming |= {coming.server.server_id: coming for coming in state.incoming}
        self.known = True

    def unread(self, names: Iterable[str], position: int) -> set[str]:
        """Those scopes that were last read before ``position``."""
        return {name for name in names if max(self._read_at.get(name, 0), self.position) < position}
