"""Units of work of projects and domains, batch first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, select

from pileus.core.context import Context
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.rows import fetch
from pileus.services.identity.common.attributes import home_domain
from pileus.services.identity.common.errors import (
    DomainNotFound,
    ForbiddenNotSecurity,
    NameTaken,
    ProjectNotFound,
    ValidationError,
)
from pileus.services.identity.common.generation import announce_many, announce_token_changes, changed_names
from pileus.services.identity.common.options import merged, require_deletable, require_mutable
from pileus.services.identity.projects.resource import DOMAIN, PROJECT, tags_save
from pileus.services.identity.rules.projects import children_of, subtree
from pileus.services.identity.tables import cascade
from pileus.services.identity.tables.projects import projects
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx

_NEAR = select(
    projects.c.id, projects.c.domain_id, projects.c.parent_id, projects.c.is_domain, projects.c.enabled
)
_SEVERAL = _NEAR.where(projects.c.id.in_(bindparam("ids", expanding=True))).with_for_update()
_BRANCHES = _NEAR.where(projects.c.domain_id.in_(bindparam("domain_ids", expanding=True)))
_SWITCH = (
    projects.update()
    .where(projects.c.id.in_(bindparam("ids", expanding=True)))
    .values(enabled=bindparam("wanted"))
)
_WITH_CHILDREN = select(projects.c.parent_id).where(
    projects.c.parent_id.in_(bindparam("ids", expanding=True))
)

DEEPEST = 5

Branch = Mapping[str, Row[Any]]
"""The projects of some domains by id."""


def domain_create(tx: Tx, context: Context, specs: list[Values]) -> list[Values]:
    """Make domains."""
    for spec in specs:
        explicit = spec.pop("explicit_domain_id", None)
        if explicit:
            spec["id"] = explicit
        spec |= {"is_domain": True, "domain_id": None, "parent_id": None}
        spec["options"] = merged(None, spec["options"])
    return _insert(tx, context, DOMAIN, specs)


def project_create(tx: Tx, context: Context, specs: list[Values], deepest: int = DEEPEST) -> list[Values]:
    """Make projects below their parents, or their domain without one; domains where ``is_domain`` says so.

    ``deepest`` is how many projects may be below each other, the domain not counted.
    """
    for spec in specs:
        spec["options"] = merged(None, spec["options"])
    inside = [spec for spec in specs if not spec["is_domain"]]
    for spec in specs:
        if spec["is_domain"]:
            if spec["parent_id"]:
                raise ValidationError("only root projects are allowed to act as domains.")
            spec["domain_id"] = None
    for spec in inside:
        spec["domain_id"] = spec["domain_id"] or home_domain(context, spec)
        spec["parent_id"] = spec["parent_id"] or spec["domain_id"]
    if inside:
        _check_parents(tx, [(spec["domain_id"], spec["parent_id"]) for spec in inside], deepest)
    return _insert(tx, context, PROJECT, specs)


def _check_parents(tx: Tx, pairs: Sequence[tuple[str, str]], deepest: int) -> None:
    """Raise unless projects may be made in these domains below these parents."""
    ids = sorted({key for pair in pairs for key in pair})
    known = {row.id: row for row in tx.rows(_SEVERAL, {"ids": ids})}
    for domain_id, parent_id in pairs:
        domain, parent = known.get(domain_id), known.get(parent_id)
        if domain is None or not domain.is_domain:
            raise DomainNotFound(id=domain_id)
        if parent is None:
            raise ProjectNotFound(id=parent_id)
        _check_same_domain(domain_id, parent)
    nested = [known[parent_id] for _, parent_id in pairs if not known[parent_id].is_domain]
    branch = _branches(tx, (parent.domain_id for parent in nested))
    for parent in nested:
        above = _upwards(branch, parent.id)
        disabled = next((one for one in above if not one.enabled), None)
        if disabled is not None:
            raise ValidationError(
                f"cannot create a project in a branch containing a disabled project: {disabled.id}"
            )
        if len(above) + 1 > deepest:
            raise ForbiddenNotSecurity(f"Max hierarchy depth reached for {parent.id} branch.")


def _check_same_domain(domain_id: str, parent: Row[Any]) -> None:
    if parent.is_domain and parent.id != domain_id:
        raise ValidationError(
            f"Cannot create project, the parent ({parent.id}) is acting as a domain, but this project's "
            f"domain id ({domain_id}) does not match the parent's id."
        )
    if not parent.is_domain and parent.domain_id != domain_id:
        raise ValidationError(
            f"Cannot create project, since it specifies its domain_id {domain_id}, but specifies a parent "
            f"in a different domain ({parent.domain_id})."
        )


def _branches(tx: Tx, domain_ids: Iterable[str]) -> Branch:
    """The projects of the domains: one statement, or none."""
    wanted = sorted(set(domain_ids))
    return {row.id: row for row in tx.rows(_BRANCHES, {"domain_ids": wanted})} if wanted else {}


def _upwards(branch: Branch, key: str | None) -> list[Row[Any]]:
    """A project and those above it, without the domain at the top."""
    chain = []
    while key is not None and key in branch:
        chain.append(branch[key])
        key = branch[key].parent_id
    return chain


def _insert(tx: Tx, context: Context, resource: Resource, specs: list[Values]) -> list[Values]:
    try:
        tx.insert(projects, [_row(resource, spec) for spec in specs])
    except Duplicate:
        raise _taken(specs[0]) from None
    except Referenced:
        raise DomainNotFound(id=specs[0]["domain_id"]) from None
    tags = {spec["id"]: spec["tags"] for spec in specs if spec["tags"]}
    if tags:
        tags_save(tx, context, tags)
    for spec in specs:
        spec["tags"] = sorted(spec["tags"])
    for kind in ("domain", "project"):
        several = [spec for spec in specs if _kind(spec) == kind]
        if several:
            made = [(spec["id"], {"name": spec["name"]}) for spec in several]
            announce_many(tx, context, f"{kind}.create", made)
    return specs


def _row(resource: Resource, spec: Values) -> dict[str, Any]:
    own = {name: spec[name] for name in ("domain_id", "parent_id", "is_domain")}
    return {**resource.row(spec), "owner": spec["domain_id"] or "", **own}


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


def domain_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change domains; disabling one makes the tokens of its users and projects worthless."""
    for update in updates:
        require_mutable("domain", update.original, update.changes)
    return _change(tx, context, DOMAIN, updates)


