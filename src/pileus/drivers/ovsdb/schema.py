"""The part of the Open_vSwitch schema that the simulated switch serves (ovs-vswitchd.conf.db(5)).

Types are written short: ``string``, ``integer?`` (at most one), ``integer*`` (a set),
``@Port*`` (references), ``map`` (string to string), ``counts`` (string to integer),
``string?a|b`` (one of), ``integer?0..4095`` (a range).
"""

from __future__ import annotations

from typing import Any

_TABLES: dict[str, dict[str, str]] = {
    "Open_vSwitch": {
        "bridges": "@Bridge*",
        "manager_options": "@Manager*",
        "other_config": "map",
        "external_ids": "map",
        "next_cfg": "integer",
        "cur_cfg": "integer",
        "statistics": "map",
        "ovs_version": "string?",
        "db_version": "string?",
        "system_type": "string?",
        "system_version": "string?",
        "datapath_types": "string*",
        "iface_types": "string*",
        "dpdk_initialized": "boolean",
        "dpdk_version": "string?",
    },
    "Bridge": {
        "name": "string",
        "datapath_type": "string",
        "datapath_version": "string",
        "datapath_id": "string?",
        "stp_enable": "boolean",
        "rstp_enable": "boolean",
        "mcast_snooping_enable": "boolean",
        "ports": "@Port*",
        "mirrors": "@Mirror*",
        "sflow": "@sFlow?",
        "controller": "@Controller*",
        "protocols": "string*OpenFlow10|OpenFlow11|OpenFlow12|OpenFlow13|OpenFlow14|OpenFlow15",
        "fail_mode": "string?standalone|secure",
        "status": "map",
        "rstp_status": "map",
        "other_config": "map",
        "external_ids": "map",
        "flood_vlans": "integer*0..4095",
    },
    "Port": {
        "name": "string",
        "interfaces": "@Interface*",
        "trunks": "integer*0..4095",
        "cvlans": "integer*0..4095",
        "tag": "integer?0..4095",
        "vlan_mode": "string?trunk|access|native-tagged|native-untagged|dot1q-tunnel",
        "qos": "@QoS?",
        "mac": "string?",
        "bond_mode": "string?balance-tcp|balance-slb|active-backup",
        "lacp": "string?active|passive|off",
        "bond_updelay": "integer",
        "bond_downdelay": "integer",
        "bond_active_slave": "string?",
        "bond_fake_iface": "boolean",
        "fake_bridge": "boolean",
        "status": "map",
        "rstp_status": "map",
        "rstp_statistics": "counts",
        "statistics": "counts",
        "protected": "boolean",
        "other_config": "map",
        "external_ids": "map",
    },
    "Interface": {
        "name": "string",
        "type": "string",
        "options": "map",
        "ingress_policing_rate": "integer",
        "ingress_policing_burst": "integer",
        "ingress_policing_kpkts_rate": "integer",
        "ingress_policing_kpkts_burst": "integer",
        "mac_in_use": "string?",
        "mac": "string?",
        "ifindex": "integer?0..4294967295",
        "external_ids": "map",
        "ofport": "integer?",
        "ofport_request": "integer?1..65279",
        "bfd": "map",
        "bfd_status": "map",
        "cfm_mpid": "integer?",
        "cfm_remote_mpids": "integer*",
        "cfm_flap_count": "integer?",
        "cfm_fault": "boolean?",
        "cfm_fault_status": "string*",
        "cfm_remote_opstate": "string?up|down",
        "cfm_health": "integer?0..100",
        "lacp_current": "boolean?",
        "lldp": "map",
        "other_config": "map",
        "statistics": "counts",
        "status": "map",
        "admin_state": "string?up|down",
        "link_state": "string?up|down",
        "link_resets": "integer?",
        "link_speed": "integer?",
        "duplex": "string?half|full",
        "mtu": "integer?",
        "mtu_request": "integer?",
        "error": "string?",
    },
    "Mirror": {
        "name": "string",
        "select_all": "boolean",
        "select_dst_port": "@Port*",
        "select_src_port": "@Port*",
        "select_vlan": "integer*0..4095",
        "output_port": "@Port?",
        "output_vlan": "integer?1..4095",
        "snaplen": "integer?",
        "statistics": "counts",
        "external_ids": "map",
    },
    "QoS": {"type": "string", "other_config": "map", "external_ids": "map"},
    "Queue": {"dscp": "integer?0..63", "other_config": "map", "external_ids": "map"},
    "sFlow": {
        "targets": "string*",
        "sampling": "integer?",
        "polling": "integer?",
        "header": "integer?",
        "agent": "string?",
        "external_ids": "map",
    },
    "Controller": {
        "type": "string?primary|service",
        "target": "string",
        "max_backoff": "integer?",
        "inactivity_probe": "integer?",
        "connection_mode": "string?in-band|out-of-band",
        "local_ip": "string?",
        "local_netmask": "string?",
        "local_gateway": "string?",
        "enable_async_messages": "boolean?",
        "controller_queue_size": "integer?",
        "controller_rate_limit": "integer?",
        "controller_burst_limit": "integer?",
        "other_config": "map",
        "external_ids": "map",
        "is_connected": "boolean",
        "role": "string?other|master|slave",
        "status": "map",
    },
    "Manager": {
        "target": "string",
        "max_backoff": "integer?",
        "inactivity_probe": "integer?",
        "connection_mode": "string?in-band|out-of-band",
        "other_config": "map",
        "external_ids": "map",
        "is_connected": "boolean",
        "status": "map",
    },
}
_ROOTS = {"Open_vSwitch", "QoS", "Queue"}
_INDEXES = {
    "Bridge": "name",
    "Port": "name",
    "Interface": "name",
    "Controller": None,
    "Manager": "target",
}
_IMMUTABLE = {("Bridge", "name"), ("Port", "name"), ("Interface", "name")}
_WEAK = {("Mirror", "select_dst_port"), ("Mirror", "select_src_port"), ("Mirror", "output_port")}


