"""Taps as a part of the API."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.config import NetworkConfig
from pileus.services.network.taps import work
from pileus.services.network.taps.resource import RULES, TAP_FLOW, TAP_MIRROR, TAP_SERVICE
from pileus.web.crud import crud
from pileus.web.noun import Noun

_EXTENSIONS = (
    Extension(
        "taas",
        "Neutron Tap as a Service",
        "Neutron Tap as a Service Extension.",
        "2015-01-14T10:00:00-00:00",
    ),
    Extension(
        "taas-vlan-filter",
        "VLAN filtering for Neutron Tap as a Service",
        "Neutron Tap as a Service Extension for filtering VLANs.",
        "2018-01-14T10:00:00-00:00",
    ),
    Extension(
        "tap-mirror",
        "Tap as a Service GRE or ERSPAN mirror",
        "Neutron Tap as a Service extension for GRE or ERSPAN mirroring.",
        "2023-05-05T11:45:00-00:00",
    ),
    Extension(
        "tap-mirror-both-direction",
        "Tap as a Service mirror with BOTH direction support",
        "Neutron Tap as a Service extension mirroring with support for BOTH direction.",
        "2025-12-15T11:45:00-00:00",
    ),
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; the numbers of tap services are drawn by ``config``."""
    return Noun(
        name="tap",
        routes=(
            *crud(
                TAP_SERVICE,
                "/v2.0/taas/tap_services",
                create=partial(work.tap_service_create, config=config),
                update=work.tap_service_update,
                delete=work.tap_service_delete,
            ),
            *crud(
                TAP_FLOW,
                "/v2.0/taas/tap_flows",
                create=work.tap_flow_create,
                update=work.tap_flow_update,
                delete=work.tap_flow_delete,
            ),
            *crud(
                TAP_MIRROR,
                "/v2.0/taas/tap_mirrors",
                create=work.tap_mirror_create,
                update=work.tap_mirror_update,
                delete=work.tap_mirror_delete,
            ),
        ),
        rules=RULES,
        quotas=work.QUOTAS,
        extensions=_EXTENSIONS,
    )
