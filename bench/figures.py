"""What was measured: samples of rounds, the figures they make, and the goals they are held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal, NamedTuple

Sense = Literal["at most", "at least"]


class Sample(NamedTuple):
    """One measurement of one round."""

    label: str
    unit: str
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """
    The measurements of one thing, one a round.

    @ivar label: what was measured.
    @ivar unit: as in C{s}, C{MiB/s}, C{files/s}.
    @ivar values: never empty.
    """

    label: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)


class Figures:
    """The figures of one case, in the order in which they came first."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self._units: dict[str, str] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        """Add what a round has brought."""
        for label, unit, value in samples:
            self._values.setdefault(label, []).append(value)
            self._units[label] = unit

    def __contains__(self, label: str) -> bool:
        return label in self._values

    def __getitem__(self, label: str) -> Figure:
        return Figure(label, self._units[label], tuple(self._values[label]))

    def all(self, order: Sequence[str] = ()) -> list[Figure]:
        """
        All of them.

        @param order: labels that come first, those of them that there are.
        """
        first = [label for label in order if label in self]
        return [self[label] for label in [*first, *(x for x in self._values if x not in first)]]


@dataclass(frozen=True, slots=True)
class Goal:
    """
    A figure, or a ratio of two, beside what it should be.

    @ivar number: of the goal in the list that the document opens with; 0 for what is told only.
    @ivar value: of the medians; C{low} and C{high} are the least and greatest of one round.
    @ivar unit: C{×} for a ratio.
    """

    number: int
    text: str
    value: float
    low: float
    high: float
    unit: str
    sense: Sense
    limit: float

    @property
    def met(self) -> bool:
        """Whether it is reached."""
        if self.sense == "at most":
            return self.value <= self.limit
        return self.value >= self.limit


def ratio(number: int, text: str, over: Figure, under: Figure, sense: Sense, limit: float) -> Goal:
    """The goal for one figure divided by another; the rounds belong together."""
    each = [a / b for a, b in zip(over.values, under.values, strict=True)]
    return Goal(number, text, over.median / under.median, min(each), max(each), "×", sense, limit)


def absolute(number: int, text: str, figure: Figure, sense: Sense, limit: float) -> Goal:
    """The goal for a figure itself."""
    low, high = min(figure.values), max(figure.values)
    return Goal(number, text, figure.median, low, high, figure.unit, sense, limit)


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a case has brought.

    @ivar left_out: a sentence for each contender that could not take part.
    """

    figures: tuple[Figure, ...]
    goals: tuple[Goal, ...]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a file; numbers to four digits, which is more than they are worth."""
        rounded: dict[str, Any] = _rounded(asdict(self))
        return rounded

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> Result:
        """What L{to_json} has made."""
        return cls(
            tuple(Figure(f["label"], f["unit"], tuple(f["values"])) for f in kept["figures"]),
            tuple(Goal(**goal) for goal in kept["goals"]),
            tuple(kept["left_out"]),
        )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
