"""EC2 signatures: those of the stock client are taken, anything that was changed is not."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keystoneclient.contrib.ec2.utils import Ec2Signer

from pileus.services.identity.rules.signatures import (
    ALGORITHM,
    BadSignature,
    Signed,
    check_time,
    signature,
    verify,
)

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

# The worked example of the AWS General Reference, "Examples of the complete Signature Version 4 signing
# process": IAM's ListUsers.
AWS_EXAMPLE = Signed(
    access="AKIDEXAMPLE",
    verb="GET",
    host="iam.amazonaws.com",
    path="/",
    params={"Action": "ListUsers", "Version": "2010-05-08"},
    headers={
        "Host": "iam.amazonaws.com",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
        "SignedHeaders=content-type;host;x-amz-date, Signature=x",
    },
    body_hash="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    signature="5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
)

NOW = dt.datetime(2026, 1, 1)
OLD, FRESH = "2024-12-01T00:00:00Z", "2026-01-01T00:00:00Z"

PARAMS = st.dictionaries(st.text("abcXYZ.0", min_size=1), st.text(st.characters(codec="utf-8")), max_size=4)


def ec2_like(signed: Signed) -> dict[str, object]:
    return {**msgspec.to_builtins(signed), "params": dict(signed.params)}


def version_2(params: dict[str, str], host: str = "cloud:8773") -> Signed:
    both = {**params, "SignatureVersion": "2", "Timestamp": "2026-01-01T00:00:00Z"}
    return Signed(access="a", verb="GET", host=host, path="/services", params=both)


def test_the_worked_example_of_aws():
    verify("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", AWS_EXAMPLE)
    check_time(AWS_EXAMPLE, dt.datetime(2015, 8, 30, 12, 36))


@given(params=PARAMS)
def test_version_2_is_that_of_the_stock_client(params):
    signed = version_2(params)
    assert signature(SECRET, signed) == Ec2Signer(SECRET).generate(ec2_like(signed))


@given(params=PARAMS, verb=st.sampled_from(["GET", "POST"]))
def test_version_4_is_that_of_the_stock_client(params, verb):
    signed = msgspec.structs.replace(AWS_EXAMPLE, params=params, verb=verb)
    assert signature(SECRET, signed) == Ec2Signer(SECRET).generate(ec2_like(signed))


def test_version_4_in_the_query():
    params = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "a/20260101/r/ec2/aws4_request",
        "X-Amz-Date": "20260101T000000Z",
        "X-Amz-SignedHeaders": "host",
    }
    signed = Signed(access="a", verb="GET", host="h", path="/", params=params, headers={"host": "h"})
    right = Ec2Signer(SECRET).generate(ec2_like(signed))
    full = msgspec.structs.replace(signed, params={**params, "X-Amz-Signature": right}, signature=right)
    verify(SECRET, full)
    check_time(full, NOW)


def test_a_client_may_sign_without_the_port():
    right = signature(SECRET, version_2({}, "cloud"))
    verify(SECRET, msgspec.structs.replace(version_2({}), signature=right))


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": ""},
        {"signature": "other"},
        {"verb": "POST"},
        {"path": "/other"},
        {"params": {"Action": "DeleteUser", "Version": "2010-05-08"}},
        {"params": {"SignatureVersion": "1"}},
        {"params": {}, "headers": {}},
        {"body_hash": "other"},
        {"headers": {**AWS_EXAMPLE.headers, "Host": "other"}},
        {"headers": {**AWS_EXAMPLE.headers, "X-Amz-Date": "20160830T123600Z"}},
        {"headers": {**AWS_EXAMPLE.headers, "Authorization": "AWS4-HMAC-SHA256"}},
        {"headers": {**AWS_EXAMPLE.headers, "Authorization": "AWS4-HMAC-SHA256 Credential=a/b"}},
    ],
)
def test_what_was_changed_is_refused(changes):
    with pytest.raises(BadSignature):
        verify(SECRET, msgspec.structs.replace(AWS_EXAMPLE, **changes))
    with pytest.raises(BadSignature):
        verify("another secret", AWS_EXAMPLE)


def version_4(moment: str, verb: str = "GET", by_header: bool = True, **params: str) -> Signed:
    """A request that was signed at that time."""
    scope = f"a/{moment[:8]}/r/ec2/aws4_request"
    headers = {"host": "h"}
    if by_header:
        stated = f"{ALGORITHM} Credential={scope}, SignedHeaders=host;x-amz-date, Signature=x"
        headers |= {"X-Amz-Date": moment, "Authorization": stated}
    else:
        params |= {
            "X-Amz-Algorithm": ALGORITHM,
            "X-Amz-Credential": scope,
            "X-Amz-Date": moment,
            "X-Amz-SignedHeaders": "host",
        }
    signed = Signed(access="a", verb=verb, host="h", path="/", params=params, headers=headers)
    return msgspec.structs.replace(signed, signature=signature(SECRET, signed))


@pytest.mark.parametrize("by_header", [True, False])
@pytest.mark.parametrize(
    ("moment", "good"),
    [
        ("20260101T000000Z", True),
        ("20251231T234500Z", True),
        ("20260101T001500Z", True),
        ("20251231T234459Z", False),
        ("20260101T001501Z", False),
        ("20241201T000000Z", False),
        ("99991231T235959Z", False),
        ("00010101T000000Z", False),
        ("00000000T000000Z", False),
        ("20261301T000000Z", False),
    ],
)
def test_version_4_lives_a_quarter_of_an_hour(moment, good, by_header):
    signed = version_4(moment, by_header=by_header)
    verify(SECRET, signed)
    if good:
        check_time(signed, NOW)
        return
    with pytest.raises(BadSignature):
        check_time(signed, NOW)


@pytest.mark.parametrize("verb", ["GET", "POST"])
@pytest.mark.parametrize(
    "params", [{"Timestamp": FRESH}, {"X-Amz-Date": "20260101T000000Z"}, {"Expires": "2027-01-01T00:00:00Z"}]
)
def test_a_time_beside_the_signed_one_makes_it_no_younger(verb, params):
    old = version_4("20241201T000000Z", verb)
    touched = msgspec.structs.replace(old, params=params)
    if verb == "POST":  # whose parameters are no part of what is signed
        verify(SECRET, touched)
    signed_too = version_4("20241201T000000Z", verb, **params)
    verify(SECRET, signed_too)
    for one in (touched, signed_too):
        with pytest.raises(BadSignature, match="too old"):
            check_time(one, NOW)


@pytest.mark.parametrize("name", ["x-amz-date", "X-AMZ-DATE", "X-Amz-Date"])
def test_a_second_header_of_another_case_does_not_count(name):
    old = version_4("20241201T000000Z", "POST")
    for headers in ({name: "20260101T000000Z", **old.headers}, {**old.headers, name: "20260101T000000Z"}):
        touched = msgspec.structs.replace(old, headers=headers)
        with pytest.raises(BadSignature):
            verify(SECRET, touched)
            check_time(touched, NOW)


@pytest.mark.parametrize("date", ["", "2", "2026", "202601010", "20260102"])
def test_the_scopes_date_is_that_of_the_signature(date):
    signed = version_4("20260101T000000Z")
    headers = {
        **signed.headers,
        "Authorization": signed.headers["Authorization"].replace("a/20260101", f"a/{date}"),
    }
    with pytest.raises(BadSignature, match="date mismatch"):
        signature(SECRET, msgspec.structs.replace(signed, headers=headers))


@pytest.mark.parametrize(
    ("expires", "age_s", "good"),
    [
        ("60", 59, True),
        ("60", 61, False),
        ("604800", 899, True),
        ("604800", 901, False),
        ("-1", 0, False),
        ("1e9", 0, False),
        ("9" * 40, 0, False),
    ],
)
def test_what_is_signed_beforehand_ends_with_its_expiry_and_within_the_quarter(expires, age_s, good):
    signed = version_4("20260101T000000Z", by_header=False, **{"X-Amz-Expires": expires})
    verify(SECRET, signed)
    now = NOW + dt.timedelta(seconds=age_s)
    if good:
        check_time(signed, now)
        return
    with pytest.raises(BadSignature):
        check_time(signed, now)


@pytest.mark.parametrize(
    ("params", "good"),
    [
        ({"Timestamp": FRESH}, True),
        ({"Timestamp": "2026-01-01T00:14:00"}, True),
        ({"Timestamp": "2026-01-01T01:00:00+01:00"}, True),
        ({"Timestamp": OLD}, False),
        ({"Timestamp": "2026-01-01T00:16:00Z"}, False),
        ({"Timestamp": OLD, "X-Amz-Date": FRESH}, False),
        ({"Timestamp": "0001-01-01T00:00:00+14:00"}, False),
        ({"Timestamp": "9999-12-31T23:59:59-14:00"}, False),
        ({"Timestamp": ""}, False),
        ({"Timestamp": "tomorrow"}, False),
        ({"Expires": "2026-01-01T00:10:00Z"}, True),
        ({"Expires": OLD}, False),
        ({"Expires": "2026-01-01T00:16:00Z"}, False),
        ({"Expires": "9999-12-31T23:59:59Z"}, False),
        ({"Timestamp": FRESH, "Expires": OLD}, False),
        ({"Timestamp": OLD, "Expires": "2026-01-01T00:10:00Z"}, False),
        ({}, False),
    ],
)
def test_version_2_signs_its_time(params, good):
    signed = Signed(
        access="a",
        verb="GET",
        host="h",
        path="/",
        params={**params, "SignatureVersion": "2"},
        headers={"X-Amz-Date": "20260101T000000Z"},
    )
    if good:
        check_time(signed, NOW)
        return
    with pytest.raises(BadSignature):
        check_time(signed, NOW)
