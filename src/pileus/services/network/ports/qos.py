"""QoS policies of ports: which one holds, whether the switch can, and what it asks of the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pileus.resource.declaration import Values
from pileus.services.network.qos.resource_requests import resource_requests
from pileus.services.network.qos.uses import is_supported, refuse_unsupported_ports
from pileus.store.tx import Tx


def policy_of(port: Mapping[str, Any]) -> str | None:
    """The policy that holds: the port's own before its network's."""
    policy_id: str | None = port["qos_policy_id"] or port["qos_network_policy_id"]
    return policy_id


def check_supported(tx: Tx, several: Sequence[Mapping[str, Any]]) -> None:
    """QosRuleNotSupported for a policy with rules on a port that no driver serves; no statement else."""
    refuse_unsupported_ports(
        tx,
        [
            (port["id"], policy_id)
            for port in several
            if (policy_id := policy_of(port))
            and not is_supported(port["binding:vif_type"], port["binding:vnic_type"])
        ],
    )


def show_requests(tx: Tx, several: Sequence[Values]) -> None:
    """Fill in what each asks of its host, for the reply; no statement where none has a policy."""
    ids = [port["id"] for port in several if policy_of(port)]
    found = resource_requests(tx, ids) if ids else {}
    for port in several:
        port["resource_request"] = found.get(port["id"])
