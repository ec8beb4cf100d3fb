"""Bodies against declarations: what comes out has every attribute, each of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.core.context import Context
from pileus.resource.declaration import Attribute, Resource, Values
from pileus.resource.types import BadValue
from pileus.resource.versions import Version, within

ADMIN_ONLY = (
    "Specifying 'project_id' other than the authenticated project in request requires admin privileges"
)


def check_create(
    resource: Resource,
    context: Context,
    body: Mapping[str, Any],
    parent: Mapping[str, Any] | None = None,
    version: Version | None = None,
) -> Values:
    """Check one object of a create request and fill in the defaults. Raises Invalid."""
    wording = resource.wording
    body, additional = _split(resource, body)
    given = _named(resource, body, version)
    values = Values(given=given)
    for name, attribute in resource.attributes.items():
        if name in given:
            if not attribute.create:
                raise wording.read_only(resource, name, "create", body)
            values[name] = _parsed(resource, attribute, given[name])
        elif attribute.required and not (parent and name in parent):
            raise wording.missing(resource, name, body)
    if parent:
        values.update(parent)
    foreign = "project_id" in given and given["project_id"] != context.project_id
    if foreign and wording.projects_own and not (context.is_admin or context.is_service):
        raise wording.foreign_project(ADMIN_ONLY)
    for name, attribute in _all_stored(resource):
        if name not in values:
            values[name] = _default(attribute, context, values)
    if resource.additional is not None:
        values[resource.additional.attribute] = additional or None
    return values


def check_update(resource: Resource, body: Mapping[str, Any], version: Version | None = None) -> Values:
    """Check one object of an update request. Raises Invalid."""
    body, additional = _split(resource, body)
    given = _named(resource, body, version)
    values = Values(given=given)
    for name, value in given.items():
        attribute = resource.attributes[name]
        if not attribute.update:
            raise resource.wording.read_only(resource, name, "update", body)
        values[name] = _parsed(resource, attribute, value)
    if resource.additional is not None and additional:
        values[resource.additional.attribute] = additional
    return values


def merge_additional(resource: Resource, original: Mapping[str, Any], changes: Values) -> Values:
    """The changes, with additional attributes laid over those that are there. Raises Invalid for too many."""
    keeps = resource.additional
    if keeps is not None and changes.get(keeps.attribute):
        name = keeps.attribute
        changes[name] = {**(original[name] or {}), **changes[name]}
        if len(changes[name]) > keeps.most:
            raise resource.wording.too_many_additional(resource, keeps.most)
    return changes


def _split(resource: Resource, body: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The declared attributes of a body, and those besides, where the resource keeps them."""
    keeps = resource.additional
    if keeps is None:
        return body, {}
    known: dict[str, Any] = {}
    additional: dict[str, Any] = {}
    for name, value in body.items():
        if name in keeps.ignored:
            continue
        declared = name != keeps.attribute and resource.resolve(name) is not None
        (known if declared else additional)[name] = value
    if len(additional) > keeps.most or any(len(name) > keeps.longest_name for name in additional):
        raise resource.wording.too_many_additional(resource, keeps.most)
    return known, additional


def _all_stored(resource: Resource) -> list[tuple[str, Attribute]]:
    """The attributes that a new one has values of, found once for a declaration."""
    known: list[tuple[str, Attribute]] | None = resource.plans.get("completed")
    if known is None:
        known = [(name, one) for name, one in resource.attributes.items() if _stored(resource, one)]
        resource.plans["completed"] = known
    return known


def _stored(resource: Resource, attribute: Attribute) -> bool:
    if attribute.compute is not None:
        return False
    if attribute.name in resource.columns:
        column = resource.columns[attribute.name]
        if getattr(column, "autoincrement", "auto") is True:
            return False  # the database gives it
        return resource.table is None or getattr(column, "table", None) is resource.table or attribute.create
    return attribute.saver is not None or attribute.create or resource.table is None


def _named(resource: Resource, body: Mapping[str, Any], version: Version | None) -> dict[str, Any]:
    """The body under the attributes' own names."""
    unknown = []
    given: dict[str, Any] = {}
    for name, value in body.items():
        own = resource.aliases.get(name, name)
        attribute = resource.attributes.get(own)
        if attribute is None or not within(attribute.versions, version):
            unknown.append(name)
        elif own in given and given[own] != value:
            raise resource.wording.bad_part("body", f"'{own}' and '{name}' do not match")
        else:
            given[own] = value
    if unknown:
        raise resource.wording.unknown(resource, unknown, body)
    return given


def _parsed(resource: Resource, attribute: Attribute, value: Any) -> Any:
    try:
        return attribute.type.parse(value)
    except BadValue as bad:
        raise resource.wording.bad_value(attribute.name, value, bad) from None


def _default(attribute: Attribute, context: Context, values: Values) -> Any:
    default = attribute.default
    if callable(default):
        return default(context, values)
    return default.copy() if isinstance(default, list | dict) else default
