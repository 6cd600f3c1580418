"""Looking at and managing what is in Redis: what `jobq dlq` and its siblings are made of.

Guarantees:
    * reads come in pages, whatever the size of a queue; KEYS is never used;
    * what changes the dead letters touches only those that were there when it was decided on:
      a job that dies again meanwhile is left alone.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from heapq import merge
from itertools import islice
from time import sleep
from typing import Final, TypeVar

from jobq.client.finding import find_job
from jobq.client.rows import (
    JobRow,
    LetterRow,
    QueueRow,
    WorkerRow,
    job_row,
    letter_of,
    letter_row,
    moment,
    pause_row,
    worker_row,
)
from jobq.core.clock import Clock, SystemClock
from jobq.core.codec import Codec
from jobq.core.history import History
from jobq.core.job import JobState
from jobq.core.pauses import pausing
from jobq.core.signing import Signer, inner
from jobq.errors import CallTooNew, CallUnreadable, ConfigError
from jobq.store.ops import control, inspect, manage, pause, upkeep
from jobq.store.ops.control import Command
from jobq.store.ops.inspect import DeadEntry, Seen
from jobq.store.sync import Store

#: Dead letters in one read: of some KiB each, rarely of a megabyte.
_PAGE: Final = 100
#: Where many queues are read side by side, each has a smaller page, but at least this one.
_LEAST_PAGE: Final = 10
#: Refusals that are told by name; the rest is counted.
MOST_NAMED: Final = 100

_ALL: Final = "+"

#: Seconds between two looks at what was asked for.
_LOOK_EVERY: Final = 0.1

_WAITING: Final = frozenset((JobState.DELAYED, JobState.READY, JobState.RETRYING))

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Selection:
    """All dead letters of some queues, as they were at one moment.

    Attributes:
        newest: each queue with the entry of its newest letter.
        count: how many there are.
    """

    newest: tuple[tuple[str, str], ...]
    count: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter that cannot be retried, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What came of `Desk.retry` or `Desk.purge`.

    Attributes:
        done: how many dead letters were retried or purged.
        missing: the ids that were asked for and are no dead letters.
        refused: those that cannot be retried, the first hundred of them.
        refusals: how many there are of these.
    """

    done: int
    missing: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    refusals: int = 0


