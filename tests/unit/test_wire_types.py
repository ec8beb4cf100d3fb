"""Every field of every record that crosses a process line has a type that says what may be in it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pileus.wire
from pileus.core.names import NotAName, is_uuid, path_part
from pileus.host.hypervisor.records import InstanceBook
from pileus.wire import types
from pileus.wire.agents import AgentReply
from pileus.wire.calls import CALLS
from pileus.wire.codec import decode, decode_reply, encode
from pileus.wire.connections import VolumeConnection
from pileus.wire.dhcp import (
    DhcpHost,
    DhcpNetwork,
    DhcpOption,
    DhcpState,
    DhcpStatus,
    PortAddress,
    ServicePort,
)
from pileus.wire.hypervisor import HypervisorReport, Inventory, OperationReport, ServerReport
from pileus.wire.records import Record
from pileus.wire.switch import DeviceFailure
from pileus.wire.volume import ExportReport, VolumeDetails, VolumeEncryption, VolumeReport

FREE = {"configurations", "arguments", "result", "cpu_info"}
"""Fields of any shape: whoever takes them checks what he uses."""
NO_IDS = {
    "segmentation_id",  # a number
    "vr_id",  # a number of VRRP's
    "vlan_id",  # a number
    "project_id",  # told to whoever reads a log of packets; never used as a name
    "device_id",  # what a port's owner says that it is for; kept as text, never used as a name
}
U = "00000000-0000-4000-8000-%012d"


def records() -> Iterator[type[msgspec.Struct]]:
    for module in pkgutil.iter_modules(pileus.wire.__path__, "pileus.wire."):
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and issubclass(kind, Record) and kind.__module__ == module.name:
                yield kind


def leaves(kind: Any) -> Iterator[Any]:
    """The plain types inside optional ones, tuples and mappings."""
    if get_origin(kind) is Annotated or not get_args(kind):
        yield kind
        return
    for part in get_args(kind):
        if part is not Ellipsis and part is not type(None):
            yield from leaves(part)


def fields() -> Iterator[tuple[str, str, Any]]:
    for record in records():
        for name, kind in get_type_hints(record, include_extras=True).items():
            yield record.__name__, name, kind


def test_no_string_or_number_is_without_bounds() -> None:
    bare = [
        f"{record}.{name}"
        for record, name, kind in fields()
        if name not in FREE and any(leaf in (str, int, Any) for leaf in leaves(kind))
    ]
    assert bare == ["MetadataReply.status"]


def test_every_id_is_a_uuid() -> None:
    others = [
        f"{record}.{name}"
        for record, name, kind in fields()
        if name.endswith(("_id", "_ids")) and name not in NO_IDS and set(leaves(kind)) != {types.Uuid}
    ]
    assert others == []


def test_all_calls_are_made_of_such_records() -> None:
    known = set(records())
    assert {kind for call in CALLS.values() for kind in (call.request, call.reply)} <= known


@pytest.mark.parametrize(
    "server_id", ["../victim", "..", "", ".", "a/b", U % 1 + "\n", U % 1 + "/x", "-" * 36, "x" * 3000, "\0"]
)
def test_what_is_no_id_is_refused_and_builds_no_path(server_id: str, tmp_path: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(encode(HypervisorReport("h1", gone=(server_id,))), HypervisorReport)
    with pytest.raises(msgspec.ValidationError):
        decode(encode(ServerReport(server_id, 1, 0, True)), ServerReport)
    assert not is_uuid(server_id)
    if "/" in server_id or server_id.strip("x-") != server_id or len(server_id) < 30:
        with pytest.raises(NotAName):
            InstanceBook(tmp_path).places(server_id)


@given(st.text(max_size=40))
def test_a_part_of_a_path_stays_in_its_folder(text: str) -> None:
    try:
        part = path_part(text)
    except NotAName:
        return
    assert part == text
    assert part not in ("", ".", "..")
    assert "/" not in part
    assert "\0" not in part


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (types.IpAddress, "fe80::1%eth0"),
        (types.IpAddress, "10.0.0.1\n"),
        (types.IpPrefix, "10.0.0.0"),
        (types.MacAddress, "fa:16:3e:00:00:01,option"),
        (types.MacAddress, "fa:16:3e:00:00:01\n"),
        (types.DomainName, "web\nserver=/x/"),
        (types.Line, "value\ndhcp-script=/tmp/x"),
        (types.UrlPath, "@evil.example/"),
        (types.UrlPath, "/a b"),
        (types.FilePath, "openstack/../../etc"),
        (types.FilePath, "/etc/passwd"),
        (types.HostName, "../h1"),
        (types.HostName, "h1\n"),
        (types.Scope, "host:h1\n"),
        (types.Word, "drop,normal"),
        (types.Uuid, (U % 1) + "\n"),
    ],
)
def test_what_would_mean_more_elsewhere_is_refused(kind: Any, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, kind)


@pytest.mark.parametrize(
    "odd",
    [
        {"vcpus": -1},
        {"memory_mib": -1},
        {"disk_gib": 1 << 31},
        {"memory_used_mib": -5},
        {"hypervisor_version": -1},
        {"hypervisor_type": "x" * 3000},
        {"hypervisor_hostname": ""},
        {"virtualisation": "x" * 33},
        {"availability_zone": "x" * 256},
    ],
)
def test_an_inventory_of_nonsense_is_refused(odd: dict[str, Any]) -> None:
    good = Inventory("QEMU", 7002000, "h1.example", 8, 16384, 200)
    assert decode(encode(good), Inventory) == good
    with pytest.raises(msgspec.ValidationError):
        decode(encode(msgspec.structs.replace(good, **odd)), Inventory)


def test_a_reason_that_is_too_long_is_cut_and_told() -> None:
    long = "x" * 100_000
    for record in (
        DeviceFailure(U % 1, long),
        DhcpStatus("h1", failed={U % 1: long, U % 2: "short"}),
        ServerReport(U % 1, 1, 0, False, long),
        OperationReport(U % 1, long),
    ):
        assert decode(encode(record), type(record)) == record
        assert len(encode(record)) < 2 * types.LONGEST_REASON


def _network(number: int, *hosts: DhcpHost) -> DhcpNetwork:
    own = ServicePort(U % (100 + number), "fa:16:3e:00:00:99", ())
    return DhcpNetwork(U % number, True, 1500, own, hosts=hosts)


def _host(number: int, *options: DhcpOption, name: str = "web") -> DhcpHost:
    addresses = (PortAddress("10.0.0.5", U % 7),)
    return DhcpHost(U % number, "fa:16:3e:00:00:01", addresses, name, options)


def test_one_item_that_can_not_be_read_is_left_out_alone() -> None:
    bad = DhcpOption("6", "x\ndhcp-script=/tmp/x")
    good = DhcpOption("6", "10.0.0.2")
    state = DhcpState(
        9,
        (
            _network(1, _host(11), _host(12, name="a\nb"), _host(13, bad, good)),
            _network(2, _host(21)),
            msgspec.structs.replace(_network(3), dns_domain="x\ny"),
        ),
    )
    read, left_out = decode_reply(encode(state), DhcpState)
    assert read == DhcpState(9, (_network(1, _host(11), _host(13, good)), _network(2, _host(21))))
    assert [text.split(":")[0] for text in left_out] == [
        f"port_id {U % 12!r}",
        "an item",
        f"network_id {U % 3!r}",
    ]
    whole = DhcpState(9, (_network(1, _host(11)),))
    assert decode_reply(encode(whole), DhcpState) == (whole, [])


def test_an_answer_that_can_not_be_read_at_all_is_refused() -> None:
    for data in (b"", b"\xc1", msgspec.msgpack.encode({"position": -1}), msgspec.msgpack.encode([1])):
        with pytest.raises((msgspec.DecodeError, msgspec.ValidationError)):
            decode_reply(data, DhcpState)


@pytest.mark.parametrize("pause", [0.0, -1.0, 1e9, float("nan"), float("inf")])
def test_no_answer_has_an_agent_report_without_a_pause_or_never_again(pause: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_reply(encode(AgentReply(U % 1, True, 5, pause)), AgentReply)


def test_what_is_logged_of_volumes_has_no_passwords() -> None:
    connection = VolumeConnection("iscsi", address="192.0.2.1", username="u", password="chap-secret")
    report = VolumeReport("h1", exports=(ExportReport("11111111-2222-3333-4444-555555555555", connection),))
    details = VolumeDetails("v", "p", 1, encryption=VolumeEncryption(b"very-secret"))
    assert "192.0.2.1" in str(report)
    assert "secret" not in f"{report} {details}"
