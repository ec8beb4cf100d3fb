"""Addresses: one normal form of what is one, and nothing odd in any field of any service."""

from __future__ import annotations

import contextlib
import functools
import importlib
import ipaddress
import pkgutil
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pileus.services
from pileus.core import addresses
from pileus.core.errors import Fault
from pileus.resource.declaration import Resource
from pileus.resource.types import BadValue, Type
from pileus.resource.versions import parse as version

READERS: tuple[Callable[[object], str], ...] = (
    addresses.address,
    addresses.prefix,
    addresses.interface,
    addresses.address_or_prefix,
)
ODD = (
    "fe80::1%eth0", "fd00::5%x", "fe80::1%a b\n", "fd00::%1/64", "fd00::1/64%1", "10.0.0.1\n", " 10.0.0.1",
    "10.0.0.1 ", "10.0.0.01", "010.0.0.1", "0x0a.0.0.1", "10.0.1", "167772161", "10.0.0.0/255.0.0.0",
    "10.0.0.0/0.255.255.255", "10.0.0.0/08", "10.0.0.0/+8", "10.0.0.0/8\n", "10.0.0.0/33", "::/129",
    "::ffff:10.0.0.1", "::ffff:a00:1", "0:0:0:0:0:FFFF:10.0.0.1", "::ffff:10.0.0.0/104", "10.0.0.1\x00",
    "\uff11\uff10.0.0.1", "\u0661.0.0.1", "[fd00::1]", "fd00::1]", "", "/", "/24", "10.0.0.0/", "::%", None,
    5, 5.0, True, b"10.0.0.1", ["10.0.0.1"],
)  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_are_no_addresses(text: object) -> None:
    for read in READERS:
        with pytest.raises(addresses.NotAnAddress):
            read(text)


@pytest.mark.parametrize(
    ("read", "text", "normal"),
    [
        (addresses.address, "2001:DB8:0:0::01", "2001:db8::1"),
        (addresses.address, "::10.0.0.1", "::a00:1"),
        (addresses.prefix, "10.1.2.3/24", "10.1.2.0/24"),
        (addresses.prefix, "2001:db8::1/0", "::/0"),
        (addresses.interface, "2001:DB8::1/64", "2001:db8::1/64"),
        (addresses.interface, "10.0.0.1", "10.0.0.1/32"),
        (addresses.address_or_prefix, "10.0.0.1", "10.0.0.1"),
        (addresses.address_or_prefix, "10.0.0.1/8", "10.0.0.1/8"),
    ],
)
def test_normal_forms(read: Callable[[object], str], text: str, normal: str) -> None:
    assert read(text) == normal


_LIKE_AN_ADDRESS = st.text(alphabet="0123456789abcdefABCDEF:./% \n\tx", max_size=24)
_SPELLINGS = st.one_of(
    st.text(max_size=20),
    _LIKE_AN_ADDRESS,
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).flatmap(
        lambda one: st.sampled_from((str(one), one.exploded, one.exploded.upper(), f"{one}%eth0"))
    ),
    st.tuples(st.ip_addresses().map(str), st.integers(-1, 140)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
)


@given(_SPELLINGS)
def test_what_parses_has_one_normal_form(text: str) -> None:
    for read in READERS:
        try:
            normal = read(text)
        except addresses.NotAnAddress:
            continue
        assert re.fullmatch(r"[0-9a-f:./]+", normal)
        assert read(normal) == normal
        assert ipaddress.ip_interface(normal) == ipaddress.ip_interface(text) or read is addresses.prefix


@given(st.ip_addresses(v=6))
def test_all_spellings_of_an_address_are_one(address: ipaddress.IPv6Address) -> None:
    if address.ipv4_mapped is None:
        spellings = (str(address), address.exploded, address.exploded.upper(), str(address).upper())
        assert len({addresses.address(one) for one in spellings}) == 1


# What any field of any service takes: the declared types are walked by their schemas.

_ADDRESS_FORMATS = frozenset({"ipv4", "ipv6", "cidr", "address-or-cidr"})
_POISON = (
    "fe80::1%a b\n", "fd00::5%x", "fd00::%x/64", "10.0.0.5\n", "10.0.0.5\n/24", "10.0.0.5 ", "10.0.0.0/24 ",
    "010.0.0.5", "::ffff:10.0.0.5", "10.0.0.5%1",
)  # fmt: skip
_LINES = ("a\nb", "a\rb", "a\x00b", "a\x1bb", "a\u2028b", "\n")
_NAMED_LIKE_ADDRESSES = re.compile(r"(^|_)(ip|ips|ip_address|cidr|prefixes|prefix|nexthop|nameservers)$")
_NO_ADDRESSES = frozenset({"relay_state_prefix", "count_ip", "dns_publish_fixed_ip", "hosted_cidr"})


