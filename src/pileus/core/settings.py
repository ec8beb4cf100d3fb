"""Settings: one TOML file over good defaults, each value knowing where it came from.

Precedence: command line, environment (``PILEUS_SERVER_LISTEN``), file, default.
An error names the key and the line.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from pileus.core.errors import Invalid

Description = msgspec.Meta


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the settings file."""


class ServerSettings(Section, frozen=True):
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


class LimitSettings(Section, frozen=True):
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


class LogSettings(Section, frozen=True):
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


class IdentitySettings(Section, frozen=True):
    """``[identity]``"""

    region: Annotated[str, Description(description="name of the region in the catalog")] = "RegionOne"
    token_lifetime_s: Annotated[int, msgspec.Meta(ge=60, description="seconds until a token expires")] = 3600
    password_regex: Annotated[
        str, Description(description="expression that new passwords must match; empty: any")
    ] = ""
    password_regex_description: Annotated[
        str, Description(description="what password_regex wants, in words, for who chose another password")
    ] = ""
    lockout_failure_attempts: Annotated[
        int, msgspec.Meta(ge=0, description="wrong passwords after which a user is locked out; 0: never")
    ] = 0
    lockout_duration_s: Annotated[
        int, msgspec.Meta(ge=0, description="seconds of a lock-out; 0: until the user is enabled again")
    ] = 1800
    logins_waiting: Annotated[
        int, msgspec.Meta(ge=1, description="passwords of all clients that may wait to be checked")
    ] = 512
    logins_waiting_per_address: Annotated[
        int, msgspec.Meta(ge=1, description="of one client's address (or IPv6 /64)")
    ] = 128


class NetworkSettings(Section, frozen=True):
    """``[network]``: the control side."""

    agent_down_time_s: Annotated[
        int, msgspec.Meta(ge=1, description="seconds without a report after which an agent counts as down")
    ] = 75
    heartbeat_interval_s: Annotated[
        float, msgspec.Meta(ge=0.01, le=86400, description="seconds between two reports of an agent")
    ] = 30.0
    vlan_ranges: Annotated[
        tuple[str, ...], Description(description="PHYSNET:FIRST:LAST, VLANs that projects may be given")
    ] = ("physnet1:1000:2999",)
    flat_networks: Annotated[
        tuple[str, ...],
        Description(description="physical networks that may carry flat networks; * for any"),
    ] = ("*",)
    vni_ranges: Annotated[
        tuple[str, ...], Description(description="FIRST:LAST, VXLAN and GRE segment ids")
    ] = ("1:65535",)
    project_network_types: Annotated[
        tuple[str, ...], Description(description="types tried in this order for networks of projects")
    ] = ("vxlan",)
    mtu: Annotated[int, msgspec.Meta(ge=576, le=9216, description="MTU of the physical networks")] = 1500
    scheduler: Annotated[
        Literal["least", "chance"],
        Description(description="which agent gets a new network or router: the least loaded, or any"),
    ] = "least"
    dhcp_agents_per_network: Annotated[
        int, msgspec.Meta(ge=1, le=16, description="DHCP agents that serve one network")
    ] = 1
    dhcp_lease_time_s: Annotated[
        int, msgspec.Meta(ge=120, description="seconds until a guest asks for its address again")
    ] = 86400
    allow_automatic_dhcp_failover: Annotated[
        bool, Description(description="networks of a dead DHCP agent are served by another")
    ] = True
    allow_automatic_l3agent_failover: Annotated[
        bool, Description(description="routers of a dead L3 agent move to another")
    ] = True


class ImageSettings(Section, frozen=True):
    """``[image]``"""

    largest_bytes: Annotated[int, msgspec.Meta(ge=1, description="bytes that one image may have")] = 1 << 40
    project_mib: Annotated[
        int, msgspec.Meta(ge=-1, description="MiB of images that one project may have; -1: no bound")
    ] = 20_480
    project_images: Annotated[
        int, msgspec.Meta(ge=-1, description="images that one project may have; -1: no bound")
    ] = 1000
    kept_free_mib: Annotated[
        int, msgspec.Meta(ge=0, description="MiB of the disk that images leave free, for the database")
    ] = 1024
    require_format_match: Annotated[
        bool, Description(description="refuse data of no known format that is declared as one")
    ] = True


