"""Units of work of flavors, their access and their extra specs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, true

from pileus.core.context import Context
from pileus.core.errors import Conflict, NotFound
from pileus.resource.access import Access
from pileus.resource.declaration import Update, Values
from pileus.resource.event import event
from pileus.resource.rows import fetch
from pileus.services.compute.flavors.resource import FLAVOR
from pileus.services.compute.policy import is_admin
from pileus.services.compute.tables.flavors import flavor_access, flavors
from pileus.store.errors import Duplicate
from pileus.store.tx import Tx


class FlavorExists(Conflict):
    message = "Flavor with name {name} already exists."


class FlavorIdExists(Conflict):
    message = "Flavor with ID {id} already exists."


class FlavorAccessExists(Conflict):
    message = "Flavor access already exists for flavor {flavor_id} and project {project_id} combination."


class FlavorAccessNotFound(NotFound):
    message = "Flavor access not found for {flavor_id} / {project_id} combination."


class FlavorExtraSpecsNotFound(NotFound):
    message = "Flavor {flavor_id} has no extra specs with key {key}."


def mine(context: Context) -> ColumnElement[bool]:
    """The flavors that are public, or that the caller's project was given."""
    given = select(flavor_access.c.flavor_id).where(flavor_access.c.project_id == (context.project_id or ""))
    return or_(flavors.c.is_public, flavors.c.id.in_(given))


def visible(access: Access) -> ColumnElement[bool]:
    """The flavors that the caller may see: all for an administrator, else his own that are not disabled."""
    return true() if is_admin(access) else mine(access.context) & ~flavors.c.disabled


def flavor_find(tx: Tx, access: Access, flavor_id: str, *, lock: bool = False) -> Values:
    """One flavor that the caller may see; FlavorNotFound otherwise."""
    found = fetch(tx, FLAVOR, [flavor_id], [visible(access)], lock=lock)
    if not found:
        raise FLAVOR.not_found(flavor_id)
    return found[0]


def flavor_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Write new flavors; a private one is nobody's until projects are given it."""
    for spec in specs:
        spec["extra_specs"] = {}
        spec.setdefault("description", None)
    try:
        with tx.savepoint():
            FLAVOR.insert(tx, context, specs)
    except Duplicate as clash:
        if clash.constraint == "pk_flavors":
            raise FlavorIdExists(id=specs[0]["id"]) from None
        raise FlavorExists(name=specs[0]["name"]) from None
    tx.emit_many([event(context, "flavor.create", spec["id"], None, name=spec["name"]) for spec in specs])
    return specs


def flavor_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change descriptions."""
    changed = FLAVOR.change(tx, context, updates)
    tx.emit_many([event(context, "flavor.update", one["id"], None) for one in changed])
    return changed


def flavor_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete flavors; servers keep the copy that they have."""
    FLAVOR.remove(tx, originals)
    tx.emit_many([event(context, "flavor.delete", one["id"], None) for one in originals])


def access_list(tx: Tx, access: Access, flavor_id: str) -> list[dict[str, str]]:
    """The projects that have a private flavor; FlavorNotFound for a public one, as Nova has it."""
    flavor = flavor_find(tx, access, flavor_id)
    if flavor["os-flavor-access:is_public"]:
        raise NotFound("Access list not available for public flavors.")
    return _access(tx, flavor_id)


def access_add(tx: Tx, access: Access, flavor_id: str, project_id: str, refuse_public: bool) -> Any:
    """Give a flavor to a project."""
    flavor = flavor_find(tx, access, flavor_id, lock=True)
    if refuse_public and flavor["os-flavor-access:is_public"]:
        raise Conflict("Can not add access to a public flavor.")
    try:
        with tx.savepoint():
            tx.insert(flavor_access, [{"flavor_id": flavor_id, "project_id": project_id}])
    except Duplicate:
        raise FlavorAccessExists(flavor_id=flavor_id, project_id=project_id) from None
    tx.emit(event(access.context, "flavor.access", flavor_id, None, added=project_id))
    return _access(tx, flavor_id)


def access_remove(tx: Tx, access: Access, flavor_id: str, project_id: str) -> Any:
    """Take a flavor from a project."""
    flavor_find(tx, access, flavor_id, lock=True)
    gone = tx.execute(
        delete(flavor_access).where(
            flavor_access.c.flavor_id == flavor_id, flavor_access.c.project_id == project_id
        )
    )
    if not gone.rowcount:
        raise FlavorAccessNotFound(flavor_id=flavor_id, project_id=project_id)
    tx.emit(event(access.context, "flavor.access", flavor_id, None, removed=project_id))
    return _access(tx, flavor_id)


def _access(tx: Tx, flavor_id: str) -> list[dict[str, str]]:
    rows = tx.rows(
        select(flavor_access.c.project_id)
        .where(flavor_access.c.flavor_id == flavor_id)
        .order_by(flavor_access.c.project_id)
    )
    return [{"flavor_id": flavor_id, "tenant_id": row.project_id} for row in rows]


def specs_read(tx: Tx, access: Access, flavor_id: str) -> dict[str, str]:
    """A flavor's extra specs."""
    return dict(flavor_find(tx, access, flavor_id)["extra_specs"])


def specs_change(
    tx: Tx, access: Access, flavor_id: str, added: Mapping[str, str], removed: Sequence[str] = ()
) -> dict[str, str]:
    """Set some extra specs and take others away; FlavorExtraSpecsNotFound for one that is not there."""
    flavor = flavor_find(tx, access, flavor_id, lock=True)
    specs = dict(flavor["extra_specs"])
    for key in removed:
        if key not in specs:
            raise FlavorExtraSpecsNotFound(flavor_id=flavor_id, key=key)
        del specs[key]
    specs |= added
    FLAVOR.change(tx, access.context, [Update(flavor, Values({"extra_specs": specs}))])
    tx.emit(event(access.context, "flavor.update", flavor_id, None, extra_specs=sorted({*added, *removed})))
    return specs


CLASSIC = (
    ("1", "m1.tiny", 1, 512, 1),
    ("2", "m1.small", 1, 2048, 20),
    ("3", "m1.medium", 2, 4096, 40),
    ("4", "m1.large", 4, 8192, 80),
    ("5", "m1.xlarge", 8, 16384, 160),
)
"""The five that every cloud began with: id, name, virtual CPUs, MiB of memory, GiB of disk."""


def flavors_seed(tx: Tx, context: Context) -> bool:
    """Make the classic flavors in a cloud that has no flavor at all; True if they were made."""
    if tx.first(select(flavors.c.id).limit(1)) is not None:
        return False
    stamps = {"created_at": context.now, "updated_at": context.now}
    rows: list[dict[str, Any]] = [
        {
            "id": key,
            "name": name,
            "vcpus": vcpus,
            "ram": ram,
            "disk": disk,
            "ephemeral": 0,
            "swap": 0,
            "rxtx_factor": 1.0,
            "disabled": False,
            "is_public": True,
            "description": None,
            "extra_specs": {},
            **stamps,
        }
        for key, name, vcpus, ram, disk in CLASSIC
    ]
    tx.insert(flavors, rows)
    return True
