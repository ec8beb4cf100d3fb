"""Conntrack helpers of routers: their life, what is refused, and what an agent is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests import databases
from tests.api.network.cloud import Answer, Cloud, tell
from tests.api.network.test_routers import refused

from pileus.wire.l3 import ConntrackHelper


async def ask(api: Cloud, router: dict[str, Any], **values: Any) -> Answer:
    body = {"conntrack_helper": {"helper": "tftp", "protocol": "udp", "port": 69, **values}}
    return await api("POST", f"/v2.0/routers/{router['id']}/conntrack_helpers", body)


@pytest.mark.parametrize("kind", databases.KINDS)
def test_the_life_of_a_conntrack_helper(kind: str, tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        await api.node("h1", "L3 agent")
        outside, _ = await api.as_("admin").an_outside()
        router = await api.make("router", external_gateway_info={"network_id": outside})
        assert router["conntrack_helpers"] == []
        made = await ask(api, router)
        assert made.status == 201, made
        one = made.json["conntrack_helper"]
        assert one == {"id": one["id"], "helper": "tftp", "protocol": "udp", "port": 69}
        path = f"/v2.0/routers/{router['id']}/conntrack_helpers"
        assert (await api("GET", path)).json == {"conntrack_helpers": [one]}
        moved = await api("PUT", f"{path}/{one['id']}", {"conntrack_helper": {"port": 6969}})
        assert moved.json["conntrack_helper"] == {**one, "port": 6969}
        shown = (await api("GET", f"/v2.0/routers/{router['id']}")).json["router"]
        assert shown["conntrack_helpers"] == [{"helper": "tftp", "protocol": "udp", "port": 6969}]
        assert shown["revision_number"] > router["revision_number"]
        (told,) = (await api.routing("h1")).routers
        assert told.conntrack_helpers == (ConntrackHelper("tftp", "udp", 6969),)
        words = "A duplicate conntrack helper entry with same attributes already exists"
        refused(await ask(api, router, port=6969), 400, "BadRequest", words, "'port': 6969")
        assert (await api("DELETE", f"{path}/{one['id']}")).status == 204
        refused(await api("GET", f"{path}/{one['id']}"), 404, "ConntrackHelperNotFound", one["id"])
        await ask(api, router)
        assert (await api("DELETE", f"/v2.0/routers/{router['id']}")).status == 204

    tell(story, tmp_path, kind)


def test_what_is_refused(tmp_path: Path) -> None:
    async def story(api: Cloud) -> None:
        router = await api.make("router")
        wrong = await ask(api, router, helper="telnet")
        refused(wrong, 400, "ConntrackHelperNotAllowed", "Conntrack Helper telnet is not allowed.")
        wrong = await ask(api, router, helper="sip", protocol="sctp")
        refused(wrong, 400, "InvalidProtocolForHelper", "does not support: sctp", "are: tcp, udp")
        refused(await ask(api, router, port=0), 400, "HTTPBadRequest", "Invalid input for port")
        refused(await ask(api, router, protocol="x"), 400, "HTTPBadRequest", "Invalid input for protocol")
        refused(await ask(api, {"id": "0" * 8 + router["id"][8:]}), 404, "RouterNotFound")
        refused(await ask(api.as_("bob"), router), 404, "RouterNotFound")
        refused(await ask(api.as_("reader"), router), 403, "PolicyNotAuthorized")

    tell(story, tmp_path)
