"""The plugging board: where ports are announced on a node that has no Open vSwitch.

DHCP, routers, machines and ``pileus plug`` put an interface on the integration bridge by a row of Open
vSwitch's database, with the port's id in ``external_ids:iface-id``. Here the same rows are kept by our own
OVSDB engine, on the same kind of socket, and the Linux-bridge agent reads them: who plugs needs to know of
one way only. No packet passes the board.
"""

from __future__ import annotations

from pileus.drivers.ovsdb.simulated import SimulatedSwitch

BRIDGE = "br-int"


class PluggingBoard(SimulatedSwitch):
    """The board of a node; with a state file it outlives the process."""
