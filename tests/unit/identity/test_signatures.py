"""EC2 signatures: those of the stock client are taken, anything that was changed is not."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keystoneclient.contrib.ec2.utils import Ec2Signer

from pileus.services.identity.rules.signatures import BadSignature, Signed, signature, verify

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

PARAMS = st.dictionaries(st.text("abcXYZ.0", min_size=1), st.text(st.characters(codec="utf-8")), max_size=4)


def ec2_like(signed: Signed) -> dict[str, object]:
    return {**msgspec.to_builtins(signed), "params": dict(signed.params)}


def version_2(params: dict[str, str], host: str = "cloud:8773") -> Signed:
    both = {**params, "SignatureVersion": "2", "Timestamp": "2026-01-01T00:00:00Z"}
    return Signed(access="a", verb="GET", host=host, path="/services", params=both)


def test_the_worked_example_of_aws():
    verify("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", AWS_EXAMPLE)
    assert AWS_EXAMPLE.time == "20150830T123600Z"


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
    assert full.time == "20260101T000000Z"


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
