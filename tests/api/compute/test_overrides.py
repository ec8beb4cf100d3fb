"""Who administers compute is the policy's to say, so an operator can say otherwise."""

from __future__ import annotations

from pathlib import Path

from tests.api.compute.cloud import Cloud, tell

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
