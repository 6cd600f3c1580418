"""What supervisors do in their rounds, done in a test: promote, tick schedules, see what is paused.

The parts of the round are those of supervisors. Their clock is that of the test, a second further
in each round, so that nothing rests while a test waits for it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from jobq.client.app import JobQ
from jobq.core.pauses import Stopped, stopped_by
from jobq.errors import StoreError
from jobq.runtime.declared import Declared, declared_by
from jobq.runtime.hello import Hello
from jobq.runtime.rounds import Part, Promoter, Round
from jobq.runtime.scheduler import Scheduler
from jobq.store.ops import enqueue, inspect, pause, upkeep
from jobq.store.wire import Answers, AnyOp

#: Rounds until the schedules that have changed are known: see the change, read, tick.
_LEAST: Final = 3

#: Rounds until nothing is left to be done: each moves up to a thousand jobs of a queue.
_MOST: Final = 1000


class Rounds:
    """The rounds of an app's supervisor, without one.

    Attributes:
        queues: the queues of the app, and all others that have ever had a job.
        stopped: what is paused, as of the last round.
    """

    def __init__(self, app: JobQ) -> None:
        self.queues: tuple[str, ...] = ()
        self._app = app
        self._time = _Time()
        self._pauses = _Pauses(self._queues)
        self._promoter = Promoter(self._queues, self._time)
        self._scheduler = Scheduler(self._queues, self._time.now_ms, self._time)
        self._parts: tuple[Part, ...] = (self._pauses, self._promoter, self._scheduler)
        self._round = Round(self._parts, app.store.exchange)
        self._declared = Declared()

    @property
    def stopped(self) -> Stopped:
        """What is paused, as of the last round."""
        return self._pauses.stopped

    @property
    def next_ms(self) -> float | None:
        """When something is due next, Redis time, as of the last round; None: nothing is."""
        return min((part.next_ms for part in self._parts if part.next_ms is not None), default=None)

    def run(self) -> None:
        """Do all that is due, in as many rounds as it takes.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        self._see_queues()
        self._meet()
        for done in range(1, _MOST):
            self._round.run()
            self._time.rounds += 1
            self._time.ms = self._promoter.now_ms or self._time.ms
            if done >= _LEAST and (self.next_ms is None or self.next_ms > self._time.ms):
                return

    def _see_queues(self) -> None:
        """Learn which queues there are, and what time it is; make what supervisors make of them."""
        self.queues = tuple(sorted({*self.queues, *self._app.registry.queues()}))
        found, now_ms = self._ask([inspect.queues(), upkeep.time_ms(), *_making(self.queues)])[:2]
        self._time.ms = now_ms
        if new := [queue for queue in found if queue not in self.queues]:
            self.queues = tuple(sorted({*self.queues, *new}))
            self._ask(_making(new))

    def _ask(self, ops: Sequence[AnyOp]) -> Answers:
        answers = self._app.store.exchange(ops)
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        return answers

    def _queues(self) -> tuple[str, ...]:
        return self.queues

    def _meet(self) -> None:
        """Tell the scheduler what the code declares, where that has changed."""
        app = self._app
        declared = declared_by(app, "test")
        if declared != self._declared:
            self._declared = declared
            hello = Hello(
                url="",
                safe_url="",
                app=app.name,
                queues=self.queues,
                jobs=tuple(app.registry.names()),
                lease=app.lease,
                declared=declared,
            )
            self._scheduler.met(hello)


def _making(queues: Iterable[str]) -> list[AnyOp]:
    """Return the ops that make groups for queues, and make them known."""
    return [op for queue in queues for op in (upkeep.regroup(queue), enqueue.register_queue(queue))]


class _Time:
    """The time of a test, as the parts of the round see it."""

    def __init__(self) -> None:
        self.ms = 0.0
        self.rounds = 0

    def now_ms(self) -> float:
        """Return Redis time."""
        return self.ms

    def time(self) -> float:
        """See `Clock`."""
        return self.ms / 1000

    def monotonic(self) -> float:
        """See `Clock`."""
        return self.ms / 1000 + self.rounds


class _Pauses(Part):
    """Sees what is paused; that of a supervisor tells it to its workers."""

    def __init__(self, queues: Callable[[], Sequence[str]]) -> None:
        self.stopped = Stopped()
        self._queues = queues
        self._asked: Sequence[str] = ()

    def ops(self) -> list[AnyOp]:
        """See `Part`."""
        self._asked = self._queues()
        return [pause.look(queue) for queue in self._asked]

    def read(self, answers: Answers) -> None:
        """See `Part`."""
        for answer in answers:
            if isinstance(answer, StoreError):
                raise answer
        found = {queue: one.records for queue, one in zip(self._asked, answers, strict=True)}
        self.stopped = stopped_by(found)
        ends = [one.until_ms for some in found.values() for one in some]
        self.next_ms = min((end for end in ends if end is not None), default=None)
