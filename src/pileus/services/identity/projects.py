"""Projects and domains: one table, since a domain is a project that contains others.

A domain's ``domain_id`` and ``parent_id`` are NULL. ``owner`` is the domain's id again, or
empty for a domain, so that a unique key can hold names apart (NULLs are never equal).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Row,
    String,
    Table,
    UniqueConstraint,
    bindparam,
    false,
    func,
    select,
    true,
)

from pileus.core.context import Context
from pileus.core.errors import NotFound
from pileus.resource import types
from pileus.resource.declaration import Attribute, Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.resource.wordings.keystone import KEYSTONE
from pileus.services.identity.declared import (
    DESCRIPTION,
    ENABLED,
    EXTRA,
    ID,
    OPTIONS,
    home_domain,
    merged,
)
from pileus.services.identity.errors import (
    DomainNotFound,
    ForbiddenNotSecurity,
    NameTaken,
    ProjectNotFound,
    ValidationError,
)
from pileus.services.identity.generation import announce, announce_turn
from pileus.store.column_in import column_in
from pileus.store.errors import Duplicate, Referenced
from pileus.store.schema import Id, JsonText, LongText, Name, metadata
from pileus.store.tx import Tx

projects = Table(
    "projects",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(64), nullable=False),
    Column("owner", Id, nullable=False),
    Column("domain_id", Id, ForeignKey("projects.id"), index=True),
    Column("parent_id", Id, index=True),
    Column("is_domain", Boolean, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("description", LongText, nullable=False),
    Column("extra", JsonText),
    UniqueConstraint("owner", "name"),
)

project_tags = Table(
    "project_tags",
    metadata,
    Column("project_id", Id, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", Name, primary_key=True),
)

MAX_TAGS = 80

_UNTAG = project_tags.delete().where(project_tags.c.project_id.in_(bindparam("ids", expanding=True)))


def tags_load(tx: Tx, ids: list[str]) -> dict[str, list[str]]:
    """The tags of projects, sorted."""
    found: dict[str, list[str]] = {}
    rows = select(project_tags).where(column_in(tx, project_tags.c.project_id, ids))
    for row in tx.rows(rows.order_by(project_tags.c.project_id, project_tags.c.tag)):
        found.setdefault(row.project_id, []).append(row.tag)
    return found


def _tagged(texts: Sequence[str], *, every: bool, wanted: bool) -> ColumnElement[bool]:
    """Projects with all (or any) of the tags that the texts list, separated by commas; or those without."""
    tags = {tag for text in texts for tag in text.split(",") if tag}
    if not tags:
        return true()  # no tag is named: nothing is asked
    if every and len(tags) > MAX_TAGS:
        return false() if wanted else true()  # no project has so many
    tagged = select(project_tags.c.project_id).where(project_tags.c.tag.in_(sorted(tags)))
    if every:
        tagged = tagged.group_by(project_tags.c.project_id).having(func.count() == len(tags))
    found = projects.c.id.in_(tagged)
    return found if wanted else ~found


TAG_FILTERS = {
    "tags": partial(_tagged, every=True, wanted=True),
    "tags-any": partial(_tagged, every=False, wanted=True),
    "not-tags": partial(_tagged, every=True, wanted=False),
    "not-tags-any": partial(_tagged, every=False, wanted=False),
}


def tags_save(tx: Tx, context: Context, tags: Mapping[str, list[str]]) -> None:
    """Replace the tags of projects."""
    tx.execute(_UNTAG, {"ids": list(tags)})
    tx.insert(
        project_tags, [{"project_id": key, "tag": tag} for key, some in tags.items() for tag in set(some)]
    )


TAG = types.string(255, minimum=1, pattern="[^,/]*")
NAME = types.string(64, minimum=1)

_TAGS = Attribute(
    "tags",
    types.list_of(TAG, unique=True, maximum=MAX_TAGS),
    loader=tags_load,
    saver=tags_save,
    empty=[],
    default=[],
    create=True,
    update=True,
)
_NAME = Attribute("name", NAME, create=True, update=True, required=True, filter=True, sort=True)

DOMAIN = Resource(
    "domain",
    table=projects,
    wording=KEYSTONE,
    not_found=DomainNotFound,
    attributes=(
        ID,
        Attribute(
            "explicit_domain_id",
            types.string(36, minimum=1, pattern="[a-zA-Z0-9-]+"),
            create=True,
            visible=False,
        ),
        _NAME,
        DESCRIPTION,
        ENABLED,
        _TAGS,
        OPTIONS,
        EXTRA,
    ),
)

PROJECT = Resource(
    "project",
    table=projects,
    wording=KEYSTONE,
    not_found=ProjectNotFound,
    attributes=(
        ID,
        _NAME,
        Attribute(
            "domain_id",
            types.nullable(types.string(64)),
            create=True,
            update=True,
            filter=True,
            sort=True,
            default=home_domain,
        ),
        Attribute(
            "parent_id", types.nullable(types.string(64)), create=True, update=True, filter=True, sort=True
        ),
        Attribute("is_domain", types.strict_boolean, create=True, update=True, filter=True, default=False),
        DESCRIPTION,
        ENABLED,
        _TAGS,
        OPTIONS,
        EXTRA,
    ),
)

_NEAR = select(
    projects.c.id, projects.c.domain_id, projects.c.parent_id, projects.c.is_domain, projects.c.enabled
)
_ONE = _NEAR.where(projects.c.id == bindparam("id")).with_for_update()
_BRANCH = _NEAR.where(projects.c.domain_id == bindparam("domain_id"))


def project_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a project."""
    if values is None:
        return {}
    return {
        "target.project.id": values.get("id"),
        "target.project.domain_id": values.get("domain_id"),
        "target.domain_id": values.get("domain_id"),
    }


