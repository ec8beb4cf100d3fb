"""The face of the compute service: what the app, edges and insight use."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Mapping
from pathlib import Path

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.core.ids import new_id
from pileus.services.compute import policy
from pileus.services.compute.agents.noun import agents_noun
from pileus.services.compute.agents.serving import look
from pileus.services.compute.api import COMPUTE, admit, spelling
from pileus.services.compute.certificates import Authority, certificates_noun
from pileus.services.compute.conductor import Conductor
from pileus.services.compute.config import ComputeConfig, from_settings
from pileus.services.compute.consoles.noun import consoles_noun
from pileus.services.compute.consoles.requests import ConsoleHandlers, console_actions
from pileus.services.compute.extensions import EXTENSIONS
from pileus.services.compute.flavors.access import FLAVOR_ACCESS
from pileus.services.compute.flavors.extra_specs import FLAVOR_EXTRA_SPECS
from pileus.services.compute.flavors.noun import FLAVORS
from pileus.services.compute.flavors.work import flavors_seed
from pileus.services.compute.gateway_machines.keeper import GatewayKeeper
from pileus.services.compute.gateway_machines.work import OwnProject
from pileus.services.compute.gone import GONE
from pileus.services.compute.keypairs.noun import KEYPAIRS
from pileus.services.compute.limits import LIMITS
from pileus.services.compute.microversions import MICROVERSIONS
from pileus.services.compute.nodes.aggregates import AGGREGATES
from pileus.services.compute.nodes.hosts import hosts_noun
from pileus.services.compute.nodes.hypervisors import hypervisors_noun
from pileus.services.compute.nodes.services import services_noun
from pileus.services.compute.nodes.zones import zones_noun
from pileus.services.compute.placement.face import Placement
from pileus.services.compute.proxies.floating_ips import FLOATING_IP_ACTIONS
from pileus.services.compute.proxies.nouns import PROXIES
from pileus.services.compute.quotas.classes import QUOTA_CLASSES
from pileus.services.compute.quotas.noun import QUOTA_SETS
from pileus.services.compute.server_groups import SERVER_GROUPS
from pileus.services.compute.servers.actions import server_actions_noun
from pileus.services.compute.servers.addresses import SERVER_ADDRESSES
from pileus.services.compute.servers.attached import holders_of, projects_of_servers
from pileus.services.compute.servers.attached_volumes import volumes_held
from pileus.services.compute.servers.chains.common import Parts
from pileus.services.compute.servers.cleanup import forget
from pileus.services.compute.servers.console_output import CONSOLE_OUTPUT, console_output_actions
from pileus.services.compute.servers.diagnostics import diagnostics_noun
from pileus.services.compute.servers.external_events import EXTERNAL_EVENTS
from pileus.services.compute.servers.host_questions import Ask, HostQuestions, OpenStream
from pileus.services.compute.servers.instance_actions import INSTANCE_ACTIONS
from pileus.services.compute.servers.interfaces import (
    InterfaceHandlers,
    interface_actions,
    interfaces_noun,
)
from pileus.services.compute.servers.metadata import SERVER_METADATA
from pileus.services.compute.servers.migrations import MIGRATIONS
from pileus.services.compute.servers.noun import ServerHandlers, server_actions, servers_noun
from pileus.services.compute.servers.password import SERVER_PASSWORD
from pileus.services.compute.servers.quarantine import (
    QUARANTINES,
    QuarantineHandlers,
    quarantine_actions,
)
from pileus.services.compute.servers.security_groups import (
    SecurityGroupHandlers,
    security_group_actions,
    security_groups_noun,
)
from pileus.services.compute.servers.server_migrations import server_migrations_noun
from pileus.services.compute.servers.tags import SERVER_TAGS
from pileus.services.compute.servers.verbs.admin import ADMIN_ACTIONS, SERVER_ADMIN
from pileus.services.compute.servers.verbs.crash_dump import CRASH_DUMPS, crash_dump_actions
from pileus.services.compute.servers.verbs.evacuate import EVACUATIONS, evacuate_actions
from pileus.services.compute.servers.verbs.live_migrate import LIVE_MIGRATIONS, live_migrate_actions
from pileus.services.compute.servers.verbs.lock import LOCK, LOCK_ACTIONS
from pileus.services.compute.servers.verbs.power import POWER, power_actions
from pileus.services.compute.servers.verbs.rebuild import REBUILD, rebuild_actions
from pileus.services.compute.servers.verbs.rescue import RESCUES, rescue_actions
from pileus.services.compute.servers.verbs.resize import RESIZES, resize_actions
from pileus.services.compute.servers.verbs.restore import RESTORE_ACTIONS, RESTORES
from pileus.services.compute.servers.verbs.shelve import SHELVES, shelve_actions
from pileus.services.compute.servers.verbs.snapshot import SNAPSHOTS, snapshot_actions
from pileus.services.compute.servers.volume_attachments import volume_attachments_noun
from pileus.services.compute.timeline import TIMELINE, Entry, timeline_read
from pileus.services.compute.usage import USAGE
from pileus.services.compute.usage_audit import usage_audit_noun
from pileus.services.compute.uses.image import ImageFiles
from pileus.services.compute.uses.network import NetworkConfig
from pileus.services.compute.uses.volume import VolumeConfig
from pileus.store import Store
from pileus.web.answers import Handler, handlers
from pileus.web.dialects import ApiVersion
from pileus.web.face import ServiceFace
from pileus.web.noun import Noun
from pileus.web.routes import Action
from pileus.web.service import Service

__all__ = [
    "PREFIX",
    "Compute",
    "ComputeConfig",
    "Conductor",
    "Entry",
    "Placement",
    "from_settings",
    "holders_of",
    "look",
    "projects_of_servers",
    "timeline_read",
    "volumes_held",
]

PREFIX = "/compute"
ENDPOINT_PATH = "/v2.1"
"""The end of the catalog's address, after the prefix."""

