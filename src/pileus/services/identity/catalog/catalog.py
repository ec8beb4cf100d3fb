"""The catalog as tokens show it: enabled services with their enabled endpoints, URLs filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.resource import types
from pileus.services.identity.catalog.endpoints import HOLE
from pileus.services.identity.common.replies import TEXT, TEXT_OR_NONE, shape
from pileus.services.identity.tables.catalog import endpoints, services
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


_ROWS = (
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
    .where(services.c.enabled.is_(True), endpoints.c.enabled.is_(True))
    .order_by(services.c.type, services.c.id, endpoints.c.interface, endpoints.c.id)
)


_ENDPOINT = shape(
    {"id": TEXT, "interface": TEXT, "region_id": TEXT_OR_NONE, "url": TEXT, "region": TEXT_OR_NONE}
)
CATALOG = types.list_of(
    shape({"endpoints": types.list_of(_ENDPOINT), "id": TEXT, "type": TEXT, "name": TEXT})
)


def catalog_rows(tx: Tx) -> tuple[CatalogRow, ...]:
    """All of it, in one statement."""
    return tuple(CatalogRow(*tuple(row)) for row in tx.rows(_ROWS))


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
