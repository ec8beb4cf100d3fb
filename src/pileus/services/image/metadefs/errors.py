"""Refusals of the metadata definitions, in Glance's words."""

from __future__ import annotations

from pileus.core.errors import Conflict, Forbidden, NotFound


class NamespaceNotFound(NotFound):
    message = "Metadata definition namespace={namespace_name} was not found."


class DuplicateNamespace(Conflict):
    message = "The metadata definition namespace={namespace_name} already exists."


class ProtectedNamespace(Forbidden):
    message = "Metadata definition namespace {namespace} is protected and cannot be deleted."


class AssociationNotFound(NotFound):
    message = (
        "The metadata definition resource-type association of resource-type={resource_type_name} to "
        "namespace={namespace_name}, was not found."
    )


class DuplicateAssociation(Conflict):
    message = (
        "The metadata definition resource-type association of resource-type={resource_type_name} to "
        "namespace={namespace_name} already exists."
    )


class ProtectedAssociation(Forbidden):
    message = "Metadata definition resource-type-association {name} is protected and cannot be deleted."


class ObjectNotFound(NotFound):
    message = "The metadata definition object with name={name} was not found in namespace={namespace_name}."


class DuplicateObject(Conflict):
    message = "A metadata definition object with name={name} already exists in namespace={namespace_name}."


class ProtectedObject(Forbidden):
    message = "Metadata definition object {name} is protected and cannot be deleted."


class PropertyNotFound(NotFound):
    message = "The metadata definition property with name={name} was not found in namespace={namespace_name}."


class DuplicateProperty(Conflict):
    message = "A metadata definition property with name={name} already exists in namespace={namespace_name}."


class ProtectedProperty(Forbidden):
    message = "Metadata definition property {name} is protected and cannot be deleted."


class TagNotFound(NotFound):
    message = "The metadata definition tag with name={name} was not found in namespace={namespace_name}."


class DuplicateTag(Conflict):
    message = (
        "A metadata tag with name={name} already exists in namespace={namespace_name}. (Please note that "
        "metadata tag names are case insensitive)."
    )


class ProtectedTag(Forbidden):
    message = "Metadata definition tag {name} is protected and cannot be deleted."
