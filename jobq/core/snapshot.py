"""What is known of queues, workers and Redis at one moment: plain values, read by others; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from jobq.core.rates import IDLE, Rates
from jobq.core.tally import Tally

#: What a worker can be doing; ``silent``: it has not been heard of for `SILENT` seconds.
WorkerState = Literal["running", "draining", "drained", "stopping", "silent"]
WORKER_STATES: Final[tuple[WorkerState, ...]] = (
    "running",
    "draining",
    "drained",
    "stopping",
    "silent",
)

#: Seconds after which a worker that says nothing is not counted on: it speaks every two.
SILENT: Final = 15.0


@dataclass(frozen=True, slots=True)
class Depth:
    """The jobs of a queue by state.

    Attributes:
        ready: waiting for a worker.
        delayed: waiting until their first attempt is due.
        running: in an attempt.
        retrying: waiting until their next attempt is due.
        dead: dead letters.
        held: of those that are ready, how many are held because their job function is paused.
        unknown: of those that wait, how many wait for a worker that knows them.
    """

    ready: int = 0
    delayed: int = 0
    running: int = 0
    retrying: int = 0
    dead: int = 0
    held: int = 0
    unknown: int = 0


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue.

    Attributes:
        name: the queue.
        depth: its jobs by state.
        oldest: seconds since the one that is ready for longest was added; None: none is ready.
        rates: how fast it goes.
        paused: whether all of it is.
        put_back: how often a job was put back because its worker does not know it.
    """

    name: str
    depth: Depth
    oldest: float | None = None
    rates: Rates = IDLE
    paused: bool = False
    put_back: int = 0


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker: a `jobq worker` with all of its processes.

    Attributes:
        queues: those it takes jobs from.
        state: what it does.
        running: the jobs that it runs.
        capacity: the jobs that it can run at once.
        processes: how many it has.
    """

    queues: frozenset[str]
    state: WorkerState
    running: int
    capacity: int
    processes: int

    @property
    def takes(self) -> bool:
        """Whether it takes jobs."""
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class RedisState:
    """Redis, as it tells of itself; None: it does not, or may not, tell.

    Attributes:
        latency: seconds that one command took there and back.
        version: which one it is, such as ``valkey 9.1.0``; empty: not known.
        memory: bytes that its data takes.
        memory_limit: its ``maxmemory`` in bytes; None: there is none.
        fragmentation: resident bytes for each byte of memory.
        evicted: keys that it has deleted because its memory was full, since its start.
        clients: its connections.
        persisted: whether its last saves went well.
        replicas: how many follow it.
    """

    latency: float
    version: str = ""
    memory: int | None = None
    memory_limit: int | None = None
    fragmentation: float | None = None
    evicted: int | None = None
    clients: int | None = None
    persisted: bool | None = None
    replicas: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the metrics show.

    Attributes:
        queues: by name.
        totals: what was counted since ever, by queue and job function.
        workers: those in the register.
        redis: None: it cannot be reached, and nothing else is known.
        unreadable: queues that could not be read, because somebody else has written there.
        seconds: how long it took to read all this.
    """

    queues: tuple[QueueState, ...] = ()
    totals: Mapping[tuple[str, str], Tally] = field(default_factory=dict[tuple[str, str], Tally])
    workers: tuple[WorkerSeen, ...] = ()
    redis: RedisState | None = None
    unreadable: int = 0
    seconds: float = 0.0
