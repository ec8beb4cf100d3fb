"""The declaration of QoS specs. Source: Block Storage API reference, "QoS specs"."""

from __future__ import annotations

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource
from pileus.resource.wordings.cinder import CINDER
from pileus.services.volume.api import METADATA, NAME
from pileus.services.volume.rules.limits import CONSUMERS
from pileus.services.volume.tables.types import volume_qos_specs

RULE = "volume_extension:qos_specs_manage:"


class QosSpecsNotFound(NotFound):
    message = "No such QoS spec {id}."


QOS_SPECS = Resource(
    "qos_spec",
    table=volume_qos_specs,
    wording=CINDER,
    not_found=QosSpecsNotFound,
    rules={"get": RULE + "get", "list": RULE + "get_all"},
    attributes=(
        Attribute("id", types.uuid, sort=True, filter=True),
        Attribute("name", NAME, sort=True, filter=True),
        Attribute("consumer", types.enum(*CONSUMERS), sort=True, filter=True),
        Attribute("specs", METADATA),
        Attribute("created_at", types.timestamp_plain, visible=False, sort=True),
    ),
    default_sort=(("created_at", True),),
    description="Limits that volumes of some types are under.",
)