def project_update(tx: Tx, context: Context, updates: list[Update]) -> list[Values]:
    """Change projects; disabling one makes the tokens for it worthless."""
    for update in updates:
        original, changes = update.original, update.changes
        require_mutable(_kind(original), original, changes)
        for name, fault in (("parent_id", ForbiddenNotSecurity), ("is_domain", ValidationError)):
            if name in changes and changes[name] != original[name]:
                raise fault(f"Update of `{name}` is not allowed.")
        if "domain_id" in changes and changes["domain_id"] != original["domain_id"]:
            raise ValidationError("Cannot change Domain ID")
    switched = [
        (update.original, update.changes["enabled"])
        for update in updates
        if not update.original["is_domain"]
        and update.changes.get("enabled", update.original["enabled"]) != update.original["enabled"]
    ]
    branch = _branches(tx, (project["domain_id"] for project, _ in switched))
    for project, enabled in switched:
        _check_enabled(branch, project, enabled=enabled)
    return _change(tx, context, PROJECT, updates)


def _check_enabled(branch: Branch, project: Values, *, enabled: bool) -> None:
    """A project is disabled after those below it, and enabled after those above it."""
    if enabled:
        if not all(one.enabled for one in _upwards(branch, project["parent_id"])):
            raise ForbiddenNotSecurity(f"Cannot enable project {project['id']} since it has disabled parents")
        return
    if any(branch[one].enabled for one in _below(branch, project["id"])):
        raise ForbiddenNotSecurity(
            f"Cannot disable project {project['id']} since its subtree contains enabled projects."
        )


def _below(branch: Branch, key: str) -> set[str]:
    """The ids of all that is below a project."""
    return set(subtree(children_of((one.id, one.parent_id) for one in branch.values()), key))


