"""Cleaning up after nodes that are gone, since 3.24, and the clusters that there are none of, since 3.7.

Source: Block Storage API reference, "Workers", "Clusters". A node that comes again goes on with what it was
to do, so there is nothing to clean up after it; one that stays away keeps volumes busy until their operations
are overdue. An administrator who knows better has them end now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.replies import TEXT, TEXT_OR_NULL, UUID, always
from pileus.services.volume.agents.kinds import ON_NODE
from pileus.services.volume.agents.report import operations_finish
from pileus.services.volume.api import enforce
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.operations import NODE, Ended
from pileus.services.volume.policy import ADMIN, rules
from pileus.services.volume.pools.reading import VOLUME_BINARY, ServiceFacts, services_read
from pileus.services.volume.tables.volumes import volume_snapshots, volumes
from pileus.store.operations import WAITING, Operation, operations
from pileus.store.tx import Tx
from pileus.web.body import declared_body
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_GONE = "Its pool does not answer, and an administrator has given it up."
_TEXT = types.nullable(types.string(255))
_BODY = types.dict_of(
    {
        **dict.fromkeys(("cluster_name", "host"), _TEXT),
        "binary": types.enum("cinder-volume", "cinder-scheduler"),
        "service_id": types.one_of(types.uuid, types.integer(0)),
        **dict.fromkeys(("is_up", "disabled"), types.nullable(types.boolean)),
        "resource_id": types.nullable(types.uuid),
        "resource_type": types.string(8, pattern="[Vv]olume|[Ss]napshot"),
    }
)


class ClusterNotFound(NotFound):
    message = "Cluster {name} could not be found."


def _is_meant(one: ServiceFacts, asked: Mapping[str, Any]) -> bool:
    wanted = {
        "binary": (one.binary, VOLUME_BINARY),
        "host": (one.host, None),
        "service_id": (one.id, None),
        "disabled": (one.disabled, None),
        "is_up": (one.up, None),
    }
    for name, (value, default) in wanted.items():
        given = asked.get(name)
        given = default if given is None else given
        if given is not None and given != value:
            return False
    return not asked.get("cluster_name")


def _volumes(asked: Mapping[str, Any]) -> list[Any]:
    """The condition on volumes of what is asked for by id."""
    key = asked.get("resource_id")
    if key is None:
        return []
    if str(asked.get("resource_type", "volume")).lower() == "snapshot":
        c = volume_snapshots.c
        return [volumes.c.id.in_(select(c.volume_id).where(c.id == key))]
    return [volumes.c.id == key]


def _cleanup(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> list[ServiceFacts]:
    """End what pools that do not report were to do with volumes; the services that were meant."""
    context = request.context
    meant = [one for one in services_read(tx, config, context.now) if _is_meant(one, asked)]
    down = [one.host for one in meant if not one.up and one.binary == VOLUME_BINARY]
    if down:
        c = operations.c
        places = [volumes.c.host.startswith(f"{host}#", autoescape=True) for host in down]
        rows = []
        for place in places:  # few: the pools of nodes that are gone
            mine = select(volumes.c.id).where(place, *_volumes(asked))
            where = [c.kind.in_(sorted(ON_NODE)), c.state == WAITING, c.step == NODE, c.resource_id.in_(mine)]
            rows += tx.rows(select(operations).where(*where).with_for_update())
        ended = [Ended(Operation(**row._mapping), _GONE, {}) for row in rows]
        operations_finish(tx, context, ended, config)
    return meant


def _view(one: ServiceFacts) -> dict[str, Any]:
    return {"id": one.id, "host": one.host, "binary": one.binary, "cluster_name": None}


async def list_clusters(request: Request) -> Reply:
    """List clusters: each pool is one node's."""
    enforce(request)
    return Reply.json({"clusters": []})


async def show_cluster(request: Request) -> Reply:
    """Say that there is no such cluster."""
    enforce(request)
    raise ClusterNotFound(name=request.path["name"])


_SERVICE = always({"id": UUID, "host": TEXT, "binary": TEXT, "cluster_name": TEXT_OR_NULL})
_NO_CLUSTER = types.list_of(types.anything, maximum=0)


def cleanup_noun(config: VolumeConfig) -> Noun:
    """The noun, of a cloud with these settings."""

    async def cleanup(request: Request) -> Reply:
        """End what nodes that are gone were to do with volumes."""
        enforce(request)
        meant = await request.write(_cleanup, request, declared_body(request), config)
        return Reply.json({"cleaning": [_view(one) for one in meant], "unavailable": []}, 202)

    def listing(path: str) -> Route:
        return Route(
            "GET",
            path,
            list_clusters,
            rule="clusters:get_all",
            versions=("3.7", ""),
            reply=always({"clusters": _NO_CLUSTER}),
            summary="List clusters",
        )

    return Noun(
        name="volume_cleanup",
        rules=rules({"workers:cleanup": ADMIN, "clusters:get_all": ADMIN, "clusters:get": ADMIN}),
        routes=(
            Route(
                "POST",
                "/v3/workers/cleanup",
                cleanup,
                rule="workers:cleanup",
                versions=("3.24", ""),
                body=_BODY,
                reply=always({"cleaning": types.list_of(_SERVICE), "unavailable": types.list_of(_SERVICE)}),
                status=202,
                summary="End what nodes that are gone were to do",
            ),
            listing("/v3/clusters"),
            listing("/v3/clusters/detail"),
            Route(
                "GET",
                "/v3/clusters/{name}",
                show_cluster,
                rule="clusters:get",
                versions=("3.7", ""),
                reply=always({"cluster": types.anything}),
                summary="Show a cluster",
            ),
        ),
    )
