"""Certificates of users that a root of the cloud signs."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID
from tests.api.compute.cloud import P1, Cloud, tell


def test_a_root_and_what_it_signs(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        reply = await api("POST", "/os-certificates")
        assert reply.status == 200, reply
        mine, again = reply.json["certificate"], (await api("POST", "/os-certificates")).json["certificate"]
        shown = (await api.as_("reader")("GET", "/os-certificates/root")).json["certificate"]
        assert shown["private_key"] is None and "PRIVATE" not in shown["data"]
        root = x509.load_pem_x509_certificate(shown["data"].encode())
        for one in (mine, again):
            certificate = x509.load_pem_x509_certificate(one["data"].encode())
            certificate.verify_directly_issued_by(root)
            key = serialization.load_pem_private_key(one["private_key"].encode(), None)
            assert key.public_key() == certificate.public_key()
            (unit,) = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
            assert unit.value == P1
            limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
            assert not limits.value.ca
        assert mine["private_key"] != again["private_key"]
        assert (await api.as_("reader")("POST", "/os-certificates")).status == 403
        assert (await api("GET", "/os-certificates/root")).json["certificate"] == shown

    tell(story, tmp_path)
