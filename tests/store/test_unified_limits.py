"""Quotas of services that are read among identity's limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.core.errors import OverQuota
from pileus.resource.quota import Quota, quota_read, quota_set, quota_spend
from pileus.services.compute.errors import QuotaError
from pileus.services.compute.quotas.counting import class_limits, limits_of, spend
from pileus.services.identity.tables.catalog import regions, services
from pileus.services.identity.tables.limits import limits, registered_limits
from pileus.services.identity.tables.projects import projects
from pileus.store import Store
from pileus.store.tx import Tx

QUOTAS = tuple(
    Quota("network", name, default, lambda tx, ids: dict.fromkeys(ids, 2))
    for name, default in (("port", 500), ("network", 100))
)


def _fill(tx: Tx) -> None:
    """Ports: 5, in the region 7, project A has 3 there and 1 elsewhere. Servers: 2, A has none left."""
    tx.insert(regions, [{"id": "here", "description": ""}, {"id": "there", "description": ""}])
    tx.insert(
        services,
        [
            {"id": kind, "type": kind, "name": "", "description": "", "enabled": True}
            for kind in ("network", "compute")
        ],
    )
    tx.insert(
        projects,
        [
            {"id": key, "name": key, "owner": "", "is_domain": True, "enabled": True, "description": ""}
            for key in ("A", "B")
        ],
    )
    rows: list[tuple[str, str, str | None, str, int]] = [
        ("all", "network", None, "port", 5),
        ("here", "network", "here", "port", 7),
        ("there", "network", "there", "port", 900),
        ("servers", "compute", None, "servers", 2),
    ]
    tx.insert(
        registered_limits,
        [
            {"id": key, "service_id": service, "region_id": region, "region_key": region or "",
             "resource_name": name, "default_limit": amount}
            for key, service, region, name, amount in rows
        ],
    )  # fmt: skip
    tx.insert(
        limits,
        [
            {
                "id": key,
                "registered_limit_id": key,
                "owner_id": "A",
                "project_id": "A",
                "resource_limit": amount,
            }
            for key, amount in (("all", 1), ("here", 3), ("servers", 0))
        ],
    )


def _with_store(folder: Path, region: str | None, unit: Callable[[Tx], Any]) -> Any:
    async def tell() -> Any:
        store = await Store.open(f"sqlite:///{folder}/cloud.sqlite", unified_limits=region)
        try:
            await store.write(_fill)
            return await store.write(unit)
        finally:
            await store.close()

    return asyncio.run(tell())


@pytest.mark.parametrize(
    ("region", "a", "b"),
    [
        (None, {"port": 500, "network": 100}, {"port": 500, "network": 100}),
        ("here", {"port": 3, "network": 100}, {"port": 7, "network": 100}),
        ("elsewhere", {"port": 1, "network": 100}, {"port": 5, "network": 100}),
    ],
)
def test_the_limit_of_the_project_then_of_the_region_then_of_all_then_of_the_service(tmp_path, region, a, b):
    found = _with_store(tmp_path, region, lambda tx: quota_read(tx, ["A", "B"], QUOTAS))
    assert found == {"A": a, "B": b}


def test_quotas_are_spent_by_identitys_limits_and_can_not_be_set(tmp_path):
    def unit(tx: Tx) -> None:
        quota_set(tx, "B", "network", {"port": 2})
        quota_spend(tx, {"B": 5}, *QUOTAS)
        with pytest.raises(OverQuota):
            quota_spend(tx, {"B": 6}, *QUOTAS)
        quota_spend(tx, {"A": 1}, *QUOTAS)
        with pytest.raises(OverQuota):
            quota_spend(tx, {"A": 2}, *QUOTAS)

    _with_store(tmp_path, "here", unit)


def test_compute_knows_its_resources_by_their_names_there(tmp_path):
    def unit(tx: Tx) -> None:
        before = tx.statements
        assert limits_of(tx, "A", "ann")["instances"] == 0
        assert tx.statements - before == 1
        assert limits_of(tx, "B")["instances"] == 2 == class_limits(tx)["instances"]
        assert limits_of(tx, "B")["cores"] == 20, "the service's own default, without a registered limit"
        spend(tx, "B", "ann", 2, 2, 64)
        with pytest.raises(QuotaError, match=r"Quota exceeded for instances: Requested 3, .* of 2 instances"):
            spend(tx, "B", "ann", 3, 3, 64)

    _with_store(tmp_path, "here", unit)
