"""The declarations of metering labels and of their rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.wordings.neutron import NEUTRON
from pileus.services.network.common.attributes import ID, NAME, PROJECT, TEXT
from pileus.services.network.common.policy import ADMIN_OR_MANAGER, ADMIN_OR_READER, rules
from pileus.services.network.metering.tables import metering_label_rules, metering_labels
from pileus.store.column_in import column_in
from pileus.store.tx import Tx

_PREFIX = types.nullable(types.cidr)


class MeteringLabelNotFound(NotFound):
    message = "Metering label '{label_id}' does not exist."

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"label_id": values.get("id"), **values})


class MeteringLabelRuleNotFound(NotFound):
    message = "Metering label rule '{rule_id}' does not exist."

    def __init__(self, **values: Any) -> None:
        super().__init__(**{"rule_id": values.get("id"), **values})


METERING_LABEL = Resource(
    "metering_label",
    table=metering_labels,
    wording=NEUTRON,
    not_found=MeteringLabelNotFound,
    attributes=(
        ID,
        Attribute("name", NAME.type, default="", create=True, filter=True, sort=True),
        Attribute("description", TEXT, default="", create=True, filter=True, sort=True),
        PROJECT,
        Attribute("shared", types.boolean, default=False, create=True, filter=True, sort=True),
    ),
)


def _targets(tx: Tx, context: Context, several: Sequence[Values]) -> list[Mapping[str, Any]]:
    """The values with their label's project: rules have none of their own."""
    wanted = sorted({one["metering_label_id"] for one in several})
    statement = select(metering_labels.c.id, metering_labels.c.project_id)
    owners = dict(map(tuple, tx.rows(statement.where(column_in(tx, metering_labels.c.id, wanted)))))
    found = [owners.get(one["metering_label_id"]) for one in several]
    return [
        {**one, "project_id": owner, "tenant_id": owner} for one, owner in zip(several, found, strict=True)
    ]


METERING_LABEL_RULE = Resource(
    "metering_label_rule",
    table=metering_label_rules,
    source=metering_label_rules.join(
        metering_labels, metering_labels.c.id == metering_label_rules.c.metering_label_id
    ),
    wording=NEUTRON,
    not_found=MeteringLabelRuleNotFound,
    parents={"metering_label_id": METERING_LABEL},
    targets=_targets,
    policy_columns={
        "project_id": metering_labels.c.project_id,
        "tenant_id": metering_labels.c.project_id,
    },
    attributes=(
        ID,
        Attribute("metering_label_id", types.uuid, create=True, required=True, filter=True, sort=True),
        Attribute(
            "direction",
            types.enum("ingress", "egress"),
            create=True,
            required=True,
            filter=True,
            sort=True,
        ),
        Attribute("excluded", types.boolean, default=False, create=True, filter=True, sort=True),
        *(
            Attribute(f"{which}_ip_prefix", _PREFIX, default=None, create=True, filter=True, sort=True)
            for which in ("remote", "source", "destination")
        ),
    ),
)

RULES = rules(
    {
        "create_metering_label": ADMIN_OR_MANAGER,
        "get_metering_label": ADMIN_OR_READER,
        "delete_metering_label": ADMIN_OR_MANAGER,
        "create_metering_label_rule": ADMIN_OR_MANAGER,
        "get_metering_label_rule": ADMIN_OR_READER,
        "delete_metering_label_rule": ADMIN_OR_MANAGER,
    }
)
