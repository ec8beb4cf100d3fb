"""``pileus agents``: the table, and what agents say of themselves for it."""

from __future__ import annotations

from typing import Any

from pileus.app.commands.agents import describe, render


def _agent(**differing: Any) -> dict[str, Any]:
    passes = {
        "behind": 2,
        "passes": 7,
        "last_pass_at": "2026-11-27 04:00:00",
        "last_pass_s": 0.0125,
        "error": None,
    }
    return {
        "host": "node1",
        "agent_type": "DHCP agent",
        "alive": True,
        "admin_state_up": True,
        "configurations": {"networks": 2, "ports": 5, "failed": 0, "reconciliation": passes},
        **differing,
    }


def test_a_line_says_what_an_agent_serves_and_how_far_it_is() -> None:
    old = _agent(host="node2", alive=False, admin_state_up=False, configurations={"networks": 1})
    failing = _agent(agent_type="L3 agent")
    failing["configurations"]["reconciliation"]["error"] = "no bridge"
    lines = render([_agent(), failing, old]).splitlines()
    assert [line.split()[0] for line in lines] == ["host", "node1", "node1", "no", "node2"]
    assert "2 networks, 5 ports" in lines[1]
    assert lines[1].split()[-5:] == ["2", "2026-11-27", "04:00:00", "0.013s", "7"]
    assert lines[3].strip() == "no bridge"
    assert "down, disabled" in lines[4]
    assert lines[4].split()[-4:] == ["-", "-", "-", "-"]
    assert describe(_agent())["serves"] == {"networks": 2, "ports": 5, "failed": 0}
