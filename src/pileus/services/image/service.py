"""The face of the image service: the part that the app, siblings, edges and insight use.

Units named here may be called by siblings inside transactions of their own. A sibling that lets a node move
an image's bytes gives it a ticket (``Images.ticket``) for ``GET`` or ``PUT /v2/images/ID/file``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pileus.core.clock import Clock
from pileus.core.context import Context, system_context
from pileus.resource.check import check_create
from pileus.resource.declaration import Values
from pileus.services.image.config import ImageConfig, from_settings
from pileus.services.image.data.handlers import ImageData
from pileus.services.image.data.noun import noun as image_data
from pileus.services.image.discovery import VERSIONS
from pileus.services.image.discovery import noun as discovery
from pileus.services.image.errors import LimitExceeded
from pileus.services.image.images.access import image_usable
from pileus.services.image.images.noun import noun as images
from pileus.services.image.images.resource import BASE, IMAGE
from pileus.services.image.images.tags import noun as image_tags
from pileus.services.image.images.work import image_create, image_delete, image_get
from pileus.services.image.imports.chain import FindEndpoint, Parts
from pileus.services.image.imports.fetching import Fetcher, HttpFetcher
from pileus.services.image.imports.noun import Imports
from pileus.services.image.imports.noun import noun as image_imports
from pileus.services.image.imports.worker import ImportWorker
from pileus.services.image.members.noun import noun as members
from pileus.services.image.metadefs.noun import NOUN as METADEFS
from pileus.services.image.metadefs.seed import metadefs_seed
from pileus.services.image.policy import BASE_RULES
from pileus.services.image.schemas import NOUN as SCHEMAS
from pileus.services.image.store import DataStore, FileStore
from pileus.services.image.tasks.noun import NOUN as TASKS
from pileus.services.image.tasks.work import tasks_trim
from pileus.services.image.tickets import DOWNLOAD, UPLOAD, Tickets
from pileus.store import Store
from pileus.web.dialects.glance import GLANCE_API
from pileus.web.face import ServiceFace
from pileus.web.service import Service

__all__ = [
    "BASE",
    "DOWNLOAD",
    "IMAGE",
    "OWN_ATTRIBUTES",
    "PREFIX",
    "UPLOAD",
    "FileStore",
    "ImageConfig",
    "Images",
    "LimitExceeded",
    "from_settings",
    "image_create",
    "image_delete",
    "image_get",
    "image_usable",
    "new_image",
]

PREFIX = "/image"
OWN_ATTRIBUTES = BASE | {"self", "file", "schema", "stores", "locations", "direct_url"}
"""Names that a view of an image has besides its properties, which are none that is copied from elsewhere."""
_NODE_TICKET_S = 3600


class Images(ServiceFace):
    """``data`` keeps the bytes, ``ticket_key`` seals tickets. ``find_endpoint`` looks an image service up in
    the catalog, and ``fetcher`` fetches what imports are of (from the network, unless another is given)."""

    def __init__(
        self,
        data: DataStore,
        ticket_key: bytes,
        config: ImageConfig,
        clock: Clock,
        *,
        find_endpoint: FindEndpoint | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._clock = clock
        self._find_endpoint = find_endpoint or _no_endpoint
        self._fetcher = fetcher or HttpFetcher(config)
        self._imports = Imports()
        self._worker: ImportWorker | None = None
        self._tickets = Tickets(ticket_key)
        self.config = config
        self.data = ImageData(data, self._tickets, config)
        self.service = Service(
            name="glance",
            type="image",
            dialect=GLANCE_API,
            prefix=PREFIX,
            base_rules=BASE_RULES,
            nouns=(
                discovery(config),
                images(self.data.delete, config),
                image_data(self.data),
                image_imports(self._imports),
                TASKS,
                image_tags(config),
                members(config),
                METADEFS,
                SCHEMAS,
            ),
            versions=VERSIONS,
            description="Images: what servers and volumes are made from",
        )

    async def start(self, store: Store) -> None:
        """Take up what a crash left half done; a new cloud gets the usual metadata definitions."""
        await self.data.recover(store, self._clock)
        await store.write(metadefs_seed, system_context(self._clock.now()))
        parts = Parts(store, self.data, self.config, self._fetcher, self._find_endpoint, {})
        self._worker = ImportWorker(parts, self._clock)
        self._imports.parts, self._imports.wake = parts, self._worker.wake
        self._worker.start()
        store.trim_also(tasks_trim)

    def ticket(self, image_id: str, purpose: str = DOWNLOAD, seconds: int = 300) -> str:
        """The value of ``X-Image-Ticket`` for one image's bytes; ``purpose`` is DOWNLOAD or UPLOAD."""
        return self._tickets.make(image_id, purpose, self._clock.now() + dt.timedelta(seconds=seconds))

    def download_path(self, image_id: str) -> str:
        """Where a node gets an image's bytes: below a server's address, with a ticket for an hour."""
        ticket = self.ticket(image_id, seconds=_NODE_TICKET_S)
        return f"{PREFIX}/v2/images/{image_id}/file?ticket={ticket}"

    def upload_path(self, image_id: str) -> str:
        """Where a node puts an image's bytes: the same path, with a ticket to write for an hour."""
        ticket = self.ticket(image_id, UPLOAD, _NODE_TICKET_S)
        return f"{PREFIX}/v2/images/{image_id}/file?ticket={ticket}"

    async def delete_data(self, name: str) -> None:
        """Delete an object of the store whose image is gone; one that is not there is fine."""
        await self.data.delete(name)

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker.close()
        self.data.close()


async def _no_endpoint(region: str, interface: str) -> None:
    """A catalog that has nothing."""


def new_image(context: Context, properties: Mapping[str, str] | None = None, **values: Any) -> Values:
    """Complete values for ``image_create`` (names as in the API): checked, defaults and an id filled in."""
    spec = check_create(IMAGE, context, {name: value for name, value in values.items() if name in BASE})
    spec["properties"] = dict(properties or {})
    return spec
