"""The section of the settings file that all agents of a node read."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class AgentSection(Section, frozen=True):
    """``[agent]``: the node side."""

    host: Annotated[str, Description(description="this node's name; empty: the machine's")] = ""
    server: Annotated[
        str, Description(description="unix:/PATH or https://HOST:PORT of a server; empty: local")
    ] = ""
    token_file: Annotated[str, Description(description="file with the node token")] = ""
    ca_file: Annotated[str, Description(description="PEM file of the server's authority")] = ""
    availability_zone: Annotated[str, Description(description="zone that this node is in")] = "nova"
    resync_interval_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds between two full comparisons")
    ] = 300.0
    duties: Annotated[
        tuple[Literal["dhcp", "l3"], ...],
        Description(description="what this node does for networks besides switching"),
    ] = ("dhcp", "l3")
    l3_agent_mode: Annotated[
        Literal["legacy", "dvr", "dvr_snat", "dvr_no_external"],
        Description(
            description="routers that this node serves: legacy: whole ones; dvr_snat: these, and what is "
            "central of distributed ones; dvr, dvr_no_external: distributed ones for its own guests, with "
            "their floating IPs or without"
        ),
    ] = "dvr_snat"
