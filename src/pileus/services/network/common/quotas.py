"""Quotas of the network API: how the nouns declare and spend theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement

from pileus.resource.declaration import Values
from pileus.resource.quota import Quota, count_rows, quota_spend
from pileus.store.tx import Tx

SERVICE = "network"


def network_quota(resource: str, default: int, project_column: ColumnElement[Any]) -> Quota:
    """Declare how many of a kind a project may have; they are counted by the column of their project."""
    return Quota(SERVICE, resource, default, count_rows(project_column))


def spend(tx: Tx, specs: Sequence[Values], quota: Quota) -> None:
    """Make sure that the projects of new resources may have them; OverQuota otherwise."""
    quota_spend(tx, Counter(spec["project_id"] for spec in specs), quota)
