"""Every list by every query that the API reference documents, and pages of lists."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, Cloud, run

from pileus.services.identity.service import IdentitySettings


async def _fill(cloud: Cloud) -> dict[str, str]:
    """Make one or two of each kind; returns ids by names."""
    make = cloud.admin.make
    domain = await make("domain", name="acme", enabled=True)
    off = await make("domain", name="off", enabled=False)
    user = await make("user", name="Ann", domain_id=domain["id"], enabled=False)
    await make("user", name="bob", domain_id=domain["id"])
    group = await make("group", name="staff", domain_id=domain["id"])
    project = await make("project", name="web", domain_id=domain["id"])
    child = await make("project", name="web-test", domain_id=domain["id"], parent_id=project["id"])
    role = await make("role", name="cook", domain_id=domain["id"])
    north = await make("region", id="north")
    await make("region", id="fjord", parent_region_id="north")
    service = await make("service", name="store", type="object-store")
    endpoint = await make(
        "endpoint", service_id=service["id"], interface="admin", url="http://x/", region_id=north["id"]
    )
    credential = await make("credential", user_id=user["id"], type="cert", blob="{}")
    made = {
        "acme": domain, "off": off, "ann": user, "staff": group, "web": project, "child": child,
        "cook": role, "store": service, "endpoint": endpoint, "credential": credential,
    }  # fmt: skip
    return {name: one["id"] for name, one in made.items()}


CASES = [
    ("domains", "name=acme", ["acme"]),
    ("domains", "enabled=false", ["off"]),
    ("domains", "enabled=0&name__startswith=o", ["off"]),
    ("projects", "domain_id={acme}", ["web", "web-test"]),
    ("projects", "parent_id={web}", ["web-test"]),
    ("projects", "name__endswith=-test", ["web-test"]),
    ("projects", "is_domain=true&name=acme", ["acme"]),
    ("projects", "enabled=true&name=web", ["web"]),
    ("users", "domain_id={acme}", ["Ann", "bob"]),
    ("users", "enabled=false", ["Ann"]),
    ("users", "name__iexact=ANN", ["Ann"]),
    ("users", "name__exact=ann", []),
    ("users", "name__iequals=ann&domain_id={acme}", ["Ann"]),
    ("users", "name__unheard=ann&domain_id={acme}", ["Ann", "bob"]),
    ("users", "enabled__contains=true&domain_id={acme}", ["Ann", "bob"]),
    ("users", "idp_id=x", []),
    ("groups", "name__istartswith=ST", ["staff"]),
    ("groups", "domain_id={acme}", ["staff"]),
    ("roles", "domain_id={acme}", ["cook"]),
    ("roles", "domain_id={acme}&name__icontains=OO", ["cook"]),
    ("services", "type=object-store", ["store"]),
    ("services", "name__iendswith=ORE", ["store"]),
    ("regions", "parent_region_id=north", ["fjord"]),
    ("endpoints", "service_id={store}", ["http://x/"]),
    ("endpoints", "interface=admin&region_id=north", ["http://x/"]),
    ("endpoints", "region_id=north&interface=public", []),
    ("credentials", "user_id={ann}", ["cert"]),
    ("credentials", "type=cert", ["cert"]),
    ("credentials", "type=totp", []),
]


def test_each_list_by_each_documented_query(tell):
    async def story(cloud: Cloud) -> None:
        ids = await _fill(cloud)
        for plural, query, wanted in CASES:
            answer = await cloud.admin("GET", f"/v3/{plural}?{query.format(**ids)}")
            assert answer.status == 200, (plural, query, answer)
            shown = [one.get("name") or one.get("url") or one.get("type") or one["id"]
                     for one in answer.json[plural]]  # fmt: skip
            assert sorted(shown) == wanted, (plural, query)
            assert answer.json["links"]["self"].endswith(query.format(**ids)), "the query is kept"

    tell(story)


@pytest.mark.parametrize("plural", ["users", "projects", "groups", "roles", "regions", "credentials"])
def test_pages_follow_each_other_until_the_last(quick, plural):
    async def story(cloud: Cloud) -> None:
        kind = plural.removesuffix("s")
        for number in range(4):
            values: dict[str, Any] = {"name": f"n{number}"}
            if kind == "region":
                values = {"id": f"r{number}"}
            if kind == "credential":
                values = {"type": "cert", "blob": "{}", "user_id": "u"}
            await cloud.admin.make(kind, **values)
        whole = (await cloud.admin("GET", f"/v3/{plural}")).json
        assert "truncated" not in whole and whole["links"]["next"] is None
        size = 2 if len(whole[plural]) % 2 == 0 else 1
        paged, path = [], f"/v3/{plural}?limit={size}"
        for _ in range(len(whole[plural]) // size):
            page = (await cloud.admin("GET", path)).json
            assert len(page[plural]) == size
            paged += page[plural]
            following = page["links"]["next"]
            if following is None:
                break
            assert page["truncated"] is True
            path = following.removeprefix("http://cloud:5000/identity")
        assert following is None and "truncated" not in page, (
            "the last page is full and says that it is the last"
        )
        assert paged == whole[plural]
        missing = await cloud.admin("GET", f"/v3/{plural}?marker=none")
        assert missing.status == 404 and missing.message == "Marker none could not be found."

    quick(story)


def test_lists_have_the_length_of_the_setting(tmp_path):
    async def story(cloud: Cloud) -> None:
        for number in range(5):
            await cloud.admin.make("user", name=f"n{number}")
        listed = (await cloud.admin("GET", "/v3/users?sort_key=name&sort_dir=desc")).json
        assert [one["name"] for one in listed["users"]] == ["n4", "n3", "n2"]
        assert listed["truncated"] is True and "limit=3" in listed["links"]["next"]
        asked = (await cloud.admin("GET", "/v3/users?limit=5")).json
        assert len(asked["users"]) == 5, "what a request names counts"
        few = (await cloud.admin("GET", f"/v3/groups?domain_id={DEFAULT}")).json
        assert few == {"groups": [], "links": few["links"]}

    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, IdentitySettings(list_limit=3))