def domain_target(values: Mapping[str, Any] | None) -> dict[str, Any]:
    """What policy rules see of a domain."""
    return {} if values is None else {"target.domain.id": values["id"], "target.domain_id": values["id"]}


def domain_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a domain."""
    explicit = spec.pop("explicit_domain_id", None)
    if explicit:
        spec["id"] = explicit
    return _insert(
        tx, context, DOMAIN, Values({**spec, "is_domain": True, "domain_id": None, "parent_id": None})
    )


def project_create(tx: Tx, context: Context, spec: Values) -> Values:
    """Make a project below its parent (without one, its domain), or a domain where ``is_domain`` says so."""
    if spec["is_domain"]:
        if spec["parent_id"]:
            raise ValidationError("only root projects are allowed to act as domains.")
        return _insert(tx, context, PROJECT, Values({**spec, "domain_id": None}))
    domain_id = spec["domain_id"] or home_domain(context, spec)
    parent_id = spec["parent_id"] or domain_id
    _check_parent(tx, domain_id, parent_id)
    return _insert(tx, context, PROJECT, Values({**spec, "domain_id": domain_id, "parent_id": parent_id}))


def _check_parent(tx: Tx, domain_id: str, parent_id: str) -> None:
    domain = tx.first(_ONE, {"id": domain_id})
    if domain is None or not domain.is_domain:
        raise DomainNotFound(id=domain_id)
    parent = domain if parent_id == domain_id else tx.first(_ONE, {"id": parent_id})
    if parent is None:
        raise ProjectNotFound(id=parent_id)
    if parent.is_domain and parent.id != domain_id:
        raise ValidationError(
            f"Cannot create project, the parent ({parent_id}) is acting as a domain, but this project's "
            f"domain id ({domain_id}) does not match the parent's id."
        )
    if not parent.is_domain and parent.domain_id != domain_id:
        raise ValidationError(
            f"Cannot create project, since it specifies its domain_id {domain_id}, but specifies a parent "
            f"in a different domain ({parent.domain_id})."
        )
    disabled = next((one for one in _parents(tx, parent) if not one.enabled), None)
    if disabled is not None:
        raise ValidationError(
            f"cannot create a project in a branch containing a disabled project: {disabled.id}"
        )


def _parents(tx: Tx, project: Row[Any]) -> list[Row[Any]]:
    """The project itself and those above it, without the domain at the top: one statement."""
    if project.is_domain:
        return []
    branch = {row.id: row for row in tx.rows(_BRANCH, {"domain_id": project.domain_id})}
    chain, at = [], project.id
    while at in branch:
        chain.append(branch[at])
        at = branch[at].parent_id
    return chain


def _insert(tx: Tx, context: Context, resource: Resource, spec: Values) -> Values:
    row = {
        **resource.row(spec),
        "owner": spec["domain_id"] or "",
        "domain_id": spec["domain_id"],
        "parent_id": spec["parent_id"],
        "is_domain": spec["is_domain"],
    }
    try:
        tx.insert(projects, [row])
    except Duplicate:
        raise _taken(spec) from None
    except Referenced:
        raise DomainNotFound(id=spec["domain_id"]) from None
    if spec["tags"]:
        tags_save(tx, context, {spec["id"]: spec["tags"]})
    announce(tx, context, f"{_kind(spec)}.create", spec["id"], name=spec["name"])
    return Values({**spec, "tags": sorted(spec["tags"])})


def _kind(values: Mapping[str, Any]) -> str:
    return "domain" if values.get("is_domain") else "project"


def _taken(values: Mapping[str, Any]) -> NameTaken:
    taken = NameTaken("project", values)
    if values.get("is_domain"):
        details = (
            f"it is not permitted to have two projects acting as domains with the same name: {values['name']}"
        )
    else:
        details = (
            "it is not permitted to have two projects with either the same name or same id in the same "
            f"domain: name is {values['name']}, project id {values['id']}"
        )
    taken.text = NameTaken.message.format(type="project", details=details)
    return taken


def domain_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a domain; disabling it makes the tokens of its users and projects worthless."""
    return _change(tx, context, DOMAIN, project_lock(tx, DOMAIN, key, True), changes)