VERSIONS = (
    ApiVersion("v2.0", "/v2", "SUPPORTED", "2011-01-21T11:33:21Z", shows_window=True),
    ApiVersion(
        "v2.1",
        "/v2.1",
        "CURRENT",
        "2013-07-23T11:33:21Z",
        min_version=str(MICROVERSIONS.minimum),
        max_version=str(MICROVERSIONS.maximum),
        media_types=("application/vnd.openstack.compute+json;version=2.1",),
    ),
)


def nouns(parts: Parts, ask: Ask, open_stream: OpenStream, authority: Authority) -> tuple[Noun, ...]:
    """The nouns of the service, in the order in which they are told."""
    config, network = parts.config, parts.network
    servers, interfaces = ServerHandlers(parts), InterfaceHandlers(network)
    groups, quarantine = SecurityGroupHandlers(network), QuarantineHandlers(network)
    questions, consoles = HostQuestions(ask), ConsoleHandlers(config)
    return (
        EXTENSIONS,
        FLAVORS,
        FLAVOR_ACCESS,
        FLAVOR_EXTRA_SPECS,
        certificates_noun(authority),
        KEYPAIRS,
        LIMITS,
        QUOTA_SETS,
        QUOTA_CLASSES,
        USAGE,
        usage_audit_noun(config),
        SERVER_GROUPS,
        services_noun(config),
        zones_noun(config),
        hypervisors_noun(config),
        hosts_noun(config),
        AGGREGATES,
        servers_noun(servers),
        POWER,
        REBUILD,
        SNAPSHOTS,
        RESCUES,
        SHELVES,
        RESIZES,
        LIVE_MIGRATIONS,
        EVACUATIONS,
        MIGRATIONS,
        server_migrations_noun(parts),
        RESTORES,
        CRASH_DUMPS,
        LOCK,
        SERVER_ADMIN,
        server_actions_noun(*_actions(parts, servers, interfaces, groups, quarantine, questions, consoles)),
        SERVER_METADATA,
        SERVER_TAGS,
        SERVER_ADDRESSES,
        interfaces_noun(interfaces),
        security_groups_noun(groups),
        QUARANTINES,
        INSTANCE_ACTIONS,
        CONSOLE_OUTPUT,
        consoles_noun(consoles, open_stream),
        diagnostics_noun(questions),
        SERVER_PASSWORD,
        volume_attachments_noun(parts),
        EXTERNAL_EVENTS,
        *PROXIES,
        GONE,
        TIMELINE,
        agents_noun(parts),
    )


