"""The jobs of a queue that wait, chosen by filters: counted, cancelled, or moved to another queue.

Guarantees:
    * jobs that run, and dead letters, are left alone;
    * what is enqueued after the choice was made is left alone;
    * reads come in pages, whatever the size of the queue;
    * a job that is being moved is never lost, whoever dies. It is put aside where it was, added to
      the other queue under its own id, and only then removed; if that is not finished, it comes
      back where it was after a minute.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from jobq.core.clock import Clock, SystemClock
from jobq.core.head import read_head
from jobq.core.ids import is_made_id
from jobq.core.lines import lines_of
from jobq.core.signing import Signer, inner, signed_by
from jobq.errors import CallUnreadable, ConfigError
from jobq.store.ops import enqueue, inspect, manage, move, upkeep
from jobq.store.ops.move import Aside, Waiting
from jobq.store.sync import Store
from jobq.store.wire import Op

T = TypeVar("T")

READY: Final = "ready"
DELAYED: Final = "delayed"
RETRYING: Final = "retrying"
#: The states of jobs that wait.
STATES: Final = (READY, DELAYED, RETRYING)

#: Jobs that are moved together, and seconds within which all three steps of that must be done: far
#: below the time after which what was put aside can start again.
_TOGETHER: Final = 100
_IN_TIME: Final = 30.0

#: Refusals that are told by name; the rest is counted.
_MOST_NAMED: Final = 100

#: A page of jobs that wait.
_Page = list[Waiting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which of the jobs that wait in a queue.

    Attributes:
        queue: the queue.
        before_ms: only those enqueued by then, Redis time in ms.
        job: only those of this job function; None: of all.
        states: only those in these states.
    """

    queue: str
    before_ms: int
    job: str | None = None
    states: frozenset[str] = frozenset(STATES)


@dataclass(frozen=True, slots=True)
class Moved:
    """What came of a move.

    Attributes:
        done: how many jobs were moved.
        refused: id of a job that stays where it is, and why; the first hundred of them.
        refusals: how many there are of these.
    """

    done: int
    refused: tuple[tuple[str, str], ...] = ()
    refusals: int = 0


