"""Published names as a part of the API: the records, and what has become of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from pileus.resource import types
from pileus.resource.declaration import Extension
from pileus.services.network.common.policy import ADMIN, rules
from pileus.services.network.common.view_lists import views_reply, views_type
from pileus.services.network.config import NetworkConfig
from pileus.services.network.external_dns.tables import dns_records
from pileus.store.tx import Tx
from pileus.web.noun import Noun
from pileus.web.reply import Reply
from pileus.web.request import Request
from pileus.web.routes import Route

PATH = "/v2.0/dns-records"
RULE = "get_dns_record"
FILTERS = ("name", "type", "data", "resource_id", "resource_type", "project_id", "status")
_TEXT = types.string(None)
_VIEW = types.dict_of(
    {
        "name": _TEXT,
        "type": types.enum("A", "AAAA", "PTR"),
        "data": _TEXT,
        "resource_id": types.uuid,
        "resource_type": types.enum("port", "floatingip"),
        "project_id": _TEXT,
        "status": types.enum("ACTIVE", "PENDING", "ERROR", "DELETING"),
        "reason": types.nullable(_TEXT),
        "updated_at": types.timestamp,
    }
)
_ALL = select(dns_records).order_by(
    dns_records.c.name, dns_records.c.record_type, dns_records.c.data, dns_records.c.resource_id
)


def records_read(tx: Tx) -> list[Mapping[str, Any]]:
    """Read all records; one statement."""
    return [
        {
            "name": row.name,
            "type": row.record_type,
            "data": row.data,
            "resource_id": row.resource_id,
            "resource_type": row.resource_type,
            "project_id": row.project_id,
            "status": row.status,
            "reason": row.reason,
            "updated_at": types.timestamp.show(row.updated_at) if types.timestamp.show else row.updated_at,
        }
        for row in tx.rows(_ALL)
    ]


async def list_records(request: Request) -> Reply:
    """List the records that were given to the server of names outside, or are to be."""
    request.authorise(RULE)
    return views_reply(request, "dns_records", await request.read(records_read), "name", FILTERS)


def noun(config: NetworkConfig) -> Noun:
    """Make the noun; what needs a server outside is listed where there is one."""
    needing = (
        Extension(
            "subnet-dns-publish-fixed-ip",
            "Subnet DNS publish fixed IP",
            "Support choosing to publish DNS records for IPs from a subnet",
            "2019-05-24T10:00:00-00:00",
        ),
    )
    return Noun(
        name="dns_record",
        routes=(
            Route(
                "GET",
                PATH,
                list_records,
                rule=RULE,
                reply=views_type("dns_records", _VIEW),
                summary="List published names",
            ),
        ),
        rules=rules({RULE: ADMIN}),
        extensions=(
            Extension(
                "dns-integration-domain-keywords",
                "DNS domain names with keywords allowed",
                "Allows to use keywords like <project_id>, <project_name>, <user_id> and <user_name> as DNS "
                "domain name",
                "2020-06-15T18:00:00-00:00",
            ),
            *(needing if config.publishes else ()),
        ),
    )
