"""Whether the domains that new things name are there."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, select

from pileus.services.identity.common.errors import DomainNotFound
from pileus.services.identity.tables.projects import projects
from pileus.store.tx import Tx

_DOMAINS = select(projects.c.id).where(
    projects.c.id.in_(bindparam("ids", expanding=True)), projects.c.is_domain.is_(True)
)


def domains_among(tx: Tx, ids: Iterable[str]) -> set[str]:
    """Those of the ids that are domains': one statement, or none."""
    wanted = sorted(set(ids))
    return {row.id for row in tx.rows(_DOMAINS, {"ids": wanted})} if wanted else set()


def domains_require(tx: Tx, ids: Iterable[str]) -> None:
    """Raise DomainNotFound unless all the ids are domains'."""
    wanted = set(ids)
    missing = wanted - domains_among(tx, wanted)
    if missing:
        raise DomainNotFound(id=min(missing))
