"""Endpoint groups, projects' own endpoints, and the catalogs that follow them."""

from __future__ import annotations

from typing import Any

from tests.api.identity.cloud import Cloud, run

from pileus.services.identity.service import IdentitySettings

FILTER = "/v3/OS-EP-FILTER"


async def _catalog(cloud: Cloud, project: str) -> set[str]:
    """The ids of the endpoints that a token of the project shows, in its three places."""
    answer = await cloud.login(scope={"project": {"id": project}})
    token = answer.json["token"]
    shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=answer.token)
    mine = await type(cloud.admin)(cloud.app, answer.token)("GET", "/v3/auth/catalog")
    found = [
        {endpoint["id"] for service in catalog for endpoint in service["endpoints"]}
        for catalog in (token["catalog"], shown.json["token"]["catalog"], mine.json["catalog"])
    ]
    assert found[0] == found[1] == found[2]
    return found[0]


async def _project(cloud: Cloud) -> str:
    """A project where the administrator has a role."""
    made = await cloud.admin.make("project", name="web")
    shown = await cloud.admin("GET", "/v3/auth/tokens", x_subject_token=cloud.admin.token or "")
    me, role = shown.json["token"]["user"]["id"], await cloud.role("member")
    assert (await cloud.admin("PUT", f"/v3/projects/{made['id']}/users/{me}/roles/{role}")).status == 204
    return str(made["id"])


async def _group(cloud: Cloud, **filters: Any) -> dict[str, Any]:
    body = {"endpoint_group": {"name": "some", "filters": filters}}
    made = await cloud.admin("POST", f"{FILTER}/endpoint_groups", body)
    assert made.status == 201, made
    found: dict[str, Any] = made.json["endpoint_group"]
    return found


def test_a_catalog_is_narrowed_to_the_projects_own_endpoints(tell):
    async def story(cloud: Cloud) -> None:
        admin, project = cloud.admin, await _project(cloud)
        service = await admin.make("service", type="dns", name="designate")
        one, off = [
            await admin.make(
                "endpoint", service_id=service["id"], interface="public", url=f"http://{name}", enabled=on
            )
            for name, on in (("one", True), ("off", False))
        ]
        whole = await _catalog(cloud, project)
        assert one["id"] in whole and off["id"] not in whole and len(whole) > 2
        path = f"{FILTER}/projects/{project}/endpoints/{one['id']}"
        missing = await admin("GET", path)
        assert missing.status == 404
        assert missing.message == f"Endpoint {one['id']} not found in project {project}"
        assert (await admin("PUT", path)).status == 204
        assert (await admin("PUT", path)).status == 409
        assert (await admin("GET", path)).status == 204 == (await admin("HEAD", path)).status
        assert await _catalog(cloud, project) == {one["id"]}, "at once, also of tokens that are known"
        listed = (await admin("GET", f"{FILTER}/projects/{project}/endpoints")).json
        assert [each["id"] for each in listed["endpoints"]] == [one["id"]]
        of_endpoint = (await admin("GET", f"{FILTER}/endpoints/{one['id']}/projects")).json
        assert [each["id"] for each in of_endpoint["projects"]] == [project]
        assert (await admin("DELETE", path)).status == 204
        assert (await admin("DELETE", path)).status == 404
        assert await _catalog(cloud, project) == whole
        # a project whose only own endpoint is disabled does not have all the others for that
        assert (await admin("PUT", f"{FILTER}/projects/{project}/endpoints/{off['id']}")).status == 204
        assert await _catalog(cloud, project) == set()
        assert (await admin("DELETE", f"/v3/endpoints/{off['id']}")).status == 204
        assert await _catalog(cloud, project) == whole

    tell(story)


