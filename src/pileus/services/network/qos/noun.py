"""QoS policies, their rules, and seed 004's face of both, as a part of the API."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from pileus.services.network.common.policy import tag_rule_names, tag_rules
from pileus.services.network.qos import ovsqos, rule_types, rule_work, work
from pileus.services.network.qos.extensions import EXTENSIONS
from pileus.services.network.qos.kinds import Kind
from pileus.services.network.qos.resource import ALIASES, POLICY, RULES, RULES_BY_KIND
from pileus.services.network.qos.tables import rules
from pileus.web.crud import Crud, crud, crud_routes
from pileus.web.noun import Noun
from pileus.web.routes import Route
from pileus.web.tags import tag_routes

POLICIES = "/v2.0/qos/policies"


def _rule_routes(kind: Kind) -> Iterator[Route]:
    """Make the routes of a kind of rules below their policy, and by alias in both spellings: with dashes, as
    Neutron has them, and as its reference writes them."""
    resource = RULES_BY_KIND[kind]
    below = Crud(
        resource=resource,
        create=partial(rule_work.rule_create, kind=kind, resource=resource),
        update=partial(rule_work.rule_update, kind=kind, resource=resource),
        delete=partial(rule_work.rule_delete, resource=resource),
        where=(rules.c.rule_type == kind.name,),
        not_found=rule_work.rule_missing,
    )
    yield from crud_routes(below, f"{POLICIES}/{{policy_id}}/{resource.plural}")
    alias = ALIASES.get(kind)
    if alias is None:
        return
    by_alias = Crud(
        resource=alias,
        update=partial(rule_work.rule_update, kind=kind, resource=alias),
        delete=partial(rule_work.rule_delete, resource=alias),
        where=(rules.c.rule_type == kind.name,),
        not_found=rule_work.rule_missing,
    )
    for path in (alias.collection, alias.plural):
        yield from crud_routes(by_alias, f"/v2.0/qos/{path}", list_=False)


NOUN = Noun(
    name="policy",
    routes=(
        *crud(
            POLICY, POLICIES, create=work.policy_create, update=work.policy_update, delete=work.policy_delete
        ),
        *tag_routes(POLICY, POLICIES, rules=tag_rule_names("policy")),
        *tag_routes(POLICY, "/v2.0/policies", rules=tag_rule_names("policy")),  # where Neutron has them
        *(route for kind in RULES_BY_KIND for route in _rule_routes(kind)),
        *rule_types.ROUTES,
        *crud(
            ovsqos.OVSQOS,
            "/v2.0/ovsqoss",
            create=ovsqos.ovsqos_create,
            update=ovsqos.ovsqos_update,
            delete=work.policy_delete,
        ),
    ),
    rules=(*RULES, *tag_rules("policy")),
    extensions=EXTENSIONS,
)
