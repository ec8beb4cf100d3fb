"""The face of the volume service: what the app, siblings, edges and insight use."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from pileus.core.clock import Clock
from pileus.core.context import system_context
from pileus.services.volume import policy
from pileus.services.volume.agents.noun import agents_noun
from pileus.services.volume.agents.report import Parts
from pileus.services.volume.agents.serving import volume_scopes_served
from pileus.services.volume.api import VOLUME_API, admit, spelling
from pileus.services.volume.attachments.actions import CONNECTIONS, connection_actions
from pileus.services.volume.attachments.for_servers import (
    ForServer,
    Recipe,
    failures_of,
    snapshots_of,
    type_usable,
    volumes_for_servers,
)
from pileus.services.volume.attachments.noun import attachments_noun
from pileus.services.volume.attachments.work import (
    attachment_complete,
    attachment_connect,
    attachment_reserve,
    attachments_complete,
    attachments_connect,
    attachments_end,
    attachments_read,
    attachments_replace,
    volume_held,
    volume_set,
)
from pileus.services.volume.backups.noun import backups_noun
from pileus.services.volume.cleanup import cleanup_noun
from pileus.services.volume.config import VolumeConfig, from_settings
from pileus.services.volume.errors import InvalidVolume, QuotaError
from pileus.services.volume.events import CONNECTED, MADE, RESIZED
from pileus.services.volume.extensions import EXTENSIONS
from pileus.services.volume.groups.noun import groups_noun
from pileus.services.volume.groups.types import GROUP_TYPES
from pileus.services.volume.messages import MESSAGES, messages_trim
from pileus.services.volume.microversions import MICROVERSIONS
from pileus.services.volume.pools.hosts import pools_noun
from pileus.services.volume.pools.services import services_noun
from pileus.services.volume.qos.noun import QOS
from pileus.services.volume.qos.work import volume_limits
from pileus.services.volume.quotas.noun import QUOTAS
from pileus.services.volume.snapshots.noun import revert_actions, snapshots_noun
from pileus.services.volume.snapshots.work import snapshot_begin
from pileus.services.volume.transfers.noun import TRANSFERS
from pileus.services.volume.types.access import TYPE_ACCESS
from pileus.services.volume.types.defaults import DEFAULT_TYPES
from pileus.services.volume.types.encryption import TYPE_ENCRYPTION
from pileus.services.volume.types.extra_specs import TYPE_EXTRA_SPECS
from pileus.services.volume.types.noun import types_noun
from pileus.services.volume.types.work import types_seed
from pileus.services.volume.uses.image import IMAGE_FACTS, ImageFiles
from pileus.services.volume.volumes.actions import volume_actions, volume_actions_noun
from pileus.services.volume.volumes.deletion import volumes_delete
from pileus.services.volume.volumes.lookup import volumes_held, volumes_of
from pileus.services.volume.volumes.metadata import IMAGE_METADATA_ACTIONS, VOLUME_METADATA
from pileus.services.volume.volumes.noun import volumes_noun
from pileus.services.volume.volumes.reimaging import REIMAGES, reimage_actions
from pileus.services.volume.volumes.retyping import RETYPES, retype_actions
from pileus.services.volume.volumes.uploading import UPLOADS, upload_actions
from pileus.services.volume.worker import VolumeWorker
from pileus.store import Store
from pileus.web.answers import Handler, handlers
from pileus.web.dialects import ApiVersion
from pileus.web.face import ServiceFace
from pileus.web.noun import Noun
from pileus.web.service import Service

__all__ = [
    "CONNECTED",
    "IMAGE_FACTS",
    "MADE",
    "PREFIX",
    "RESIZED",
    "ForServer",
    "InvalidVolume",
    "QuotaError",
    "Recipe",
    "VolumeConfig",
    "Volumes",
    "attachment_complete",
    "attachment_connect",
    "attachment_reserve",
    "attachments_complete",
    "attachments_connect",
    "attachments_end",
    "attachments_read",
    "attachments_replace",
    "failures_of",
    "from_settings",
    "snapshot_begin",
    "snapshots_of",
    "type_usable",
    "volume_held",
    "volume_limits",
    "volume_scopes_served",
    "volume_set",
    "volumes_delete",
    "volumes_for_servers",
    "volumes_held",
    "volumes_of",
]

PREFIX = "/volume"
ENDPOINT_PATH = "/v3/$(project_id)s"
"""The end of the catalog's address, after the prefix: clients of old put the project's id into it."""

VERSIONS = (
    ApiVersion(
        "v3.0",
        "/v3",
        "CURRENT",
        "2023-08-31T00:00:00Z",
        min_version=str(MICROVERSIONS.minimum),
        max_version=str(MICROVERSIONS.maximum),
        media_types=("application/vnd.openstack.volume+json;version=3",),
    ),
)


def nouns(parts: Parts) -> tuple[Noun, ...]:
    """The nouns of the service, in the order in which they are told."""
    config = parts.config
    return (
        EXTENSIONS,
        MESSAGES,
        QUOTAS,
        types_noun(config),
        TYPE_EXTRA_SPECS,
        TYPE_ACCESS,
        TYPE_ENCRYPTION,
        DEFAULT_TYPES,
        QOS,
        services_noun(config),
        pools_noun(config),
        volumes_noun(config),
        VOLUME_METADATA,
        snapshots_noun(config),
        attachments_noun(config),
        TRANSFERS,
        backups_noun(config),
        GROUP_TYPES,
        groups_noun(config),
        CONNECTIONS,
        UPLOADS,
        RETYPES,
        REIMAGES,
        volume_actions_noun(
            volume_actions(config),
            IMAGE_METADATA_ACTIONS,
            revert_actions(config),
            connection_actions(config),
            upload_actions(config, parts.images),
            retype_actions(config),
            reimage_actions(config),
        ),
        agents_noun(parts),
        cleanup_noun(config),
    )


class Volumes(ServiceFace):
    """``images`` has the bytes of images."""

    def __init__(self, config: VolumeConfig, clock: Clock, *, images: ImageFiles) -> None:
        self.config = config
        self.parts = Parts(config, images)
        self._clock = clock
        self._worker: VolumeWorker | None = None
        self.service = Service(
            name="cinder",
            type="block-storage",
            aliases=(("volumev3", "cinderv3"),),
            dialect=VOLUME_API,
            prefix=PREFIX,
            endpoint_path=ENDPOINT_PATH,
            nouns=nouns(self.parts),
            base_rules=policy.BASE_RULES,
            versions=VERSIONS,
            microversions=MICROVERSIONS,
            spelling=spelling,
            admit=admit,
            description="OpenStack Block Storage",
        )

    def answers(self, store: Store) -> Mapping[str, Handler]:
        return handlers(self.service.answers, store, self._clock)

    async def start(self, store: Store) -> None:
        """Make the default volume type where there is none; begin to end what nobody reports."""
        await store.write(types_seed, system_context(self._clock.now()), self.config)
        self._worker = VolumeWorker(store, self.config, self._clock, host=socket.gethostname())
        self._worker.start()
        store.trim_also(messages_trim)

    async def close(self) -> None:
        """Stop the loop; what is overdue is ended by the next."""
        if self._worker is not None:
            await self._worker.close()