def test_endpoint_groups_choose_by_service_region_and_interface(tell):
    async def story(cloud: Cloud) -> None:
        admin, project = cloud.admin, await _project(cloud)
        await admin.make("region", id="north")
        service = await admin.make("service", type="dns", name="designate")
        inside, outside = [
            await admin.make(
                "endpoint", service_id=service["id"], interface=side, url="http://x", region_id="north"
            )
            for side in ("internal", "public")
        ]
        group = await _group(cloud, service_id=service["id"], interface="internal")
        own = f"{FILTER}/endpoint_groups/{group['id']}"
        assert group["links"]["self"] == f"http://cloud:5000/identity{own}"
        assert group["description"] is None
        assert (await admin("GET", own)).json == {"endpoint_group": group}
        assert (await admin("GET", f"{FILTER}/endpoint_groups?name=some")).json["endpoint_groups"] == [group]
        assert (await admin("GET", f"{FILTER}/endpoint_groups?name=none")).json["endpoint_groups"] == []
        members = (await admin("GET", f"{own}/endpoints")).json["endpoints"]
        assert [one["id"] for one in members] == [inside["id"]]
        pair = f"{own}/projects/{project}"
        missing = await admin("GET", pair)
        assert missing.status == 404 and missing.message == "Endpoint Group Project Association not found"
        assert (await admin("PUT", pair)).status == 204 and (await admin("PUT", pair)).status == 409
        shown = (await admin("GET", pair)).json["project_endpoint_group"]
        assert shown == {
            "endpoint_group_id": group["id"], "project_id": project,
            "links": {"self": f"/OS-EP-FILTER/endpoint_groups/{group['id']}/projects/{project}"},
        }  # fmt: skip
        assert await _catalog(cloud, project) == {inside["id"]}
        listed = (await admin("GET", f"{FILTER}/projects/{project}/endpoint_groups")).json
        assert listed["endpoint_groups"] == [group]
        of_group = (await admin("GET", f"{own}/projects")).json["projects"]
        assert [one["id"] for one in of_group] == [project]
        body = {"endpoint_group": {"filters": {"region_id": "north"}}}
        changed = await admin("PATCH", own, body)
        assert changed.status == 200 and changed.json["endpoint_group"]["filters"] == {"region_id": "north"}
        assert await _catalog(cloud, project) == {inside["id"], outside["id"]}
        of_project = (await admin("GET", f"{FILTER}/projects/{project}/endpoints")).json["endpoints"]
        assert {one["id"] for one in of_project} == {inside["id"], outside["id"]}
        assert (await admin("DELETE", own)).status == 204
        assert len(await _catalog(cloud, project)) > 2
        gone = await admin("GET", own)
        assert gone.status == 404 and gone.message == f"Could not find Endpoint Group: {group['id']}."

    tell(story)


def test_what_is_refused(quick):
    async def story(cloud: Cloud) -> None:
        admin, project = cloud.admin, await _project(cloud)
        for filters, sentence in (
            ({"url": "x"}, "service_id or region_id or interface"),
            ({"enabled": True}, "service_id or region_id or interface"),
            ({"interface": "side"}, "is not one of"),
            ({}, "filters field is required and cannot be empty"),
            (3, "is not of type 'object'"),
        ):
            body = {"endpoint_group": {"name": "x", "filters": filters}}
            refused = await admin("POST", f"{FILTER}/endpoint_groups", body)
            assert refused.status == 400 and sentence in refused.message, (filters, refused)
        assert (await admin("POST", f"{FILTER}/endpoint_groups", {"endpoint_group": {}})).status == 400
        for path in (f"{FILTER}/projects/none/endpoints", f"{FILTER}/endpoints/none/projects",
                     f"{FILTER}/endpoint_groups/none/projects"):  # fmt: skip
            assert (await admin("GET", path)).status == 404, path
        group = await _group(cloud, interface="public")
        for path, missing in (
            (f"{FILTER}/projects/{project}/endpoints/none", "endpoint"),
            (f"{FILTER}/endpoint_groups/{group['id']}/projects/none", "project"),
            (f"{FILTER}/endpoint_groups/none/projects/{project}", "Endpoint Group"),
        ):
            answer = await admin("PUT", path)
            assert answer.status == 404 and answer.message == f"Could not find {missing}: none."
        member = await cloud.person("ann", "member")
        for method, path in (
            ("GET", f"{FILTER}/endpoint_groups"), ("GET", f"{FILTER}/endpoint_groups/none"),
            ("PUT", f"{FILTER}/projects/none/endpoints/none"), ("GET", f"{FILTER}/projects/none/endpoints"),
        ):  # fmt: skip
            assert (await member(method, path)).status == 403, path

    quick(story)


def test_a_setting_leaves_those_without_endpoints_of_their_own_none(tmp_path):
    async def story(cloud: Cloud) -> None:
        project = await _project(cloud)
        assert await _catalog(cloud, project) == set()
        for scope in ({"system": {"all": True}}, {"project": {"name": "admin", "domain": {"id": "default"}}}):
            assert (await cloud.login(scope=scope)).json["token"]["catalog"] == []
        group = await _group(cloud, interface="public")
        assert (
            await cloud.admin("PUT", f"{FILTER}/endpoint_groups/{group['id']}/projects/{project}")
        ).status == 204
        assert len(await _catalog(cloud, project)) == 3

    settings = IdentitySettings(return_all_endpoints_if_no_filter=False)
    run(f"sqlite:///{tmp_path}/cloud.sqlite", tmp_path, story, settings)
