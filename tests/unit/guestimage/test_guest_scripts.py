"""The parts of the guest that are pure text work, run with this machine's awk and sh."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pileus.drivers.guestimage

GUEST = Path(pileus.drivers.guestimage.__file__).parent / "guest"
LIB = GUEST / "root/usr/lib/pileus"
MAC = "fa:16:3e:00:00:01"


@pytest.fixture(scope="module", autouse=True)
def awk() -> None:
    if not shutil.which("awk"):
        pytest.skip("no awk here")


def flatten(text: str) -> tuple[int, str]:
    done = subprocess.run(
        ["awk", "-f", LIB / "json.awk"], input=text, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout


def leaves(value: object, path: str = "") -> list[str]:
    """The same flattening, said in Python."""
    below = (path + "/") if path else ""
    if isinstance(value, dict):
        return [line for key, item in value.items() for line in leaves(item, below + key)]
    if isinstance(value, list):
        return [line for at, item in enumerate(value) for line in leaves(item, f"{below}{at}")]
    text = value if isinstance(value, str) else json.dumps(value)
    for character, written in (("\\", "\\\\"), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(character, written)
    return [f"{path}\t{text}"]


names = st.text("abcdefghijk_-", min_size=1, max_size=6)
words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12) | st.just(
    "two\nlines\tand \\"
)
documents = st.dictionaries(
    names,
    st.recursive(
        words | st.integers(-(10**6), 10**6) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(documents, st.sampled_from([None, 2]))
def test_json_is_flattened_whatever_its_shape(document: dict[str, object], indent: int | None) -> None:
    status, output = flatten(json.dumps(document, indent=indent))
    assert status == 0
    assert output.split("\n")[:-1] == leaves(document)


@pytest.mark.parametrize("text", ['{"a": ', '{"a" 1}', "<html>", '{"a": "b}', "[1,]", '{"a": 1} x', "nulls"])
def test_what_is_no_json_is_refused(text: str) -> None:
    assert flatten(text)[0] == 1


def test_a_character_beyond_ascii_is_a_question_mark() -> None:
    assert flatten(r'{"a": "caf\u00e9 \u003d \u005c \/"}') == (0, "a\tcaf? = \\\\ /\n")


def plan(network: dict[str, object]) -> list[str]:
    status, flat = flatten(json.dumps(network))
    assert status == 0
    done = subprocess.run(
        ["awk", "-f", LIB / "static.awk", "-v", f"mac={MAC.upper()}"],
        input=flat,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def network(*networks: dict[str, object]) -> dict[str, object]:
    return {
        "links": [
            {"id": "other", "ethernet_mac_address": "fa:16:3e:ff:ff:ff", "mtu": 9000},
            {"id": "tap0", "ethernet_mac_address": MAC, "mtu": 1450},
        ],
        "networks": [{"link": "tap0", **each} for each in networks],
        "services": [{"type": "dns", "address": "192.0.2.53"}],
    }


def test_fixed_addresses_of_both_families_become_a_plan() -> None:
    first = {
        "type": "ipv4",
        "ip_address": "10.0.16.5",
        "netmask": "255.255.240.0",
        "routes": [
            {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.16.1"},
            {"network": "10.9.0.0", "netmask": "255.255.255.128", "gateway": "10.0.16.2"},
        ],
    }
    second = {
        "type": "ipv6",
        "ip_address": "2001:db8::5",
        "netmask": "ffff:ffff:ffff:ffff::",
        "routes": [{"network": "::", "netmask": "::", "gateway": "2001:db8::1"}],
    }
    assert plan(network(first, second)) == [
        "mtu 1450",
        "address 10.0.16.5/20",
        "route 0.0.0.0/0 10.0.16.1",
        "route 10.9.0.0/25 10.0.16.2",
        "address 2001:db8::5/64",
        "route ::/0 2001:db8::1",
        "dns 192.0.2.53",
    ]


def test_no_plan_where_addresses_come_by_dhcp_or_are_for_another_card() -> None:
    fixed = {"type": "ipv4", "ip_address": "10.0.0.5", "netmask": "255.255.255.0", "routes": []}
    assert plan(network({"type": "ipv4_dhcp"})) == []
    assert plan(network({**fixed, "link": "other"})) == []


@pytest.mark.parametrize(
    "script",
    sorted(file for file in GUEST.rglob("*") if file.is_file() and file.read_bytes().startswith(b"#!")),
    ids=lambda file: file.name,
)
def test_scripts_are_shell(script: Path) -> None:
    assert script.read_text().startswith("#!/bin/sh\n")
    subprocess.run(["sh", "-n", script], check=True)


def test_the_page_lists_what_the_guest_says() -> None:
    page = (Path(__file__).parents[3] / "docs/guest-image.md").read_text()
    listed = {line.split("`")[1].split()[0] for line in page.splitlines() if line.startswith("| `")}
    spoken = {
        word.strip('"').split()[0]
        for file in (GUEST / "root").rglob("*")
        if file.is_file()
        for word in re.findall(r'\bsay "([a-z-]+)', file.read_text())
    }
    assert spoken
    assert spoken <= listed


@pytest.mark.parametrize(
    ("first_address", "answers_at", "learned"),
    [(5, 100, True), (130, 140, True), (130, 251, False), (None, 1, False)],
    ids=["soon", "after a slow boot", "never answered", "no address"],
)
def test_the_service_is_asked_from_the_first_address_on(
    first_address: int | None, answers_at: int, learned: bool
) -> None:
    """The script's own loop, with a clock that goes ten seconds at each look."""
    script = (GUEST / "root/usr/lib/pileus/configure").read_text()
    start, end = script.index("patience_s="), script.index("parse() {")
    text = f"""
now=/nonexistent lib=true clock=0
{script[start:end]}
seconds() {{ echo $clock; }}
usleep() {{ clock=$((clock + 10)); }}
any_up() {{ [ $clock -ge {first_address if first_address is not None else 9999} ]; }}
ask_service() {{ [ $clock -ge {answers_at} ]; }}
fetch() {{ :; }}
learn
"""
    assert (subprocess.run(["sh", "-c", text], check=False, timeout=30).returncode == 0) is learned
