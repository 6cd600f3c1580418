"""The numbers of `jobq bench`: what each one is, its budget, and the median of its rounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the bench.

    Attributes:
        name: what it is called, in JSON too.
        what: what it is, in words.
        unit: of the value and of that of the bare loop.
        budget: what the ratio, or the value, is to reach or not to exceed.
        of: which of the two the budget is for.
        more_is_better: whether the budget is to be reached.
    """

    name: str
    what: str
    unit: str
    budget: float
    of: Literal["ratio", "value"] = "ratio"
    more_is_better: bool = True


@dataclass(frozen=True, slots=True)
class Pair:
    """What one round came to: jobq, and the bare loop beside it."""

    value: float
    bare: float


@dataclass(frozen=True, slots=True)
class Number:
    """What all rounds of a measure came to.

    Attributes:
        measure: what was measured.
        value: of jobq, the median.
        bare: of the bare loop, the median.
        ratio: the median of the ratios of the rounds: what disturbs a round disturbs both.
    """

    measure: Measure
    value: float
    bare: float
    ratio: float

    @property
    def met(self) -> bool:
        """Whether the budget is met."""
        return self.short_by <= 0

    @property
    def short_by(self) -> float:
        """By which part of the budget it falls short; not above 0: it does not."""
        measure = self.measure
        reached = self.ratio if measure.of == "ratio" else self.value
        missing = measure.budget - reached if measure.more_is_better else reached - measure.budget
        return missing / measure.budget


#: The budgets of the project's design, in the order in which they are shown.
MEASURES: Final = {
    measure.name: measure
    for measure in (
        Measure("delay", "delay(), one by one", "jobs/s", 1.3),
        Measure("adelay", "adelay(), 50 at once", "jobs/s", 5),
        Measure("map", "map()", "jobs/s", 0.6),
        Measure("drain", "a worker, no-ops", "jobs/s", 0.5),
        Measure("drain_results", "the same, results kept", "jobs/s", 0.5),
        Measure("async_sleep", "async 10 ms, 100 at once", "jobs/s", 0.9),
        Measure("pickup", "from delay() to the start", "ms", 1.5, more_is_better=False),
        Measure(
            "redis_cpu", "CPU of Redis, whole life", "us/job", 12, "value", more_is_better=False
        ),
        Measure(
            "bytes_per_job", "memory of a waiting job", "bytes", 200, "value", more_is_better=False
        ),
    )
}


def numbers(rounds: Sequence[Mapping[str, Pair]]) -> list[Number]:
    """Return the medians of all rounds, in the order of `MEASURES`."""
    found = []
    for name, measure in MEASURES.items():
        pairs = [one[name] for one in rounds]
        found.append(
            Number(
                measure,
                value=median(pair.value for pair in pairs),
                bare=median(pair.bare for pair in pairs),
                ratio=median(pair.value / pair.bare for pair in pairs),
            )
        )
    return found