def _change(tx: Tx, context: Context, resource: Resource, updates: list[Update]) -> list[Values]:
    for update in updates:
        if "options" in update.changes:
            update.changes["options"] = merged(update.original["options"], update.changes["options"])
    try:
        changed = resource.change(tx, context, updates)
    except Duplicate:
        first = updates[0]
        raise _taken({**first.original, **first.changes}) from None
    for update, after in zip(updates, changed, strict=True):
        if "tags" in update.changes:
            after["tags"] = sorted(after["tags"])
    announce_token_changes(tx, context, f"{resource.name}.update", changed_names(updates))
    return changed


def project_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete projects, and the roles in them and credentials for them.

    One that others are below, and an enabled domain, stay.
    """
    domains = [one for one in originals if one["is_domain"]]
    for domain in domains:
        require_deletable("domain", domain)
    for domain in domains:
        if domain["enabled"]:
            raise ValidationError(
                "cannot delete an enabled project acting as a domain. "
                f"Please disable the project {domain['id']} first."
            )
    if domains:
        domain_delete(tx, context, domains)
    plain = [one for one in originals if not one["is_domain"]]
    if not plain:
        return
    keys = [one["id"] for one in plain]
    parents = tx.rows(_WITH_CHILDREN, {"ids": keys})
    if parents:
        raise ForbiddenNotSecurity(
            f"Cannot delete the project {parents[0].parent_id} since it is not a leaf in the hierarchy. Use "
            "the cascade option if you want to delete a whole subtree."
        )
    _delete_plain(tx, context, plain)


def _delete_plain(tx: Tx, context: Context, plain: Sequence[Values]) -> None:
    for one in plain:
        require_deletable("project", one)
    cascade.of_projects(tx, [one["id"] for one in plain])
    PROJECT.remove(tx, plain)
    announce_token_changes(
        tx, context, "project.delete", [(one["id"], {"name": one["name"]}) for one in plain]
    )


def project_switch_branch(tx: Tx, context: Context, project: Values, changes: Values) -> Values:
    """Enable or disable a project and all below it. Raises ValidationError for other changes."""
    if project["is_domain"]:
        raise ValidationError("Cascade update is only allowed for projects that are no domains.")
    if any(changes[name] != project[name] for name in changes if name != "enabled"):
        raise ValidationError("Cascade update is only allowed for enabled attribute.")
    require_mutable("project", project, changes)
    enabled = changes.get("enabled", project["enabled"])
    branch = _branches(tx, [project["domain_id"]])
    if enabled and not project["enabled"]:
        _check_enabled(branch, project, enabled=True)
    keys = sorted(
        one for one in {project["id"], *_below(branch, project["id"])} if branch[one].enabled != enabled
    )
    if keys:
        tx.execute(_SWITCH, {"ids": keys, "wanted": enabled})
        announce_token_changes(
            tx, context, "project.update", [(key, {"changed": ["enabled"]}) for key in keys]
        )
    return Values({**project, "enabled": enabled})


def project_delete_branch(tx: Tx, context: Context, project: Values) -> None:
    """Delete a project and all below it, if all of them are disabled but, maybe, itself."""
    if project["is_domain"]:
        return project_delete(tx, context, [project])
    below = _below(_branches(tx, [project["domain_id"]]), project["id"])
    several = [project, *(fetch(tx, PROJECT, sorted(below), lock=True) if below else ())]
    if any(one["enabled"] for one in several[1:]):
        raise ForbiddenNotSecurity(
            f"Cannot delete project {project['id']} since its subtree contains enabled projects."
        )
    return _delete_plain(tx, context, several)


def domain_delete(tx: Tx, context: Context, originals: list[Values]) -> None:
    """Delete disabled domains and everything in them."""
    for one in originals:
        require_deletable("domain", one)
    if any(one["enabled"] for one in originals):
        raise ForbiddenNotSecurity("Cannot delete a domain that is enabled, please disable it first.")
    cascade.of_domains(tx, [one["id"] for one in originals])
    DOMAIN.remove(tx, originals)
    announce_token_changes(
        tx, context, "domain.delete", [(one["id"], {"name": one["name"]}) for one in originals]
    )
