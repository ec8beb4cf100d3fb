"""conntrackd's configuration of one virtual router. Pure.

What the active host's kernel learns of a connection is put into the kernels of those that stand by at once
(no cache beside them), so that there is nothing to be done when one of them takes over.
"""

from __future__ import annotations

from pathlib import Path

from pileus.drivers.keepalived.spec import VirtualRouter

PROGRAM = "conntrackd"
GROUP = "225.0.0.50"
"""Where hosts tell each other, on the network of a project's routers."""
_FIRST_PORT = 3780
"""Each virtual router has a port of its own there: the number of VRRP is added."""
_BUFFER, _MOST_BUFFER = 2 << 20, 8 << 20


def render(router: VirtualRouter, home: Path) -> str:
    """The file; ``home`` has the lock and the socket."""
    return "\n".join(
        (
            "Sync {",
            "    Mode FTFW {",
            "        DisableExternalCache on",
            "        StartupResync yes",
            "    }",
            "    Multicast {",
            f"        IPv4_address {GROUP}",
            f"        Group {_FIRST_PORT + router.vr_id}",
            f"        IPv4_interface {router.address}",
            f"        Interface {router.interface}",
            "        Checksum on",
            "    }",
            "}",
            "General {",
            "    HashSize 32768",
            "    HashLimit 131072",
            "    LogFile off",
            f"    LockFile {home}/lock",
            "    UNIX {",
            f"        Path {home}/ctl",
            "    }",
            f"    NetlinkBufferSize {_BUFFER}",
            f"    NetlinkBufferSizeMaxGrowth {_MOST_BUFFER}",
            "    Filter From Userspace {",
            "        Address Ignore {",
            "            IPv4_address 127.0.0.1",
            "            IPv6_address ::1",
            f"            IPv4_address {router.address}",
            f"            IPv4_address {GROUP}",
            "        }",
            "    }",
            "}",
            "",
        )
    )
