"""Questions to hosts: a console's log, a machine's counters. A question changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pileus.core.errors import Conflict
from pileus.core.ids import new_id
from pileus.resource import types
from pileus.resource.declaration import Extension, Values
from pileus.resource.types import Type
from pileus.resource.versions import Version
from pileus.services.compute.api import at_least, since
from pileus.services.compute.policy import ADMIN, ADMIN_OR_MEMBER, rules
from pileus.services.compute.replies import (
    COUNT,
    COUNT_OR_NULL,
    FLAG,
    INTEGER_OR_NULL,
    TEXT,
    TEXT_OR_NULL,
    always,
    named,
)
from pileus.services.compute.rules import states
from pileus.services.compute.servers.lookup import find_server, must_permit
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Action, ByVersion, Route
from pileus.wire import scopes
from pileus.wire.questions import Answer, Question

Ask = Callable[[str, Question, float], Awaitable[Answer]]
"""``(scope, question, seconds) -> answer``; raises Unavailable where nobody answers."""

TIMEOUT_S = 10.0


class InstanceNotReady(Conflict):
    message = "Instance {id} is not ready"


class NoAnswer(Conflict):
    message = "The host of instance {id} could not answer: {reason}"


def _parse_length(value: Any) -> int:
    if value is None:
        return -1
    return int(types.integer(-1).parse(value))


_LENGTH = Type("length", _parse_length, {"type": ["integer", "string", "null"]}, accepts_none=True)
_CONSOLE = types.dict_of({"length": _LENGTH})


class QuestionHandlers:
    """Handlers that ask hosts."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def _answer(self, server: Values, kind: str, **arguments: Any) -> dict[str, Any]:
        question = Question(new_id(), kind, {"server_id": server["id"], **arguments})
        answer = await self._ask(scopes.hypervisor(server["host"]), question, TIMEOUT_S)
        if answer.error is not None:
            raise NoAnswer(id=server["id"], reason=answer.error)
        return answer.result

    def _placed(self, tx: Tx, request: Request) -> Values:
        server = find_server(tx, request)
        if server["host"] is None or server["vm_state"] == states.BUILDING:
            raise InstanceNotReady(id=server["id"])
        return server

    async def console(self, request: Request, argument: Any) -> Reply:
        """The verb ``os-getConsoleOutput``: the last lines of the serial console, or all that is kept."""
        server = await request.read(self._placed, request)
        length = argument.get("length", -1)
        result = await self._answer(server, "console_log", length=length)
        return Reply.json({"output": result.get("output", "")})

    async def diagnostics(self, request: Request) -> Reply:
        """A machine's counters: as the hypervisor has them, in one form since 2.48."""
        server = await request.read(self._placed, request)
        must_permit("get_diagnostics", server)
        result = await self._answer(server, "diagnostics")
        if not since(request, "2.48"):
            return Reply.json(result)
        return Reply.json(_diagnostics(server, result))


def questions_noun(handlers: QuestionHandlers) -> Noun:
    """The noun; the console's log is an action (``question_actions``)."""
    return Noun(
        name="server_question",
        rules=rules({"os-console-output": ADMIN_OR_MEMBER, "os-server-diagnostics": ADMIN}),
        extensions=(Extension("os-console-output", "Console_output", "Console log output support."),),
        routes=(
            Route(
                "GET",
                "/v2.1/servers/{id}/diagnostics",
                handlers.diagnostics,
                rule="os_compute_api:os-server-diagnostics",
                reply=ByVersion(_diagnostics_reply),
                summary="Show a server's counters",
            ),
        ),
    )


def question_actions(handlers: QuestionHandlers) -> dict[str, Action]:
    """The actions that are questions."""
    return {
        "os-getConsoleOutput": Action(
            _CONSOLE,
            handlers.console,
            rule="os_compute_api:os-console-output",
            reply=named("output", TEXT),
            status=200,
            summary="Show the last lines of the console",
        )
    }


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
