"""Shared by the actions of servers: finding the server, telling its host."""

from __future__ import annotations

from typing import Any

from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.resource.event import event
from pileus.services.compute.errors import InvalidState
from pileus.services.compute.servers.attached_volumes import volumes_of_servers
from pileus.services.compute.servers.chains.moved_volumes import volumes_must_rest
from pileus.services.compute.servers.lookup import find_server, must_be_unlocked, must_permit
from pileus.store.tx import Tx
from pileus.web.request import Request
from pileus.wire import scopes


def wake(tx: Tx, request: Request, server: Values, **changed: Any) -> None:
    """Tell a server's host that something about it has changed."""
    told = [scopes.hypervisor(server["host"]), scopes.server(server["id"])] if server["host"] else []
    tx.emit(
        event(
            request.context,
            "server.update",
            server["id"],
            server["project_id"],
            told,
            host=server["host"],
            **changed,
        )
    )


_MOVES = frozenset({"resize", "migrate", "os-migrateLive", "evacuate", "shelve", "shelveOffload"})
"""Actions after which a server may be on another host."""


class HasVolumes(Conflict):
    message = (
        "Cannot '{action}' instance {id}: it has volumes, which do not move along while it runs; migrate it "
        "switched off, or detach them first"
    )


def permitted(
    tx: Tx, request: Request, permit: str, said: str | None = None, *, hostless: bool = False
) -> Values:
    """The server, held, if the route's rule, its lock and its state allow what is asked; ``hostless``: also
    of one that is on no host."""
    server = find_server(tx, request, lock=True)
    must_be_unlocked(request, server)
    must_permit(permit, server, said)
    if permit == "os-migrateLive" and volumes_of_servers(tx, [server["id"]]):
        raise HasVolumes(id=server["id"], action=said or permit)
    if permit in _MOVES:
        volumes_must_rest(tx, server, said or permit)
    if server["host"] is None and not hostless:
        raise InvalidState(
            action=said or permit, id=server["id"], attribute="vm_state", state=server["vm_state"]
        )
    return server
