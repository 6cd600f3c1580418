"""What `jobq bench` measures: one round, in which jobq stands beside the bare loops."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import sleep
from typing import Final, TypeVar

import click

from jobq.cli.bench_app import SOMEBODY
from jobq.cli.bench_async_app import NAP
from jobq.cli.bench_gate import PATIENCE
from jobq.cli.bench_lab import Lab
from jobq.cli.bench_numbers import Pair
from jobq.cli.bench_sides import BareSide, Crew, JobqSide, NapCrew, Side
from jobq.store.bare.server import cpu_seconds, facts

T = TypeVar("T")

#: Jobs in a second that an async worker could do at most: its default concurrency over their time.
IDEAL_NAPS: Final = 100 / NAP

#: Seconds between two looks whether a queue is empty; each costs Redis some 30 us.
_LOOK: Final = 0.005

#: Seconds after a job within which its worker has settled it and waits for the next.
_REST: Final = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How many jobs each measure of a round takes."""

    delay: int
    adelay: int
    map: int
    drain: int
    naps: int
    pickups: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a bulk enqueue came to: jobs a second, and bytes of Redis a job."""

    rate: float
    size: float


@dataclass(frozen=True, slots=True)
class Drained:
    """What a drain came to: jobs a second, and microseconds of Redis's CPU a job, in all."""

    rate: float
    cpu: float


class Round:
    """Measures everything once.

    Args:
        lab: where.
        sizes: how many jobs.
        bare_first: which of each pair goes first; it should change from round to round.
    """

    def __init__(self, lab: Lab, sizes: Sizes, *, bare_first: bool) -> None:
        self._lab = lab
        self._sizes = sizes
        self._bare_first = bare_first
        self._jobq = JobqSide(lab)
        self._bare = BareSide(lab)

    def run(self) -> dict[str, Pair]:
        """Return what each measure came to, by its name."""
        mapped, bare_mapped = self._both(self._map)
        drained, bare_drained = self._both(lambda side: self._drain(side, self._sizes.drain))
        return {
            "delay": Pair(*self._both(self._delay)),
            "adelay": Pair(*self._both(self._adelay)),
            "map": Pair(mapped.rate, bare_mapped.rate),
            "drain": Pair(drained.rate, bare_drained.rate),
            "drain_results": Pair(*self._both(self._drain_results)),
            "async_sleep": Pair(self._naps(), IDEAL_NAPS),
            "pickup": self._pickups(),
            "redis_cpu": Pair(drained.cpu, bare_drained.cpu),
            "bytes_per_job": Pair(mapped.size, bare_mapped.size),
        }

    def _both(self, measure: Callable[[Side], T]) -> tuple[T, T]:
        """Measure jobq and the bare loop, in the order of this round."""
        if self._bare_first:
            bare = measure(self._bare)
            return measure(self._jobq), bare
        return measure(self._jobq), measure(self._bare)

    def _delay(self, side: Side) -> float:
        calls = _calls(self._sizes.delay)
        began = self._lab.clock.monotonic()
        side.one_by_one(calls)
        took = self._lab.clock.monotonic() - began
        side.forget()
        return len(calls) / took

    def _adelay(self, side: Side) -> float:
        took = side.at_once(_calls(self._sizes.adelay))
        side.forget()
        return self._sizes.adelay / took

    def _map(self, side: Side) -> Mapped:
        calls = _calls(self._sizes.map)
        before = self._memory()
        began = self._lab.clock.monotonic()
        side.in_bulk(calls)
        took = self._lab.clock.monotonic() - began
        size = self._memory() - before
        side.forget()
        return Mapped(len(calls) / took, size / len(calls))

    def _drain_results(self, side: Side) -> float:
        return self._drain(side, self._sizes.drain, stored=True).rate

    def _naps(self) -> float:
        return self._drain(NapCrew(self._lab), self._sizes.naps).rate

    def _drain(self, crew: Crew, count: int, *, stored: bool = False) -> Drained:
        """Hold a worker up, fill its queue, and let it go."""
        lab, path = self._lab, self._lab.gate.path
        crew.hold(path)
        with lab.gate.visitor(crew.check) as holder:
            before = lab.store.run(cpu_seconds())
            crew.many(count, stored=stored)
            crew.mark(path)
            holder.let_go()
            began = holder.moment()
        with lab.gate.visitor(crew.check) as marker:
            ended = marker.moment()
        self._until(lambda: not crew.left(), "the last jobs of the bench are finished")
        cpu = lab.store.run(cpu_seconds()) - before
        return Drained(count / (ended - began), cpu * 1e6 / count)

    def _pickups(self) -> Pair:
        """Hand over one job at a time, by turns: each worker rests while the other one works."""
        both = [self._both(self._pickup) for _ in range(self._sizes.pickups)]
        return Pair(median(ours for ours, _ in both), median(bare for _, bare in both))

    def _pickup(self, side: Side) -> float:
        sleep(_REST)
        sent = self._lab.clock.monotonic()
        side.mark(self._lab.gate.path)
        with self._lab.gate.visitor(side.check) as marker:
            return (marker.moment() - sent) * 1000

    def _memory(self) -> int:
        """Return the bytes that Redis uses, when it has freed what was removed before."""
        self._until(lambda: not self._lab.store.run(facts()).freeing, "Redis has freed its memory")
        return self._lab.store.run(facts()).used

    def _until(self, fact: Callable[[], bool], what: str) -> None:
        deadline = self._lab.clock.monotonic() + PATIENCE
        while not fact():
            if self._lab.clock.monotonic() > deadline:
                raise click.ClickException(f"waited {PATIENCE:g} s in vain until {what}")
            sleep(_LOOK)


def _calls(count: int) -> list[tuple[int, str]]:
    return [(number, SOMEBODY) for number in range(count)]
