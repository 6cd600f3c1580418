"""What a doctor thinks of a queue, and of those who work on it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from jobq.core.doctor.finding import Finding, Level, count, some
from jobq.core.duration import show
from jobq.core.pauses import PauseRecord

#: Seconds that jobs may wait where nobody works, before that is bad: a deploy may take as long.
ALONE: Final = 300.0

#: Seconds that a worker may be silent while it holds jobs: some times the lease that is usual.
SILENT: Final = 300.0

#: Seconds that a schedule may be late.
LATE: Final = 60.0

#: Seconds that a pause may last until somebody may have forgotten it.
FORGOTTEN: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Line:
    """A stream of a queue.

    Attributes:
        key: its key.
        length: its entries; some may have finished.
        grouped: it has the consumer group of jobq.
        skipped: of its first entries, those that the group passed over: no worker gets them.
    """

    key: str
    length: int
    grouped: bool
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Holder:
    """A consumer that holds jobs: its name, how many, and seconds since it was heard of."""

    name: str
    jobs: int
    silent: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A schedule: its name, seconds that its next tick is late, and what keeps it from ticking."""

    name: str
    late: float
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A queue as it is.

    Attributes:
        name: the queue.
        waiting: jobs that wait for a worker.
        oldest: seconds that the first of them has waited; None: not known.
        unknown: jobs that no worker knew so far.
        strangers: job functions of jobs that wait, which no live worker of the queue has.
        workers: live workers that read it.
        lines: its streams.
        holders: who holds jobs.
        ticks: its schedules.
        pauses: what of it is paused.
        ahead: seconds that its newest entry is ahead of the clock of Redis.
        now_ms: Redis time.
    """

    name: str
    waiting: int
    oldest: float | None
    unknown: int
    strangers: Collection[str]
    workers: int
    lines: Sequence[Line]
    holders: Sequence[Holder]
    ticks: Sequence[Tick]
    pauses: Sequence[PauseRecord]
    ahead: float
    now_ms: int


def examine(queue: Shape) -> Iterator[Finding]:
    """Go through a queue; one line where all is well."""
    found = [
        one
        for check in (_workers, _names, _groups, _held, _schedules, _pauses, _clock)
        for one in check(queue)
    ]
    yield from found
    if not found:
        read = f"read by {count(queue.workers, 'worker')}" if queue.workers else "no worker needed"
        what = f"{count(queue.waiting, 'job')} waiting, {read}"
        yield Finding("queue", "ok", what, queue=queue.name)


def _workers(queue: Shape) -> Iterator[Finding]:
    if queue.workers or not queue.waiting:
        return
    since = "" if queue.oldest is None else f", the first one for {show(round(queue.oldest))}"
    what = f"{count(queue.waiting, 'job')} waiting{since}, and no live worker reads the queue"
    level: Level = "bad" if (queue.oldest or 0.0) > ALONE else "warning"
    yield Finding("workers", level, what, f"jobq worker --queue {queue.name}", queue.name)


def _names(queue: Shape) -> Iterator[Finding]:
    fix = f"start a worker whose app has them: jobq worker --queue {queue.name}"
    if queue.strangers and queue.workers:
        what = f"no live worker knows {some(sorted(queue.strangers))}, and jobs of that name wait"
        yield Finding("unknown jobs", "warning", what, fix, queue.name)
    elif queue.unknown:
        what = f"{count(queue.unknown, 'job')} put back by workers that do not know them"
        yield Finding("unknown jobs", "warning", what, fix, queue.name)


def _groups(queue: Shape) -> Iterator[Finding]:
    for line in queue.lines:
        # A queue that no worker has ever read has none yet.
        if line.length and not line.grouped and queue.workers:
            what = f"{line.key} has no consumer group, and {line.length:,} in it"
            fix = "wait: its workers make the group anew; if they do not, look at their logs"
            yield Finding("groups", "warning", what, fix, queue.name)
        if line.skipped:
            what = (
                f"{count(line.skipped, 'job')} of {line.key} passed over by its consumer group: "
                "it was made or set to begin after them, and no worker gets them"
            )
            fix = f"stop the workers, XGROUP DESTROY {line.key} jobq, start them"
            yield Finding("groups", "bad", what, fix, queue.name)


def _held(queue: Shape) -> Iterator[Finding]:
    for one in queue.holders:
        if one.silent <= SILENT:
            continue
        what = (
            f"{count(one.jobs, 'job')} held by {one.name}, silent for {show(round(one.silent))}: "
            "its lease has long expired"
        )
        if queue.workers:
            fix = "look at the logs of the workers, which should have taken over"
            yield Finding("leases", "bad", what, fix, queue.name)
        else:
            fix = f"any worker takes over: jobq worker --queue {queue.name}"
            yield Finding("leases", "warning", what, fix, queue.name)


def _schedules(queue: Shape) -> Iterator[Finding]:
    for tick in queue.ticks:
        if tick.problem:
            what = f"schedule {tick.name} does not tick: {tick.problem[:200]}"
            fix = f"jobq schedule show {tick.name}"
            yield Finding("schedules", "bad", what, fix, queue.name)
        elif tick.late > LATE:
            what = f"schedule {tick.name} should have ticked {show(round(tick.late))} ago"
            fix = f"start a worker that reads the queue: jobq worker --queue {queue.name}"
            yield Finding("schedules", "bad", what, fix, queue.name)


def _pauses(queue: Shape) -> Iterator[Finding]:
    for one in queue.pauses:
        lasted = (queue.now_ms - one.since_ms) / 1000
        if one.until_ms is not None or lasted < FORGOTTEN:
            continue
        job = "" if one.job is None else f" --job {one.job}"
        of = "" if one.job is None else f" ({one.job})"
        what = f"paused{of} for {show(round(lasted))}, without an end"
        fix = f"jobq queue resume {queue.name}{job}"
        yield Finding("pauses", "warning", what, fix, queue.name)


def _clock(queue: Shape) -> Iterator[Finding]:
    if queue.ahead > 1.0:
        what = (
            f"its newest job is from {show(round(queue.ahead))} in the future: the clock of Redis "
            "was set back, and jobs wait and expire by it"
        )
        yield Finding(
            "clock", "warning", what, "let the clock of Redis only go forward", queue.name
        )
