"""What came out, for the terminal and for the document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.figures import Figure, Goal, Result

PLACES = ("goals", "figures")
"""The parts of the document that are generated, each between a C{begin} and an C{end} mark."""


@dataclass(frozen=True, slots=True)
class Record:
    """
    A case as it is kept.

    @ivar title: what was measured.
    @ivar date: when, as in C{2026-01-31}.
    @ivar rounds: how often.
    @ivar machine: where, by L{bench.machine.describe}.
    """

    title: str
    date: str
    rounds: int
    machine: Mapping[str, str]
    result: Result

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a file."""
        about = {"title": self.title, "date": self.date, "rounds": self.rounds}
        return {**about, "machine": dict(self.machine), **self.result.to_json()}

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Record:
        """What L{to_json} has made."""
        about = (kept["title"], kept["date"], kept["rounds"], kept["machine"])
        return cls(*about, Result.from_json(kept))


def number(value: float) -> str:
    """Three digits that count, and no more."""
    if value and abs(value) < 100:
        return f"{value:.3g}" if abs(value) >= 0.001 else f"{value:.1e}"
    return f"{value:,.0f}"


def figure_row(figure: Figure) -> list[str]:
    """Label, median with unit, spread."""
    spread = f"{number(min(figure.values))}–{number(max(figure.values))}"
    return [figure.label, f"{number(figure.median)} {figure.unit}", spread]


def goal_row(goal: Goal) -> list[str]:
    """Number, text, the goal, what was reached, its spread, and whether that is enough."""
    unit = goal.unit if goal.unit == "×" else f" {goal.unit}"
    return [
        str(goal.number) if goal.number else "–",
        goal.text,
        f"{goal.sense} {number(goal.limit)}{unit}",
        f"{number(goal.value)}{unit}",
        f"{number(goal.low)}–{number(goal.high)}",
        "met" if goal.met else "**missed**",
    ]


GOAL_HEAD = ["", "goal", "", "measured", "spread", ""]
FIGURE_HEAD = ["", "median", "spread"]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [
        f"| {' | '.join(cells)} |".replace("|  |", "| |")
        for cells in (head, ["---"] * len(head), *rows)
    ]


def plain(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table for a terminal."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def terminal(record: Record) -> list[str]:
    """All that is to be said of one case."""
    lines = ["", record.title]
    lines += [f"  {line}" for line in plain([figure_row(f) for f in record.result.figures])]
    lines += [f"  left out: {sentence}" for sentence in record.result.left_out]
    goals = [[cell.replace("*", "") for cell in goal_row(goal)] for goal in record.result.goals]
    lines += [f"  {line}" for line in plain(goals)] if goals else []
    return lines


def goals(records: Iterable[Record]) -> list[str]:
    """The table of all goals."""
    return table(GOAL_HEAD, (goal_row(goal) for record in records for goal in record.result.goals))


def figures(records: Mapping[str, Record]) -> list[str]:
    """A section for each case, and a list of the machines."""
    machines: list[Mapping[str, str]] = []
    lines: list[str] = []
    for name, record in records.items():
        if record.machine not in machines:
            machines.append(record.machine)
        mark = chr(ord("A") + machines.index(record.machine))
        lines += [f"### {record.title} (`{name}`)", ""]
        lines += table(FIGURE_HEAD, map(figure_row, record.result.figures))
        lines.append("")
        for sentence in record.result.left_out:
            lines += [f"Left out: {sentence}.", ""]
        rounds = "1 round" if record.rounds == 1 else f"{record.rounds} rounds"
        lines += [f"{record.date}, {rounds}, machine {mark}.", ""]
    for place, machine in enumerate(machines):
        told = ", ".join(f"{key} {value}" for key, value in machine.items())
        lines += [f"Machine {chr(ord('A') + place)}: {told}.", ""]
    return lines[:-1]


def rendered(document: str, records: Mapping[str, Record]) -> str:
    """
    The document with its generated parts made anew; what is written by hand stays as it is.

    @raise ValueError: the marks of a part are not there.
    """
    parts = {"goals": goals(records.values()), "figures": figures(records)}
    for place in PLACES:
        begin, end = f"<!-- begin {place} -->", f"<!-- end {place} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        if len(pattern.findall(document)) != 1:
            raise ValueError(f"The document has no place for {place}: {begin} … {end}.")
        text = "\n".join((begin, "", *parts[place], "", end))
        document = pattern.sub(text.replace("\\", r"\\"), document)
    return document
