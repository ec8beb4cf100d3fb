"""Whether the kernel can police: asked by doing it, on a link made for the question.

vswitchd writes a failed policer to its log and nowhere else, so a limit that the kernel
refused looks like one that holds (tc-police(8)).
"""

from __future__ import annotations

import os

from pileus.core import log

_log = log.get("host.l2")

_INGRESS = 0xFFFF0000
_ALL_PROTOCOLS = 3


def kernel_polices() -> bool:
    """Try a policing filter on a throwaway veth pair. Blocks for some milliseconds; needs root."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    name = f"plpol{os.getpid() % 100000}"
    with IPRoute() as route:
        try:
            route.link("add", ifname=name, kind="veth", peer={"ifname": f"{name}p"})
        except NetlinkError as error:
            _log.info("no link to try the policer on", error=str(error))
            return False
        try:
            index = route.link_lookup(ifname=name)[0]
            route.tc("add", "ingress", index, _INGRESS)
            route.tc(
                "add-filter",
                "u32",
                index,
                parent=_INGRESS,
                prio=10,
                protocol=_ALL_PROTOCOLS,
                target=0x10000,
                rate="1mbit",
                burst=10240,
                limit=0,
                keys=["0x0/0x0+12"],
            )
        except NetlinkError as error:
            _log.info("the kernel does not police", error=str(error))
            return False
        finally:
            route.link("del", ifname=name)
    return True
