"""The first contents of a cloud: the default domain, an administrator, the roles, the catalog.

Run at each start, in one unit of work. What is there stays as its owners made it: names,
passwords, grants, other services. Only the endpoints that were seeded follow the address
at which the server listens now; they are known by ids made of service type and interface.
"""

from __future__ import annotations

import uuid
from typing import Any

import msgspec
from sqlalchemy import select

from pileus.core.context import Context
from pileus.core.ids import new_hex_id
from pileus.services.identity.common.attributes import DEFAULT_DOMAIN
from pileus.services.identity.common.generation import announce_token_change, generation_begin
from pileus.services.identity.common.options import IMMUTABLE
from pileus.services.identity.standing.grants import SYSTEM_ID
from pileus.services.identity.tables.catalog import endpoints, regions, services
from pileus.services.identity.tables.grants import grants
from pileus.services.identity.tables.projects import projects
from pileus.services.identity.tables.roles import implied_roles, roles
from pileus.services.identity.tables.users import users
from pileus.store.tx import Tx
from pileus.store.upsert import upsert

INTERFACES = ("admin", "internal", "public")

MODERN_ROLES = ("admin", "manager", "member", "reader", "service")
"""The roles that services know by name: a new cloud has them immutable, as Keystone's bootstrap does it."""
CLASSIC_ROLES = ("itsec", "projectmanager", "netadmin", "developer")
IMPLICATIONS = (
    ("admin", "manager"),
    ("manager", "member"),
    ("member", "reader"),
    ("projectmanager", "member"),
    ("developer", "member"),
    ("netadmin", "reader"),
    ("itsec", "reader"),
)
"""The roles that each role implies: the chain of today's OpenStack, with the classic roles in it. What else
those may do, the policy says by their names: a project manager adds users to his project, a network
administrator handles addresses and firewall rules, IT security isolates servers of any project."""

_NAMESPACE = uuid.UUID("f3b0f6a4-64b1-4fd4-94f6-5c2c5d1a9a2e")


class EndpointSeed(msgspec.Struct, frozen=True):
    """A service of this cloud: its catalog type and name, and the full URL of its API."""

    type: str
    name: str
    url: str


class Seed(msgspec.Struct, frozen=True, kw_only=True):
    """The first contents. Ids are for what is made now, ``password_hash`` for a new administrator."""

    endpoints: tuple[EndpointSeed, ...]
    password_hash: str | None
    region: str = "RegionOne"
    user_name: str = "admin"
    project_name: str = "admin"
    user_id: str = msgspec.field(default_factory=new_hex_id)
    project_id: str = msgspec.field(default_factory=new_hex_id)
    role_ids: dict[str, str] = msgspec.field(
        default_factory=lambda: {name: new_hex_id() for name in (*MODERN_ROLES, *CLASSIC_ROLES)}
    )


def identity_seed(tx: Tx, context: Context, seed: Seed) -> bool:
    """Make what is missing; returns whether the administrator was made (and has ``password_hash``).

    A constant number of statements for any number of services.
    """
    generation_begin(tx)
    project_id = _seed_projects(tx, seed)
    role_ids = _seed_roles(tx, seed)
    user_id, is_new = _seed_user(tx, context, seed, project_id)
    if is_new:
        row = {
            "actor_kind": "user",
            "actor_id": user_id,
            "role_id": role_ids["admin"],
            "inherited": False,
        }
        tx.insert(
            grants,
            [
                {**row, "target_kind": "project", "target_id": project_id},
                {**row, "target_kind": "system", "target_id": SYSTEM_ID},
            ],
        )
    _seed_catalog(tx, seed)
    announce_token_change(tx, context, "identity.seed", DEFAULT_DOMAIN)
    return is_new


def own_project(tx: Tx, name: str) -> str:
    """The id of the project of this name in the default domain, for what the cloud has of its own; it is made
    where there is none. Nobody has a role there unless he is given one."""
    found = tx.scalar(
        select(projects.c.id).where(
            projects.c.owner == DEFAULT_DOMAIN, projects.c.name == name, projects.c.is_domain.is_(False)
        )
    )
    if found is not None:
        return str(found)
    project_id = new_hex_id()
    home = {"owner": DEFAULT_DOMAIN, "domain_id": DEFAULT_DOMAIN, "parent_id": DEFAULT_DOMAIN}
    project = {"id": project_id, "name": name, "is_domain": False, "enabled": True, "extra": None}
    tx.insert(projects, [{**home, **project, "description": "The cloud's own servers"}])
    return project_id


