"""All services of a cloud, made in one place; what siblings need of each other is handed in here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from pileus.app.settings import Settings
from pileus.app.state import StateFolder
from pileus.core.clock import Clock
from pileus.core.files import read_or_create_secret
from pileus.drivers.dns.updates import DynamicUpdates
from pileus.services.compute import service as compute
from pileus.services.compute.servers.host_questions import Ask, OpenStream
from pileus.services.identity.seed import own_project
from pileus.services.identity.service import Beginning, Identity, Notify
from pileus.services.identity.service import from_settings as identity_settings
from pileus.services.image import service as image
from pileus.services.network import service as network
from pileus.services.network.service import Notify as NotifyMetering
from pileus.services.volume import service as volume
from pileus.store import Store
from pileus.web.face import ServiceFace


def make_services(
    folder: StateFolder,
    settings: Settings,
    clock: Clock,
    store: Store,
    ask: Ask,
    open_stream: OpenStream,
    beginning: Callable[[], Beginning] | None = None,
    notify: Notify | None = None,
    notify_metering: NotifyMetering | None = None,
) -> tuple[Identity, tuple[ServiceFace, ...]]:
    """Make identity, and all services (identity first) in the order in which they start."""
    identity = Identity(
        store,
        folder.keys / "fernet",
        clock=clock,
        settings=identity_settings(
            settings.identity, settings.security_compliance, settings.federation, settings.oauth2
        ),
        beginning=beginning,
        notify=notify,
    )
    outside = settings.external_dns
    network_config = msgspec.structs.replace(
        network.from_settings(
            settings.network, compute.projects_of_servers, compute.holders_of, notify_metering
        ),
        publish_reverse=outside.reverse,
    )
    networking = network.Network(
        network_config,
        clock,
        publisher=DynamicUpdates(outside) if outside.server else None,
        publish_retry_s=outside.retry_s,
    )
    images = image.Images(
        image.FileStore(folder.images, settings.image.kept_free_mib << 20),
        read_or_create_secret(folder.image_ticket_key, 32),
        image.from_settings(settings.image),
        clock,
        find_endpoint=partial(identity.find_endpoint, "image"),
    )
    volume_config = volume.from_settings(settings.volume, compute.volumes_held)
    machines = compute.Compute(
        compute.from_settings(settings.compute),
        network_config,
        clock,
        images=images,
        volumes=volume_config,
        ask=ask,
        open_stream=open_stream,
        authority_file=folder.certificate_authority,
        own_project=partial(own_project, name=settings.compute.gateway_project),
    )
    volumes = volume.Volumes(volume_config, clock, images=images)
    placement = compute.Placement(machines.config)
    return identity, (identity, networking, images, volumes, machines, placement)
