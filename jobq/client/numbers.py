"""The numbers of queues and job functions: by the minute for a day, by the hour for 30 days."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import Final, Literal

from jobq.core.tally import MOST_JOBS, OTHERS, Counts, Tally, add, tally_of
from jobq.errors import StoreError
from jobq.store.ops import inspect, numbers, upkeep
from jobq.store.ops.numbers import Fresh
from jobq.store.sync import Store
from jobq.store.wire import Answers, AnyOp

#: How many minutes and hours are kept.
MINUTES: Final = 24 * 60
HOURS: Final = 30 * 24

#: Ops in one trip, and how often what moves meanwhile is read anew.
_MOST: Final = 500
_TRIES: Final = 5

#: What was counted in a minute or an hour, numbered since 1970, of a job function.
_Series = dict[tuple[int, str], Counts]

Step = Literal["minute", "hour"]

#: What points can be told apart by.
Kind = Literal["at", "queue", "job"]
KINDS: Final[tuple[Kind, ...]] = ("at", "queue", "job")


@dataclass(frozen=True, slots=True)
class Point:
    """What was counted of a job function in a minute or an hour.

    Attributes:
        at: when that began; None: all minutes or hours are added up.
        queue: of the queue; None: all are.
        job: the job function; ``*``: those that have no numbers of their own; None: all are.
        tally: what was counted.
    """

    at: datetime | None
    queue: str | None
    job: str | None
    tally: Tally


class Numbers:
    """Reads the numbers that workers and producers keep in Redis.

    Args:
        store: where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store: Store = store

    def series(
        self,
        queue: str | None = None,
        job: str | None = None,
        *,
        since: datetime,
        step: Step = "minute",
    ) -> list[Point]:
        """Return what was counted since a moment, the oldest first; nothing where it is zero.

        Args:
            queue: of this queue; None: of all.
            job: of this job function; None: of each.
            since: minutes are kept for a day, hours for 30 days.
            step: how finely.
        """
        return self.grouped(queue, job, since=since, step=step)

    def grouped(
        self,
        queue: str | None = None,
        job: str | None = None,
        *,
        since: datetime,
        step: Step = "minute",
        by: Collection[Kind] = KINDS,
    ) -> list[Point]:
        """Return what was counted since a moment, added up. See `series`.

        Args:
            queue: of this queue; None: of all.
            job: of this job function; None: of each.
            since: minutes are kept for a day, hours for 30 days.
            step: how finely.
            by: what is told apart; the rest is added up.
        """
        length = 60 if step == "minute" else 3600
        first = max(0, int(since.timestamp())) // length
        sums: dict[tuple[int | None, str | None, str | None], Counts] = {}
        for name in self._queues() if queue is None else [queue]:
            for (at, function), counts in self._series(name, job, first, step).items():
                key = (
                    at if "at" in by else None,
                    name if "queue" in by else None,
                    function if "job" in by else None,
                )
                add(sums.setdefault(key, {}), counts)
        points = [
            Point(None if at is None else _moment(at, length), name, function, tally_of(counts))
            for (at, name, function), counts in sums.items()
        ]
        first_of_all = datetime.min.replace(tzinfo=UTC)
        return sorted(
            points, key=lambda one: (one.at or first_of_all, one.queue or "", one.job or "")
        )

    def recent(self, queue: str, minutes: int, now_ms: int) -> Tally:
        """Return what was counted of a queue in its last whole minutes, and in the one that runs.

        Args:
            minutes: how many whole ones, at most 60.
            now_ms: Redis time in ms.
        """
        last = now_ms // 60_000
        counts: Counts = {}
        for more in self._minutes(queue, None, last - minutes, last).values():
            add(counts, more)
        return tally_of(counts)

    def totals(self, queues: Sequence[str] | None = None) -> dict[tuple[str, str], Tally]:
        """Return what was counted since ever, by queue and job function; it only ever rises.

        Args:
            queues: of these; None: of all.
        """
        found: dict[tuple[str, str], Tally] = {}
        for queue in self._queues() if queues is None else queues:
            rows, fresh = self._totals(queue)
            for one in fresh.counts:
                add(rows.setdefault(one.job, {}), {one.key: one.value})
            found |= {(queue, job): tally_of(counts) for job, counts in rows.items()}
        return found

    def _queues(self) -> list[str]:
        return self._store.run(inspect.queues())

    def _totals(self, queue: str) -> tuple[dict[str, Counts], Fresh]:
        """Read the totals in rows, and what is in none; read anew if some moves meanwhile."""
        rows: dict[str, Counts] = {}
        fresh = Fresh((), 0)
        for _ in range(_TRIES):
            ops: list[AnyOp] = [numbers.fresh(queue), numbers.totals(queue), numbers.moved(queue)]
            fresh, rows, moved = self._read(ops, (Fresh((), 0), {}, 0))
            if fresh.moved == moved:
                break
        return rows, _in_rows(fresh, rows)

    def _series(self, queue: str, job: str | None, first: int, step: Step) -> _Series:
        now_ms = self._store.run(upkeep.time_ms())
        if step == "minute":
            last = int(now_ms // 60_000)
            return self._minutes(queue, job, max(first, last - MINUTES), last)
        last = int(now_ms // 3_600_000)
        return self._hours(queue, job, max(first, last - HOURS), last)

    def _minutes(self, queue: str, job: str | None, first: int, last: int) -> _Series:
        """Read the minutes from one to another: all of most hours, some of the first and last."""

        def ops(name: str) -> list[AnyOp]:
            found: list[AnyOp] = []
            for hour in range(first // 60, last // 60 + 1):
                some = range(max(first, hour * 60), min(last, hour * 60 + 59) + 1)
                whole = numbers.minutes(queue, hour, name)
                short = numbers.some_minutes(queue, hour, name, some)
                found.append(whole if len(some) > 30 else short)
            return found

        return self._rows(queue, job, ops, first, 1)

    def _hours(self, queue: str, job: str | None, first: int, last: int) -> _Series:
        def ops(name: str) -> list[AnyOp]:
            return [numbers.hours(queue, day, name) for day in range(first // 24, last // 24 + 1)]

        return self._rows(queue, job, ops, first, 60)

    def _rows(
        self,
        queue: str,
        job: str | None,
        ops: Callable[[str], list[AnyOp]],
        first: int,
        length: int,
    ) -> _Series:
        """Read rows and add what is in none; read anew if some moves meanwhile.

        Args:
            ops: gives those that read the rows of a job function.
            first: the number of the first row.
            length: minutes of each row.
        """
        found: _Series = {}
        for _ in range(_TRIES):
            rows, fresh = self._totals(queue)
            names = sorted(rows) if job is None else [job]
            asked = [(name, op) for name in names for op in ops(name)]
            found = defaultdict(dict)
            for (name, _op), answer in zip(asked, self._read_all(asked), strict=True):
                for at, counts in answer.items():
                    if at >= first:
                        add(found[at, name], counts)
            for one in fresh.counts:
                if one.minute // length >= first and job in {None, one.job}:
                    add(found[one.minute // length, one.job], {one.key: one.value})
            if self._read([numbers.moved(queue)], (0,))[0] == fresh.moved:
                break
        return found

    def _read_all(self, asked: Sequence[tuple[str, AnyOp]]) -> Answers:
        answers: Answers = []
        for at in range(0, len(asked), _MOST):
            some = [op for _, op in asked[at : at + _MOST]]
            empty: list[dict[int, Counts]] = [{} for _ in some]
            answers += self._read(some, empty)
        return answers

    def _read(self, ops: Sequence[AnyOp], nothing: Sequence[object]) -> Answers:
        """Run ops in one trip; where a stranger has put another type there is nothing."""
        answers = self._store.exchange(ops)
        for at, answer in enumerate(answers):
            if isinstance(answer, StoreError):
                if answer.code != "WRONGTYPE":
                    raise answer
                answers[at] = nothing[at]
        return answers


def _moment(number: int, length: int) -> datetime:
    return datetime.fromtimestamp(number * length, UTC)


def _in_rows(fresh: Fresh, rows: dict[str, Counts]) -> Fresh:
    """Return numbers by the job function in whose rows they will be: those that come first."""
    new = {one.job for one in fresh.counts} - rows.keys() - {OTHERS}
    room = max(0, MOST_JOBS - len(rows))
    if len(new) <= room:
        return fresh
    first = dict.fromkeys(one.job for one in sorted(fresh.counts) if one.job in new)
    known = {*rows, *islice(first, room)}
    counts = (one if one.job in known else one._replace(job=OTHERS) for one in fresh.counts)
    return replace(fresh, counts=tuple(counts))
