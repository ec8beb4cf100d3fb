"""All proxies, in the order in which they are told."""

from __future__ import annotations

from pileus.services.compute.proxies.floating_ips import FLOATING_IPS
from pileus.services.compute.proxies.image_metadata import IMAGE_METADATA
from pileus.services.compute.proxies.images import IMAGES_PROXY
from pileus.services.compute.proxies.networks import NETWORKS
from pileus.services.compute.proxies.security_groups import SECURITY_GROUPS
from pileus.services.compute.proxies.volumes import VOLUMES_PROXY

PROXIES = (NETWORKS, FLOATING_IPS, SECURITY_GROUPS, IMAGES_PROXY, IMAGE_METADATA, VOLUMES_PROXY)
