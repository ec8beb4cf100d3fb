"""Registered limits, limits, and their models."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.identity.cloud import DEFAULT, Client, Cloud, run

from pileus.services.identity.service import IdentitySettings


async def _registered(cloud: Cloud, **values: Any) -> dict[str, Any]:
    made = await cloud.admin("POST", "/v3/registered_limits", {"registered_limits": [values]})
    assert made.status == 201, made
    found: dict[str, Any] = made.json["registered_limits"][0]
    return found


async def _network(cloud: Cloud) -> str:
    found = (await cloud.admin("GET", "/v3/services?type=network")).json["services"]
    return str(found[0]["id"])


def _limits(client: Client, *several: dict[str, Any]) -> Any:
    return client("POST", "/v3/limits", {"limits": list(several)})


def test_registered_limits(tell):
    async def story(cloud: Cloud) -> None:
        admin, service = cloud.admin, await _network(cloud)
        await admin.make("region", id="north")
        body = [
            {"service_id": service, "resource_name": "port", "default_limit": 5},
            {"service_id": service, "resource_name": "port", "default_limit": 9, "region_id": "north"},
        ]
        made = await admin("POST", "/v3/registered_limits", {"registered_limits": body})
        assert made.status == 201 and made.json.keys() == {"registered_limits"}
        everywhere, north = made.json["registered_limits"]
        own = f"/v3/registered_limits/{everywhere['id']}"
        assert everywhere == {
            **body[0], "id": everywhere["id"], "region_id": None, "description": None,
            "links": {"self": f"http://cloud:5000/identity{own}"},
        }  # fmt: skip
        again = await admin("POST", "/v3/registered_limits", {"registered_limits": body[:1]})
        assert again.status == 409
        assert again.message == "Conflict occurred attempting to store registered_limit - Duplicate entry."
        member = await cloud.person("ann", "member")
        assert (await member("GET", own)).json == {"registered_limit": everywhere}
        for query, wanted in (
            ("", [everywhere, north]), (f"?service_id={service}", [everywhere, north]),
            ("?region_id=north", [north]), ("?resource_name=port&region_id=", [everywhere]),
            ("?resource_name=x", []),
        ):  # fmt: skip
            listed = (await member("GET", f"/v3/registered_limits{query}")).json["registered_limits"]
            assert sorted(listed, key=str) == sorted(wanted, key=str), query
        changed = await admin("PATCH", own, {"registered_limit": {"default_limit": 0, "description": "few"}})
        assert changed.json["registered_limit"] == everywhere | {"default_limit": 0, "description": "few"}
        clash = await admin("PATCH", own, {"registered_limit": {"region_id": "north"}})
        assert clash.status == 409
        for method, path, sent in (
            ("POST", "/v3/registered_limits", {"registered_limits": body}),
            ("PATCH", own, {"registered_limit": {"default_limit": 1}}), ("DELETE", own, None),
        ):  # fmt: skip
            assert (await member(method, path, sent)).status == 403
        assert (await admin("DELETE", own)).status == 204
        gone = await admin("GET", own)
        assert gone.status == 404
        assert gone.message == f"Could not find registered limit for {everywhere['id']}."

    tell(story)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"resource_name": "x", "default_limit": 1, "service_id": "none"},
            "find service_id in registered_limit",
        ),
        (
            {"resource_name": "x", "default_limit": 1, "region_id": "none"},
            "find region_id in registered_limit",
        ),
        ({"resource_name": "x", "default_limit": -2}, "default_limit"),
        ({"resource_name": "x", "default_limit": "1"}, "default_limit"),
        ({"resource_name": "x", "default_limit": 2**31}, "default_limit"),
        ({"resource_name": "", "default_limit": 1}, "resource_name"),
        ({"resource_name": "x"}, "'default_limit' is a required property"),
        ({"resource_name": "x", "default_limit": 1, "colour": "red"}, "Additional properties"),
    ],
)
def test_registered_limits_that_can_not_be_made(quick, values, sentence):
    async def story(cloud: Cloud) -> None:
        body = {"service_id": await _network(cloud), **values}
        refused = await cloud.admin("POST", "/v3/registered_limits", {"registered_limits": [body]})
        assert refused.status == 400 and sentence in refused.message, refused
        for wrong in (
            {},
            {"registered_limits": []},
            {"registered_limits": {}},
            {"registered_limit": body},
            [],
        ):
            assert (await cloud.admin("POST", "/v3/registered_limits", wrong)).status == 400, wrong

    quick(story)


def test_limits_of_projects_and_domains(tell):
    async def story(cloud: Cloud) -> None:
        admin, service = cloud.admin, await _network(cloud)
        registered = await _registered(cloud, service_id=service, resource_name="port", default_limit=5)
        domain = await admin.make("domain", name="acme")
        project = await admin.make("project", name="web", domain_id=domain["id"])
        mine = await admin.make("project", name="mine")
        port = {"service_id": service, "resource_name": "port", "resource_limit": 3}
        made = await _limits(
            admin, {**port, "project_id": project["id"]},
            {**port, "domain_id": domain["id"], "description": "d"},
            {**port, "project_id": mine["id"]},
        )  # fmt: skip
        assert made.status == 201 and made.json.keys() == {"limits"}
        of_project, of_domain, of_mine = made.json["limits"]
        own = f"/v3/limits/{of_project['id']}"
        assert of_project == {
            **port, "id": of_project["id"], "project_id": project["id"], "domain_id": None, "region_id": None,
            "description": None, "links": {"self": f"http://cloud:5000/identity{own}"},
        }  # fmt: skip
        assert of_domain["domain_id"] == domain["id"] and of_domain["project_id"] is None
        assert (await admin("GET", own)).json == {"limit": of_project}
        for query, wanted in (
            ("", {of_project["id"], of_domain["id"], of_mine["id"]}),
            (f"?project_id={project['id']}", {of_project["id"]}),
            (f"?domain_id={domain['id']}", {of_domain["id"]}),
            (f"?service_id={service}&resource_name=port&project_id={mine['id']}", {of_mine["id"]}),
            ("?region_id=north", set()),
        ):
            listed = (await admin("GET", f"/v3/limits{query}")).json["limits"]
            assert {one["id"] for one in listed} == wanted, query
        again = await _limits(admin, {**port, "project_id": project["id"]})
        assert again.status == 409
        assert again.message == "Conflict occurred attempting to store limit - Duplicate entry."
        none = await _limits(admin, {**port, "resource_name": "network", "project_id": project["id"]})
        assert none.status == 403
        assert none.message == "Unable to create a limit that has no corresponding registered limit."

        # a project sees its own, whoever asks for what; the reader of a domain those in it
        person = await cloud.person("ann", "member", project=mine)
        listed = (await person("GET", "/v3/limits")).json["limits"]
        assert [one["id"] for one in listed] == [of_mine["id"]]
        assert (await person("GET", f"/v3/limits/{of_mine['id']}")).status == 200
        assert (await person("GET", own)).status == 403
        assert (await person("GET", "/v3/limits/none")).status == 403
        assert (
            await person("PATCH", f"/v3/limits/{of_mine['id']}", {"limit": {"resource_limit": 9}})
        ).status == 403

        in_use = await admin("PATCH", f"/v3/registered_limits/{registered['id']}", {
            "registered_limit": {"default_limit": 9}
        })  # fmt: skip
        assert in_use.status == 403 and in_use.message == (
            f"Unable to update or delete registered limit {registered['id']} because there are project "
            "limits associated with it."
        )
        assert (await admin("DELETE", f"/v3/registered_limits/{registered['id']}")).status == 403
        changed = await admin("PATCH", own, {"limit": {"resource_limit": 0}})
        assert changed.json["limit"] == of_project | {"resource_limit": 0}
        for wrong in ({"resource_name": "x"}, {"resource_limit": -2}, {}):
            assert (await admin("PATCH", own, {"limit": wrong})).status == 400, wrong
        assert (await admin("DELETE", own)).status == 204
        gone = await admin("GET", own)
        assert gone.status == 404 and gone.message == f"Could not find limit for {of_project['id']}."
        # what goes with a project, and with a service
        assert (await admin("DELETE", f"/v3/projects/{mine['id']}")).status == 204
        assert (await admin("GET", f"/v3/limits/{of_mine['id']}")).status == 404
        assert (await admin("DELETE", f"/v3/services/{service}")).status == 204
        assert (await admin("GET", "/v3/limits")).json["limits"] == []

    tell(story)


def test_limits_that_can_not_be_made(quick):
    async def story(cloud: Cloud) -> None:
        service = await _network(cloud)
        await _registered(cloud, service_id=service, resource_name="port", default_limit=5)
        port = {"service_id": service, "resource_name": "port", "resource_limit": 3}
        for wrong, sentence in (
            (port, "is not valid under any of the given schemas"),
            ({**port, "project_id": None}, "is not valid under any of the given schemas"),
            (
                {**port, "project_id": "x", "domain_id": DEFAULT},
                "is not valid under any of the given schemas",
            ),
            ({**port, "project_id": "none"}, "Expecting to find project_id in limit"),
            ({**port, "domain_id": "none"}, "Expecting to find domain_id in limit"),
            ({**port, "domain_id": DEFAULT, "service_id": "none"}, "Expecting to find service_id in limit"),
            ({**port, "domain_id": DEFAULT, "region_id": "none"}, "Expecting to find region_id in limit"),
            ({**port, "domain_id": DEFAULT, "resource_limit": 1.5}, "resource_limit"),
        ):
            refused = await _limits(cloud.admin, wrong)
            assert refused.status == 400 and sentence in refused.message, (wrong, refused)
        # one that is wrong takes the others along
        fine = {**port, "domain_id": DEFAULT}
        assert (await _limits(cloud.admin, fine, {**port, "domain_id": "none"})).status == 400
        assert (await cloud.admin("GET", "/v3/limits")).json["limits"] == []
        # a project that is a domain has a domain's limit
        made = (await _limits(cloud.admin, {**port, "project_id": DEFAULT})).json["limits"][0]
        assert made["domain_id"] == DEFAULT and made["project_id"] is None

    quick(story)


def test_the_flat_model(quick):
    async def story(cloud: Cloud) -> None:
        member = await cloud.person("ann", "member")
        shown = (await member("GET", "/v3/limits/model")).json["model"]
        assert shown["name"] == "flat" and "does not take project hierarchy" in shown["description"]

    quick(story)


def test_the_strict_model_of_two_levels(url, tmp_path):
    async def story(cloud: Cloud) -> None:
        admin, service = cloud.admin, await _network(cloud)
        assert (await admin("GET", "/v3/limits/model")).json["model"]["name"] == "strict_two_level"
        await _registered(cloud, service_id=service, resource_name="port", default_limit=5)
        domain = await admin.make("domain", name="acme")
        project = await admin.make("project", name="web", domain_id=domain["id"])
        port = {"service_id": service, "resource_name": "port"}
        of_project = {**port, "project_id": project["id"]}
        of_domain = {**port, "domain_id": domain["id"]}
        over = await _limits(admin, {**of_project, "resource_limit": 6})
        assert over.status == 403 and over.message == (
            f"Invalid resource limit: The resource limit (project_id: {project['id']}, resource_name: port, "
            f"resource_limit: 6, service_id: {service}, region_id: None) doesn't satisfy "
            "current hierarchy model."
        )
        both = await _limits(admin, {**of_project, "resource_limit": 20}, {**of_domain, "resource_limit": 20})
        assert both.status == 201
        project_limit, domain_limit = both.json["limits"]
        for limit, amount, status in (
            (project_limit, 21, 403), (project_limit, -1, 403), (domain_limit, 19, 403),
            (domain_limit, -1, 200), (project_limit, 100, 200), (domain_limit, 100, 200),
        ):  # fmt: skip
            path, body = f"/v3/limits/{limit['id']}", {"limit": {"resource_limit": amount}}
            assert (await admin("PATCH", path, body)).status == status, (amount, status)

    run(url, tmp_path, story, IdentitySettings(limit_model="strict_two_level"))


def test_the_strict_model_does_not_start_over_deep_projects(tmp_path):
    url = f"sqlite:///{tmp_path}/cloud.sqlite"

    async def story(cloud: Cloud) -> None:
        await cloud.identity.start(cloud.store)
        above = await cloud.admin.make("project", name="above")
        below = await cloud.admin.make("project", name="below", parent_id=above["id"])
        with pytest.raises(Exception, match=below["id"]):
            await cloud.identity.start(cloud.store)

    run(url, tmp_path, story, IdentitySettings(limit_model="strict_two_level"))