def _sample(schema: dict[str, Any]) -> Any:
    """A value that the schema takes, as good as it needs to be to reach the leaf in question."""
    if "enum" in schema:
        return schema["enum"][0]
    if _is_address(schema):
        return "10.0.0.0/24" if schema.get("format") == "cidr" else "10.0.0.1"
    match schema.get("type"):
        case "object":
            return {key: _sample(schema["properties"][key]) for key in schema.get("required", ())}
        case "array":
            return [_sample(schema["items"])]
        case "integer":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    if schema.get("format") == "uuid":
        return "7f000001-0000-4000-8000-000000000000"
    if "fa:16" in str(schema.get("pattern")) or "[:-]" in str(schema.get("pattern")):
        return "fa:16:3e:00:00:01"
    return "text"


def _is_address(schema: dict[str, Any]) -> bool:
    formats = {schema.get("format"), *(one.get("format") for one in schema.get("anyOf", ()))}
    return schema.get("type") == "string" and bool(formats & _ADDRESS_FORMATS)


def poisoned(schema: dict[str, Any], leaf: Callable[[dict[str, Any]], bool], poison: str) -> Iterator[Any]:
    """Values of the schema with the poison at each leaf in question, one at a time."""
    if leaf(schema):
        yield poison
        return
    for choice in schema.get("anyOf", ()):
        yield from poisoned(choice, leaf, poison)
    for key, inner in schema.get("properties", {}).items():
        for value in poisoned(inner, leaf, poison):
            yield {
                **{name: _sample(schema["properties"][name]) for name in schema.get("required", ())},
                key: value,
            }
    if "items" in schema:
        for value in poisoned(schema["items"], leaf, poison):
            yield [value]


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(pileus.services.__path__, "pileus.services."):
        yield importlib.import_module(found.name)


@functools.cache
def resources() -> dict[str, Resource]:
    """All declared resources by service and name."""
    return {
        f"{module.__name__.split('.')[2]}.{value.name}": value
        for module in _modules()
        for value in vars(module).values()
        if isinstance(value, Resource)
    }


@functools.cache
def declared_types() -> dict[str, Type]:
    """Every type of an attribute, and every one that a module of a service keeps or makes by name."""
    found = {
        f"{name}.{one.name}": one.type
        for name, kind in resources().items()
        for one in kind.attributes.values()
    }
    for module in _modules():
        for name, value in vars(module).items():
            if isinstance(value, Type):
                found[f"{module.__name__}.{name}"] = value
            elif getattr(value, "__annotations__", {}) == {"version": "Version", "return": "Type"}:
                found[f"{module.__name__}.{name}"] = value(version("2.96"))
    return found


def test_the_walk_finds_address_fields_in_every_service_that_has_some() -> None:
    found = {name for name, kind in declared_types().items() if any(poisoned(kind.schema, _is_address, "x"))}
    for part in (
        "network.port.fixed_ips", "network.port.allowed_address_pairs", "network.subnet.gateway_ip",
        "network.subnet.allocation_pools", "network.subnet.dns_nameservers", "network.subnet.host_routes",
        "network.router.routes", "network.router.external_gateway_info", "network.subnetpool.prefixes",
        "network.floatingip.floating_ip_address", "network.security_group_rule.remote_ip_prefix",
        "compute.servers.requests.create_body", "compute.servers.requests.update_body",
        "compute.servers.requests.rebuild_argument", "compute.servers.interfaces._attach_body",
    ):  # fmt: skip
        assert any(part in name for name in found), part


@pytest.mark.parametrize("poison", _POISON)
def test_no_address_field_takes_an_odd_address(poison: str) -> None:
    taken = []
    for name, kind in declared_types().items():
        for value in poisoned(kind.schema, _is_address, poison):
            with contextlib.suppress(BadValue, Fault):
                taken.append((name, value, kind.parse(value)))
    assert taken == []


def test_attributes_named_like_addresses_are_declared_as_such() -> None:
    bare = [
        f"{name}.{one.name}"
        for name, kind in resources().items()
        for one in kind.attributes.values()
        if (one.create or one.update) and _NAMED_LIKE_ADDRESSES.search(one.name)
        if one.name not in _NO_ADDRESSES and not any(poisoned(one.type.schema, _is_address, "x"))
    ]
    assert bare == []


@pytest.mark.parametrize("poison", _LINES)
def test_text_for_configuration_files_has_no_control_characters(poison: str) -> None:
    def line(schema: dict[str, Any]) -> bool:
        return schema.get("format") == "line"

    seen, taken = set(), []
    for name, kind in declared_types().items():
        for value in poisoned(kind.schema, line, poison):
            seen.add(name)
            with contextlib.suppress(BadValue, Fault):
                taken.append((name, value, kind.parse(value)))
    assert taken == []
    assert {"network.port.extra_dhcp_opts", "network.port.dns_name", "network.network.dns_domain"} <= seen
