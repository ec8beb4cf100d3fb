"""Rows of figures, printed as a Markdown table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Row:
    """One figure: what, in which unit, how it stands to the peer (Neutron 29 with Keystone 30 on such a
    machine) and to the goal of the design. ``gate`` marks a goal that must be reached."""

    what: str
    value: float
    unit: str
    peer: float | None = None
    goal: float | None = None
    gate: bool = False
    more_is_better: bool = False
    floor: float | None = None

    def cells(self) -> list[str]:
        def number(value: float | None) -> str:
            if value is None:
                return ""
            return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"

        better = ""
        if self.peer and self.value:
            ratio = self.value / self.peer if self.more_is_better else self.peer / self.value
            better = f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.1f}"
        verdict = ""
        if self.goal is not None:
            reached = self.value >= self.goal if self.more_is_better else self.value <= self.goal
            verdict = "reached" if reached else "**missed**"
        over_floor = f"{self.value / self.floor:.1f}" if self.floor else ""
        goal = number(self.goal)
        return [
            self.what,
            f"{number(self.value)} {self.unit}",
            number(self.peer),
            better,
            f"**{goal}**" if self.gate else goal,
            verdict,
            number(self.floor),
            over_floor,
        ]


HEADINGS = ["what", "Pileus", "peer", "times better", "goal", "", "floor", "times the floor"]


def markdown(rows: list[Row]) -> str:
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join(lines)
