"""Domain-specific configuration: made, shown in parts, changed, deleted, refused."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import Cloud

from pileus.services.identity.domain_config.work import config_read

CONFIG: dict[str, Any] = {
    "ldap": {"url": "ldap://example.org", "user_tree_dn": "ou=people,dc=example", "password": "bind secret"},
    "identity": {"driver": "ldap"},
}
SHOWN = {
    "ldap": {name: CONFIG["ldap"][name] for name in ("url", "user_tree_dn")},
    "identity": CONFIG["identity"],
}


def test_a_configuration_and_its_parts(tell):
    async def story(cloud: Cloud) -> None:
        admin = cloud.admin
        domain = (await admin.make("domain", name="acme"))["id"]
        base = f"/v3/domains/{domain}/config"
        missing = await admin("GET", base)
        assert missing.status == 404
        assert missing.message == f"Could not find any options in domain configuration for domain {domain}."
        made = await admin("PUT", base, {"config": CONFIG})
        assert made.status == 201 and made.json == {"config": SHOWN}
        assert (await admin("PUT", base, {"config": CONFIG})).status == 200
        assert (await admin("GET", base)).json == {"config": SHOWN}
        assert (await admin("GET", f"{base}/ldap")).json == {"config": {"ldap": SHOWN["ldap"]}}
        assert (await admin("GET", f"{base}/ldap/url")).json == {"config": {"url": "ldap://example.org"}}
        hidden = await admin("GET", f"{base}/ldap/password")
        assert hidden.status == 404 and "option password in group ldap" in hidden.message
        # it is sealed where it is kept, and whoever needs it has it
        found = await cloud.store.read(config_read, domain, cloud.identity.credential_keys)
        assert found == CONFIG

        changed = await admin("PATCH", base, {"config": {"ldap": {"url": "ldap://other", "user": "cn=root"}}})
        assert changed.json["config"]["ldap"] == {**SHOWN["ldap"], "url": "ldap://other", "user": "cn=root"}
        one = await admin("PATCH", f"{base}/ldap/url", {"config": {"url": "ldap://third"}})
        assert one.json["config"]["ldap"]["url"] == "ldap://third"
        group = await admin("PATCH", f"{base}/ldap", {"config": {"ldap": {"suffix": "dc=x"}}})
        assert group.json["config"]["ldap"]["suffix"] == "dc=x"
        for path, body, status, sentence in (
            ("/ldap/user_filter", {"user_filter": "x"}, 404, "option user_filter in group ldap"),
            ("/ldap/url", {"user": "x"}, 403, "contains option user instead"),
            ("/ldap/url", {"url": "x", "user": "y"}, 403, "and only that, option must be specified"),
            ("/ldap", {"identity": {"driver": "sql"}}, 403, "contains group identity instead"),
        ):
            refused = await admin("PATCH", base + path, {"config": body})
            assert refused.status == status and sentence in refused.message, (path, refused)

        assert (await admin("DELETE", f"{base}/ldap/suffix")).status == 204
        assert (await admin("DELETE", f"{base}/ldap/suffix")).status == 404
        assert (await admin("DELETE", f"{base}/identity")).status == 204
        assert (await admin("GET", f"{base}/identity")).status == 404
        assert (await admin("DELETE", base)).status == 204
        assert (await admin("GET", base)).status == 404

    tell(story)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (None, "No options specified"),
        ({}, "No options specified"),
        ({"ldap": {}}, "The value of group ldap specified in the config should be a dictionary of options"),
        ({"ldap": "x"}, "The value of group ldap"),
        ({"token": {"provider": "x"}}, "Group token is not supported for domain specific configurations"),
        ({"ldap": {"colour": "x"}}, "Option colour in group ldap is not supported"),
    ],
)
def test_what_is_no_configuration(quick, config, sentence):
    async def story(cloud: Cloud) -> None:
        refused = await cloud.admin("PUT", "/v3/domains/default/config", {"config": config})
        assert refused.status == 403 and sentence in refused.message, refused
        assert refused.message.startswith("Invalid domain specific configuration: ")

    quick(story)


def test_defaults_and_who_may(quick):
    async def story(cloud: Cloud) -> None:
        whole = (await cloud.admin("GET", "/v3/domains/config/default")).json["config"]
        assert whole["ldap"]["query_scope"] == "one" and "password" not in whole["ldap"]
        group = (await cloud.admin("GET", "/v3/domains/config/identity/default")).json["config"]
        assert group == {"identity": {"driver": "sql", "list_limit": None}}
        one = (await cloud.admin("GET", "/v3/domains/config/ldap/url/default")).json["config"]
        assert one == {"url": "ldap://localhost"}
        for path in ("/v3/domains/config/nothing/default", "/v3/domains/config/ldap/nothing/default"):
            assert (await cloud.admin("GET", path)).status == 403
        for method, body in (("GET", None), ("PUT", {"config": CONFIG}), ("DELETE", None)):
            gone = await cloud.admin(method, "/v3/domains/none/config", body)
            assert gone.status == 404 and gone.message == "Could not find domain: none."
        manager = await cloud.person("ann", "manager")
        for method, body in (("GET", None), ("PUT", {"config": CONFIG}), ("PATCH", {"config": CONFIG})):
            assert (await manager(method, "/v3/domains/default/config", body)).status == 403
        assert (await manager("GET", "/v3/domains/config/default")).status == 403

    quick(story)
