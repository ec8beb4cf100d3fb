"""Actions that are not here: what Nova refuses is refused first, in its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.compute.cloud import P1, PEOPLE, Cloud, tell

from pileus.core.context import Context


def test_what_is_wrong_comes_before_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = Context(
        now=PEOPLE["alice"].now, user_id="u7", project_id=P1, roles=("manager", "member", "reader")
    )
    monkeypatch.setitem(PEOPLE, "manager", manager)

    async def story(api: Cloud) -> None:
        host = await api.host()
        server_id = (await api.boot(host, networks="none"))["id"]
        live = {"block_migration": "auto", "host": None}
        cases: list[tuple[str, Any, str, str, int]] = [
            ("migrate", None, "alice", "", 403),
            ("migrate", {"host": "h1"}, "manager", "", 403),
            ("migrate", {"colour": "blue"}, "admin", "", 400),
            ("os-migrateLive", live, "manager", "", 501),
            ("os-migrateLive", {**live, "host": "h1"}, "manager", "", 403),
            ("os-migrateLive", live, "alice", "", 403),
            ("os-migrateLive", {"host": None}, "admin", "", 400),
            ("os-migrateLive", {**live, "force": True}, "admin", "2.67", 501),
            ("os-migrateLive", {**live, "force": True}, "admin", "2.68", 400),
            ("evacuate", {"host": "h1"}, "manager", "", 403),
            ("evacuate", {}, "admin", "2.13", 400),
        ]
        for verb, argument, person, version, status in cases:
            answer = await api.as_(person, version or None).act(server_id, verb, argument)
            assert answer.status == status, (verb, argument, person, answer)

    tell(story, tmp_path)
