"""keepalived's configuration of one virtual router. Pure.

Only the marker is told to the others: the addresses beside it need not be the same everywhere at every
moment, and there may be many. All hosts have one priority and none takes over from an active one, so that
a host that comes back causes no second outage.
"""

from __future__ import annotations

from pathlib import Path

from pileus.drivers.keepalived.spec import VirtualRoute, VirtualRouter

PROGRAM = "keepalived"
_PRIORITY = 50
_NICE = -15
"""An active router that gets no processor for a while would be taken for dead."""
_ANNOUNCE_AGAIN_S = 30


def render(router: VirtualRouter, fifo: Path) -> str:
    """The file; ``fifo`` is told of each change of state."""
    addresses = [
        f"{one.address} dev {one.device}{' -nodad' if ':' in one.address else ''} no_track"
        for one in router.addresses
    ]
    routes = [_route(one) for one in router.routes]
    lines = [
        "global_defs {",
        "    vrrp_version 3",
        f"    vrrp_notify_fifo {fifo}",
        f"    vrrp_priority {_NICE}",
        "}",
        f"vrrp_instance VR_{router.vr_id} {{",
        "    state BACKUP",
        "    nopreempt",
        f"    interface {router.interface}",
        f"    virtual_router_id {router.vr_id}",
        f"    priority {_PRIORITY}",
        f"    advert_int {router.advert_interval_ms / 1000:.2f}",
        "    garp_master_delay 1",
        f"    garp_master_refresh {_ANNOUNCE_AGAIN_S}",
        *_block("virtual_ipaddress", [f"{router.marker} dev {router.interface}"]),
        *_block("virtual_ipaddress_excluded", addresses),
        *_block("virtual_routes", routes),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _route(route: VirtualRoute) -> str:
    way = f"{f'via {route.via} ' if route.via else ''}dev {route.device}"
    if route.hops:
        way = " ".join(f"nexthop via {via} dev {device}" for via, device in route.hops)
    table = f"table {route.table} " if route.table else ""
    return (
        f"{route.destination} {table}no_track {way}"
        if route.hops
        else f"{route.destination} {table}{way} no_track"
    )


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"    {name} {{", *(f"        {line}" for line in lines), "    }"] if lines else []
