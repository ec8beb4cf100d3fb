"""Plans each physical switch of a node from what the server says. Pure."""

from __future__ import annotations

from pileus.drivers.physical.switch import Attachment, CarriedNetwork, Wanted
from pileus.wire.physical import PhysicalNetwork, PhysicalState

NOWHERE = "00:00:00:00:00:00"
"""The address of what is for everybody, in a table of forwarding."""
_CARRIES = {"vtep": frozenset(("vxlan",)), "ssh": frozenset(("vlan",))}


def plan(state: PhysicalState, name: str, kind: str) -> tuple[Wanted, list[str]]:
    """Plan one switch: what it should carry, and the networks that it can't."""
    ours = [one for one in state.attachments if one.switch == name]
    known = {network.network_id: network for network in state.networks}
    able, unable = {}, []
    for network_id in dict.fromkeys(one.network_id for one in ours):
        network = known.get(network_id)
        if network is None:
            continue
        if network.segment.network_type in _CARRIES[kind] and network.segment.segmentation_id is not None:
            able[network_id] = carried(network, name)
        else:
            unable.append(network_id)
    return (
        Wanted(
            networks=tuple(able[key] for key in sorted(able)),
            attachments=tuple(
                sorted(
                    Attachment(one.port, one.vlan, one.network_id) for one in ours if one.network_id in able
                )
            ),
        ),
        unable,
    )


def carried(network: PhysicalNetwork, name: str) -> CarriedNetwork:
    """A network with the ways to its ports on nodes and behind other switches."""
    entries = [one for one in network.forwarding if one.host != name]
    return CarriedNetwork(
        network_id=network.network_id,
        number=network.segment.segmentation_id or 0,
        ways={
            one.mac_address.lower(): one.tunneling_ip for one in entries if one.mac_address.lower() != NOWHERE
        },
        floods=tuple(sorted({one.tunneling_ip for one in entries})),
    )
