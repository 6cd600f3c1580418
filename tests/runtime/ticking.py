"""Schedulers of several supervisors, driven by hand, with a clock that the test moves."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobq import JobQ
from jobq.core.clock import Clock
from jobq.core.timetable import PastTick
from jobq.runtime.declared import Declared, declared_by
from jobq.runtime.hello import Hello
from jobq.runtime.scheduler import Scheduler
from jobq.store import clock, keys
from jobq.store.ops import inspect, schedules, upkeep
from jobq.store.sync import Store
from jobq.store.wire import Answers, AnyOp, Op

#: Rounds without which nothing that is due is done: reading, ticking, looking, noting.
ROUNDS = 8


@dataclass
class HandClock(Clock):
    """A monotonic clock that jumps by a second whenever it is asked for the next round."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """Return the time that was set."""
        return self.now

    def time(self) -> float:
        """Return no time of day: schedulers must not ask for it."""
        raise AssertionError("schedulers go by Redis time")


@dataclass
class Supervisor:
    """The scheduler of one supervisor.

    Attributes:
        store: its Redis.
        queues: those that it reads.
        clock: its monotonic clock.
        jobs: the job functions that it knows though its app declares nothing.
    """

    store: Store
    queues: tuple[str, ...] = ("default",)
    grace: float = 300.0
    clock: HandClock = field(default_factory=HandClock)
    jobs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(lambda: self.queues, self._now_ms, self.clock, self.grace)

    def met(self, app: JobQ | None, called: str = "shop") -> "Supervisor":
        """Let it hear of an app; None: of one that declares nothing."""
        self.scheduler.met(
            Hello(
                url="",
                safe_url="",
                app=called,
                queues=self.queues,
                jobs=self.jobs if app is None else tuple(app.registry.names()),
                lease=30.0,
                declared=Declared(called) if app is None else declared_by(app, called),
            )
        )
        return self

    def ask(self) -> list[AnyOp]:
        """Begin a round."""
        return self.scheduler.ops()

    def hear(self, answers: Answers) -> None:
        """End a round."""
        self.scheduler.read(answers)

    def turn(self, rounds: int = ROUNDS) -> None:
        """Do some rounds, a second apart by its own clock."""
        for _ in range(rounds):
            self.clock.now += 1
            self.hear(self.store.exchange(self.ask()))

    def _now_ms(self) -> float:
        return float(self.store.run(upkeep.time_ms()))


def past(store: Store, name: str, queue: str = "default") -> list[PastTick]:
    """Return the past ticks of a schedule, the oldest first."""
    found = [PastTick.read(text) for text in store.run(schedules.past(queue, name))]
    assert None not in found
    return [tick for tick in reversed(found) if tick is not None]


def made(store: Store, name: str, queue: str = "default") -> list[int]:
    """Return the nominal times of the ticks that have made a job."""
    return [tick.nominal_ms for tick in past(store, name, queue) if tick.job_id]


def waiting(store: Store, queue: str = "default") -> int:
    """Return how many jobs wait in a queue."""
    return store.run(inspect.count(queue)).ready


def entries(store: Store, line: str = "default") -> list[tuple[str, bytes]]:
    """Return the id and the call of each job in the stream of a line."""
    op: Op[list[tuple[str, bytes]]] = Op(
        ("XRANGE", keys.jobs(line), "-", "+"),
        lambda reply: [(fields[0].decode(), fields[1]) for _, fields in reply],
    )
    return store.run(op)


def travel(store: Store, seconds: float) -> None:
    """Move the clock of Redis forward, as scripts see it."""
    store.run(clock.move(int(seconds * 1000)))


@contextmanager
def moving_clock() -> Iterator[None]:
    """Let the scripts of this process obey the clock of tests."""
    before = clock.obey_test_clock()
    yield
    clock.obey_test_clock(obey=before)
