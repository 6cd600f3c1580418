"""The one reading of queues, workers and Redis that commands and metrics are made of.

Guarantees:
    * bounded reads only: nothing here takes longer because more jobs wait, or more are dead;
    * a queue whose keys somebody else has written over hides no other one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Final

from jobq.client.numbers import Kind, Numbers, Point
from jobq.client.rows import QueueRow, moment, pause_row
from jobq.client.together import ask, ask_all
from jobq.client.worker_rows import WorkerRow, worker_row
from jobq.core.clock import Clock, SystemClock
from jobq.core.numbers import whole
from jobq.core.pauses import PauseRecord
from jobq.core.rates import IDLE, Rates, backlog
from jobq.core.snapshot import (
    SILENT,
    WORKER_STATES,
    Depth,
    QueueState,
    RedisState,
    Snapshot,
    WorkerSeen,
    WorkerState,
)
from jobq.errors import StoreError
from jobq.store import keyspace
from jobq.store.ops import diagnose, inspect, pause, upkeep
from jobq.store.ops.inspect import Counted
from jobq.store.sync import Store
from jobq.store.wire import AnyOp

#: Minutes over which the rates of a queue are taken, the current one included.
MINUTES: Final = 5

_BY_TIME: Final = frozenset[Kind](("at",))
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read of a queue.

    Attributes:
        name: the queue.
        counted: its jobs by state, and what was counted since ever.
        pauses: what of it is paused.
        rates: how fast it goes.
    """

    name: str
    counted: Counted
    pauses: tuple[PauseRecord, ...]
    rates: Rates

    @property
    def is_paused(self) -> bool:
        """Whether all of it is paused."""
        return any(one.job is None for one in self.pauses)

    @property
    def oldest(self) -> float | None:
        """Seconds since the job that is ready for longest was added; None: none is ready."""
        added = self.counted.oldest_ms
        return None if added is None else max(0, self.counted.now_ms - added) / 1000


def read_queues(store: Store) -> tuple[list[Reading], list[StoreError]]:
    """Read every queue that was ever used, by name.

    Returns:
        The queues, and what Redis said of those that it could not count.

    Raises:
        StoreError: Redis refused to list them, or cannot be reached.
    """
    names = [name for name in store.run(inspect.queues()) if keyspace.usable(name)]
    ops: list[AnyOp] = [op for name in names for op in (inspect.count(name), pause.read(name))]
    answers = iter(ask_all(store, ops))
    readings: list[Reading] = []
    refused: list[StoreError] = []
    for name in names:
        counted, pauses = next(answers), next(answers)
        errors = [one for one in (counted, pauses) if isinstance(one, StoreError)]
        if errors:
            refused.append(errors[0])
        else:
            readings.append(Reading(name, counted, tuple(pauses), IDLE))
    return _with_rates(store, readings), refused


def queue_rows(store: Store) -> list[QueueRow]:
    """Return every queue as the desk shows it.

    Raises:
        StoreError: Redis refused, one of them cannot be read, or Redis cannot be reached.
    """
    readings, refused = read_queues(store)
    for error in refused:
        raise error
    return list(map(_row, readings))


class Snapshots:
    """Reads all that the metrics show.

    Args:
        store: the Redis.
        clock: measures how long Redis takes.
    """

    def __init__(self, store: Store, clock: Clock = SystemClock()) -> None:
        self._store: Store = store
        self._clock: Clock = clock

    def read(self) -> Snapshot:
        """Read it.

        Raises:
            StoreError: Redis refused, or cannot be reached.
        """
        begun = self._clock.monotonic()
        now_ms = self._store.run(upkeep.time_ms())  # connects, so that what follows is measured
        redis = self._redis()
        readings, refused = read_queues(self._store)
        seen = ask(self._store, inspect.workers())
        workers = [] if isinstance(seen, StoreError) else list(map(worker_row, seen))
        return Snapshot(
            queues=tuple(map(_state, readings)),
            totals=Numbers(self._store).totals([one.name for one in readings]),
            workers=tuple(_worker(one, moment(now_ms)) for one in workers),
            redis=redis,
            unreadable=len(refused),
            seconds=self._clock.monotonic() - begun,
        )

    def is_there(self) -> bool:
        """Tell whether Redis answers."""
        try:
            self._store.run(diagnose.ping())
        except StoreError:
            return False
        return True

    def _redis(self) -> RedisState:
        begun = self._clock.monotonic()
        self._store.run(diagnose.ping())
        latency = self._clock.monotonic() - begun
        said = ask(self._store, diagnose.info())
        return RedisState(latency) if isinstance(said, StoreError) else redis_state(said, latency)