def switch_schema() -> dict[str, Any]:
    """The schema as the JSON that ``get_schema`` answers with (RFC 7047, 3.2)."""
    tables: dict[str, Any] = {}
    for name, columns in _TABLES.items():
        table: dict[str, Any] = {"columns": {c: _column(name, c, short) for c, short in columns.items()}}
        if name in _ROOTS:
            table["isRoot"] = True
        if name == "Open_vSwitch":
            table["maxRows"] = 1
        if index := _INDEXES.get(name):
            table["indexes"] = [[index]]
        tables[name] = table
    return {"name": "Open_vSwitch", "version": "8.3.1", "tables": tables}


def _column(table: str, name: str, short: str) -> dict[str, Any]:
    if short in ("map", "counts"):
        value = "string" if short == "map" else "integer"
        return {"type": {"key": "string", "value": value, "min": 0, "max": "unlimited"}}
    mark = next((one for one in "?*" if one in short), "")
    kind, _, limits = short.partition(mark) if mark else (short, "", "")
    key: dict[str, Any] = {"type": kind}
    if kind.startswith("@"):
        key = {"type": "uuid", "refTable": kind[1:]}
        if (table, name) in _WEAK:
            key["refType"] = "weak"
    if ".." in limits:
        low, _, high = limits.partition("..")
        key |= {"minInteger": int(low), "maxInteger": int(high)}
    elif limits:
        key["enum"] = ["set", limits.split("|")]
    column: dict[str, Any] = {"type": {"key": key}}
    if mark:
        column["type"] |= {"min": 0, "max": 1 if mark == "?" else "unlimited"}
    if (table, name) == ("Port", "interfaces"):
        column["type"]["min"] = 1
    if (table, name) in _IMMUTABLE:
        column["mutable"] = False
    return column
