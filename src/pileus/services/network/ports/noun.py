"""Ports as a part of the API, and their side of the wire."""

from __future__ import annotations

from functools import partial

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.config import NetworkConfig
from pileus.services.network.ports import timeline, traits
from pileus.services.network.ports.requests import (
    requested_port_create,
    requested_port_delete,
    requested_port_update,
)
from pileus.services.network.ports.resource import PORT, RULES
from pileus.services.network.ports.status import device_status
from pileus.services.network.ports.switch_state import switch_state
from pileus.services.network.ports.work import PORT_QUOTA
from pileus.web.answers import Answer
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes
from pileus.wire.calls import DEVICE_STATUS, SWITCH_STATE

PATH = "/v2.0/ports"
EXTENSIONS = (
    Extension(
        "binding",
        "Port Binding",
        "Expose port bindings of a virtual port to external application",
        "2014-02-03T10:00:00-00:00",
    ),
    Extension("port-security", "Port Security", "Provides port security", "2012-07-23T10:00:00-00:00"),
    Extension(
        "allowed-address-pairs",
        "Allowed Address Pairs",
        "Provides allowed address pairs",
        "2013-07-23T10:00:00-00:00",
    ),
    Extension(
        "aap-reject-multicast",
        "Allowed address pairs reject multicast extension",
        "Reject multicast addresses in Allowed Address Pairs",
        "2026-04-01T00:00:00-00:00",
    ),
    Extension(
        "extra_dhcp_opt",
        "Neutron Extra DHCP options",
        "Extra options configuration for DHCP.",
        "2013-03-17T12:00:00-00:00",
    ),
    Extension(
        "ip-substring-filtering",
        "IP address substring filtering",
        "Provides IP address substring filtering when listing ports",
        "2017-11-28T09:00:00-00:00",
    ),
    Extension(
        "port-security-groups-filtering",
        "Port filtering on security groups",
        "Provides security groups filtering when listing ports",
        "2018-01-09T09:00:00-07:00",
    ),
    Extension(
        "port-mac-address-regenerate",
        "Neutron Port MAC address regenerate",
        "Network port MAC address regenerate",
        "2018-05-03T10:00:00-00:00",
    ),
    Extension(
        "tag-ports-during-bulk-creation",
        "Tag Ports During Bulk Creation",
        "Allow to tag ports during bulk creation",
        "2019-12-29T19:00:00-00:00",
    ),
    *traits.EXTENSIONS,
)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; its units decide with ``config``."""
    return Noun(
        name="port",
        routes=(
            *crud_routes(
                Crud(
                    resource=PORT,
                    create=partial(requested_port_create, config=config),
                    update=partial(requested_port_update, config=config),
                    delete=partial(requested_port_delete, config=config),
                    joined=True,
                ),
                PATH,
                statements={"list": 5, "create": 44, "get": 4, "update": 44, "delete": 40},
            ),
            *tag_routes(PORT, PATH, rules=tag_rule_names("port")),
            *timeline.ROUTES,
        ),
        rules=(*RULES, *tag_rules("port")),
        quotas=(PORT_QUOTA,),
        extensions=EXTENSIONS,
        answers=(
            Answer(SWITCH_STATE, partial(switch_state, config=config)),
            Answer(DEVICE_STATUS, partial(device_status, config=config), writes=True),
        ),
    )