def _seed_projects(tx: Tx, seed: Seed) -> str:
    found = {
        (row.owner, row.name): row.id
        for row in tx.rows(
            select(projects.c.id, projects.c.owner, projects.c.name).where(
                (projects.c.id == DEFAULT_DOMAIN)
                | ((projects.c.owner == DEFAULT_DOMAIN) & (projects.c.name == seed.project_name))
            )
        )
    }
    common = {"enabled": True, "extra": None}
    if DEFAULT_DOMAIN not in found.values():
        domain = {"id": DEFAULT_DOMAIN, "name": "Default", "owner": "", "domain_id": None, "parent_id": None}
        tx.insert(projects, [{**common, **domain, "is_domain": True, "description": "The default domain"}])
    known = found.get((DEFAULT_DOMAIN, seed.project_name))
    if known is not None:
        return str(known)
    home = {"owner": DEFAULT_DOMAIN, "domain_id": DEFAULT_DOMAIN, "parent_id": DEFAULT_DOMAIN}
    project = {"id": seed.project_id, "name": seed.project_name, "is_domain": False}
    tx.insert(projects, [{**common, **home, **project, "description": "The administrator's project"}])
    return seed.project_id


def _seed_roles(tx: Tx, seed: Seed) -> dict[str, str]:
    known = {row.name: row.id for row in tx.rows(select(roles.c.id, roles.c.name).where(roles.c.owner == ""))}
    missing = [name for name in seed.role_ids if name not in known]
    made = {name: seed.role_ids[name] for name in missing}
    # A cloud that was there before keeps roles that may be changed, also those that are made anew.
    fixed = {} if known else {name: {IMMUTABLE: True} for name in MODERN_ROLES}
    common = {"owner": "", "domain_id": None, "description": None, "extra": None}
    tx.insert(
        roles,
        [{**common, "id": key, "name": name, "options": fixed.get(name, {})} for name, key in made.items()],
    )
    ids = {**known, **made}
    # Only new roles get their implications: an administrator may have removed one on purpose.
    tx.insert(
        implied_roles,
        [
            {"prior_role_id": ids[prior], "implied_role_id": ids[implied]}
            for prior, implied in IMPLICATIONS
            if prior in made and implied in ids
        ],
    )
    return ids


def _seed_user(tx: Tx, context: Context, seed: Seed, project_id: str) -> tuple[str, bool]:
    known = tx.scalar(
        select(users.c.id).where(users.c.domain_id == DEFAULT_DOMAIN, users.c.name == seed.user_name)
    )
    if known is not None:
        return known, False
    row = {
        "id": seed.user_id,
        "name": seed.user_name,
        "domain_id": DEFAULT_DOMAIN,
        "enabled": True,
        "default_project_id": project_id,
        "password_hash": seed.password_hash,
        "tokens_after": context.now,
        "created_at": context.now,
        "extra": None,
    }
    tx.insert(users, [row])
    return seed.user_id, True


def _seed_catalog(tx: Tx, seed: Seed) -> None:
    if tx.first(select(regions.c.id).where(regions.c.id == seed.region)) is None:
        tx.insert(regions, [{"id": seed.region, "parent_region_id": None, "description": "", "extra": None}])
    if not seed.endpoints:
        return
    wanted = {_id(one.type): one for one in seed.endpoints}
    known = {row.id for row in tx.rows(select(services.c.id).where(services.c.id.in_(list(wanted))))}
    tx.insert(
        services,
        [
            {
                "id": key,
                "type": one.type,
                "name": one.name,
                "description": "",
                "enabled": True,
                "extra": None,
            }
            for key, one in wanted.items()
            if key not in known
        ],
    )
    rows: list[dict[str, Any]] = [
        {
            "id": _id(f"{one.type} {interface}"),
            "service_id": key,
            "interface": interface,
            "region_id": seed.region,
            "url": one.url,
            "enabled": True,
            "extra": None,
        }
        for key, one in wanted.items()
        for interface in INTERFACES
    ]
    tx.execute(upsert(tx.dialect, endpoints, ("url",)), rows)


def _id(name: str) -> str:
    return uuid.uuid5(_NAMESPACE, name).hex
