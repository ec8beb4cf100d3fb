"""Words of queries about resources, traits and aggregates: ``VCPU:2``, ``in:A,B``, ``!C``.

Source: Placement API reference, the parameters ``resources``, ``required``, ``member_of`` and ``in_tree``.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from sqlalchemy import select

from pileus.services.compute.placement.api import is_uuid, refuse_query, since
from pileus.services.compute.placement.errors import BadRequest
from pileus.services.compute.rules.candidates import Group
from pileus.services.compute.rules.providers import LARGEST
from pileus.services.compute.rules.standard_resources import CLASSES, TRAITS
from pileus.services.compute.tables.placement import placement_classes, placement_traits
from pileus.store.tx import Tx
from pileus.web.request import Request

_FORM = (
    "Badly formed resources parameter. Expected resources query string parameter in form: "
    "?resources=VCPU:2,MEMORY_MB:1024. Got: {}."
)


def resources_of(text: str, group: Group) -> Group:
    """The group with the amounts of a ``resources`` parameter. Raises BadRequest."""
    if not text.strip():
        raise BadRequest(_FORM.format("empty string"))
    found = {}
    for part in text.split(","):
        name, colon, amount = part.partition(":")
        if not colon or ":" in amount:
            raise BadRequest(_FORM.format(part))
        try:
            number = int(amount[:20])
        except ValueError:
            raise BadRequest(
                f"Requested resource {name} expected positive integer amount. Got: {amount}."
            ) from None
        if not 1 <= number <= LARGEST:
            raise BadRequest(f"Requested resource {name} requires amount >= 1. Got: {number}.")
        found[name] = number
    return msgspec.structs.replace(group, resources=found)


def traits_of(request: Request, group: Group) -> Group:
    """The group with the traits of its ``required`` parameters. Raises the dialect's refusal."""
    name = f"required{group.suffix}"
    texts = [text for key, text in request.query if key == name]
    if not since(request, "1.39"):
        texts = texts[-1:]
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for text in texts:
        more, less = traits_in(request, text, "required", any_of=since(request, "1.39"))
        required += more
        forbidden |= less
    return msgspec.structs.replace(group, required=tuple(required), forbidden=frozenset(forbidden))


def traits_in(
    request: Request, text: str, parameter: str, *, any_of: bool = False, forbidden: bool | None = None
) -> tuple[list[frozenset[str]], set[str]]:
    """The traits of one parameter: those that must be there, each a set of which one is enough, and those
    that must not."""
    may_forbid = since(request, "1.22") if forbidden is None else forbidden
    if text.startswith("in:"):
        if not any_of:
            refuse_query(
                request,
                "The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. "
                f"Got: {text}",
            )
        names = {one.strip() for one in text.removeprefix("in:").split(",")}
        if "" in names:
            refuse_query(
                request,
                f"Expected '{parameter}' parameter value of the form: in:HW_CPU_X86_VMX,CUSTOM_MAGIC. "
                f"Got an empty trait in: {text}",
            )
        if any(one.startswith("!") for one in names):
            refuse_query(
                request,
                f"The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' does not support forbidden traits. Got: {text}",
            )
        return [frozenset(names)], set()
    all_of = [one.strip() for one in text.split(",")]
    less = {one.lstrip("!") for one in all_of if one.startswith("!")}
    form = "HW_CPU_X86_VMX,!CUSTOM_MAGIC" if may_forbid else "HW_CPU_X86_VMX,CUSTOM_MAGIC"
    expected = f"Expected '{parameter}' parameter value of the form: {form}. "
    if "" in less or "" in all_of:
        refuse_query(request, f"{expected}Got an empty trait in: {text}")
    if less and not may_forbid:
        refuse_query(request, f"{expected}Got: {text}")
    return [frozenset({one}) for one in all_of if not one.startswith("!")], less


def members_of(request: Request, group: Group) -> Group:
    """The group with the aggregates of its ``member_of`` parameters. Raises BadRequest."""
    name = f"member_of{group.suffix}"
    texts = [text for key, text in request.query if key == name]
    if len(texts) > 1 and not since(request, "1.24"):
        raise BadRequest(f"Multiple {name} parameters are not supported")
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for text in texts:
        plain = text.removeprefix("!")
        if "," in text and not plain.startswith("in:"):
            raise BadRequest(
                "Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the "
                f"valid microversion. Got: {text}"
            )
        ids = plain.removeprefix("in:").split(",")
        for one in ids:
            if not is_uuid(one):
                refuse_query(request, f"Expected 'member_of' parameter to contain valid UUID(s). Got: {one}")
        if text.startswith("!"):
            if not since(request, "1.32"):
                raise BadRequest(
                    f"Forbidden {name} parameters are not supported in the specified microversion"
                )
            forbidden.update(ids)
        else:
            required.append(frozenset(ids))
    return msgspec.structs.replace(group, member_of=tuple(required), not_member_of=frozenset(forbidden))


def tree_of(request: Request, text: str, group: Group) -> Group:
    """The group in the tree of a provider. Raises the dialect's refusal for what is no id."""
    if not is_uuid(text.strip()):
        refuse_query(request, f"Expected 'in_tree' parameter to be a format of uuid. Got: {text}")
    return msgspec.structs.replace(group, in_tree=text.strip())


def classes_unknown(tx: Tx, names: Collection[str]) -> list[str]:
    """Those of some resource classes that are not there; a statement where one is not standard."""
    left = set(names) - set(CLASSES)
    if left:
        c = placement_classes.c
        left -= {row.name for row in tx.rows(select(c.name).where(c.name.in_(sorted(left))))}
    return sorted(left)


def traits_unknown(tx: Tx, names: Collection[str]) -> list[str]:
    """Those of some traits that are not there; a statement where one is not standard."""
    left = set(names) - TRAITS
    if left:
        c = placement_traits.c
        left -= {row.name for row in tx.rows(select(c.name).where(c.name.in_(sorted(left))))}
    return sorted(left)


def known_classes(tx: Tx, group: Group, sentence: str) -> None:
    """Raise BadRequest where the group asks for a class that is not there."""
    unknown = classes_unknown(tx, group.resources)
    if unknown:
        raise BadRequest(sentence.format(unknown[0]))


def known_traits(tx: Tx, group: Group, sentence: str) -> None:
    """Raise BadRequest where the group names traits that are not there."""
    unknown = traits_unknown(tx, group.forbidden.union(*group.required))
    if unknown:
        raise BadRequest(sentence.format(", ".join(unknown)))
