"""Units of work of RBAC policies: who may share what, and what can't be taken away while it is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, bindparam, exists, or_, select, update

from pileus.core.context import Context
from pileus.core.errors import Conflict, Invalid
from pileus.resource.declaration import Resource, Update, Values
from pileus.resource.event import event
from pileus.services.network.address_groups.resource import ADDRESS_GROUP
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.common.quotas import network_quota, spend
from pileus.services.network.common.revisions import touch
from pileus.services.network.networks.resource import NETWORK
from pileus.services.network.networks.tables import networks
from pileus.services.network.networks.work import check_not_outside
from pileus.services.network.qos.resource import POLICY
from pileus.services.network.rbac_policies.resource import RBAC_POLICY
from pileus.services.network.security_groups.resource import SECURITY_GROUP
from pileus.services.network.sharing.tables import rbac_policies
from pileus.services.network.sharing.targets import (
    ADDRESS_GROUPS,
    ADDRESS_SCOPES,
    BY_TYPE,
    EVERYBODY,
    EXTERNAL,
    NETWORKS,
    QOS_POLICIES,
    SECURITY_GROUPS,
    SHARED,
    SUBNETPOOLS,
    Kind,
    caller_of,
    external_to,
    shared_to,
)
from pileus.services.network.sharing.uses import RbacPolicyInUse, refuse_stranded, stranded
from pileus.services.network.subnetpools.resource import ADDRESS_SCOPE, SUBNETPOOL
from pileus.services.network.subnetpools.tables import address_scopes, subnetpools
from pileus.store.errors import Duplicate, Referenced
from pileus.store.tx import Tx
from pileus.wire import scopes

RBAC_POLICY_QUOTA = network_quota("rbac_policy", 10, rbac_policies.c.project_id)


class InvalidActionForType(Invalid):
    message = "Invalid action '{action}' for object type '{object_type}'. Valid actions: {valid_actions}"


class DuplicateRbacPolicy(Conflict):
    message = "An RBAC policy already exists with those values."


class RbacPolicyInitError(Invalid):
    message = "Failed to create RBAC policy on object {object_id} because {reason}."


_RESOURCES: Mapping[str, Resource] = {
    NETWORKS.object_type: NETWORK,
    QOS_POLICIES.object_type: POLICY,
    SECURITY_GROUPS.object_type: SECURITY_GROUP,
    SUBNETPOOLS.object_type: SUBNETPOOL,
    ADDRESS_SCOPES.object_type: ADDRESS_SCOPE,
    ADDRESS_GROUPS.object_type: ADDRESS_GROUP,
}
_GATEWAYS = "There are routers attached to this network that depend on this policy for access."
_SHARING = "Unable to reconfigure sharing settings for network {network}. Multiple tenants are using it."
_SCOPE_OF_POOL = select(subnetpools.c.address_scope_id).where(subnetpools.c.id == bindparam("pool"))
_SCOPE_FOR = select(address_scopes.c.id).where(
    address_scopes.c.id == bindparam("scope"), shared_to(ADDRESS_SCOPES, bindparam("target"))
)
_LEFT = exists().where(rbac_policies.c.object_id == networks.c.id, rbac_policies.c.action == EXTERNAL)
_OUTSIDE = update(networks).where(networks.c.id == bindparam("network")).values(external=_LEFT)


def rbac_policy_create(tx: Tx, context: Context, specs: Sequence[Values]) -> list[Values]:
    """Write new policies. A network that somebody may use as external becomes that.

    InvalidActionForType, InvalidInput for what is another's, DuplicateRbacPolicy, RbacPolicyInitError.
    """
    for spec in specs:
        kind = BY_TYPE[spec["object_type"]]
        if spec["action"] not in kind.actions:
            raise InvalidActionForType(
                action=spec["action"], object_type=kind.object_type, valid_actions=kind.actions
            )
        _owned(context, kind, _object(tx, context, kind, spec["object_id"]))
        if kind is SUBNETPOOLS:
            _check_scope(tx, spec["object_id"], spec["target_tenant"])
        spec[kind.object_column] = spec["object_id"]
    spend(tx, specs, RBAC_POLICY_QUOTA)
    try:
        with tx.savepoint():
            RBAC_POLICY.insert(tx, context, specs)
    except Duplicate:
        raise DuplicateRbacPolicy() from None
    except Referenced:  # it has just gone
        spec = specs[0]
        raise _RESOURCES[spec["object_type"]].not_found(spec["object_id"]) from None
    _follow(tx, context, "create", specs)
    return list(specs)


def rbac_policy_update(tx: Tx, context: Context, updates: Sequence[Update]) -> list[Values]:
    """Give policies to others; RbacPolicyInUse where those who had one need it."""
    for one in updates:
        kind, new = BY_TYPE[one.original["object_type"]], one.changes.get("target_tenant")
        thing = _object(tx, context, kind, one.original["object_id"])
        _owned(context, kind, thing)
        if new is not None and new != one.original["target_tenant"]:
            _check_left(tx, kind, thing, one.original, new)
    try:
        with tx.savepoint():
            after = RBAC_POLICY.change(tx, context, updates)
    except Duplicate:
        raise DuplicateRbacPolicy() from None
    _follow(tx, context, "update", after)
    return after


def rbac_policy_delete(tx: Tx, context: Context, originals: Sequence[Values]) -> None:
    """Take policies away; RbacPolicyInUse where somebody needs one. A network that nobody may use as external
    is not that any more."""
    for policy in originals:
        kind = BY_TYPE[policy["object_type"]]
        _check_left(tx, kind, _object(tx, context, kind, policy["object_id"]), policy, None)
    RBAC_POLICY.remove(tx, originals)
    for policy in originals:
        if policy["action"] == EXTERNAL and not _others(tx, policy):
            check_not_outside(tx, policy["object_id"])
    _follow(tx, context, "delete", originals)


def _object(tx: Tx, context: Context, kind: Kind, object_id: str) -> Row[Any]:
    """The thing that a policy is about, held until the end; its own NotFound where the caller sees none."""
    columns = kind.table.c
    own = [columns.id, columns.project_id, *([columns.is_default] if kind is NETWORKS else [])]
    statement = select(*own).where(columns.id == object_id).with_for_update()
    if not context.is_admin:
        caller = caller_of(context)
        visible = [columns.project_id == caller, shared_to(kind, caller)]
        statement = statement.where(or_(*visible, *([external_to(caller)] if kind is NETWORKS else [])))
    found = tx.first(statement)
    if found is None:
        raise _RESOURCES[kind.object_type].not_found(object_id)
    return found


def _owned(context: Context, kind: Kind, thing: Row[Any]) -> None:
    if not context.is_admin and thing.project_id != context.project_id:
        named = "networks" if kind is NETWORKS else "objects"
        raise InvalidInput(f"Only admins can manipulate policies on {named} they do not own")


def _check_scope(tx: Tx, pool_id: str, target: str) -> None:
    """RbacPolicyInitError where a pool is in an address scope that the target may not use."""
    pool = tx.first(_SCOPE_OF_POOL, {"pool": pool_id})
    scope_id = pool.address_scope_id if pool is not None else None
    if scope_id and tx.first(_SCOPE_FOR, {"scope": scope_id, "target": target}) is None:
        raise RbacPolicyInitError(
            object_id=pool_id, reason="target project doesn't have access to associated address scope."
        )


def _check_left(tx: Tx, kind: Kind, thing: Row[Any], policy: Values, new: str | None) -> None:
    """RbacPolicyInUse where a project would lose what it uses: the target becomes ``new``, or goes. As in
    Neutron, a new target that is no better than the old keeps only routers where they are."""
    action, target = policy["action"], policy["target_tenant"]
    details = ""
    if action == SHARED and new != EVERYBODY:
        new = None
    if kind is NETWORKS:
        details = _GATEWAYS if action == EXTERNAL else _SHARING.format(network=thing.id)
        if action == EXTERNAL and target == EVERYBODY and thing.is_default:
            raise RbacPolicyInUse(
                object_id=thing.id, details="Default external networks must be shared to everyone."
            )
    refuse_stranded(thing.id, stranded(tx, kind, action, thing.id, thing.project_id, target, new), details)


def _others(tx: Tx, policy: Values) -> bool:
    """Whether other policies of the same object and action are left."""
    c = rbac_policies.c
    left = select(c.id).where(
        c.object_id == policy["object_id"], c.action == policy["action"], c.id != policy["id"]
    )
    return tx.first(left.limit(1)) is not None


def _follow(tx: Tx, context: Context, verb: str, several: Iterable[Values]) -> None:
    """Bring the flags of the objects in line with their policies, and count a change of them."""
    policies = list(several)
    for policy in policies:
        kind, object_id = BY_TYPE[policy["object_type"]], policy["object_id"]
        if policy["action"] == EXTERNAL:
            tx.execute(_OUTSIDE, {"network": object_id})
        elif kind.flag is not None:
            tx.execute(_flag(kind), {"object": object_id})
        if "revision_number" in kind.table.c:
            touch(tx, kind.table, [object_id], context.now)
    tx.emit_many(
        [
            event(
                context,
                f"rbac_policy.{verb}",
                policy["id"],
                policy["project_id"],
                [scopes.network(policy["object_id"])] if policy["action"] == EXTERNAL else (),
                object_type=policy["object_type"],
                object_id=policy["object_id"],
            )
            for policy in policies
        ]
    )


def _flag(kind: Kind) -> Any:
    """The statement that makes ``shared`` of an object say whether it is with everybody."""
    for_all = exists().where(
        rbac_policies.c.object_id == kind.table.c.id,
        rbac_policies.c.action == SHARED,
        rbac_policies.c.target_project == EVERYBODY,
    )
    return update(kind.table).where(kind.table.c.id == bindparam("object")).values(shared=for_all)