class ComputeSettings(Section, frozen=True):
    """``[compute]``: the control side of servers."""

    cpu_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="virtual CPUs given out for each CPU of a host")
    ] = 4.0
    ram_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="memory given out for each byte of a host's")
    ] = 1.0
    disk_allocation_ratio: Annotated[
        float, msgspec.Meta(gt=0, description="disk given out for each byte of a host's")
    ] = 1.0
    reserved_host_memory_mib: Annotated[
        int, msgspec.Meta(ge=0, description="memory of each host that no server gets, in MiB")
    ] = 0
    default_availability_zone: Annotated[
        str, Description(description="zone of hosts whose agent names none")
    ] = "nova"
    service_down_time_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds without a word after which a host counts as down")
    ] = 75.0
    keep_deleted_servers_days: Annotated[
        float,
        msgspec.Meta(gt=0, description="days that deleted servers are kept, for lists and usage reports"),
    ] = 90.0
    build_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds that a server may take to become ACTIVE")
    ] = 600.0


class AgentSettings(Section, frozen=True):
    """``[agent]``: the node side."""

    host: Annotated[str, Description(description="this node's name; empty: the machine's")] = ""
    server: Annotated[
        str, Description(description="unix:/PATH or https://HOST:PORT of a server; empty: local")
    ] = ""
    token_file: Annotated[str, Description(description="file with the node token")] = ""
    ca_file: Annotated[str, Description(description="PEM file of the server's authority")] = ""
    availability_zone: Annotated[str, Description(description="zone that this node is in")] = "nova"
    resync_interval_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds between two full comparisons")
    ] = 300.0
    duties: Annotated[
        tuple[Literal["dhcp", "l3"], ...],
        Description(description="what this node does for networks besides switching"),
    ] = ("dhcp", "l3")


class SwitchSettings(Section, frozen=True):
    """``[switch]``: Open vSwitch on a node."""

    ovsdb: Annotated[
        str, Description(description="unix:/PATH or tcp:HOST:PORT of ovsdb-server; empty: the system's")
    ] = ""
    integration_bridge: Annotated[str, Description(description="name of the integration bridge")] = "br-int"
    tunnel_bridge: Annotated[str, Description(description="name of the tunnel bridge")] = "br-tun"
    datapath_type: Annotated[
        Literal["auto", "system", "netdev"],
        Description(description="datapath of the bridges; auto: the kernel's where it has one"),
    ] = "auto"
    bridge_mappings: Annotated[
        tuple[str, ...], Description(description="PHYSNET:BRIDGE, bridges of the physical networks")
    ] = ()
    tunneling_ip: Annotated[str, Description(description="underlay address; empty: no other nodes")] = ""
    tunnel_types: Annotated[
        tuple[Literal["vxlan", "gre"], ...], Description(description="tunnels that this node can make")
    ] = ("vxlan",)
    vxlan_port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="UDP port of VXLAN")] = 4789


class HypervisorSettings(Section, frozen=True):
    """``[hypervisor]``: machines on a node."""

    driver: Annotated[
        Literal["auto", "libvirt", "none"],
        Description(description="auto: libvirt where it is installed; none: no machines on this node"),
    ] = "auto"
    uri: Annotated[
        str, Description(description="libvirt URI; empty: the system's libvirt, or one of our own")
    ] = ""
    kvm: Annotated[
        Literal["auto", "on", "off"],
        Description(description="auto: only if a machine that is started under it really runs"),
    ] = "auto"
    shutdown_timeout_s: Annotated[
        float, msgspec.Meta(gt=0, description="seconds for a guest to shut down by itself")
    ] = 60.0
    resume_guests_state_on_host_boot: Annotated[
        bool,
        Description(description="start machines that ran when this node went down once it is up again"),
    ] = True
    reserved_memory_mib: Annotated[
        int, msgspec.Meta(ge=0, description="memory of this node that no machine gets, in MiB")
    ] = 512
    reserved_disk_gib: Annotated[
        int, msgspec.Meta(ge=0, description="disk of this node that no machine gets, in GiB")
    ] = 0


class SimulationSettings(Section, frozen=True):
    """``[simulation]``: simulated hosts (``pileus up --simulated``)."""

    hosts: Annotated[int, msgspec.Meta(ge=1, le=5000, description="how many simulated hosts")] = 2
    network_hosts: Annotated[
        int, msgspec.Meta(ge=0, le=5000, description="how many of them have DHCP, L3 and metadata agents")
    ] = 2


