"""Looking at and managing queues, jobs and workers: what most commands are made of.

Guarantees:
    * each read takes the same time, whatever the size of a queue; KEYS is never used.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from time import sleep
from typing import Final, TypeVar

from jobq.client.finding import find_job
from jobq.client.late import SNAPSHOT, load
from jobq.client.rows import (
    JobRow,
    QueueRow,
    job_row,
    moment,
    pause_row,
)
from jobq.client.worker_rows import WorkerRow, worker_row
from jobq.core.clock import Clock, SystemClock
from jobq.core.codec import Codec
from jobq.core.job import JobState
from jobq.core.pauses import pausing
from jobq.core.reports import Progress
from jobq.store.ops import control, inspect, manage, pause, reports, upkeep
from jobq.store.ops.control import Command
from jobq.store.ops.inspect import Seen
from jobq.store.sync import Store

#: Seconds between two looks at what was asked for.
_LOOK_EVERY: Final = 0.1

_WAITING: Final = frozenset((JobState.DELAYED, JobState.READY, JobState.RETRYING))

T = TypeVar("T")


class Desk:
    """What a person does with queues, jobs and workers; for dead letters see `jobq.client.letters`.

    Args:
        store: the Redis.
        codec: reads arguments and results; types that are not registered with it stay unread.
        clock: measures how long to wait for what was asked for.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock = SystemClock(),
    ) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock

    def now(self) -> datetime:
        """Return the time of Redis: the clock of all times that the desk tells."""
        return moment(self._store.run(upkeep.time_ms()))

    def queues(self) -> list[QueueRow]:
        """Count the jobs of every queue that was ever used, by name."""
        rows: list[QueueRow] = load(SNAPSHOT).queue_rows(self._store)
        return rows

    def workers(self) -> list[WorkerRow]:
        """List the workers in the register, by name."""
        return [worker_row(one) for one in self._store.run(inspect.workers())]

    def job(self, job_id: str, queue: str | None = None) -> JobRow | None:
        """Look at one job; None when there is none, or it finished and was forgotten.

        Args:
            job_id: its id.
            queue: where it is; None: look into every queue.
        """
        name, seen = self._find(job_id, queue)
        row = job_row(job_id, name, seen, self._codec)
        if row is None or row.state not in _WAITING:
            return row
        job = row.call.name if row.call is not None else None
        found = pausing(self._store.run(pause.read(name)), job or None)
        return row if found is None else replace(row, pause=pause_row(found))

    def progress(self, row: JobRow) -> Progress | None:
        """Return how far a job is; None: it has not said."""
        return self._store.run(reports.progress(row.queue, row.id))

    def cancel(
        self, job_id: str, queue: str | None = None, *, patience: float = 0.0
    ) -> JobRow | None:
        """Cancel a job that waits; have one that runs interrupted.

        Args:
            job_id: its id.
            queue: where it is; None: look into every queue.
            patience: seconds to wait until one that runs has ended.

        Returns:
            The job as it is now: ``cancelled``, ``running`` when it was asked to end and has not
            yet, or the state that keeps it from being cancelled; None when there is no such job.
        """
        name, seen = self._find(job_id, queue)
        if seen.where:
            run = self._store.run
            running = run(manage.cancel(name, job_id)) == manage.IS_RUNNING
            if running:
                run(control.interrupt(name, job_id, run(manage.mark(name, job_id))))
            seen = self._when(
                lambda: run(inspect.look(name, job_id)),
                lambda now: now.state is not JobState.RUNNING,
                patience if running else 0.0,
            )
        return job_row(job_id, name, seen, self._codec)

    def tell(
        self, names: Collection[str], action: str, reached: Collection[str], patience: float
    ) -> dict[str, str | None]:
        """Give a command to workers, and wait until the register shows what came of it.

        Args:
            names: the workers.
            action: a constant of `jobq.store.ops.control`.
            reached: the states that say that a worker has heard it.
            patience: seconds to wait.

        Returns:
            For each worker its state now; None: it has left the register.
        """
        for name in names:
            self._store.run(control.send(Command(action, name)))
        return self._when(
            lambda: self._states(names),
            lambda now: all(state is None or state in reached for state in now.values()),
            patience,
        )

    # how it is done

    def _names(self, queue: str | None) -> list[str]:
        return self._store.run(inspect.queues()) if queue is None else [queue]

    def _find(self, job_id: str, queue: str | None) -> tuple[str, Seen]:
        return find_job(self._store, job_id, self._names(queue))

    def _states(self, names: Collection[str]) -> dict[str, str | None]:
        states = {one.name: one.state for one in self.workers()}
        return {name: states.get(name) for name in names}

    def _when(self, look: Callable[[], T], done: Callable[[T], bool], patience: float) -> T:
        """Look until it is done, or for so many seconds; return what was seen last."""
        until = self._clock.monotonic() + patience
        while True:
            seen = look()
            left = until - self._clock.monotonic()
            if left <= 0 or done(seen):
                return seen
            sleep(min(left, _LOOK_EVERY))
