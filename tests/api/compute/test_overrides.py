"""Who administers compute is the policy's to say, so an operator can say otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.api.compute.cloud import IMAGE, Cloud, tell

ITSEC_ADMINISTERS = {"context_is_admin": "role:itsec"}


def test_an_operator_says_who_administers_compute(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        admin, itsec = api.as_("admin"), api.as_("itsec")
        flavor = {"name": "own", "ram": 64, "vcpus": 1, "disk": 0, "os-flavor-access:is_public": False}
        assert (await admin("POST", "/flavors", {"flavor": flavor})).status == 403
        made = await itsec("POST", "/flavors", {"flavor": flavor})
        assert made.status == 200
        flavor_id = made.json["flavor"]["id"]

        # flavors that are nobody's, filters and sort keys for administrators, locks
        for person, status, several in ((admin, 404, 5), (itsec, 200, 6)):
            assert (await person("GET", f"/flavors/{flavor_id}")).status == status
            assert len((await person("GET", "/flavors?is_public=none")).json["flavors"]) == several
        everywhere = "/servers?all_tenants=1&host=nowhere&sort_key=host"
        assert (await admin("GET", everywhere)).status == 403
        assert (await itsec("GET", everywhere)).json["servers"] == []
        assert (await api.act(server_id, "lock")).status == 202
        assert (await itsec.act(server_id, "os-stop")).status == 202
        assert (await admin("GET", "/servers?sort_key=host")).status == 403

    tell(story, tmp_path, overrides=ITSEC_ADMINISTERS)


def test_filters_for_administrators_have_a_rule_of_their_own(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        await api.boot(host)
        for hosts, several in (("h1", 1), ("elsewhere", 0)):
            assert len((await api("GET", f"/servers?host={hosts}")).json["servers"]) == several

    tell(story, tmp_path, overrides={"os_compute_api:servers:allow_all_filters": "role:member"})


def test_who_names_networks_has_a_rule_of_his_own(tmp_path: Path) -> None:
    rule = "os_compute_api:servers:create:attach_network"

    async def story(api: Cloud) -> None:
        network_id, admin = await api.a_network(), api.as_("admin")
        for networks in ("auto", [{"uuid": network_id}]):
            refused = await api.ask_for(networks=networks)
            assert refused.status == 403
            assert refused.message == f"Policy doesn't allow {rule} to be performed."
        assert (await admin.ask_for(networks=[{"uuid": await admin.a_network()}])).status == 202
        # nothing is asked of who names none
        assert (await api.ask_for(networks="none")).status == 202
        old = {"name": "old", "flavorRef": "1", "imageRef": IMAGE}
        assert (await api.at("2.36")("POST", "/servers", {"server": old})).status == 202

    tell(story, tmp_path, overrides={rule: "rule:context_is_admin"})


def test_old_actions_have_the_rules_that_nova_gives_them(tmp_path: Path) -> None:
    rules = ("os-create-backup", "os-multinic:add", "os-multinic:remove")

    async def story(api: Cloud) -> None:
        host = await api.host()
        network_id = await api.a_network()
        server_id = (await api.boot(host, networks=[{"uuid": network_id}]))["id"]
        backup = {"name": "x", "backup_type": "daily", "rotation": 1}
        (port,) = (await api("GET", f"/servers/{server_id}/os-interface")).json["interfaceAttachments"]
        address = {"address": port["fixed_ips"][0]["ip_address"]}
        for rule, verb, argument, status in (
            (rules[0], "createBackup", backup, 202),
            (rules[1], "addFixedIp", {"networkId": network_id}, 202),
            (rules[2], "removeFixedIp", address, 202),
        ):
            refused = await api.at("2.40").act(server_id, verb, argument)
            assert refused.status == 403
            assert refused.message == f"Policy doesn't allow os_compute_api:{rule} to be performed."
            assert (await api.as_("admin", "2.40").act(server_id, verb, argument)).status == status, verb
            await host.pass_()
        # what they were judged by before is another matter
        assert (await api.act(server_id, "createImage", {"name": "x"})).status == 202

    overrides = {f"os_compute_api:{rule}": "rule:context_is_admin" for rule in rules}
    tell(story, tmp_path, overrides=overrides)


def test_who_sees_the_details_of_events_is_a_matter_of_rules(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        path = f"/servers/{(await api.boot(host))['id']}/os-instance-actions"

        async def seen(person: Cloud) -> set[str]:
            (action,) = (await person("GET", path)).json["instanceActions"]
            (event,) = (await person("GET", f"{path}/{action['request_id']}")).json["instanceAction"][
                "events"
            ]
            return {name for name in ("details", "traceback", "host") if name in event}

        assert await seen(api) == {"details"}
        assert await seen(api.at("2.83")) == set()
        assert await seen(api.as_("admin")) == {"traceback", "host"}

    own = "project_id:%(project_id)s and role:member and not role:admin"
    tell(story, tmp_path, overrides={"os_compute_api:os-instance-actions:events:details": own})