def project_update(tx: Tx, context: Context, key: str, changes: Values) -> Values:
    """Change a project; disabling it makes the tokens for it worthless."""
    original = project_lock(tx, PROJECT, key, None)
    for name, fault in (("parent_id", ForbiddenNotSecurity), ("is_domain", ValidationError)):
        if name in changes and changes[name] != original[name]:
            raise fault(f"Update of `{name}` is not allowed.")
    if "domain_id" in changes and changes["domain_id"] != original["domain_id"]:
        raise ValidationError("Cannot change Domain ID")
    if "enabled" in changes and not original["is_domain"]:
        _check_enabled(tx, original, changes["enabled"])
    return _change(tx, context, PROJECT, original, changes)


def project_lock(tx: Tx, resource: Resource, key: str, is_domain: bool | None) -> Values:
    """The values of one, held until the transaction ends; ``is_domain`` None takes either kind."""
    found = fetch(
        tx, resource, [key], [] if is_domain is None else [projects.c.is_domain.is_(is_domain)], lock=True
    )
    if not found:
        raise resource.not_found(key)
    return found[0]


def _check_enabled(tx: Tx, project: Values, enabled: bool) -> None:
    """A project is disabled after those below it, and enabled after those above it."""
    if enabled == project["enabled"]:
        return
    branch = {row.id: row for row in tx.rows(_BRANCH, {"domain_id": project["domain_id"]})}
    if enabled:
        at = project["parent_id"]
        while at in branch:
            if not branch[at].enabled:
                raise ForbiddenNotSecurity(
                    f"Cannot enable project {project['id']} since it has disabled parents"
                )
            at = branch[at].parent_id
        return
    below, found = {project["id"]}, True
    while found:
        more = {one.id for one in branch.values() if one.parent_id in below} - below
        below |= more
        found = bool(more)
    if any(branch[one].enabled for one in below - {project["id"]}):
        raise ForbiddenNotSecurity(
            f"Cannot disable project {project['id']} since its subtree contains enabled projects."
        )


def _change(tx: Tx, context: Context, resource: Resource, original: Values, changes: Values) -> Values:
    try:
        after = resource.change(tx, context, [Update(original, merged(original, changes))])[0]
    except Duplicate:
        raise _taken({**original, **changes}) from None
    if "tags" in changes:
        after["tags"] = sorted(after["tags"])
    announce_turn(tx, context, f"{resource.name}.update", original["id"], changed=sorted(changes))
    return after


class ProjectTagNotFound(NotFound):
    """The project has no such tag (404)."""

    message = "Could not find project tag: {tag}."
