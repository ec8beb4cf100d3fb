"""The section of the settings file about the machines of a node."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class HypervisorSection(Section, frozen=True):
    """``[hypervisor]``: machines on a node."""

    driver: Annotated[
        Literal["auto", "libvirt", "none"],
        Description(description="auto: libvirt where it is installed; none: no machines on this node"),
    ] = "auto"
    uri: Annotated[
        str, Description(description="libvirt URI; empty: the system's libvirt, or one of our own")
    ] = ""
    kvm: Annotated[
        Literal["auto", "try", "on", "off"],
        Description(
            description="auto: if a machine started under it really runs, and never where this machine is "
            "itself a virtual one, which nested virtualisation may freeze; try: there too; on: untried"
        ),
    ] = "auto"
    shutdown_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds for a guest to shut down by itself")
    ] = 60.0
    resume_guests_state_on_host_boot: Annotated[
        bool,
        Description(description="start machines that ran when this node went down once it is up again"),
    ] = True
    display: Annotated[
        bool,
        Description(
            description="machines have a video card and a display, for consoles by VNC; it listens nowhere"
        ),
    ] = True
    reserved_memory_mib: Annotated[
        int, msgspec.Meta(ge=0, description="memory of this node that no machine gets, in MiB")
    ] = 512
    reserved_disk_gib: Annotated[
        int, msgspec.Meta(ge=0, description="disk of this node that no machine gets, in GiB")
    ] = 0
    migration_address: Annotated[
        str,
        Description(
            description="address by which other nodes bring machines that run to this one; empty: the "
            "switch's tunneling_ip, and without one machines neither come nor leave while they run"
        ),
    ] = ""
    migration_ports: Annotated[
        str,
        msgspec.Meta(
            pattern=r"\A(\d{1,5}-\d{1,5})?\Z", description="TCP ports for them, first-last; empty: any"
        ),
    ] = "49152-49215"
