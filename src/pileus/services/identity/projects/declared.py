"""The standard routes of projects, declared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.services.identity.common.judging import in_tokens_domain, judging
from pileus.services.identity.projects.resource import DOMAIN, PROJECT, TAG_FILTERS, project_target
from pileus.services.identity.projects.work import project_create, project_delete, project_update
from pileus.services.identity.tables.projects import projects
from pileus.web.crud import Crud
from pileus.web.request import Request


def _rules(action: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """A project that is a domain is made, changed and deleted by who may do so with domains."""
    own = PROJECT.rule(action)
    changes = action in ("create", "update", "delete")
    return (own, DOMAIN.rule(action)) if changes and values["is_domain"] else (own,)


def _no_domains(request: Request) -> Sequence[ColumnElement[bool]]:
    """A list is of those that are no domains, unless ``is_domain`` asks otherwise."""
    return (projects.c.is_domain.is_(False),) if request.parameter("is_domain") is None else ()


PROJECTS = Crud(
    resource=PROJECT,
    create=project_create,
    update=project_update,
    delete=project_delete,
    judge=judging(PROJECT, project_target, _rules),
    filters=TAG_FILTERS,
    list_where=_no_domains,
    list_visible=in_tokens_domain(projects.c.domain_id),
    may_change_nothing=True,
)
