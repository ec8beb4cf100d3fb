"""The catalog as tokens show it: enabled services with their enabled endpoints, URLs filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, select

from pileus.resource import types
from pileus.services.identity.catalog.endpoints import HOLE
from pileus.services.identity.common.replies import TEXT, TEXT_OR_NONE, shape
from pileus.services.identity.tables.catalog import (
    endpoint_groups,
    endpoints,
    project_endpoint_groups,
    project_endpoints,
    services,
)
from pileus.store.tx import Tx


class CatalogRow(msgspec.Struct, frozen=True):
    """An endpoint with its service."""

    service_id: str
    service_type: str
    service_name: str
    id: str
    interface: str
    region_id: str | None
    url: str


_ALL = (
    select(
        services.c.id,
        services.c.type,
        services.c.name,
        endpoints.c.id,
        endpoints.c.interface,
        endpoints.c.region_id,
        endpoints.c.url,
    )
    .select_from(services.join(endpoints, endpoints.c.service_id == services.c.id))
    .order_by(services.c.type, services.c.id, endpoints.c.interface, endpoints.c.id)
)
_ENABLED = and_(services.c.enabled.is_(True), endpoints.c.enabled.is_(True))
_ROWS = _ALL.where(_ENABLED)

_of_project = project_endpoint_groups.c.project_id == bindparam("project_id")
_ROWS_OF_PROJECT = _ALL.add_columns(
    _ENABLED,
    select(project_endpoints.c.endpoint_id)
    .where(
        project_endpoints.c.project_id == bindparam("project_id"),
        project_endpoints.c.endpoint_id == endpoints.c.id,
    )
    .exists(),
    select(project_endpoint_groups.c.project_id).where(_of_project).exists(),
)
_GROUPS_OF_PROJECT = select(endpoint_groups.c.filters).where(
    endpoint_groups.c.id.in_(select(project_endpoint_groups.c.endpoint_group_id).where(_of_project))
)


_ENDPOINT = shape(
    {"id": TEXT, "interface": TEXT, "region_id": TEXT_OR_NONE, "url": TEXT, "region": TEXT_OR_NONE}
)
CATALOG = types.list_of(
    shape({"endpoints": types.list_of(_ENDPOINT), "id": TEXT, "type": TEXT, "name": TEXT})
)


def catalog_rows(tx: Tx, project_id: str | None = None, *, unfiltered: bool = True) -> tuple[CatalogRow, ...]:
    """All of it, in one statement; of a project that has endpoints or endpoint groups only those.

    Without ``unfiltered`` who has no endpoints of a project's own has none at all.
    """
    if project_id is None:
        if not unfiltered:
            return ()
        return tuple(CatalogRow(*tuple(row)) for row in tx.rows(_ROWS))
    found = tx.rows(_ROWS_OF_PROJECT, {"project_id": project_id})
    rows = [(CatalogRow(*tuple(row)[:7]), *tuple(row)[7:9]) for row in found]
    own = {row.id for row, _, mine in rows if mine}
    if found and tuple(found[0])[9]:  # the project has endpoint groups
        groups = [row.filters for row in tx.rows(_GROUPS_OF_PROJECT, {"project_id": project_id})]
        own |= {row.id for row, _, _ in rows if any(_in_group(row, filters) for filters in groups)}
    if not own and not unfiltered:
        return ()
    return tuple(row for row, enabled, _ in rows if enabled and (not own or row.id in own))


def endpoint_url(tx: Tx, service_type: str, region: str, interface: str) -> str | None:
    """The address of a service in a region; None where there is none, or where it has holes to fill."""
    for row in catalog_rows(tx):
        wanted = (row.service_type, row.region_id, row.interface) == (service_type, region, interface)
        if wanted and not HOLE.search(row.url):
            return row.url
    return None


def _in_group(row: CatalogRow, filters: Mapping[str, Any]) -> bool:
    return all(getattr(row, name) == value for name, value in filters.items())


def catalog_view(rows: Iterable[CatalogRow], values: Mapping[str, str]) -> list[dict[str, Any]]:
    """The ``catalog`` of a token. ``values`` fill ``$(project_id)s`` and the like; an endpoint that
    needs a value which this token does not have is left out, as Keystone does."""
    catalog: dict[str, dict[str, Any]] = {}
    for row in rows:
        holes = HOLE.findall(row.url)
        if any(name not in values for name in holes):
            continue
        service = catalog.setdefault(
            row.service_id,
            {"endpoints": [], "id": row.service_id, "type": row.service_type, "name": row.service_name},
        )
        service["endpoints"].append(
            {
                "id": row.id,
                "interface": row.interface,
                "region_id": row.region_id,
                "url": HOLE.sub(lambda hole: values[hole[1]], row.url) if holes else row.url,
                "region": row.region_id,
            }
        )
    return list(catalog.values())
