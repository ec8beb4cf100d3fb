"""Ports of distributed routers where the rest of them is: one on each of their IPv4 subnets, while they have
a gateway, as in Neutron. Packets that a host can't route go there by the router's own port, which is plugged
there, too.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, exists, select

from pileus.core.context import Context
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports.defaults import elevated, new_port
from pileus.services.network.ports.delete import delete_ports
from pileus.services.network.ports.resource import PORT
from pileus.services.network.ports.tables import ports
from pileus.services.network.ports.work import port_create
from pileus.services.network.routers.scheduling import routers_bind_ports
from pileus.services.network.routers.tables import router_ports, routers
from pileus.services.network.rules import device_owners
from pileus.store.tx import Tx
from pileus.wire import scopes

_outside = router_ports.alias("outside")
_PORTS = (
    select(
        router_ports.c.router_id,
        router_ports.c.port_id,
        router_ports.c.port_type,
        ports.c.network_id,
        ports.c.fixed_ips,
        routers.c.distributed,
        exists()
        .where(
            _outside.c.router_id == router_ports.c.router_id,
            _outside.c.port_type == device_owners.ROUTER_GATEWAY,
        )
        .label("leads_out"),
    )
    .select_from(
        router_ports.join(ports, ports.c.id == router_ports.c.port_id).join(
            routers, routers.c.id == router_ports.c.router_id
        )
    )
    .where(
        router_ports.c.router_id.in_(bindparam("ids", expanding=True)),
        router_ports.c.port_type.in_((*device_owners.INTERFACES, device_owners.CENTRAL_SNAT)),
    )
    .order_by(ports.c.id)
)
_DISOWN = delete(router_ports).where(router_ports.c.port_id.in_(bindparam("ids", expanding=True)))


def central_ports_sync(
    tx: Tx, context: Context, router_ids: Sequence[str], config: NetworkConfig, *more_networks: str
) -> None:
    """Make and delete the central ports of routers that are, or were, distributed, and wake the hosts of
    their networks, and of ``more_networks``."""
    wanted: dict[tuple[str, str], str] = {}
    present: dict[tuple[str, str], str] = {}
    networks = set(more_networks)
    for row in tx.rows(_PORTS, {"ids": list(router_ids)}):
        networks.add(row.network_id)
        for ip in row.fixed_ips:
            if ":" in ip["ip_address"]:
                continue
            key = (row.router_id, ip["subnet_id"])
            if row.port_type == device_owners.CENTRAL_SNAT:
                present[key] = row.port_id
            elif row.distributed and row.leads_out:
                wanted[key] = row.network_id
    gone = [port_id for key, port_id in present.items() if key not in wanted]
    as_admin = elevated(context)
    if gone:
        tx.execute(_DISOWN, {"ids": gone})
        delete_ports(tx, as_admin, fetch(tx, PORT, gone, lock=True), config)
    specs = [
        new_port(
            as_admin,
            project_id="",
            network_id=network_id,
            device_id=router_id,
            device_owner=device_owners.CENTRAL_SNAT,
            fixed_ips=[{"subnet_id": subnet_id}],
        )
        for (router_id, subnet_id), network_id in wanted.items()
        if (router_id, subnet_id) not in present
    ]
    if specs:
        made = port_create(tx, as_admin, specs, config=config)
        kind = device_owners.CENTRAL_SNAT
        tx.insert(
            router_ports,
            [{"port_id": port["id"], "router_id": port["device_id"], "port_type": kind} for port in made],
        )
        routers_bind_ports(tx, context, sorted({port["device_id"] for port in made}), config)
    concerned = [scopes.network(network_id) for network_id in sorted(networks)]
    tx.emit_many(
        [
            event(context, "router.distributed", one, None, [*concerned, scopes.router(one)])
            for one in router_ids
        ]
    )