class Settings(Section, frozen=True):
    """Everything that can be set."""

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    log: LogSettings = LogSettings()
    identity: IdentitySettings = IdentitySettings()
    network: NetworkSettings = NetworkSettings()
    image: ImageSettings = ImageSettings()
    compute: ComputeSettings = ComputeSettings()
    agent: AgentSettings = AgentSettings()
    switch: SwitchSettings = SwitchSettings()
    hypervisor: HypervisorSettings = HypervisorSettings()
    simulation: SimulationSettings = SimulationSettings()


class BadSettings(Invalid):
    """A settings file, variable or option that can't be used; the text names key and place."""


class Origin(msgspec.Struct, frozen=True):
    """One setting as it is in force: ``section.key``, its value, where it came from, what it means."""

    key: str
    value: Any
    source: str
    meaning: str


class Loaded(msgspec.Struct, frozen=True):
    """Settings and where each value came from (keys without an entry are defaults)."""

    settings: Settings
    sources: dict[str, str]

    def origins(self) -> Iterator[Origin]:
        """Every setting, in the order of the declaration."""
        for section in msgspec.structs.fields(Settings):
            table = getattr(self.settings, section.name)
            for field in msgspec.structs.fields(type(table)):
                key = f"{section.name}.{field.name}"
                yield Origin(
                    key, getattr(table, field.name), self.sources.get(key, "default"), _meaning(field.type)
                )


def load(
    file: Path | None, environment: Mapping[str, str] = os.environ, options: Mapping[str, Any] | None = None
) -> Loaded:
    """Read ``file`` (which may be absent), the environment and options (``{"server.listen": …}``).

    Raises BadSettings.
    """
    values: dict[str, dict[str, Any]] = {}
    sources: dict[str, str] = {}
    text = ""
    if file is not None and file.exists():
        text = file.read_text()
        values = _tables(file, text, sources)
    for key, kind in _keys():
        raw = environment.get("PILEUS_" + key.upper().replace(".", "_"))
        if raw is not None:
            section, name = key.split(".")
            values.setdefault(section, {})[name] = _from_text(raw, kind)
            sources[key] = "environment"
    for key, value in (options or {}).items():
        section, name = key.split(".")
        values.setdefault(section, {})[name] = value
        sources[key] = "command line"
    try:
        return Loaded(msgspec.convert(values, Settings, strict=True), sources)
    except msgspec.ValidationError as error:
        raise BadSettings(_explain(error, sources)) from None


def _keys() -> Iterator[tuple[str, Any]]:
    for section in msgspec.structs.fields(Settings):
        for field in msgspec.structs.fields(section.type):
            yield f"{section.name}.{field.name}", field.type


def _meaning(kind: Any) -> str:
    for part in getattr(kind, "__metadata__", ()):
        if part.description:
            return str(part.description)
    return ""


def _from_text(raw: str, kind: Any) -> Any:
    """A value of the environment in the type of its setting; lists are separated by commas."""
    plain = getattr(kind, "__origin__", kind)
    if plain is bool:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(
            raw.lower(), raw
        )
    if plain in (int, float):
        try:
            return plain(raw)
        except ValueError:
            return raw
    if getattr(plain, "__origin__", None) is tuple:
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    return raw


def _tables(file: Path, text: str, sources: dict[str, str]) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadSettings(f"{file}: {error}") from None
    known = {key for key, _ in _keys()}
    sections = {key.split(".")[0] for key in known}
    lines = dict(_lines(text))
    for section, table in document.items():
        place = f"{file}, line {lines.get(section, 1)}"
        if section not in sections:
            raise BadSettings(
                f"{place}: there is no section [{section}]; there are {', '.join(sorted(sections))}"
            )
        if not isinstance(table, dict):
            raise BadSettings(f"{place}: {section} is a section: write [{section}] and its keys below")
        for name in table:
            key = f"{section}.{name}"
            place = f"{file}, line {lines.get(key, 1)}"
            if key not in known:
                raise BadSettings(f"{place}: there is no setting {key}")
            sources[key] = place
    return document


def _lines(text: str) -> Iterator[tuple[str, int]]:
    """Line numbers of sections and keys (tomllib tells none)."""
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*\]", line):
            section = header[1]
            yield section, number
        elif key := re.match(r"\s*(?:([\w-]+)\s*\.\s*)?([\w-]+)\s*=", line):
            yield f"{key[1] or section}.{key[2]}", number


def _explain(error: msgspec.ValidationError, sources: Mapping[str, str]) -> str:
    text = str(error)
    if found := re.search(r" - at `\$\.([\w.]+)", text):
        key = ".".join(found[1].split(".")[:2])
        return f"{sources.get(key, 'settings')}: {key}: {text[: found.start()]}"
    return text
