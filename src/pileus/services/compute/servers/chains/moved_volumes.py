"""Volumes of servers that change hosts, switched off meanwhile: each is opened for the host that its server
is put on, by a new attachment in the place of the one before.

There is one attachment at a time: the volume's node closes it for one host before it opens it for another.
A server's host is not told of it as long as a volume of its is not open there (``agents/state.py``); the end
of that is heard of in ``chains/volumes.py``.
"""

from __future__ import annotations

from sqlalchemy import bindparam, update

from pileus.core.context import Context
from pileus.core.errors import Conflict
from pileus.resource.declaration import Values
from pileus.services.compute.servers.attached_volumes import (
    ATTACHED,
    MOVING,
    connector_of,
    volumes_of_servers,
)
from pileus.services.compute.tables.servers import server_volumes
from pileus.services.compute.uses.volume import attachments_replace
from pileus.store.tx import Tx

_c = server_volumes.c
_REPLACE = (
    update(server_volumes)
    .where(_c.attachment_id == bindparam("before"))
    .values(attachment_id=bindparam("after"), state=MOVING)
)


class VolumeBusy(Conflict):
    message = "Cannot '{action}' instance {id} while its volume {volume_id} is {state}"


def volumes_must_rest(tx: Tx, server: Values, action: str) -> None:
    """Raise VolumeBusy for a server of which a volume comes or goes just now."""
    for row in volumes_of_servers(tx, [server["id"]]).get(server["id"], ()):
        if row.state != ATTACHED:
            raise VolumeBusy(action=action, id=server["id"], volume_id=row.volume_id, state=row.state)


def volumes_move(tx: Tx, context: Context, server: Values, host: str | None) -> None:
    """Have a server's volumes opened for a host, or (None) reserved for the server and open nowhere."""
    rows = volumes_of_servers(tx, [server["id"]]).get(server["id"], [])
    if not rows:
        return
    wanted = {row.attachment_id: connector_of(host, row.target) if host else None for row in rows}
    replaced = attachments_replace(tx, context, wanted)
    tx.execute(_REPLACE, [{"before": before, "after": after} for before, after in replaced.items()])
