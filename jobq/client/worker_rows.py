"""What the desk shows of workers, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

import msgpack

from jobq.client.rows import moment
from jobq.store.ops.inspect import Presence


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a worker runs at once: processes, and in each of them sync and async jobs.

    Attributes:
        weights: by queue, in which proportion its jobs get of that; empty: the first one first.
        kinds: ``sync``, ``async`` or ``both``: which jobs its app has; empty: it does not tell.
    """

    processes: int
    threads: int
    concurrency: int
    weights: Mapping[str, int] = field(default_factory=dict[str, int])
    kinds: str = ""

    @property
    def jobs(self) -> int:
        """How many jobs it can run at once."""
        each = {"sync": self.threads, "async": self.concurrency}
        return self.processes * each.get(self.kinds, self.threads + self.concurrency)


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """A worker: one `jobq worker`, with all of its processes.

    Attributes:
        name: its name.
        host: the machine.
        pid: of its supervisor there.
        app: what it runs, and version is that of jobq there.
        queues: those it takes jobs from, in their order.
        jobs: the names of the job functions that it knows.
        capacity: how many jobs it can run at once.
        running: how many it runs.
        state: running; draining (takes nothing new), drained (and nothing runs any more), stopping.
        started_at: when it started; None: it does not tell.
        seen_at: when it last said that it lives.
    """

    name: str
    host: str
    pid: int
    app: str
    version: str
    queues: tuple[str, ...]
    jobs: tuple[str, ...]
    capacity: Capacity
    running: int
    state: str
    started_at: datetime | None
    seen_at: datetime


def worker_row(presence: Presence) -> WorkerRow:
    """Read the record of a worker; what a record lacks is empty."""
    record = _record(presence.record)
    started = _number(record, "started_ms")
    return WorkerRow(
        name=presence.name,
        host=_word(record, "host"),
        pid=_number(record, "pid"),
        app=_word(record, "app"),
        version=_word(record, "version"),
        queues=_words(record, "queues"),
        jobs=_words(record, "jobs"),
        capacity=Capacity(
            _number(record, "processes"),
            _number(record, "threads"),
            _number(record, "concurrency"),
            _numbers(record, "weights"),
            _word(record, "kinds"),
        ),
        running=_number(record, "running"),
        state=_word(record, "state"),
        started_at=moment(started) if started else None,
        seen_at=moment(presence.seen_ms),
    )


def _record(blob: bytes) -> Mapping[object, object]:
    try:
        found: object = msgpack.unpackb(blob)
    except Exception:  # noqa: BLE001  msgpack raises many kinds; another release may write anything
        return {}
    return cast("dict[object, object]", found) if isinstance(found, dict) else {}


def _word(record: Mapping[object, object], key: str) -> str:
    value = record.get(key)
    return value if isinstance(value, str) else ""


def _words(record: Mapping[object, object], key: str) -> tuple[str, ...]:
    value = record.get(key)
    if not isinstance(value, list | tuple):
        return ()
    return tuple(str(one) for one in cast("Sequence[object]", value))


def _numbers(record: Mapping[object, object], key: str) -> Mapping[str, int]:
    value = record.get(key)
    if not isinstance(value, dict):
        return {}
    found = cast("dict[object, object]", value).items()
    return {str(name): number for name, number in found if isinstance(number, int)}


def _number(record: Mapping[object, object], key: str) -> int:
    value = record.get(key)
    return value if isinstance(value, int) else 0
