"""All settings: the sections that the rooms declare, put together.

Modules that declare sections import next to nothing, so that commands that only look start quickly.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pileus.app.sections import LimitSection, LogSection, ServerSection, SimulationSection
from pileus.core.settings import Loaded, Section, load
from pileus.drivers.dns.section import ExternalDnsSection
from pileus.host.blockdev.section import BlockStorageSection
from pileus.host.hypervisor.section import HypervisorSection
from pileus.host.l2.section import SwitchSection
from pileus.host.physical.section import PhysicalSwitchesSection
from pileus.host.section import AgentSection
from pileus.host.uplinks.section import HostNetworkSection
from pileus.services.compute.section import ComputeSection
from pileus.services.identity.section import (
    FederationSection,
    IdentitySection,
    OAuth2Section,
    SecurityComplianceSection,
)
from pileus.services.image.section import ImageSection
from pileus.services.network.section import NetworkSection
from pileus.services.volume.section import VolumeSection


class Settings(Section, frozen=True):
    """Everything that can be set."""

    server: ServerSection = ServerSection()
    limits: LimitSection = LimitSection()
    log: LogSection = LogSection()
    identity: IdentitySection = IdentitySection()
    federation: FederationSection = FederationSection()
    oauth2: OAuth2Section = OAuth2Section()
    security_compliance: SecurityComplianceSection = SecurityComplianceSection()
    network: NetworkSection = NetworkSection()
    external_dns: ExternalDnsSection = ExternalDnsSection()
    image: ImageSection = ImageSection()
    compute: ComputeSection = ComputeSection()
    volume: VolumeSection = VolumeSection()
    agent: AgentSection = AgentSection()
    switch: SwitchSection = SwitchSection()
    host_network: HostNetworkSection = HostNetworkSection()
    physical_switches: PhysicalSwitchesSection = PhysicalSwitchesSection()
    hypervisor: HypervisorSection = HypervisorSection()
    block_storage: BlockStorageSection = BlockStorageSection()
    simulation: SimulationSection = SimulationSection()


def load_settings(
    file: Path | None, environment: Mapping[str, str] = os.environ, options: Mapping[str, Any] | None = None
) -> Loaded[Settings]:
    """Read ``file`` (which may be absent), the environment and options (``{"server.listen": …}``); raises
    BadSettings."""
    return load(Settings, file, environment, options)
