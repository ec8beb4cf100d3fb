"""Access tokens of OAuth 2.0: with an application credential, and bound to a client's certificate."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.api.identity.cloud import DEFAULT, PASSWORD, Client, Cloud
from tests.asgi import Answer, ask

from pileus.web.client import Proxies
from pileus.web.client_certificate import thumbprint

PATH = "/identity/v3/OS-OAUTH2/token"


async def grant(cloud: Cloud, form: Any, method: str = "POST", **headers: str) -> Answer:
    """Ask for an access token."""
    cloud.clock.advance(0.001)
    sent = {"host": "cloud", "content-type": "application/x-www-form-urlencoded"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    body = form if isinstance(form, bytes) else urlencode(form).encode()
    return await ask(cloud.app, method, PATH, sent, [body])


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


async def credential(cloud: Cloud) -> tuple[str, str]:
    who = await cloud.person("ann", "member")
    shown = await who("GET", "/v3/auth/tokens", x_subject_token=who.token or "")
    path = f"/v3/users/{shown.json['token']['user']['id']}/application_credentials"
    made = await who("POST", path, {"application_credential": {"name": "program"}})
    given = made.json["application_credential"]
    return given["id"], given["secret"]


CLIENT = {"grant_type": "client_credentials"}


def test_an_application_credential_is_a_client(tell):
    async def story(cloud: Cloud) -> None:
        key, secret = await credential(cloud)
        for answer in (
            await grant(cloud, CLIENT, authorization=basic(key, secret)),
            await grant(cloud, {**CLIENT, "client_id": key, "client_secret": secret}),
        ):
            assert answer.status == 200, answer
            assert answer.json["token_type"] == "Bearer" and 3500 < answer.json["expires_in"] <= 3600
            assert answer.headers["cache-control"] == "no-store"
            token = answer.json["access_token"]
            assert (await Client(cloud.app, token)("GET", "/v3/auth/projects")).status == 200
            bearer = await cloud.anyone("GET", "/v3/auth/projects", authorization=f"Bearer {token}")
            assert bearer.status == 200 and len(bearer.json["projects"]) == 1
        shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=token)
        assert shown.json["token"]["methods"] == ["application_credential"]
        assert (await cloud.anyone("GET", "/v3/auth/projects", authorization="Bearer x")).status == 401
        assert (await cloud.anyone("GET", "/v3/auth/projects", authorization="Bearer ")).status == 401

    tell(story)


def test_refusals_are_in_oauths_form(quick):
    async def story(cloud: Cloud) -> None:
        key, secret = await credential(cloud)
        for form, headers, status, error in (
            ({}, {}, 400, "invalid_request"),
            (b"", {}, 400, "invalid_request"),
            (b"\xff\xfe", {}, 400, "invalid_request"),
            (b"grant_type=a&grant_type=b", {}, 400, "invalid_request"),
            ({"grant_type": "password"}, {}, 400, "unsupported_grant_type"),
            (CLIENT, {}, 401, "invalid_client"),
            (CLIENT, {"authorization": "Basic !"}, 401, "invalid_client"),
            (CLIENT, {"authorization": basic(key, "wrong")}, 401, "invalid_client"),
            (CLIENT, {"authorization": basic("none", secret)}, 401, "invalid_client"),
            ({**CLIENT, "client_id": key}, {}, 401, "invalid_client"),
            ({**CLIENT, "x": "y" * 20000}, {}, 400, "invalid_request"),
        ):
            answer = await grant(cloud, form, **headers)
            assert (answer.status, answer.json["error"]) == (status, error), (form, headers, answer)
            assert answer.json["error_description"]
            assert ("www-authenticate" in answer.headers) is (status == 401)
        for method in ("GET", "PUT", "PATCH", "DELETE"):
            answer = await grant(cloud, b"", method)
            assert answer.status == 405 and answer.json["error"] == "other_error"

    quick(story)


def certificate(**names: str) -> bytes:
    """A certificate in DER form."""
    kinds = {"CN": x509.NameOID.COMMON_NAME, "UID": x509.NameOID.USER_ID}
    kinds |= {"DC": x509.NameOID.DOMAIN_COMPONENT, "mail": x509.NameOID.EMAIL_ADDRESS}
    name = x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in names.items()])
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def escaped(der: bytes) -> dict[str, str]:
    """The header of a proxy."""
    pem = x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM).decode()
    return {"x_client_cert": quote(pem)}


MAPPING: dict[str, Any] = {
    "rules": [
        {
            "local": [{"user": {"name": "{0}", "id": "{1}", "domain": {"name": "{2}"}}}],
            "remote": [
                {"type": "SSL_CLIENT_SUBJECT_DN_CN"},
                {"type": "SSL_CLIENT_SUBJECT_DN_UID"},
                {"type": "SSL_CLIENT_SUBJECT_DN_DC"},
                {"type": "SSL_CLIENT_ISSUER_DN_CN"},
            ],
        }
    ]
}


def behind_proxy(cloud: Cloud) -> None:
    parts = cloud.app._parts
    settings = msgspec.structs.replace(
        parts.settings, proxies=Proxies(("unix",)), certificate_header="X-Client-Cert"
    )
    cloud.app._parts = dataclasses.replace(parts, settings=settings)


def test_a_certificate_names_a_user_and_binds_the_token(quick):
    async def story(cloud: Cloud) -> None:
        who = await cloud.person("ann", "member")
        shown = (await who("GET", "/v3/auth/tokens", x_subject_token=who.token or "")).json["token"]
        key, project_id = shown["user"]["id"], shown["project"]["id"]
        home = {"user": {"default_project_id": project_id}}
        assert (await cloud.admin("PATCH", f"/v3/users/{key}", home)).status == 200
        mine = certificate(CN="ann", UID=key, DC="Default")
        form = {**CLIENT, "client_id": key}
        behind = escaped(mine)
        assert (await grant(cloud, form, **behind)).status == 401, "no proxy is trusted"
        behind_proxy(cloud)
        assert (await grant(cloud, form, **behind)).status == 401, "there is no mapping"
        path = "/v3/OS-FEDERATION/mappings/oauth2_mapping"
        assert (await cloud.admin("PUT", path, {"mapping": MAPPING})).status == 201
        answer = await grant(cloud, form, **behind)
        assert answer.status == 200, answer
        token = answer.json["access_token"]
        client = Client(cloud.app, token)
        assert (await client("GET", "/v3/auth/projects", **behind)).status == 200
        bearer = f"Bearer {token}"
        bound = await cloud.anyone("GET", "/v3/auth/projects", authorization=bearer, **behind)
        assert bound.status == 200
        other = certificate(CN="ann", UID=key, DC="Default")
        assert (await client("GET", "/v3/auth/projects")).status == 401
        assert (await client("GET", "/v3/auth/projects", **escaped(other))).status == 401
        assert (await client("GET", "/v3/auth/projects", x_client_cert="no certificate")).status == 401
        assert (await cloud.rescope(token, {"project": {"id": project_id}})).status == 401
        seen = (await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=token)).json["token"]
        assert seen["oauth2_credential"] == {"x5t#S256": thumbprint(mine)}
        assert seen["methods"] == ["oauth2_credential"] and seen["project"]["id"] == project_id
        for wrong in (
            certificate(CN="bob", UID=key, DC="Default"),
            certificate(CN="ann", UID="other", DC="Default"),
            certificate(CN="ann", UID=key, DC="other"),
            certificate(CN="ann", UID=key),
        ):
            answer = await grant(cloud, form, **escaped(wrong))
            assert (answer.status, answer.json["error"]) == (401, "invalid_client")
        assert (await grant(cloud, {**CLIENT, "client_id": "none"}, **behind)).status == 401

    quick(story)


def test_a_mapping_that_does_not_say_who_it_is_lets_nobody_in(quick):
    async def story(cloud: Cloud) -> None:
        user = await cloud.admin.make("user", name="ann", password=PASSWORD)
        behind_proxy(cloud)
        lax = {
            "local": [{"user": {"domain": {"id": DEFAULT}}}],
            "remote": [{"type": "SSL_CLIENT_SUBJECT_DN_CN"}],
        }
        path = "/v3/OS-FEDERATION/mappings/oauth2_mapping"
        assert (await cloud.admin("PUT", path, {"mapping": {"rules": [lax]}})).status == 201
        form = {**CLIENT, "client_id": user["id"]}
        project = await cloud.admin.make("project", name="p")
        home = {"user": {"default_project_id": project["id"]}}
        assert (await cloud.admin("PATCH", f"/v3/users/{user['id']}", home)).status == 200
        assert (await grant(cloud, form, **escaped(certificate(CN="x")))).status == 401

    quick(story)