class Desk:
    """Everything that a person does with queues, jobs, dead letters and workers.

    Args:
        store: the Redis.
        codec: reads arguments and results; types that are not registered with it stay unread.
        clock: measures how long to wait for what was asked for.
        signer: checks what is retried, and signs it where that is wanted; None: workers check it.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock = SystemClock(),
        signer: Signer | None = None,
    ) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock
        self._signer = signer

    def now(self) -> datetime:
        """Return the time of Redis: the clock of all times that the desk tells."""
        return moment(self._store.run(upkeep.time_ms()))

    def queues(self) -> list[QueueRow]:
        """Count the jobs of every queue that was ever used, by name."""
        return [self._queue(name) for name in self._names(None)]

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

    def letters(self, queue: str | None = None, limit: int | None = None) -> Iterator[LetterRow]:
        """List dead letters, the newest first, page by page.

        Args:
            queue: only those of this queue; None: of all of them.
            limit: how many at most; None: all.
        """
        names = self._names(queue)
        size = max(_LEAST_PAGE, _PAGE // max(1, len(names)))
        if limit is not None:
            size = max(1, min(size, limit))
        lines = [self._line(name, _ALL, size) for name in names]
        newest_first = merge(*lines, key=lambda pair: _position(pair[1].entry), reverse=True)
        for name, entry in islice(newest_first, limit):
            yield letter_row(name, entry, self._codec)

    def letter(self, job_id: str, queue: str | None = None) -> LetterRow | None:
        """Read the dead letter of a job; None when it has none."""
        found = self._dead(job_id, queue)
        return None if found is None else letter_row(*found, self._codec)

    def select(self, queue: str | None = None) -> Selection:
        """Take note of all dead letters there are, for `retry` or `purge`."""
        newest: list[tuple[str, str]] = []
        count = 0
        for name in self._names(queue):
            first = self._store.run(inspect.letters(name, limit=1))
            if first:
                newest.append((name, first[0].entry))
                count += self._store.run(inspect.count(name)).dead
        return Selection(tuple(newest), count)

    def retry(
        self, which: Selection | Sequence[str], queue: str | None = None, *, resign: bool = False
    ) -> Changes:
        """Bring dead letters back to the end of their queues, with their history.

        Args:
            which: a selection, whose newest letter comes first; or ids of jobs.
            queue: where the ids are; None: look into every queue.
            resign: sign the calls anew, whoever wrote them.

        Raises:
            ConfigError: there is no key to sign with.
        """
        if resign and self._signer is None:
            raise ConfigError("there is no key to sign with: set JOBQ_SIGNING_KEYS, or name --app")
        return self._change(which, queue, partial(self._revive, resign=resign))

    def purge(self, which: Selection | Sequence[str], queue: str | None = None) -> Changes:
        """Remove dead letters for good; the arguments are those of `retry`."""
        return self._change(which, queue, self._purge)

    # how it is done

    def _names(self, queue: str | None) -> list[str]:
        return self._store.run(inspect.queues()) if queue is None else [queue]

    def _queue(self, name: str) -> QueueRow:
        seen = self._store.run(inspect.count(name))
        pauses = self._store.run(pause.read(name))
        oldest = seen.oldest_ms
        return QueueRow(
            name=name,
            ready=seen.ready,
            running=seen.running,
            retrying=seen.retrying,
            unknown=seen.unknown,
            dead=seen.dead,
            put_back=seen.put_back,
            delayed=seen.delayed,
            pauses=tuple(map(pause_row, pauses)),
            oldest=None if oldest is None else max(0, seen.now_ms - oldest) / 1000,
            totals=seen.totals,
        )

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

    def _line(self, queue: str, before: str, size: int) -> Iterator[tuple[str, DeadEntry]]:
        """Walk through the dead letters of a queue, from an entry back to the oldest."""
        while True:
            page = self._store.run(inspect.letters(queue, before=before, limit=size))
            for entry in page:
                yield queue, entry
            if len(page) < size:
                return
            before = "(" + page[-1].entry

    def _dead(self, job_id: str, queue: str | None) -> tuple[str, DeadEntry] | None:
        name, seen = self._find(job_id, queue)
        if seen.state is not JobState.DEAD or not seen.entry:
            return None
        return name, DeadEntry(seen.entry, job_id, seen.call or b"", seen.letter or b"")

    def _change(
        self,
        which: Selection | Sequence[str],
        queue: str | None,
        act: Callable[[str, DeadEntry], bool],
    ) -> Changes:
        done = refusals = 0
        missing: list[str] = []
        refused: list[Refusal] = []
        for job_id, found in self._chosen(which, queue):
            try:
                if found is not None and act(*found):
                    done += 1
                elif not isinstance(which, Selection):
                    missing.append(job_id)
            except CallUnreadable as error:
                refusals += 1
                if refusals <= MOST_NAMED:
                    refused.append(Refusal(job_id, str(error)))
        return Changes(done, tuple(missing), tuple(refused), refusals)

    def _chosen(
        self, which: Selection | Sequence[str], queue: str | None
    ) -> Iterator[tuple[str, tuple[str, DeadEntry] | None]]:
        if isinstance(which, Selection):
            for name, newest in which.newest:
                for found in self._line(name, newest, _PAGE):
                    yield found[1].job_id, found
        else:
            for job_id in dict.fromkeys(which):
                yield job_id, self._dead(job_id, queue)

    def _purge(self, queue: str, entry: DeadEntry) -> bool:
        return self._store.run(manage.purge(queue, entry.job_id, entry.entry))

    def _revive(self, queue: str, entry: DeadEntry, *, resign: bool) -> bool:
        said = letter_of(entry.letter)
        if said is None:
            self._check(entry.call)
        elif not said.readable:
            raise CallUnreadable(said.failure.message or "its call cannot be read")
        history = History() if said is None else said.history.afresh()
        call = self._checked(queue, entry, resign=resign)
        return self._store.run(
            manage.revive(queue, entry.job_id, entry.entry, history.encode(), call)
        )

    def _checked(self, queue: str, entry: DeadEntry, *, resign: bool) -> bytes:
        """Return the call signed anew; nothing if it stays as it is, and workers will take it."""
        if self._signer is None:
            return b""
        if resign:
            return self._signer.sign(queue, entry.job_id, inner(entry.call))
        with suppress(CallTooNew):  # a worker may have the key that is not here
            self._signer.open(queue, entry.job_id.encode(), entry.call)
        return b""

    def _check(self, blob: bytes) -> None:
        with suppress(CallTooNew):  # a worker may know what this program does not
            self._codec.decode_call(inner(blob))


def _position(entry: str) -> tuple[int, int]:
    """Return where an entry stands in time: entries of streams are ``<ms>-<number>``."""
    ms, _, number = entry.partition("-")
    return int(ms), int(number)
