"""Registered limits, limits and their model: routes and rules."""

from __future__ import annotations

from sqlalchemy import select

from pileus.core.errors import Invalid
from pileus.services.identity.common.policy import ADMIN, NOT_DOMAINS, READ, rules
from pileus.services.identity.common.replies import TEXT, shape
from pileus.services.identity.limits.body import several
from pileus.services.identity.limits.limits import limits_of
from pileus.services.identity.limits.registered import ROUTES
from pileus.services.identity.rules.limits import DESCRIPTIONS, ModelName, too_deep
from pileus.services.identity.tables.projects import projects
from pileus.store.tx import Tx
from pileus.web.crud import crud_routes
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Handler, Request
from pileus.web.routes import Route


class LimitTreeExceeded(Invalid):
    """Projects are deeper than the model of limits can say anything about."""

    message = (
        "Keystone cannot start due to project hierarchical depth in the current deployment (project_ids: "
        "{project_ids}) exceeds the enforcement model's maximum limit of 2. Please use a different "
        "enforcement model to correct the issue."
    )


_TREE = select(projects.c.id, projects.c.parent_id, projects.c.is_domain)
_SHOWN_MOST = 10

_OWN = (
    "domain_id:%(target.limit.domain.id)s or domain_id:%(target.limit.project.domain_id)s or "
    "(project_id:%(target.limit.project_id)s and not None:%(target.limit.project_id)s)"
)


def tree_require(tx: Tx, model: ModelName) -> None:
    """Raise LimitTreeExceeded where projects are too deep for the model."""
    if model == "flat":
        return
    rows = tx.rows(_TREE)
    deep = too_deep(
        {row.id: row.parent_id for row in rows if not row.is_domain},
        (row.id for row in rows if row.is_domain),
    )
    if deep:
        raise LimitTreeExceeded(project_ids=", ".join(deep[:_SHOWN_MOST]))


def _showing(model: ModelName) -> Handler:
    async def show_model(request: Request) -> Reply:
        """GET /v3/limits/model"""
        request.authorise("identity:get_limit_model")
        return Reply.json({"model": {"name": model, "description": DESCRIPTIONS[model]}})

    return show_model


def noun(model: ModelName) -> Noun:
    """Make the noun; ``model`` is the one that new limits must follow."""
    return Noun(
        name="limit",
        routes=(
            *ROUTES,
            *(
                several(route) if route.action == "create" else route
                for route in crud_routes(limits_of(model), "/v3/limits")
            ),
            Route(
                "GET",
                "/v3/limits/model",
                _showing(model),
                rule="identity:get_limit_model",
                reply=shape({"model": shape({"name": TEXT, "description": TEXT})}),
                summary="Show the model of limits",
            ),
        ),
        rules=(
            *rules(
                {
                    "get_limit_model": "",
                    "get_limit": f"{READ} or {_OWN}",
                    "list_limits": "",
                    "get_registered_limit": "",
                    "list_registered_limits": "",
                }
            ),
            *rules(
                {
                    "create_limits": ADMIN,
                    "update_limit": ADMIN,
                    "delete_limit": ADMIN,
                    "create_registered_limits": ADMIN,
                    "update_registered_limit": ADMIN,
                    "delete_registered_limit": ADMIN,
                },
                NOT_DOMAINS,
            ),
        ),
    )
