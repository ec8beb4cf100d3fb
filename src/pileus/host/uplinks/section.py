"""The section of the settings file about a node's own network: its bridges, bonds and VLANs."""

from __future__ import annotations

from typing import Annotated

from pileus.core.settings import Description, Section
from pileus.drivers.interfaces.spec import Bond, Bridge, HostNetwork, Interface, Vlan


class HostNetworkSection(Section, frozen=True):
    """``[host_network]``: tables such as ``[[host_network.bonds]]``; ``pileus node network`` writes them as
    files of the operating system."""

    bridges: Annotated[
        tuple[Bridge, ...], Description(description="bridges, with the network cards that are their ports")
    ] = ()
    bonds: Annotated[
        tuple[Bond, ...], Description(description="network cards that are one port of a bridge together")
    ] = ()
    vlans: Annotated[
        tuple[Vlan, ...], Description(description="VLANs of the host's own, of a bridge or a network card")
    ] = ()
    interfaces: Annotated[
        tuple[Interface, ...], Description(description="network cards that are in no bridge and no bond")
    ] = ()

    def network(self) -> HostNetwork:
        """All of it as one value."""
        return HostNetwork(
            interfaces=self.interfaces, bridges=self.bridges, bonds=self.bonds, vlans=self.vlans
        )
