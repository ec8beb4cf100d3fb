"""Entries of directories as users and groups: their ids there and here."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from ldap3.utils.conv import escape_filter_chars

from pileus.services.identity.rules.directory import Options, filter_of, local_id, person_of, team_of

GUID = uuid.UUID("3f2504e0-4f89-11d3-9a0c-0305e82c3301")


def known(**ldap: object) -> Options:
    return Options("d", "D", {"user_id_attribute": "uid", "user_name_attribute": "cn", **ldap})


@pytest.mark.parametrize(
    ("values", "dn", "wanted"),
    [
        ([b"ann"], "cn=x", "ann"),
        ([], "cn=x", None),
        ([b""], "cn=x", None),
        ([b"a" * 256], "cn=x", None),
        ([b"\xff\xfe"], "cn=x", None),
        ([b"zoe", b"ann"], "cn=x,dc=y", "ann"),
        ([b"ann", b"zoe"], "cn=x,dc=y", "ann"),
        ([b"ann", b"Zoe"], "uid=zoe,dc=y", "Zoe"),
        ([b"ann", b"zoe"], "cn=x+UID=zoe,dc=y", "zoe"),
        ([b"ann", b"z,e"], r"uid=z\,e,dc=y", "z,e"),
        ([b"ann", b"zoe"], "cn=x,uid=zoe", "ann"),
    ],
)
def test_one_value_is_the_id(values, dn, wanted):
    assert local_id(known(), "user", dn, {"uid": values}) == wanted


def test_bytes_of_active_directory_are_an_id():
    options = known(user_id_attribute="objectGUID")
    values = {"objectguid": [GUID.bytes_le], "cn": [b"Ann"]}
    assert local_id(options, "user", "cn=x", values) == str(GUID)
    assert local_id(options, "user", "cn=x", {"objectguid": [b"short"]}) is None
    text = filter_of(options, "user", escape_filter_chars, (), [str(GUID), "no*thing"])
    raw = "".join(f"\\{byte:02x}" for byte in GUID.bytes_le)
    assert text == rf"(&(objectClass=inetOrgPerson)(|(objectGUID={raw})(objectGUID=no\2athing)))"
    # two that differ in bytes that are no text are two
    other = uuid.UUID(int=GUID.int ^ (0x80 << 120))
    both = [
        person_of(options, "cn=x", {"objectguid": [one.bytes_le], "cn": [b"Ann"]}, None)
        for one in (GUID, other)
    ]
    assert len({one.id for one in both if one is not None}) == 2


def test_ids_are_those_that_keystone_gives():
    person = person_of(known(), "cn=x", {"uid": [b"u1"], "cn": [b"Ann"]}, None)
    assert person is not None
    assert person.id == hashlib.sha256(b"duseru1").hexdigest()
    assert person.former_id == person.id[:32]
    team = team_of(known(), "cn=x", {"cn": [b"ops"], "ou": [b"Ops"]})
    assert team is not None and team.id == hashlib.sha256(b"dgroupops").hexdigest()
