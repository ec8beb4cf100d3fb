"""Quarantine: a server that is cut off from all networks until somebody with the right releases it.

The mark is kept with its ports, where no request about a port reaches it: the switch drops what such a port
sends, and delivers nothing to it, whatever its administrative state, groups and port security say. Ports that
come later get it when they are attached; what would give the server another way out is refused to those who
may not cut servers off (``must_be_free``).
"""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict
from pileus.resource import types
from pileus.services.compute.policy import ADMIN, ITSEC, rules
from pileus.services.compute.servers.attached import ports_of
from pileus.services.compute.servers.instance_actions import action_begin
from pileus.services.compute.servers.interfaces import as_admin
from pileus.services.compute.servers.lookup import QUARANTINE, change, find_server
from pileus.services.compute.servers.verbs.common import wake
from pileus.services.compute.uses.network import NetworkConfig, as_update, port_update
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action


class QuarantineHandlers:
    """Handlers that know the network's settings."""

    def __init__(self, network: NetworkConfig) -> None:
        self._network = network

    def _set(self, tx: Tx, request: Request, cut: bool) -> None:
        server = find_server(tx, request, lock=True)
        if cut and server["quarantined"] is not None:
            raise Conflict(f"Instance {server['id']} is in quarantine already.")
        if not cut and server["quarantined"] is None:
            raise Conflict(f"Instance {server['id']} is not in quarantine.")
        # Quarantines of old set ports down, and wrote down which were up.
        set_down = set(server["quarantined"] or ())
        updates = [
            as_update(port, quarantined=cut, **({"admin_state_up": True} if port["id"] in set_down else {}))
            for port in ports_of(tx, server["id"])
        ]
        if updates:
            port_update(tx, as_admin(request), updates, config=self._network)
        change(tx, request.context, server, quarantined=[] if cut else None)
        action_begin(tx, request.context, [server["id"]], "quarantine" if cut else "unquarantine", done=True)
        wake(tx, request, server, quarantined=cut)

    async def quarantine(self, request: Request, argument: Any) -> Reply:
        """The verb ``os-pileus-quarantine``: no port of the server carries a packet until it is released."""
        await request.write(self._set, request, True)
        return Reply.empty(202)

    async def release(self, request: Request, argument: Any) -> Reply:
        """The verb ``os-pileus-unquarantine``."""
        await request.write(self._set, request, False)
        return Reply.empty(202)


def quarantine_actions(handlers: QuarantineHandlers) -> dict[str, Action]:
    """The actions by name."""
    return {
        "os-pileus-quarantine": Action(
            types.anything, handlers.quarantine, rule=QUARANTINE, summary="Cut a server off"
        ),
        "os-pileus-unquarantine": Action(
            types.anything, handlers.release, rule=QUARANTINE, summary="Release a server from quarantine"
        ),
    }


QUARANTINES = Noun(name="server_quarantine", rules=rules({"os-pileus-quarantine": f"{ADMIN} or {ITSEC}"}))
