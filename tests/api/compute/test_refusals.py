"""Odd bodies and queries at every route: a clear 4xx (or a success), never a 500."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests.api.compute.cloud import IMAGE, Cloud, tell

_ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**70, 1.5, "", " ", "x" * 300, "\u0000", "\ud7ff", "é", "../..", [], [None], [[]], {},
    {"a": None}, {"server": None}, "10000000-0000-4000-8000-000000000001", "auto", "2026-01-01T00:00:00Z",
)  # fmt: skip
_PARAMETERS = (
    "limit", "marker", "sort_key", "status", "changes-since", "ip", "name", "deleted", "all_tenants",
    "is_public", "minRam", "tenant_id", "start", "user_id", "with_servers",
)  # fmt: skip
_TEXTS = ("", "-1", "x", "1", "9" * 30, "%5B", "2026-01-01")


def _bodies(dice: random.Random) -> list[Any]:
    """Good bodies with one value made odd."""
    good: list[dict[str, Any]] = [
        {
            "server": {
                "name": "n",
                "flavorRef": "1",
                "imageRef": IMAGE,
                "networks": [{"uuid": IMAGE, "fixed_ip": "10.0.0.4", "tag": "t"}],
                "metadata": {"a": "b"},
                "security_groups": [{"name": "default"}],
                "min_count": 1,
                "max_count": 1,
                "user_data": "YQ==",
                "config_drive": True,
                "availability_zone": "nova",
                "key_name": "k",
                "tags": ["a"],
                "hostname": "h",
                "block_device_mapping_v2": [{"source_type": "image", "uuid": IMAGE}],
            },
            "os:scheduler_hints": {"group": IMAGE, "same_host": [IMAGE]},
        },
        {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 1, "swap": 1, "id": "z", "rxtx_factor": 1.0}},
        {"keypair": {"name": "k", "public_key": "ssh-rsa AAAA", "type": "ssh", "user_id": "u"}},
        {"quota_set": {"cores": 1, "force": True}},
        {"aggregate": {"name": "a", "availability_zone": "z"}},
        {"server_group": {"name": "g", "policy": "affinity", "rules": {"max_server_per_host": 1}}},
        {"interfaceAttachment": {"net_id": IMAGE, "fixed_ips": [{"ip_address": "10.0.0.9"}], "tag": "t"}},
        {"metadata": {"a": "b"}},
        {"meta": {"a": "b"}},
        {"tags": ["a"]},
        {"reboot": {"type": "SOFT"}},
        {"rebuild": {"imageRef": IMAGE, "name": "r", "metadata": {"a": "b"}, "key_name": None}},
        {"os-getConsoleOutput": {"length": 1}},
        {"addSecurityGroup": {"name": "g"}},
        {"lock": {"locked_reason": "r"}},
        {"resize": {"flavorRef": "2"}},
        {"os-resetState": {"state": "error"}},
        {"status": "disabled", "disabled_reason": "r", "forced_down": True},
        {"extra_specs": {"a": "b"}},
        {"addTenantAccess": {"tenant": "t"}},
    ]
    return [_spoil(dice, dice.choice(good)) for _ in range(40)] + [dice.choice(_ODD)]


def _spoil(dice: random.Random, value: Any) -> Any:
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(sorted(value))
        return {**value, key: _spoil(dice, value[key])}
    if isinstance(value, list) and value and dice.random() < 0.7:
        return [_spoil(dice, value[0]), *value[1:]]
    return dice.choice(_ODD)


@pytest.mark.parametrize("seed", [4, 7, 12])
def test_odd_requests(tmp_path: Path, seed: int) -> None:
    async def story(api: Cloud) -> None:
        host = await api.host()
        await api.a_network()
        server_id = (await api.boot(host))["id"]
        dice = random.Random(seed)
        admin = api.as_("admin")
        path_values = {
            "id": [server_id, "1", "%00", "x y", IMAGE, "9" * 40],
            "key": ["a", "%2F", "é"],
            "tag": ["a", "x" * 70],
            "project_id": ["p", "x" * 300],
            "name": ["k", "%FF"],
        }
        asked = 0
        for route in api.compute.service.routes:
            for _ in range(3 if route.method in ("GET", "DELETE") else 8):
                path = route.path.removeprefix("/v2.1")
                for parameter in [part[1:-1] for part in path.split("/") if part.startswith("{")]:
                    chosen = dice.choice(path_values.get(parameter, ["x", IMAGE]))
                    path = path.replace("{" + parameter + "}", chosen)
                chosen_names = dice.sample(_PARAMETERS, 3)
                query = "&".join(f"{name}={dice.choice(_TEXTS)}" for name in chosen_names)
                body = dice.choice(_bodies(dice)) if route.method in ("POST", "PUT") else None
                version = f"2.{dice.choice((1, 10, 37, 60, 75, 96))}"
                answer = await admin.at(version)(route.method, f"{path}?{query}", body)
                asked += 1
                assert answer.status < 500 or answer.status == 501, (
                    route,
                    path,
                    query,
                    version,
                    body,
                    answer,
                )
        assert asked > 300

    tell(story, tmp_path)
