"""Domains: routes and rules."""

from __future__ import annotations

from pileus.services.identity.common.judging import in_tokens_domain, judging
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, domain_reader, rules
from pileus.services.identity.projects.resource import DOMAIN, domain_target
from pileus.services.identity.projects.work import domain_create, domain_delete, domain_update
from pileus.services.identity.tables.projects import projects
from pileus.web.crud import Crud, crud_routes
from pileus.web.noun import Noun

judge_domain = judging(DOMAIN, domain_target)

DOMAINS = Crud(
    resource=DOMAIN,
    create=domain_create,
    update=domain_update,
    delete=domain_delete,
    judge=judge_domain,
    found_first=frozenset({"update", "delete"}),
    where=(projects.c.is_domain.is_(True),),
    list_visible=in_tokens_domain(projects.c.id),
)

NOUN = Noun(
    name="domain",
    routes=crud_routes(DOMAINS, "/v3/domains"),
    rules=(
        *rules(
            {
                "get_domain": (
                    f"{READ} or token.domain.id:%(target.domain.id)s "
                    "or token.project.domain.id:%(target.domain.id)s"
                ),
                "list_domains": domain_reader("target.domain.id"),
            }
        ),
        *rules({f"{verb}_domain": ADMIN for verb in ("create", "update", "delete")}, NOT_DOMAINS),
    ),
)