class Sweep:
    """Goes through the jobs of queues that wait.

    Args:
        store: the Redis.
        signer: signs what is moved; None: nothing is signed.
        clock: measures how long a move takes.
    """

    def __init__(self, store: Store, signer: Signer | None, clock: Clock = SystemClock()) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock

    def choose(
        self,
        queue: str,
        *,
        job: str | None = None,
        states: Sequence[str] = STATES,
        older: float = 0.0,
    ) -> Choice:
        """Choose jobs of a queue, of those that are there now.

        Args:
            job: the name of a job function.
            states: of `STATES`.
            older: seconds since they were enqueued, at least.
        """
        # No worker may ever have looked at it, or its groups may be lost: then nothing is listed.
        self._store.run(upkeep.regroup(queue))
        before = self._store.run(upkeep.time_ms()) - int(older * 1000)
        return Choice(queue=queue, before_ms=before, job=job, states=frozenset(states))

    def count(self, choice: Choice) -> int:
        """Count the chosen jobs."""
        return sum(map(len, self._pages(choice)))

    def purge(self, choice: Choice) -> int:
        """Cancel the chosen jobs, as far as they wait still; the answer is how many did."""
        done = 0
        for page in self._pages(choice):
            ops = (manage.cancel(choice.queue, one.job_id, running=False) for one in page)
            done += sum(said == manage.CANCELLED_IT for said in self._store.run_each(ops))
        return done

    def move(self, choice: Choice, to: str) -> Moved:
        """Move the chosen jobs to another queue, as far as they wait still.

        Raises:
            ConfigError: one is signed, and there is no key to sign it with for the other queue.
        """
        run = self._store.run
        run(upkeep.regroup(to))
        run(enqueue.register_queue(to))
        done = refusals = 0
        refused: list[tuple[str, str]] = []
        for page in self._pages(choice):
            left = iter(page)
            while some := list(islice(left, _TOGETHER)):
                good, bad = self._check(choice.queue, some)
                moved, others = self._move(choice.queue, to, good)
                done += moved
                bad += others
                refusals += len(bad)
                refused += bad[: _MOST_NAMED - len(refused)]
        return Moved(done, tuple(refused), refusals)

    # how it is done

    def _pages(self, choice: Choice) -> Iterator[_Page]:
        queue = choice.queue
        if READY in choice.states:
            for line in lines_of(queue):
                yield from self._chosen(choice, self._walk(_ready(line)))
        if choice.states & {READY, RETRYING}:
            yield from self._chosen(choice, self._parked(choice))
        if DELAYED in choice.states:
            yield from self._chosen(choice, self._walk(_delayed(queue)))

    def _walk(self, op: Callable[[str], Op[tuple[list[T], str]]]) -> Iterator[list[T]]:
        after = ""
        while True:
            page, after = self._store.run(op(after))
            yield page
            if not after:
                return

    def _parked(self, choice: Choice) -> Iterator[_Page]:
        for page in self._walk(lambda after: move.parked(choice.queue, after=after)):
            found = (
                move.waiting_of(one)
                for one in page
                if (RETRYING if one.count else READY) in choice.states
            )
            yield [one for one in found if one is not None]

    def _chosen(self, choice: Choice, pages: Iterator[_Page]) -> Iterator[_Page]:
        for page in pages:
            found = [one for one in page if one.enqueued_ms <= choice.before_ms]
            if choice.job is not None:
                found = [one for one in found if read_head(one.call).name == choice.job]
            yield found

    def _check(self, queue: str, jobs: _Page) -> tuple[_Page, list[tuple[str, str]]]:
        """Leave what is not signed by who has the key where it is: it would be after the move."""
        good: _Page = []
        bad: list[tuple[str, str]] = []
        for one in jobs:
            if self._signer is None:
                if signed_by(one.call):
                    raise ConfigError(
                        f"job {one.job_id} is signed for queue {queue!r}, and there is no key to "
                        "sign it with for another: set JOBQ_SIGNING_KEYS, or name --app"
                    )
                good.append(one)
                continue
            try:
                self._signer.open(queue, one.job_id.encode(), one.call)
            except CallUnreadable as error:
                bad.append((one.job_id, str(error)))
            else:
                good.append(one)
        return good, bad

    def _move(self, queue: str, to: str, jobs: _Page) -> tuple[int, list[tuple[str, str]]]:
        began = self._clock.monotonic()
        each = self._store.run_each
        asides = [one for one in each(move.aside(queue, job.job_id) for job in jobs) if one]
        if self._clock.monotonic() - began > _IN_TIME:
            return 0, [(one.job_id, "Redis was too slow: it starts where it was") for one in asides]
        added = list(each(move.attach(to, one, self._signed(to, one)) for one in asides))
        refused: list[tuple[str, str]] = []
        there: list[Aside] = []
        for one, is_new in zip(asides, added, strict=True):
            if is_new or self._is_same(to, one):
                there.append(one)
            else:
                refused.append((one.job_id, f"queue {to!r} has, or had, another job of this id"))
        answers = each(move.detach(queue, one) for one in there)
        done = 0
        for one, answer in zip(there, list(answers), strict=True):
            if answer == move.IS_ELSEWHERE:  # somebody has taken it after all
                self._undo(to, one)
                refused.append((one.job_id, "it was started or replaced meanwhile"))
            else:
                done += 1
        return done, refused

    def _signed(self, to: str, job: Aside) -> bytes:
        if self._signer is None or not signed_by(job.call):
            return job.call
        return self._signer.sign(to, job.job_id, inner(job.call))

    def _is_same(self, to: str, job: Aside) -> bool:
        """Tell whether a move that was not finished has brought the job there already."""
        seen = self._store.run(inspect.look(to, job.job_id))
        if seen.call is not None and seen.enqueued_ms is not None:
            first = int(job.first.partition(b"-")[0])
            return seen.enqueued_ms == first and inner(seen.call) == inner(job.call)
        # It has ended there, and only its id is known: nobody else makes one like these.
        return is_made_id(job.job_id)

    def _undo(self, to: str, job: Aside) -> None:
        aside = self._store.run(move.aside(to, job.job_id))
        if aside is not None:
            self._store.run(move.detach(to, aside))


def _ready(line: str) -> Callable[[str], Op[tuple[_Page, str]]]:
    return lambda after: move.ready(line, after=after)


def _delayed(queue: str) -> Callable[[str], Op[tuple[_Page, str]]]:
    return lambda after: move.delayed(queue, after=after)
