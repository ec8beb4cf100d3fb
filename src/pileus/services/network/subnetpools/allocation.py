"""Cutting subnets from pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Boolean, Row, bindparam, or_, select

from pileus.core.addresses import parse_address, prefix
from pileus.core.context import Context
from pileus.core.errors import OverQuota, Unavailable
from pileus.resource.declaration import Values
from pileus.resource.wordings.neutron import BadRequest
from pileus.services.network.common.errors import InvalidInput
from pileus.services.network.rules import addresses, prefixes
from pileus.services.network.sharing.targets import SUBNETPOOLS, caller_of, shared_to
from pileus.services.network.subnetpools.resource import SubnetPoolNotFound
from pileus.services.network.subnetpools.tables import subnetpools
from pileus.services.network.subnets.tables import subnets
from pileus.store.tx import Tx


class SubnetAllocationError(Unavailable):
    message = "Failed to allocate subnet: {reason}."


class SubnetPoolQuotaExceeded(OverQuota):
    message = "Per-project subnet pool prefix quota exceeded."


_POOLS = select(subnetpools, shared_to(SUBNETPOOLS, bindparam("caller")).label("granted")).where(
    or_(
        subnetpools.c.id.in_(bindparam("ids", expanding=True)),
        subnetpools.c.is_default & bindparam("or_default", type_=Boolean()),
    )
)
_TAKEN = select(subnets.c.subnetpool_id, subnets.c.cidr, subnets.c.ip_version, subnets.c.project_id).where(
    subnets.c.subnetpool_id.in_(bindparam("ids", expanding=True))
)


def prefixes_allocate(
    tx: Tx, context: Context, specs: Sequence[Values], *, delegation_is_default: bool = False
) -> None:
    """Give those of the new subnets that name a pool (or ask for the default one) their prefix.
    ``delegation_is_default``: the default pool of IPv6 is what routers outside delegate.

    Two statements for any number, none where no pool is asked for.
    """
    for spec in specs:
        if spec.get("cidr") is not None and spec["prefixlen"] is not None:
            raise _bad("cidr and prefixlen must not be supplied together")
        if spec["subnetpool_id"] and spec["use_default_subnetpool"]:
            raise _bad("subnetpool_id and use_default_subnetpool cannot both be specified")
        if delegation_is_default and spec["use_default_subnetpool"] and spec["ip_version"] == 6:
            spec["subnetpool_id"] = addresses.DELEGATED
        if spec["subnetpool_id"] == addresses.DELEGATED:
            _delegated(spec)
    asking = [
        spec
        for spec in specs
        if spec["subnetpool_id"] != addresses.DELEGATED
        and (spec["subnetpool_id"] or spec["use_default_subnetpool"])
    ]
    for spec in asking:
        if spec.get("cidr") is None and spec.get("allocation_pools") is not None:
            raise _bad("allocation_pools allowed only for specific subnet requests.")
    if not asking:
        return
    pools = _pools(tx, context, asking)
    ids = sorted(pools)
    tx.lock(*(f"subnetpool:{one}" for one in ids))
    taken: dict[str, list[Any]] = {one: [] for one in ids}
    for row in tx.rows(_TAKEN, {"ids": ids}):
        taken[row.subnetpool_id].append((row.cidr, row.project_id))
    for spec in asking:
        pool = pools[spec["subnetpool_id"]]
        spec["ip_version"] = pool.ip_version
        spec["cidr"] = _cut(spec, pool, taken[pool.id])
        taken[pool.id].append((spec["cidr"], spec["project_id"]))


def _delegated(spec: Values) -> None:
    """A prefix that is named needs no pool; one that a router outside delegates is provisional until then."""
    if spec.get("cidr") is not None:
        spec["subnetpool_id"], spec["use_default_subnetpool"] = None, False
        return
    if spec.get("allocation_pools") is not None:
        raise _bad("allocation_pools allowed only for specific subnet requests.")
    if spec["ip_version"] != 6:
        raise _bad("Prefix Delegation can only be used with IPv6 subnets.")
    for name, word in (("ipv6_ra_mode", "RA"), ("ipv6_address_mode", "Address")):
        if spec[name] not in addresses.AUTO_MODES:
            raise _bad(f"IPv6 {word} Mode must be SLAAC or Stateless for Prefix Delegation.")
    spec["cidr"] = addresses.PROVISIONAL


def _bad(text: str) -> BadRequest:
    return BadRequest(resource="subnets", msg=text)


def _pools(tx: Tx, context: Context, asking: Sequence[Values]) -> dict[str, Row[Any]]:
    """The pools asked for, by id; ``subnetpool_id`` is filled in where the default one was meant."""
    named = sorted({spec["subnetpool_id"] for spec in asking if spec["subnetpool_id"]})
    or_default = any(spec["use_default_subnetpool"] for spec in asking)
    found = {
        row.id: row
        for row in tx.rows(_POOLS, {"ids": named, "or_default": or_default, "caller": caller_of(context)})
    }
    defaults = {row.ip_version: row.id for row in found.values() if row.is_default}
    for spec in asking:
        if not spec["subnetpool_id"]:
            if spec["ip_version"] not in defaults:
                raise _bad(f"No default subnetpool found for IPv{spec['ip_version']}")
            spec["subnetpool_id"] = defaults[spec["ip_version"]]
        pool = found.get(spec["subnetpool_id"])
        mine = pool is not None and (
            context.is_admin or pool.granted or pool.project_id == context.project_id
        )
        if pool is None or not mine:
            raise SubnetPoolNotFound(subnetpool_id=spec["subnetpool_id"])
        if "ip_version" in spec.given and spec["ip_version"] != pool.ip_version:
            raise _bad(
                f"Cannot allocate IPv{spec['ip_version']} subnet from IPv{pool.ip_version} subnet pool"
            )
    return {spec["subnetpool_id"]: found[spec["subnetpool_id"]] for spec in asking}


def _asked(spec: Values, pool: Row[Any]) -> str | None:
    """The prefix that is named, or that a gateway which is named lies in."""
    gateway: str | None = spec.get("gateway_ip")
    if spec.get("cidr") is not None or gateway is None:
        return spec.get("cidr")
    length = spec["prefixlen"] if spec["prefixlen"] is not None else pool.default_prefixlen
    if parse_address(gateway).version != pool.ip_version:
        raise InvalidInput(f"gateway_ip '{gateway}' does not match the ip_version '{pool.ip_version}'")
    prefixes.check_length(length, pool.min_prefixlen, pool.max_prefixlen)
    return prefix(f"{gateway}/{length}")


def _cut(spec: Values, pool: Row[Any], taken: Sequence[tuple[str, str]]) -> str:
    cidrs = [cidr for cidr, _ in taken]
    asked = _asked(spec, pool)
    length = spec["prefixlen"] if spec["prefixlen"] is not None else pool.default_prefixlen
    if asked is not None:
        length = int(asked.partition("/")[2])
    prefixes.check_length(length, pool.min_prefixlen, pool.max_prefixlen)
    if pool.default_quota is not None:
        lengths = [int(cidr.partition("/")[2]) for cidr, owner in taken if owner == spec["project_id"]]
        used = sum(prefixes.units(pool.ip_version, one) for one in lengths)
        if used + prefixes.units(pool.ip_version, length) > pool.default_quota:
            raise SubnetPoolQuotaExceeded()
    if asked is not None:
        if not prefixes.is_free(asked, pool.prefixes, cidrs):
            raise SubnetAllocationError(
                reason="Cannot allocate requested subnet from the available set of prefixes"
            )
        return str(asked)
    free = prefixes.first_free(pool.ip_version, pool.prefixes, cidrs, length)
    if free is None:
        raise SubnetAllocationError(reason=f"Insufficient prefix space to allocate subnet size /{length}")
    return free
