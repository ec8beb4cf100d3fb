"""Giving a volume another type. Source: Block Storage API reference, "Retype a volume".

A volume stays where it is if its pool is what the new type asks for. One that would have to move is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.services.volume.config import VolumeConfig
from pileus.services.volume.errors import BadRequest, InvalidVolume
from pileus.services.volume.policy import MEMBER, rules
from pileus.services.volume.pools.reading import pools_read
from pileus.services.volume.quotas.counting import spend
from pileus.services.volume.rules import states
from pileus.services.volume.rules.placement import lacking, says_true
from pileus.services.volume.tables.types import volume_type_encryption
from pileus.services.volume.types.work import type_named
from pileus.services.volume.volumes.lookup import (
    find_volume,
    must_be,
    must_be_placed,
    volume_change,
    volume_tell,
)
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import NO_BODY, Action


def _retype(tx: Tx, request: Request, asked: Mapping[str, Any], config: VolumeConfig) -> None:
    volume = find_volume(tx, request, lock=True)
    must_be(volume, "retype", states.AVAILABLE, states.IN_USE)
    must_be_placed(volume)
    if volume["group_id"]:
        raise InvalidVolume(reason="A volume of a group keeps its type.")
    kind = type_named(tx, request.access, asked["new_type"])
    old = volume["volume_type_id"]
    if kind["id"] == old:
        raise BadRequest(f"Invalid input received: New volume_type same as original: {kind['id']}.")
    shared = says_true(kind["extra_specs"].get("multiattach"))
    if volume["status"] == states.IN_USE and shared != volume["multiattach"]:
        raise InvalidVolume(reason="A volume in use can't begin or cease to be one of several servers.")
    c = volume_type_encryption.c
    if tx.rows(select(c.id).where(c.volume_type_id.in_([old, kind["id"]]))):
        raise BadRequest(
            "Invalid input received: Encrypted volumes, and those that are to be, keep their type."
        )
    pool = next(
        (one for one in pools_read(tx, config, request.context.now) if one.host == volume["host"]), None
    )
    why = "it is gone" if pool is None else lacking(pool, kind["extra_specs"])
    if why is not None:
        raise BadRequest(
            f"Invalid input received: Volume {volume['id']} would have to leave its pool ({why}), and "
            "volumes are not moved between pools here."
        )
    spend(
        *(tx, volume["project_id"], {"volumes": 1, "gigabytes": volume["size"]}, kind["id"]),
        of_type_alone=True,
    )
    changed = volume_change(tx, request.context, volume, volume_type_id=kind["id"], multiattach=shared)
    volume_tell(tx, request.context, changed, volume_type_id=kind["id"])


def retype_actions(config: VolumeConfig) -> dict[str, Action]:
    """The action."""

    async def retype(request: Request, argument: Any) -> Reply:
        """Give a volume another type."""
        await request.write(_retype, request, argument, config)
        return Reply.empty(202)

    body = types.dict_of(
        {
            "new_type": types.string(255, minimum=1),
            "migration_policy": types.nullable(types.enum("never", "on-demand")),
        },
        required=("new_type",),
    )
    return {
        "os-retype": Action(
            body, retype, rule="volume:retype", reply=NO_BODY, summary="Give a volume another type"
        )
    }


RETYPES = Noun(name="volume_retype", rules=rules({"volume:retype": MEMBER}))
