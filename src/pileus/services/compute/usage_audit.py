"""Logs of the usage audit (``os-instance_usage_audit_log``): which hosts have reported for a period.

Source: Compute API reference, "Server usage audit log (os-instance-usage-audit-log)". There is no audit task
here that could be late: usage is counted from the servers' own rows whenever it is asked for. So the log says
of each period that no host ran one, as Nova's does while the task is off, which is how it comes.
"""

from __future__ import annotations

import datetime as dt

from pileus.core.times import parse_time
from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.compute.api import enforce
from pileus.services.compute.config import ComputeConfig
from pileus.services.compute.errors import BadRequest
from pileus.services.compute.nodes.reading import COMPUTE_BINARY, services_read
from pileus.services.compute.policy import ADMIN, rules
from pileus.services.compute.replies import COUNT, TEXT, TEXTS, always, named
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

_FORMS = ("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S")


def last_period(before: dt.datetime) -> tuple[dt.datetime, dt.datetime]:
    """The last whole month before a moment."""
    end = dt.datetime(before.year, before.month, 1)
    month_before = end - dt.timedelta(days=1)
    return dt.datetime(month_before.year, month_before.month, 1), end


class AuditHandlers:
    """Handlers that know how long a silent host counts as alive."""

    def __init__(self, config: ComputeConfig) -> None:
        self._config = config

    async def _log(self, request: Request, before: dt.datetime) -> dict[str, object]:
        services = await request.read(services_read, self._config, request.context.now)
        hosts = sorted({one.host for one in services if one.binary == COMPUTE_BINARY})
        begin, end = last_period(before)
        return {
            "period_beginning": str(begin),
            "period_ending": str(end),
            "num_hosts": len(hosts),
            "num_hosts_done": 0,
            "num_hosts_running": 0,
            "num_hosts_not_run": len(hosts),
            "hosts_not_run": hosts,
            "total_instances": 0,
            "total_errors": 0,
            "overall_status": f"{'0 of ' + str(len(hosts)) if hosts else 'ALL'} hosts done. 0 errors.",
            "log": {},
        }

    async def show_last(self, request: Request) -> Reply:
        """Show the log of the last whole period."""
        enforce(request)
        return Reply.json({"instance_usage_audit_logs": await self._log(request, request.context.now)})

    async def show_before(self, request: Request) -> Reply:
        """Show the log of the last period before the moment that the path names."""
        enforce(request)
        text = request.path["before"]
        try:
            before = parse_time(text, *_FORMS)
        except ValueError:
            raise BadRequest(f"Invalid timestamp for date {text}") from None
        return Reply.json({"instance_usage_audit_log": await self._log(request, before)})


_LOG = always(
    {
        "period_beginning": TEXT,
        "period_ending": TEXT,
        "num_hosts": COUNT,
        "num_hosts_done": COUNT,
        "num_hosts_running": COUNT,
        "num_hosts_not_run": COUNT,
        "hosts_not_run": TEXTS,
        "total_instances": COUNT,
        "total_errors": COUNT,
        "overall_status": TEXT,
        "log": types.dict_of({}),
    }
)
_RULE = "os_compute_api:os-instance-usage-audit-log:"


def usage_audit_noun(config: ComputeConfig) -> Noun:
    """The noun, of a cloud with these settings."""
    handlers = AuditHandlers(config)
    return Noun(
        name="usage_audit_log",
        rules=rules({"os-instance-usage-audit-log:list": ADMIN, "os-instance-usage-audit-log:show": ADMIN}),
        extensions=(
            Extension(
                "os-instance-usage-audit-log", "OSInstanceUsageAuditLog", "Admin-only Task Log Monitoring."
            ),
        ),
        routes=(
            Route(
                "GET",
                "/v2.1/os-instance_usage_audit_log",
                handlers.show_last,
                rule=_RULE + "list",
                reply=named("instance_usage_audit_logs", _LOG),
                summary="Show the usage audit log",
            ),
            Route(
                "GET",
                "/v2.1/os-instance_usage_audit_log/{before}",
                handlers.show_before,
                rule=_RULE + "show",
                reply=named("instance_usage_audit_log", _LOG),
                summary="Show the usage audit log before a date",
            ),
        ),
    )
