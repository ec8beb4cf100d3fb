"""Diagnostics of servers: a machine's counters (Compute API reference, "Servers diagnostics")."""

from __future__ import annotations

from typing import Any

from pileus.resource import types
from pileus.resource.declaration import Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import (
    COUNT,
    COUNT_OR_NULL,
    FLAG,
    INTEGER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    always,
)
from pileus.services.compute.rules import states
from pileus.services.compute.servers.host_questions import HostQuestions, placed_server
from pileus.services.compute.servers.lookup import must_permit
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import ByVersion, Route


class DiagnosticsHandlers:
    """Handlers that ask the server's host."""

    def __init__(self, questions: HostQuestions) -> None:
        self._questions = questions

    async def show(self, request: Request) -> Reply:
        """Show a machine's counters: as the hypervisor has them, in one form since 2.48."""
        server = await request.read(placed_server, request)
        must_permit("get_diagnostics", server)
        result = await self._questions.ask(server, "diagnostics")
        if not since(request, "2.48"):
            return Reply.json(result)
        return Reply.json(_diagnostics(server, result))


_POWER = {
    states.RUNNING: "running",
    states.POWER_PAUSED: "paused",
    states.SHUTDOWN: "shutdown",
    states.CRASHED: "crashed",
    states.POWER_SUSPENDED: "suspended",
}


def _diagnostics(server: Values, raw: dict[str, Any]) -> dict[str, Any]:
    """The form of 2.48; what the hypervisor does not tell is null."""
    unused = raw.get("memory_unused_mib")
    nics = [
        {
            "mac_address": None,
            "rx_octets": one.get("rx_bytes"),
            "rx_packets": one.get("rx_packets"),
            "rx_drop": one.get("rx_drops"),
            "rx_errors": one.get("rx_errors"),
            "rx_rate": None,
            "tx_octets": one.get("tx_bytes"),
            "tx_packets": one.get("tx_packets"),
            "tx_drop": one.get("tx_drops"),
            "tx_errors": one.get("tx_errors"),
            "tx_rate": None,
        }
        for one in raw.get("interfaces", ())
    ]
    disks = [
        {
            "read_bytes": one.get("read_bytes"),
            "read_requests": one.get("read_requests"),
            "write_bytes": one.get("write_bytes"),
            "write_requests": one.get("write_requests"),
            "errors_count": None,
        }
        for one in raw.get("disks", ())
    ]
    return {
        "state": _POWER.get(server["power_state"], "pending"),
        "driver": "libvirt",
        "hypervisor": "qemu",
        "hypervisor_os": "linux",
        "uptime": None,
        "config_drive": server["config_drive"],
        "num_cpus": server["vcpus"],
        "num_nics": len(nics),
        "num_disks": len(disks),
        "cpu_details": [{"id": 0, "time": raw.get("cpu_time_ns"), "utilisation": None}],
        "nic_details": nics,
        "disk_details": disks,
        "memory_details": {
            "maximum": server["memory_mib"],
            "used": server["memory_mib"] - unused if isinstance(unused, int) else None,
        },
    }


_NIC = always(
    {
        "mac_address": TEXT_OR_NULL,
        **{
            f"{way}_{name}": COUNT_OR_NULL
            for way in ("rx", "tx")
            for name in ("octets", "packets", "drop", "errors", "rate")
        },
    }
)
_DISK = always(
    dict.fromkeys(
        ("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"), COUNT_OR_NULL
    )
)
_CPU = always(dict.fromkeys(("id", "time", "utilisation"), COUNT_OR_NULL))


def _diagnostics_reply(version: Version) -> Type:
    """Until 2.47 whatever the hypervisor has."""
    if not at_least(version, "2.48"):
        return types.dict_of({}, additional=types.anything)
    return always(
        {
            "state": types.enum("pending", *_POWER.values()),
            **dict.fromkeys(("driver", "hypervisor", "hypervisor_os"), TEXT),
            "uptime": COUNT_OR_NULL,
            "config_drive": FLAG,
            **dict.fromkeys(("num_cpus", "num_nics", "num_disks"), COUNT),
            "cpu_details": types.list_of(_CPU),
            "nic_details": types.list_of(_NIC),
            "disk_details": types.list_of(_DISK),
            "memory_details": always({"maximum": COUNT, "used": INTEGER_OR_NULL}),
        }
    )


def diagnostics_noun(questions: HostQuestions) -> Noun:
    """The noun."""
    return Noun(
        name="server_diagnostics",
        rules=rules({"os-server-diagnostics": ADMIN}),
        routes=(
            Route(
                "GET",
                "/v2.1/servers/{id}/diagnostics",
                DiagnosticsHandlers(questions).show,
                rule="os_compute_api:os-server-diagnostics",
                reply=ByVersion(_diagnostics_reply),
                summary="Show a server's counters",
            ),
        ),
    )
