"""QoS policies, their rules, and seed 004's face of both, as a part of the API."""

from __future__ import annotations

from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.qos import rule_types, work
from pileus.services.network.qos.resource import BANDWIDTH_LIMIT_RULE, OVSQOS, POLICY, RULES
from pileus.web.crud import crud
from pileus.web.noun import Noun
from pileus.web.tags import tag_routes

POLICIES = "/v2.0/qos/policies"
EXTENSIONS = (
    Extension("qos", "Quality of Service", "The Quality of Service extension.", "2015-06-08T10:00:00-00:00"),
    Extension(
        "qos-default",
        "QoS default policy",
        "Expose the QoS default policy per project",
        "2017-04-06T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-details",
        "Details of QoS rule types",
        "Expose details about QoS rule types supported by loaded backend drivers",
        "2017-06-22T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-filter",
        "Allow to filter the list of QoS rule types",
        "Filters all_rules and all_supported of the list of QoS rule types.",
        "2022-02-02T10:00:00-00:00",
    ),
)

NOUN = Noun(
    name="policy",
    routes=(
        *crud(
            POLICY, POLICIES, create=work.policy_create, update=work.policy_update, delete=work.policy_delete
        ),
        *tag_routes(POLICY, POLICIES, rules=tag_rule_names("policy")),
        *tag_routes(POLICY, "/v2.0/policies", rules=tag_rule_names("policy")),  # where Neutron has them
        *crud(
            BANDWIDTH_LIMIT_RULE,
            f"{POLICIES}/{{policy_id}}/bandwidth_limit_rules",
            create=work.limit_create,
            update=work.limit_update,
            delete=work.limit_delete,
        ),
        *rule_types.ROUTES,
        *crud(
            OVSQOS,
            "/v2.0/ovsqoss",
            create=work.ovsqos_create,
            update=work.ovsqos_update,
            delete=work.policy_delete,
        ),
    ),
    rules=(*RULES, *tag_rules("policy")),
    extensions=EXTENSIONS,
)
