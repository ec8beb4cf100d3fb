"""The sections of the settings file that the processes of a cloud read themselves."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from pileus.core.settings import Description, Section


class ServerSection(Section, frozen=True):
    """``[server]``: the process that speaks HTTP and owns the database."""

    listen: Annotated[str, Description(description="HOST:PORT of the public API")] = "127.0.0.1:8770"
    public_url: Annotated[
        str, Description(description="URL under which clients reach the API; empty: from listen")
    ] = ""
    database: Annotated[
        str,
        Description(
            description="sqlite:///PATH, postgresql:// or mariadb:// URL; empty: in the state folder"
        ),
    ] = ""
    user: Annotated[
        str, Description(description="unprivileged user that the server becomes when started as root")
    ] = "pileus"
    trusted_proxies: Annotated[
        tuple[str, ...],
        Description(description="addresses and prefixes of proxies whose X-Forwarded headers count, or unix"),
    ] = ()
    tls_certificate: Annotated[str, Description(description="PEM file with the certificate chain")] = ""
    tls_key: Annotated[str, Description(description="PEM file with the certificate's private key")] = ""
    tls_client_ca: Annotated[
        str,
        Description(description="PEM file of who signs clients' certificates; empty: none are asked for"),
    ] = ""
    client_certificate_header: Annotated[
        str,
        Description(description="header in which trusted proxies tell a client's certificate (PEM, escaped)"),
    ] = ""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024, description="largest JSON body of a request")] = (
        2 << 20
    )
    statement_timeout_s: Annotated[
        float,
        msgspec.Meta(ge=1, le=3600, description="seconds that one statement of the database may take"),
    ] = 20.0
    keep_events_days: Annotated[
        float,
        msgspec.Meta(gt=0, description="days that events (timelines) and finished operations are kept"),
    ] = 14.0
    rabbitmq: Annotated[
        str, Description(description="amqp:// URL for wake-ups between several servers; empty: none")
    ] = ""
    policy_file: Annotated[
        str, Description(description="file of policy rules that override the defaults, by service or for all")
    ] = ""
    policy_folder: Annotated[
        str, Description(description="folder of such files, one a service: network.yaml, identity.json, …")
    ] = ""
    node_token_lifetime_s: Annotated[
        int,
        msgspec.Meta(
            ge=60, description="seconds until a node's token ends; agents renew theirs at half of it"
        ),
    ] = 30 * 86400


class LimitSection(Section, frozen=True):
    """``[limits]``: how much of the server its clients may hold at once. The Unix socket has no bounds."""

    connections: Annotated[int, msgspec.Meta(ge=16, description="TCP connections of all clients")] = 4096
    connections_per_address: Annotated[
        int, msgspec.Meta(ge=1, description="of one client's address (or IPv6 /64); not of trusted proxies")
    ] = 512
    idle_s: Annotated[
        float,
        msgspec.Meta(gt=0, description="seconds that an upload or a reader of an answer may pause"),
    ] = 30.0
    least_bytes_per_s: Annotated[
        int, msgspec.Meta(ge=0, description="rate that uploads and readers of answers must keep")
    ] = 1024
    body_within_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds in which a JSON body must be there")
    ] = 60.0
    bodies_mib: Annotated[
        int, msgspec.Meta(ge=1, description="MiB of bodies held for requests that are not answered yet")
    ] = 64
    bodies_per_address_mib: Annotated[
        int, msgspec.Meta(ge=1, description="MiB of them that one client's address may have")
    ] = 16


class LogSection(Section, frozen=True):
    """``[log]``"""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Description(description="least level that is written")
    ] = "info"
    json: Annotated[bool, Description(description="one JSON object a line")] = False
    access: Annotated[bool, Description(description="the server writes a line for each request")] = True
    max_mib: Annotated[
        int, msgspec.Meta(ge=1, le=1 << 20, description="MiB of a log file before it is turned over")
    ] = 64
    files: Annotated[
        int, msgspec.Meta(ge=0, le=1000, description="how many older files of each log are kept")
    ] = 5


class SimulationSection(Section, frozen=True):
    """``[simulation]``: simulated hosts (``pileus up --simulated``)."""

    hosts: Annotated[int, msgspec.Meta(ge=1, le=5000, description="how many simulated hosts")] = 2
    network_hosts: Annotated[
        int, msgspec.Meta(ge=0, le=5000, description="how many of them have DHCP, L3 and metadata agents")
    ] = 2