def redis_state(said: Mapping[str, str], latency: float) -> RedisState:
    """Return what Redis tells of itself.

    Args:
        said: its INFO.
        latency: seconds that one command took.
    """
    kind = said.get("server_name", "redis")
    version = said.get(f"{kind}_version", said.get("redis_version", ""))
    saves = [
        said[name] for name in ("rdb_last_bgsave_status", "aof_last_write_status") if name in said
    ]
    return RedisState(
        latency,
        version=f"{kind} {version}" if version else "",
        memory=_whole(said, "used_memory"),
        memory_limit=_whole(said, "maxmemory") or None,
        fragmentation=_real(said, "mem_fragmentation_ratio"),
        evicted=_whole(said, "evicted_keys"),
        clients=_whole(said, "connected_clients"),
        persisted=all(one == "ok" for one in saves) if saves else None,
        replicas=_whole(said, "connected_slaves"),
    )


def rates(ready: int, paused: bool, points: Iterable[Point], now: datetime) -> Rates:
    """Return how fast a queue goes.

    Args:
        ready: the jobs that a worker could start.
        paused: no worker would.
        points: what was counted lately, in order.
        now: when they were read.
    """
    added = done = 0
    first: datetime | None = None
    first_done: datetime | None = None
    for point in points:
        added += point.tally.enqueued
        done += point.tally.started
        first = first or point.at
        if point.tally.started and first_done is None:
            first_done = point.at
    span = _span(first_done, now)
    processed = done / span if span else 0.0
    since_first = _span(first, now)
    return Rates(
        enqueued=added / since_first if since_first else 0.0,
        processed=processed,
        backlog=backlog(ready, processed, paused=paused),
    )


def _span(since: datetime | None, now: datetime) -> float:
    """Return the seconds since a moment, but no fraction of the first one; 0: there is none."""
    return 0.0 if since is None else max(1.0, (now - since).total_seconds())


def _with_rates(store: Store, readings: Sequence[Reading]) -> list[Reading]:
    """Return readings with their rates, over the last minutes.

    Where nothing ended in these though jobs are ready, over the last hours: jobs may take long.
    """
    if not readings:
        return []
    now = moment(readings[0].counted.now_ms)
    since = now.replace(second=0, microsecond=0) - timedelta(minutes=MINUTES - 1)
    numbers = Numbers(store)
    found: list[Reading] = []
    for one in readings:
        ready = max(0, one.counted.ready - one.counted.held)
        paused = one.is_paused
        minutes = numbers.grouped(one.name, since=since, step="minute", by=_BY_TIME)
        seen = rates(ready, paused, minutes, now)
        if ready and not seen.processed and not paused:
            hours = numbers.grouped(one.name, since=now - _HOUR, step="hour", by=_BY_TIME)
            slow = rates(ready, paused, hours, now)
            seen = Rates(seen.enqueued, slow.processed, slow.backlog)
        found.append(Reading(one.name, one.counted, one.pauses, seen))
    return found


def _row(reading: Reading) -> QueueRow:
    seen = reading.counted
    return QueueRow(
        name=reading.name,
        ready=seen.ready,
        running=seen.running,
        retrying=seen.retrying,
        unknown=seen.unknown,
        dead=seen.dead,
        put_back=seen.put_back,
        delayed=seen.delayed,
        pauses=tuple(map(pause_row, reading.pauses)),
        oldest=reading.oldest,
        totals=seen.totals,
        rates=reading.rates,
    )


def _state(one: Reading) -> QueueState:
    seen = one.counted
    return QueueState(
        name=one.name,
        depth=Depth(
            ready=seen.ready,
            delayed=seen.delayed,
            running=seen.running,
            retrying=seen.retrying,
            dead=seen.dead,
            held=seen.held,
            unknown=seen.unknown,
        ),
        oldest=one.oldest,
        rates=one.rates,
        paused=one.is_paused,
        put_back=seen.put_back,
    )


def _worker(row: WorkerRow, now: datetime) -> WorkerSeen:
    known: dict[str, WorkerState] = {state: state for state in WORKER_STATES}
    state = known.get(row.state, "running")
    if (now - row.seen_at).total_seconds() >= SILENT:
        state = "silent"
    return WorkerSeen(
        queues=frozenset(row.queues),
        state=state,
        running=max(0, row.running),
        capacity=max(0, row.capacity.jobs),
        processes=max(0, row.capacity.processes),
    )


def _whole(said: Mapping[str, str], name: str) -> int | None:
    return whole(said.get(name, ""))


def _real(said: Mapping[str, str], name: str) -> float | None:
    try:
        found = float(said.get(name, ""))
    except ValueError:
        return None
    return found if isfinite(found) else None