def _actions(
    parts: Parts,
    servers: ServerHandlers,
    interfaces: InterfaceHandlers,
    groups: SecurityGroupHandlers,
    quarantine: QuarantineHandlers,
    questions: HostQuestions,
    consoles: ConsoleHandlers,
) -> tuple[Mapping[str, Action], ...]:
    """The actions of servers, a table a noun."""
    return (
        server_actions(servers),
        power_actions(parts),
        rebuild_actions(parts),
        snapshot_actions(parts),
        rescue_actions(parts),
        shelve_actions(parts),
        resize_actions(parts),
        live_migrate_actions(parts),
        evacuate_actions(parts),
        crash_dump_actions(parts),
        RESTORE_ACTIONS,
        LOCK_ACTIONS,
        ADMIN_ACTIONS,
        interface_actions(interfaces),
        security_group_actions(groups),
        FLOATING_IP_ACTIONS,
        quarantine_actions(quarantine),
        console_output_actions(questions),
        console_actions(consoles),
    )


class Compute(ServiceFace):
    """``images`` has the bytes of images; ``ask`` asks a host, ``open_stream`` for a stream;
    ``authority_file`` has the root of certificates; ``own_project`` gives the project that has the cloud's
    own servers (None: it has none)."""

    def __init__(
        self,
        config: ComputeConfig,
        network: NetworkConfig,
        clock: Clock,
        *,
        images: ImageFiles,
        volumes: VolumeConfig,
        ask: Ask,
        open_stream: OpenStream,
        authority_file: Path,
        own_project: OwnProject | None = None,
    ) -> None:
        self._clock = clock
        self.parts = Parts(config, network, images, volumes)
        self._conductor: Conductor | None = None
        self._own_project = own_project
        self._gateways: GatewayKeeper | None = None
        self.config = config
        self.service = Service(
            name="nova",
            type="compute",
            dialect=COMPUTE,
            prefix=PREFIX,
            endpoint_path=ENDPOINT_PATH,
            nouns=nouns(self.parts, ask, open_stream, Authority(authority_file)),
            base_rules=policy.BASE_RULES,
            versions=VERSIONS,
            microversions=MICROVERSIONS,
            spelling=spelling,
            admit=admit,
            description="OpenStack Compute",
        )

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return handlers(self.service.answers, store, self._clock)

    async def start(self, store: Store) -> None:
        """Make the classic flavors where there are none; begin to bring servers up and to forget old ones."""
        await store.write(flavors_seed, system_context(self._clock.now()))
        self._conductor = Conductor(store, self.parts, self._clock, owner=new_id(), host=socket.gethostname())
        self._conductor.start()
        if self._own_project is not None:
            self._gateways = GatewayKeeper(store, self.parts, self._clock, self._own_project)
            self._gateways.start()
        kept = dt.timedelta(days=self.config.keep_deleted_servers_days)
        store.trim_also(lambda tx, now: forget(tx, now - kept))

    async def close(self) -> None:
        """Stop the conductor and the like; what is under way is taken up by the next."""
        if self._gateways is not None:
            await self._gateways.close()
        if self._conductor is not None:
            await self._conductor.close()
